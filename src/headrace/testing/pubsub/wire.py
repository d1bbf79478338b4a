"""The messages of Pub/Sub's protocol: the plain protobuf classes below Google's own types.

Google's package wraps each of them in a Python class that costs several times as much to read and
to write; a server needs none of that.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from google.protobuf import empty_pb2
from google.pubsub_v1 import types

Proto: TypeAlias = Any
"""A protobuf message: its classes carry no types."""

Empty: Final = empty_pb2.Empty
PubsubMessage: Final = types.PubsubMessage.pb()
ReceivedMessage: Final = types.ReceivedMessage.pb()
Topic: Final = types.Topic.pb()
Subscription: Final = types.Subscription.pb()
PushConfig: Final = types.PushConfig.pb()

GetTopicRequest: Final = types.GetTopicRequest.pb()
UpdateTopicRequest: Final = types.UpdateTopicRequest.pb()
DeleteTopicRequest: Final = types.DeleteTopicRequest.pb()
ListTopicsRequest: Final = types.ListTopicsRequest.pb()
ListTopicsResponse: Final = types.ListTopicsResponse.pb()
ListTopicSubscriptionsRequest: Final = types.ListTopicSubscriptionsRequest.pb()
ListTopicSubscriptionsResponse: Final = types.ListTopicSubscriptionsResponse.pb()
PublishRequest: Final = types.PublishRequest.pb()
PublishResponse: Final = types.PublishResponse.pb()

GetSubscriptionRequest: Final = types.GetSubscriptionRequest.pb()
UpdateSubscriptionRequest: Final = types.UpdateSubscriptionRequest.pb()
DeleteSubscriptionRequest: Final = types.DeleteSubscriptionRequest.pb()
ListSubscriptionsRequest: Final = types.ListSubscriptionsRequest.pb()
ListSubscriptionsResponse: Final = types.ListSubscriptionsResponse.pb()
PullRequest: Final = types.PullRequest.pb()
PullResponse: Final = types.PullResponse.pb()
StreamingPullRequest: Final = types.StreamingPullRequest.pb()
StreamingPullResponse: Final = types.StreamingPullResponse.pb()
AcknowledgeRequest: Final = types.AcknowledgeRequest.pb()
ModifyAckDeadlineRequest: Final = types.ModifyAckDeadlineRequest.pb()
ModifyPushConfigRequest: Final = types.ModifyPushConfigRequest.pb()

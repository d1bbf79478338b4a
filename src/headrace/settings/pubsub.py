"""The settings of Pub/Sub."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from headrace.settings.kinds import Claim, HostPort, TopicName


class PubSubSettings(BaseSettings):
    """Where messages go and come from; a part of `Settings`."""

    pubsub_project: Claim | None = Field(
        None,
        description="The Google Cloud project of the topics; the platform's GOOGLE_CLOUD_PROJECT "
        "is taken where this is not set.",
        json_schema_extra={"default_text": "emulator-project on an emulator, else none"},
    )
    pubsub_emulator_host: HostPort | None = Field(
        None,
        description="Host and port of an emulator; the PUBSUB_EMULATOR_HOST of Google's tools is "
        "taken where this is not set.",
        json_schema_extra={"default_text": "none: the real service"},
    )
    pubsub_credentials_file: Path | None = Field(
        None,
        description="Key file of a service account.",
        json_schema_extra={"default_text": "the platform's own credentials"},
    )
    pubsub_jobs_topic: TopicName = Field(
        "headrace-jobs", description="Topic of doorbells and submitted jobs."
    )
    pubsub_results_topic: TopicName = Field(
        "headrace-results", description="Topic of what became of jobs."
    )
    pubsub_dead_letters_topic: TopicName = Field(
        "headrace-dead-letters", description="Topic of failed jobs."
    )
    pubsub_undeliverable_topic: TopicName = Field(
        "headrace-undeliverable", description="Topic of messages that no worker could settle."
    )
    pubsub_subscription: TopicName = Field(
        "headrace-jobs-sub", description="Subscription at which workers listen."
    )
    pubsub_ack_deadline_s: int = Field(
        60, ge=10, le=600, description="Time to acknowledge a message of that subscription."
    )
    pubsub_jobs_per_ring: int = Field(
        10,
        ge=1,
        le=1_000,
        description="Due jobs for which one doorbell is published; 1 where workers are woken by "
        "requests, so that the platform starts as many as there is work for.",
        json_schema_extra={"default_text": "10, or 1 where PUSH_AUDIENCE is set"},
    )
    flow_max_bytes: int = Field(
        10_000_000,
        ge=1_000_000,
        le=100_000_000,
        description="Messages that a worker has in hand at once.",
    )
    inbox: Literal["shared", "own", "off"] = Field(
        "shared",
        description="Whether workers that know SIGNING_KEYS take jobs that are submitted by "
        "message: by the subscription that brings the rings of DOORBELL=pubsub, by one of their "
        "own (`headrace pubsub setup --filtered`) whatever the doorbell, or not at all.",
    )

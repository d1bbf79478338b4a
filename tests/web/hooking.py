"""What tests of webhooks share: an API that signs, and whom it tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
import orjson

from headrace.model.signing import secret_key, verify
from headrace.web.auth.identity import Scope
from tests.egress.receiver import Got, Receiver
from tests.waiting import eventually
from tests.web.serving import SETTINGS, Api, who

KEYS = ("0123456789abcdef0123456789abcdef",)
SIGNING = SETTINGS.model_validate(
    {
        **SETTINGS.model_dump(exclude_unset=True),
        "signing_keys": KEYS,
        "webhook_private_hosts": ("127.0.0.1",),
    }
)
ADMIN = who("acme", "root", Scope.TENANT_ADMIN)
JOB = {"pipeline": "double", "payload": 2}


def url_of(receiver: Receiver) -> str:
    return f"http://127.0.0.1:{receiver.port}/in"


async def made(client: httpx2.AsyncClient, receiver: Receiver, **more: Any) -> dict[str, Any]:
    """A new webhook that leads to a receiver, with its secret."""
    answer = await client.post("/v1/webhooks", json={"url": url_of(receiver), **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def opened(got: Got, secrets: Sequence[str], *, now: float | None = None) -> dict[str, Any]:
    """What a message says, after its signature was checked as receivers should."""
    keys = [secret_key(secret) for secret in secrets]
    event = verify(keys, got.headers, got.body, now=time.time() if now is None else now)
    said: dict[str, Any] = orjson.loads(got.body)
    assert said["data"]["event_id"] == event
    return said


async def told(receiver: Receiver, number: int = 1) -> None:
    """Wait until so many requests have arrived."""
    await eventually(lambda: len(receiver.got) >= number)


async def deliveries(client: httpx2.AsyncClient, webhook: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/webhooks/{webhook}/deliveries")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def delivered(
    client: httpx2.AsyncClient, webhook: str, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The newest delivery, when it fits."""

    async def look() -> dict[str, Any] | None:
        newest = (await deliveries(client, webhook))[:1]
        return newest[0] if newest and fits(newest[0]) else None

    found = await eventually(look)
    assert found is not None
    return found


async def submitted(api: Api, **more: Any) -> str:
    answer = await (await api.client(who())).post("/v1/jobs", json={**JOB, **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])

"""Secrets that were planted where users and operators have them come out nowhere."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from headrace import Pipeline, StepContext
from headrace.telemetry import tracing
from headrace.telemetry.events import Level
from headrace.telemetry.logs import configure_logs
from headrace.telemetry.tracing import start_tracing
from headrace.testing import Engine
from headrace.web.auth.identity import Scope
from tests.documents.conftest import documents
from tests.telemetry.collector import Collector, collecting
from tests.web.serving import SETTINGS, Api, serve, who

CANARIES = {
    "shape": "sk-proj-CanaryCanaryCanary0001",
    "password": "canary-password-0002",
    "token": "canary-token-0003",
    "address": "canary-address-0004",
    "jwt": "eyJDYW5hcnkwMDA1.eyJDYW5hcnkwMDA1.Q2FuYXJ5MDAwNQ",
    "bearer": "canary.bearer.0006",
    "cookie": "canary-cookie-0007",
    "metrics": "canary-metrics-token-0008",
    "key": "hr_canarycanary_canary0009canary0009canary0009",
    "private": "MIICanaryPrivate0010",
    "signing": "canary-signing-key-0011-0123456789",
    "path": "canary-hook-path-0012",
    "query": "canary-hook-query-0013",
    "document": "canary-document-0014",
    "question": "canary-question-0015",
    "broken": "canary-broken-0016",
}
LEAKY = (
    f"refused: password={CANARIES['password']} at postgresql://u:{CANARIES['address']}@db/x, "
    f"sent Authorization: Bearer {CANARIES['bearer']} and {CANARIES['shape']} {CANARIES['jwt']}"
)
PRIVATE = f"-----BEGIN PRIVATE KEY-----\n{CANARIES['private']}\n-----END PRIVATE KEY-----"
THEIRS = {"request_id", "payload", "input_preview"}
KEPT = {
    "headrace.jobs.input",
    "headrace.job_list.input",
    "headrace.webhooks.url",
    "headrace_documents.chunks.text",
}
"""What users send is kept as they sent it: it is what their steps are called with, and what they
search in; and who is to be told has to be known."""
HOOK = f"http://127.0.0.1:9/{CANARIES['path']}?token={CANARIES['query']}"
"""Nobody listens there."""
BROKEN = f"%PDF-1.7\n1 0 obj\n<< /Password ({CANARIES['broken']}) >>\nendobj\n".encode()
OPERATOR = who("ops", "olga", Scope.OPERATOR)
ADMIN = who("acme", "ann", *Scope)


@dataclass
class Order:
    title: str
    api_key: str
    nested: dict[str, Any] = field(default_factory=dict)


leaking = Pipeline("leaking", input=Order, output=str)


@leaking.step
async def told(order: Order, ctx: StepContext) -> str:
    ctx.log.info("placing", order=order, headers={"authorization": f"Bearer {CANARIES['bearer']}"})
    logging.getLogger("shop").warning("placing %s with %s", order, LEAKY)
    ctx.progress(1, 2, note="placing")
    return order.title


def connect() -> None:
    raise ConnectionError(LEAKY)


@leaking.step
async def refused(told: str) -> str:
    try:
        connect()
    except ConnectionError as error:
        logging.getLogger("shop").exception("refused")
        raise ValueError(f"{told}: {LEAKY} {PRIVATE}") from error


@dataclass
class Leak:
    """Where a canary could come out."""

    api: Api
    collector: Collector
    stream: io.StringIO
    answers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=lambda: list(CANARIES.values()))
    """The canaries, and what the service itself gave out once."""

    def is_in(self, text: str) -> bool:
        return any(secret in text for secret in self.secrets)

    async def ask(self, method: str, path: str, **more: Any) -> None:
        """Ask as everybody who might, and keep what is answered."""
        for client in (
            await self.api.client(),
            await self.api.stranger(),
            await self.api.client(OPERATOR),
            await self.api.bearer(CANARIES["key"]),
            await self.api.bearer(CANARIES["jwt"]),
        ):
            answer = await client.request(method, path, **more)
            # A client may name its own request, and owners see what they sent: both are theirs.
            headers = {
                name: text for name, text in answer.headers.items() if name != "x-request-id"
            }
            body = answer.json() if "json" in answer.headers["content-type"] else answer.text
            if isinstance(body, dict):
                body = {key: part for key, part in body.items() if key not in THEIRS}
            self.answers.append(f"{method} {answer.status_code} {headers} {body}")


@pytest.fixture(params=["json", "text"])
async def leak(request: pytest.FixtureRequest, vector_server: str) -> AsyncIterator[Leak]:
    settings = SETTINGS.model_copy(
        update={
            "metrics_token": SecretStr(CANARIES["metrics"]),
            "signing_keys": (SecretStr(CANARIES["signing"]),),
            "webhook_private_hosts": ("127.0.0.1",),
            "admin_api": True,
        }
    )
    stream = io.StringIO()
    with collecting() as collector:
        logs = configure_logs(level=Level.DEBUG, style=request.param, stream=stream)
        stop = start_tracing(collector.url, sample=1.0, version="1")
        try:
            engine = Engine([leaking, documents], server=vector_server, settings=settings)
            async with engine, serve(engine) as api:
                found = Leak(api, collector, stream)
                if request.param == "json":  # text masks in the same way: once is enough
                    await give_out(found)
                    await send_out(found)
                await provoke(found)
                yield found
        finally:
            await asyncio.to_thread(stop)
            logs.close()


async def give_out(leak: Leak) -> None:
    """Have the service make secrets: they are in the one answer that gives them out."""
    admin = await leak.api.client(ADMIN)
    made = (await admin.post("/v1/webhooks", json={"url": HOOK})).json()
    rotated = (await admin.post(f"/v1/webhooks/{made['id']}/rotate")).json()
    wanted = {"tenant": "acme", "owner": "bot", "scopes": ["jobs:read"], "expires_in_s": 600}
    key = await admin.post("/v1/admin/api-keys", json={**wanted, "reason": "a canary"})
    job = {"pipeline": "leaking", "payload": {"title": "lamp", "api_key": CANARIES["token"]}}
    once = {"Idempotency-Key": "once"}
    sent = [
        await admin.post("/v1/jobs", json={**job, "webhook": {"url": HOOK}}, headers=once)
        for _ in range(2)
    ]
    [own] = {answer.json()["webhook_secret"] for answer in sent}
    for secret in (made["secret"], rotated["secret"], own, key.json()["key"]):
        leak.secrets += [secret, secret.rpartition("_")[2]]


async def send_out(leak: Leak) -> None:
    """Have documents ingested that hold secrets, and webhooks sent to an address that does."""
    client = await leak.api.client()
    text = f"# Sluices\n\nThe password of the mill is {CANARIES['document']}.\n".encode()
    for file in (("mill.md", text), ("mill.pdf", BROKEN)):
        answer = await client.post("/v1/documents", files={"file": file})
        assert answer.status_code == 202, answer.text
    await leak.api.engine.run_until_empty(40, skip_waits=True)
    question = {"query": f"Is {CANARIES['question']} the password?"}
    assert (await client.post("/v1/documents/search", json=question)).json()["items"]
    for body in ({**question, "top_k": LEAKY}, {"query": "x", "document_ids": [LEAKY]}):
        await leak.ask("POST", "/v1/documents/search", json=body)
    await leak.ask("GET", "/v1/documents")
    await leak.ask("GET", "/v1/dead-letters")
    worker = leak.api.engine.app.worker()
    await worker.relay(limit=10, within_s=5)
    await worker.close()
    await leak.ask("POST", "/v1/webhooks", json={"url": f"http://10.0.0.1/{CANARIES['path']}"})


async def provoke(leak: Leak) -> None:
    """Submit what holds secrets, let it fail, and ask for all there is."""
    payload = {
        "title": "lamp",
        "api_key": CANARIES["token"],
        "nested": {"a": [{"password": CANARIES["password"], "note": LEAKY}]},
    }
    client = await leak.api.client()
    answer = await client.post("/v1/jobs", json={"pipeline": "leaking", "payload": payload})
    assert answer.status_code == 202, answer.text
    await leak.api.engine.run_until_empty(20, skip_waits=True)
    headers = {"Cookie": f"session={CANARIES['cookie']}", "X-Request-ID": CANARIES["shape"]}
    body = {"pipeline": "leaking", "payload": payload | {"extra": LEAKY}}
    for method, path in (
        ("GET", f"/v1/jobs/{CANARIES['shape']}"),
        ("GET", f"/v1/{CANARIES['shape']}?token={CANARIES['token']}"),
        ("GET", "/health"),
        ("GET", "/ready?deep=true"),
        ("GET", "/metrics"),
        ("GET", "/stats"),
        ("GET", f"/v1/jobs/{answer.json()['job_id']}"),
    ):
        await leak.ask(method, path)
    await leak.ask("POST", "/v1/jobs", json=body, headers=headers)
    await leak.ask("POST", "/v1/jobs", content=f'{{"api_key": "{CANARIES["token"]}', headers={
        "Content-Type": "application/json"})  # fmt: skip


async def places(leak: Leak) -> dict[str, list[str]]:
    """All that can be read of the process and its database, by where it is read."""
    reader = await leak.api.bearer(CANARIES["metrics"])
    spans = tracing.current._tracer.span_processor  # type: ignore[union-attr,attr-defined]
    await asyncio.to_thread(spans.force_flush)
    return {
        "log": leak.stream.getvalue().splitlines(),
        "answers": leak.answers,
        "metrics": (await reader.get("/metrics")).text.splitlines(),
        "spans": [str(span) for span in leak.collector.spans],
        "raw spans": [leak.collector.raw.decode("latin-1")],
        **await columns(leak.api),
    }


async def columns(api: Api) -> dict[str, list[str]]:
    """The texts of every column, but for those that keep what users send as they sent it."""
    async with api.engine.connection() as connection:
        named = await connection.fetch(
            "select table_schema, table_name, column_name from information_schema.columns "
            "where table_schema like 'headrace%' "
            "and data_type in ('text', 'json', 'jsonb', 'ARRAY')"
        )
        found = {}
        for schema, table, column in named:
            if f"{schema}.{table}.{column}" not in KEPT:
                query = f'select "{column}"::text from {schema}."{table}"'  # noqa: S608
                rows = await connection.fetch(query)
                found[f"{table}.{column}"] = [row[0] or "" for row in rows]
        return found


async def test_no_canary_comes_out_anywhere(leak: Leak):
    """O1, J9: neither by its shape nor by where it stood."""
    read = await places(leak)
    tried = [
        ("log", "step_failed"),
        ("log", "placing"),
        ("metrics", 'headrace_step_failed_total{code="ValueError"'),
        ("spans", "leaking.refused"),
        ("tries.message", "password=***"),
        ("tries.detail", "Traceback"),
        ("dead_letters.message", "password=***"),
        ("jobs.error", "password=***"),
    ]
    if len(leak.secrets) > len(CANARIES):
        tried += [
            ("log", "webhook"),
            ("outbox.last_error", "connect"),
            ("admin_audit.action", "webhook.rotate"),
        ]
    for place, text in tried:
        assert any(text in line for line in read[place]), f"nothing was tried: {place} {text}"
    leaks = {place: [text for text in texts if leak.is_in(text)] for place, texts in read.items()}
    assert {place: texts for place, texts in leaks.items() if texts} == {}

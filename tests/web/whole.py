"""An app with every group of routes, and something of one user's in it for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from headrace import Headrace, JobHandle
from headrace.pipelines.consensus import ConsensusResult, IdeaInput, consensus, expand_only, quick
from headrace.testing import Engine
from headrace.web.app import create_api
from headrace.web.auth.identity import Scope
from tests.documents.conftest import documents
from tests.web.operations import operations
from tests.web.pipes import PIPELINES, Idea, decide, double, fragile, hold, large, patient
from tests.web.serving import SETTINGS, Api, who

SETTINGS_OF_ALL = SETTINGS.model_copy(
    update={
        "admin_api": True,
        "signing_keys": (SecretStr("of these tests alone: 0123456789abcdef"),),
        "webhook_private_hosts": ("127.0.0.1",),
        "sync_wait_s": 0.0,
    }
)
CARRIED = [*PIPELINES, documents, consensus, quick, expand_only]
DOCUMENTED = create_api(Headrace(CARRIED, settings=SETTINGS_OF_ALL))
"""Its API, which nobody serves: what it tells of itself, and its routes."""
OPERATIONS = operations(DOCUMENTED.openapi())
MARK = "heron"
"""Stands in everything that is stored for the owner."""
OWNER = who("acme", "ann", Scope.JOBS_READ, Scope.JOBS_WRITE)
OWNED: dict[str, Any] = {"tenant": OWNER.tenant, "owner": OWNER.owner}
TEXT = f"# Sluices\n\nThe miller opens the sluice at dawn, and the {MARK} waits.\n"


HOOK = "http://127.0.0.1:9/hook"
"""Nobody is told there."""


def whole_engine(server: str, **settings: Any) -> Engine:
    """An engine of such an app.

    Args:
        server: One that has pgvector.
        settings: Other than those of an API under test.
    """
    changed = SETTINGS_OF_ALL.model_copy(update=settings)
    return Engine(CARRIED, server=server, settings=changed)


async def add_document(api: Api, number: int) -> str:
    """One of the owner's; its job waits."""
    file = f"{MARK} {number}.md", f"{TEXT}\nIt is number {number}.\n".encode()
    answer = await (await api.client(OWNER)).post("/v1/documents", files={"file": file})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["document_id"])


async def add_review(api: Api, number: int) -> JobHandle[ConsensusResult]:
    """An idea of the owner's; its job waits."""
    idea = IdeaInput(idea=f"A {MARK} for each of {number} mills.")
    return await api.engine.submit(consensus, idea, **OWNED)


async def add_webhook(api: Api) -> str:
    """One of the owner's tenant."""
    _, made = await api.engine.app.webhooks.create(HOOK, tenant=OWNER.tenant, by="tests")
    return str(made.id)


@dataclass
class Stock:
    """What the owner has."""

    jobs: list[str]
    reviews: list[str]
    """Those of them that are completed reviews."""
    documents: list[str]
    webhooks: list[str]
    keys: list[str]
    """Prefixes of API keys that nobody uses."""
    patient: list[str]
    """Jobs that wait for a signal."""
    tokens: list[str]
    """Of links to signals, of which the last is answered."""


async def fill(api: Api) -> Stock:
    """Jobs in many states, documents that are ingested, keys that can be revoked.

    The first jobs have artifacts: what begins with them finds something in every route.
    """
    engine = api.engine
    jobs = [
        *[await engine.submit(large, 2_000_000, **OWNED) for _ in range(3)],
        await engine.submit(double, 2, **OWNED),
        await engine.submit(decide, Idea(MARK, 3), **OWNED),
        await engine.submit(fragile, "user", **OWNED),
        await engine.submit(fragile, "secret", **OWNED),
    ]
    reviews = [await add_review(api, number) for number in range(3)]
    jobs += reviews
    held = [await add_document(api, number) for number in range(3)]
    await engine.run_until_empty(40)
    later = datetime.now(UTC) + timedelta(days=1)  # or a route that runs jobs would wait for them
    jobs += [await engine.submit(hold, 1, due=later, **OWNED) for _ in range(3)]
    await engine.app.cancel(jobs[-1].id)
    spare = [await api.key(who("acme", f"spare {number}")) for number in range(3)]
    told = [await add_webhook(api) for _ in range(3)]
    reviewed = [job.id for job in reviews]
    waiting = [await engine.submit(patient, MARK, due=later, **OWNED) for _ in range(4)]
    urls = [await job.signal_url("go") for job in waiting]
    await waiting[-1].send("go", value=True)
    return Stock(
        jobs=[job.id for job in jobs],
        reviews=reviewed,
        documents=held,
        webhooks=told,
        keys=[key.split("_")[1] for key in spare],
        patient=[job.id for job in waiting],
        tokens=[url.rpartition("/")[2] for url in urls],
    )

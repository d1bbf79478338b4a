"""`headrace submit`: stores one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headrace.cli.asking import actor
from headrace.cli.options import Api, AppOption
from headrace.cli.output import Json, print_json
from headrace.cli.running import run_async

if TYPE_CHECKING:
    from headrace.app import Headrace
    from headrace.client import JobHandle
    from headrace.remote import RemoteClient, RemoteJob

PipelineName = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="Name of a pipeline of the APP.")
]
Input = Annotated[
    str,
    typer.Option(
        "--input",
        metavar="INPUT",
        help="The input: JSON, a FILE or @FILE that holds it, or - for stdin; for a pipeline that "
        "takes one also plain text.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Idempotency key: the same key and input is the same job."),
]
Priority = Annotated[
    str, typer.Option("--priority", help="low, normal, high, or 0 to 9: higher is earlier.")
]
Due = Annotated[
    str | None,
    typer.Option("--due", metavar="TIME", help="When to start: 10m, 2h, or an ISO time."),
]
Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="TIME", help="When to give up: 10m, 2h, or an ISO time."),
]
Preset = Annotated[str | None, typer.Option("--preset", help="A named set of parameters.")]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", metavar="K=V", help="Laid over the preset; V is JSON or text."),
]
OrderingKey = Annotated[
    str | None,
    typer.Option(
        "--ordering-key", metavar="KEY", help="Run after all jobs of the tenant with this key."
    ),
]
ConcurrencyKey = Annotated[
    str | None,
    typer.Option(
        "--concurrency-key", metavar="KEY", help="Run with few others of this key at once."
    ),
]
Tenant = Annotated[str, typer.Option("--tenant", help="The customer that the job belongs to.")]
Owner = Annotated[str, typer.Option("--owner", help="The user that the job belongs to.")]


@dataclass(frozen=True, slots=True)
class Submission:
    """What the options of `submit` and `run` say."""

    pipeline: str
    input: str
    key: str | None
    priority: str
    due: str | None
    deadline: str | None
    preset: str | None
    parameters: list[str] | None
    tenant: str
    owner: str
    ordering_key: str | None
    concurrency_key: str | None

    async def send(self, app: Headrace) -> JobHandle[Any]:
        """Store the job.

        Raises:
            HeadraceError: As `Client.submit`.
        """
        from headrace.cli import parsing

        pipeline = app.pipeline(self.pipeline)
        return await app.submit(
            pipeline,
            parsing.read_input(pipeline, self.input),
            idempotency_key=self.key,
            priority=parsing.read_priority(self.priority),
            due=parsing.read_time("--due", self.due),
            deadline=parsing.read_time("--deadline", self.deadline),
            preset=self.preset,
            parameters=parsing.read_parameters("--parameter", self.parameters),
            tenant=self.tenant,
            owner=self.owner,
            ordering_key=self.ordering_key,
            concurrency_key=self.concurrency_key,
            actor=actor(),
        )

    async def send_to(self, client: RemoteClient) -> RemoteJob[Any]:
        """Store the job at an API, which checks its input.

        Raises:
            HeadraceError: As `RemoteClient.submit`.
        """
        from headrace.cli import parsing
        from headrace.cli.remote import refuse_local

        refuse_local({"--tenant": self.tenant, "--owner": self.owner})
        return await client.submit(
            self.pipeline,
            parsing.read_json(self.pipeline, self.input),
            idempotency_key=self.key,
            priority=parsing.read_priority(self.priority),
            due=parsing.read_time("--due", self.due),
            deadline=parsing.read_time("--deadline", self.deadline),
            preset=self.preset,
            parameters=parsing.read_parameters("--parameter", self.parameters),
            ordering_key=self.ordering_key,
            concurrency_key=self.concurrency_key,
        )


def submit(
    pipeline: PipelineName,
    value: Input,
    *,
    app: AppOption = None,
    key: Key = None,
    priority: Priority = "normal",
    due: Due = None,
    deadline: Deadline = None,
    preset: Preset = None,
    parameters: Parameters = None,
    tenant: Tenant = "default",
    owner: Owner = "default",
    ordering_key: OrderingKey = None,
    concurrency_key: ConcurrencyKey = None,
    api: Api = None,
    as_json: Json = False,
) -> None:
    """Store a job and print its id."""
    from headrace.cli.remote import check_alone

    check_alone(api, app)
    submission = Submission(
        pipeline, value, key, priority, due, deadline, preset, parameters, tenant, owner,
        ordering_key, concurrency_key,
    )  # fmt: skip
    job = run_async(_submit(app, submission) if api is None else _submit_to(api, submission))
    if as_json:
        print_json({"id": job, "pipeline": pipeline})
    else:
        typer.echo(job)


async def _submit(app: str | None, submission: Submission) -> str:
    from headrace.cli.shipped import load_app_for

    async with load_app_for(app, submission.pipeline) as loaded:
        return (await submission.send(loaded)).id


async def _submit_to(api: str, submission: Submission) -> str:
    from headrace.cli.remote import remote_app

    async with remote_app(api) as app:
        return (await submission.send_to(app.client)).id

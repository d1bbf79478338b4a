"""`headrace doctor` and `headrace config`."""

from __future__ import annotations

import json
from typing import Any

import asyncpg

from tests.cli.conftest import Commands, Headrace, Shop


def levels(findings: list[dict[str, Any]]) -> dict[str, str]:
    return {finding["check"]: finding["level"] for finding in findings}


class TestDoctor:
    async def test_a_healthy_database_passes_with_a_line_for_each_check(
        self, headrace: Headrace
    ) -> None:
        result = await headrace("doctor")
        assert result.code == 0, result.out
        checks = [line.split()[1] for line in result.out.splitlines()]
        assert checks == [
            "settings", "version", "database", "clock", "pooler", "schema", "wall", "workers",
            "unclaimable", "stuck", "schedules", "failures", "identity", "webhooks", "connections",
        ]  # fmt: skip

    async def test_a_missing_schema_fails(self, bare_commands: Commands) -> None:
        result = await bare_commands.run("doctor", "--json")
        assert result.code == 1
        assert levels(json.loads(result.out))["schema"] == "fail"

    async def test_a_wrong_setting_fails_before_anything_else(self, headrace: Headrace) -> None:
        result = await headrace("doctor", "--json", HEADRACE_QUEUES=" ")
        assert result.code == 1
        assert levels(json.loads(result.out)) == {"settings": "fail"}

    async def test_a_server_that_is_away_fails(self, headrace: Headrace) -> None:
        address = "postgresql://nobody@localhost:1/nothing"
        result = await headrace("doctor", "--json", HEADRACE_DATABASE_URL=address)
        assert result.code == 1
        assert levels(json.loads(result.out))["database"] == "fail"

    async def test_it_tells_whom_the_api_lets_in_and_that_tenants_are_apart(
        self, headrace: Headrace
    ) -> None:
        alone = json.loads((await headrace("doctor", "--json")).out)
        texts = {finding["check"]: finding["text"] for finding in alone}
        assert "lets nobody in" in texts["identity"]
        assert levels(alone)["wall"] == "ok"
        await headrace("api-keys", "create", "--tenant", "acme", "--owner", "ann")
        issuers = '[{"issuer": "https://login.example.com", "audience": "headrace"}]'
        result = await headrace("doctor", "--json", HEADRACE_AUTH_ISSUERS=issuers)
        texts = {finding["check"]: finding["text"] for finding in json.loads(result.out)}
        assert texts["identity"] == "https://login.example.com, API keys"

    async def test_it_tells_whether_webhooks_are_told(
        self, headrace: Headrace, database: str
    ) -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "insert into headrace.webhooks (tenant, url, created_by) "
            "values ('acme', 'https://hooks.example.com', 'tests')"
        )
        unsigned = json.loads((await headrace("doctor", "--json")).out)
        texts = {finding["check"]: finding["text"] for finding in unsigned}
        assert levels(unsigned)["webhooks"] == "warn"
        assert "1 told, 0 disabled; nothing can be signed here" in texts["webhooks"]
        await connection.execute(
            "insert into headrace.outbox (webhook, endpoint, kind, payload, tenant, due_at) "
            "select id, endpoint, 'webhook.test', '{}', tenant, headrace.now() - interval '1 h' "
            "from headrace.webhooks"
        )
        await connection.close()
        keys = "0123456789abcdef0123456789abcdef"
        late = json.loads((await headrace("doctor", "--json", HEADRACE_SIGNING_KEYS=keys)).out)
        texts = {finding["check"]: finding["text"] for finding in late}
        assert levels(late)["webhooks"] == "warn"
        assert "s late" in texts["webhooks"]

    async def test_a_job_that_nobody_carries_fails(
        self, headrace: Headrace, prepared: Shop
    ) -> None:
        await prepared.order()
        result = await headrace("doctor", "--json")
        assert result.code == 1
        assert levels(json.loads(result.out))["unclaimable"] == "fail"

    async def test_a_job_that_runs_for_too_long_fails(
        self, headrace: Headrace, prepared: Shop, database: str
    ) -> None:
        await prepared.order()
        connection = await asyncpg.connect(database)
        try:
            await connection.execute(
                """
                delete from headrace.queued;
                update headrace.jobs set state = 'running', token = 7, worker = 3;
                insert into headrace.claims (token, worker, jobs, claimed_at)
                select 7, 3, array_agg(id), now() - interval '31 min' from headrace.jobs
                """
            )
        finally:
            await connection.close()
        result = await headrace("doctor", "--json")
        assert levels(json.loads(result.out))["stuck"] == "fail"


class TestConfig:
    async def test_the_values_in_effect_are_shown_without_secrets(self, headrace: Headrace) -> None:
        result = await headrace(
            "config",
            "show",
            "--json",
            HEADRACE_CONCURRENCY="7",
            HEADRACE_CONCURENCY="8",
            HEADRACE_DATABASE_URL="postgresql://user:hunter2@localhost/shop",
        )
        shown = result.json()
        values = {row["setting"]: row["value"] for row in shown["settings"]}
        assert values["HEADRACE_CONCURRENCY"] == "7"
        assert shown["unknown"] == ["HEADRACE_CONCURENCY"]
        assert "hunter2" not in result.out

"""What tests of limits ask and use."""

from __future__ import annotations

import httpx2

from headrace import Pipeline
from headrace.store.rate_limits import LimitStatus
from headrace.testing import Engine
from tests.waiting import eventually


async def limit_of(engine: Engine, tenant: str = "") -> LimitStatus:
    """The only limit that was used."""
    [limit] = [one for one in await engine.app.quotas.list_limits() if one.tenant == tenant]
    return limit


async def tokens_left(engine: Engine, tokens: float) -> None:
    """Wait until so many are left: what is given back is on its way when a block has ended."""

    async def are_left() -> bool:
        limit = await limit_of(engine)
        return limit.tokens_left is not None and abs(limit.tokens_left - tokens) < 1

    await eventually(are_left)


def refused(retry_after: str) -> Exception:
    response = httpx2.Response(
        429,
        headers={"retry-after": retry_after},
        request=httpx2.Request("GET", "http://service/"),
    )
    return httpx2.HTTPStatusError("slow down", request=response.request, response=response)


def pipeline_of_nothing() -> Pipeline[int, int]:
    pipe = Pipeline("nothing", input=int, output=int)

    @pipe.step
    async def nothing(number: int) -> int:
        return number

    return pipe

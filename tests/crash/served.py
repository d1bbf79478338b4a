"""What processes of the crash tier serve: `headrace api tests.crash.served:app`."""

import asyncio

from headrace import Headrace, Pipeline

DOZE_S = 0.2

double = Pipeline("double", input=int, output=int)
doze = Pipeline("doze", input=int, output=int)


@double.step
async def doubled(number: int) -> int:
    """Twice the number."""
    return 2 * number


@doze.step
async def dozed(number: int) -> int:
    """The number, after a while."""
    await asyncio.sleep(DOZE_S)
    return number


app = Headrace([double, doze])

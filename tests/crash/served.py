"""What the API and the worker of the outage serve: `headrace api tests.crash.served:app`."""

from headrace import Headrace, Pipeline

double = Pipeline("double", input=int, output=int)


@double.step
async def doubled(number: int) -> int:
    """Twice the number."""
    return 2 * number


app = Headrace([double])

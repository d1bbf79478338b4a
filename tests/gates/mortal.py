"""A pipeline under a limit, for worker processes that die."""

from headrace import Pipeline

narrow = Pipeline("narrow", input=int, output=int, concurrency=1)


@narrow.step
async def squeeze(number: int) -> int:
    return number


ALL = [narrow]

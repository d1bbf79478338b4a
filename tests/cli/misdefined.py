"""A module whose pipeline is defined wrongly."""

from headrace import Headrace, Pipeline

wrong = Pipeline("wrong", input=str, output=str)


@wrong.step
async def go(text) -> str:  # noqa: ANN001 - this is what is wrong
    return str(text)


app = Headrace(pipelines=[wrong])

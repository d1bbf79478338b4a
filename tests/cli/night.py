"""A pipeline whose jobs are submitted at night."""

from __future__ import annotations

from datetime import datetime

from headrace import Headrace, Pipeline

reports = Pipeline("reports", input=str, output=str)


@reports.step
def write(day: str) -> str:
    return day


@reports.schedule("30 2 * * *", timezone="Europe/Berlin")
def nightly(slot: datetime) -> str:
    return f"the night of {slot:%Y-%m-%d}"


@reports.schedule("0 * * * *", missed="skip")
async def broken(slot: datetime) -> str:
    raise LookupError(f"no data for {slot.year > 2000}")


app = Headrace(pipelines=[reports])

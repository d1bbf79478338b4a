from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.telemetry.logs import Logs, configure_logs
from tests.unit.log_lines import Output


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Output]]:
    begun: list[Logs] = []

    def configure(**options: object) -> Output:
        path = tmp_path / f"{len(begun)}.log"
        with path.open("w") as stream:
            begun.append(configure_logs(stream=stream, **{"style": "json", **options}))
        return Output(path, begun[-1])

    yield configure
    for logs in begun:
        logs.close()


@pytest.fixture
def output(begin: Callable[..., Output]) -> Output:
    return begin()

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog

from headrace.telemetry.events import EVENTS, Level, emit, field_names
from headrace.telemetry.job_events import JobFailed, JobStarted
from headrace.telemetry.lines import LARGEST_LINE
from headrace.telemetry.logs import Logs, configure_logs, step_log
from headrace.telemetry.step_events import StepStarted
from headrace.telemetry.worker_events import LoopStalled
from headrace.telemetry.writer import LineWriter

JOB = UUID("0192f1e2-1234-7abc-8def-001122334455")
FORGED = 'nothing\n{"severity":"ERROR","message":"forged"}\r\n\x1b[31mred\u2028\x85\x9b2J'
KEY = "sk-proj-Zm9vYmFyYmF6cXV4MTIzNDU2"
STARTED = JobStarted(job_id=JOB, run=1, pipeline="echo", token=7, queue_latency_ms=1.5, lease_s=30)


class Output:
    """What was written, as text."""

    def __init__(self, path: Path, logs: Logs) -> None:
        self._path, self.logs = path, logs

    def text(self) -> str:
        assert self.logs.flush()
        return self._path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        (line,) = self.lines()
        return line


def fail(text: str) -> None:
    raise ValueError(text)


def printed_by(code: str) -> list[dict[str, Any]]:
    """The lines of a process that runs this code, and says nothing on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


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


class TestJsonLines:
    def test_an_event_is_one_object_with_the_names_of_cloud_logging(
        self, begin: Callable[..., Output]
    ) -> None:
        output = begin(labels={"version": "1.2.3"})
        emit(STARTED)
        line = output.line()
        assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
        assert line == {
            "severity": "INFO",
            "message": "job_started",
            "event": "job_started",
            "job_id": str(JOB),
            "run": 1,
            "pipeline": "echo",
            "token": 7,
            "queue_latency_ms": 1.5,
            "lease_s": 30,
            "logging.googleapis.com/labels": {"version": "1.2.3"},
        }

    def test_chatter_is_written_at_debug_only(self, begin: Callable[..., Output]) -> None:
        chatter = StepStarted(job_id=JOB, run=1, pipeline="echo", step="say", attempt=1)
        output = begin()
        emit(chatter)
        assert output.lines() == []
        output = begin(level=Level.DEBUG)
        emit(chatter)
        assert output.line()["severity"] == "DEBUG"

    def test_every_level_has_its_severity(self, begin: Callable[..., Output]) -> None:
        output = begin(level=Level.DEBUG)
        for level in Level:
            logging.getLogger("app").log(level, "x")
        assert [line["severity"] for line in output.lines()] == [level.name for level in Level]

    def test_a_stack_is_not_cut_like_other_text(self, output: Output) -> None:
        stack = "File app.py, line 3\n" * 40
        emit(LoopStalled(worker_id="w", stalled_s=60, stack=stack))
        assert output.line()["stack"] == stack

    def test_values_that_json_does_not_know_are_shown(self, output: Output) -> None:
        step_log().info("odd", huge=2**80, lone="\ud800", not_a_number=float("nan"), kind=int)
        line = output.line()
        assert line["huge"] == 2**80
        assert line["kind"] == "<class 'int'>"

    def test_a_line_of_any_size_is_kept_small_and_says_what_it_left_out(
        self, output: Output
    ) -> None:
        step_log().info("big", **{f"field{number}": ["x" * 190] * 400 for number in range(5)})
        text = output.text()
        line = json.loads(text)
        assert len(text) < LARGEST_LINE
        assert line["message"] == "big"
        assert "field3" in line["left_out"]
        assert line["left_out_bytes"] > LARGEST_LINE

    def test_every_event_can_be_written(self, begin: Callable[..., Output]) -> None:
        output = begin(level=Level.DEBUG)
        known = [kind for kind in EVENTS.values() if kind.__module__.startswith("headrace.")]
        for kind in known:
            emit(kind(**dict.fromkeys(field_names(kind), 1)))
        assert [line["event"] for line in output.lines()] == [kind.name for kind in known]


class TestForging:
    def test_a_forged_newline_in_an_event_gives_one_line(self, output: Output) -> None:
        emit(
            JobFailed(job_id=JOB, run=1, pipeline="echo", cause="x", job_latency_ms=1, error=FORGED)
        )
        assert output.line()["error"] == FORGED

    def test_a_forged_newline_in_anybodys_line_gives_one_line(self, output: Output) -> None:
        step_log(job_id=JOB).info(FORGED, **{FORGED: FORGED})
        logging.getLogger("app").warning("%s", FORGED)
        structlog.get_logger("other").error(FORGED)
        assert [line["message"] for line in output.lines()] == [FORGED] * 3

    def test_control_characters_are_escaped_in_json(self, output: Output) -> None:
        step_log().info(FORGED)
        assert all(char.isprintable() for char in output.text().removesuffix("\n"))

    def test_a_user_cannot_choose_severity_time_or_job(self, output: Output) -> None:
        step_log(job_id=JOB).info("mine", severity="EMERGENCY", time="1970", job_id="another")
        line = output.line()
        assert line["severity"] == "INFO"
        assert line["severity_"] == "EMERGENCY"
        assert line["time"] > "2026"
        assert line["job_id"] == str(JOB)

    def test_text_escapes_newlines_and_terminal_codes(self, begin: Callable[..., Output]) -> None:
        output = begin(style="text")
        step_log().info(FORGED, **{FORGED: FORGED})
        text = output.text()
        assert text.count("\n") == 1
        assert all(char.isprintable() for char in text.removesuffix("\n"))
        assert r"\x1b[31mred" in text

    def test_lines_of_a_traceback_are_set_off_in_text(self, begin: Callable[..., Output]) -> None:
        output = begin(style="text")
        try:
            fail(FORGED)
        except ValueError:
            step_log().exception("failed")
        first, *rest = output.text().splitlines()
        assert " ERROR " in first
        assert rest
        assert all(line.startswith("    | ") for line in rest)


class TestText:
    def test_a_line_reads_time_level_message_and_values(self, begin: Callable[..., Output]) -> None:
        output = begin(style="text")
        step_log().info("priced", rows=3, name="two words", share=1 / 3, tags=["a"])
        moment, rest = output.text().split(" ", 1)
        assert moment.endswith("Z")
        assert rest == (
            'INFO     priced logger=headrace.step rows=3 name="two words" share=0.333333 '
            'tags=["a"]\n'
        )

    def test_a_terminal_gets_coloured_text(self) -> None:
        leader, follower = os.openpty()
        try:
            with os.fdopen(follower, "w") as stream:
                logs = configure_logs(stream=stream)
                emit(STARTED)
                logs.close()
            text = os.read(leader, 10_000).decode()
        finally:
            os.close(leader)
        assert "\x1b[32mINFO" in text
        assert "job_started" in text

    def test_anything_else_gets_json(self, begin: Callable[..., Output]) -> None:
        output = begin(style=None)
        emit(STARTED)
        assert output.line()["message"] == "job_started"


class TestMasking:
    def test_secrets_are_masked_whoever_logs_them(self, output: Output) -> None:
        emit(JobFailed(job_id=JOB, run=1, pipeline="echo", cause="x", job_latency_ms=1, error=KEY))
        step_log().info(f"with {KEY}", deep={"a": [{"password": KEY}]}, token=KEY)
        logging.getLogger("app").error("with %s", KEY, extra={"api_key": "open sesame"})
        try:
            fail(KEY)
        except ValueError:
            structlog.get_logger().exception("failed", credential="open sesame")
        text = output.text()
        assert len(text.splitlines()) == 4
        assert KEY not in text
        assert "sesame" not in text

    def test_the_fencing_token_of_an_event_is_no_secret(self, output: Output) -> None:
        emit(STARTED)
        assert output.line()["token"] == 7

    def test_long_text_is_cut_with_its_length_shown(self, output: Output) -> None:
        step_log().info("m" * 300, value="v" * 300)
        line = output.line()
        assert line["message"] == "m" * 200 + "... (300 characters)"
        assert line["value"] == "v" * 200 + "... (300 characters)"


class TestOtherLibraries:
    def test_the_standard_librarys_lines_take_the_same_way(self, output: Output) -> None:
        logging.getLogger("asyncpg").warning("hello %s", "world", extra={"rows": 3})
        line = output.line()
        assert (line["logger"], line["message"]) == ("asyncpg", "hello world")
        assert (line["severity"], line["rows"]) == ("WARNING", 3)

    def test_wrong_arguments_show_the_template(self) -> None:
        code = """
from headrace.telemetry.logs import configure_logs
import logging
configure_logs(style="json")
logging.getLogger("app").warning("%d of %d", "x")
"""
        assert [line["message"] for line in printed_by(code)] == ["%d of %d"]

    def test_an_exception_is_shown_with_its_traceback(self, output: Output) -> None:
        try:
            fail("gone")
        except ValueError:
            logging.getLogger("app").exception("failed")
        line = output.line()
        assert line["exception"].endswith("ValueError: gone")
        assert "test_logs.py" in line["exception"]

    def test_warnings_are_lines(self, output: Output) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(capture=True)
            warnings.warn("old", stacklevel=1)
        assert "UserWarning: old" in output.line()["message"]

    def test_structlog_takes_the_same_way_with_its_context(self, output: Output) -> None:
        with structlog.contextvars.bound_contextvars(request_id="r1"):
            structlog.get_logger("web").info("served", status=200)
        line = output.line()
        assert (line["message"], line["logger"]) == ("served", "web")
        assert (line["request_id"], line["status"]) == ("r1", 200)

    def test_closing_gives_logging_back(self, begin: Callable[..., Output]) -> None:
        root = logging.getLogger()
        before = root.handlers[:], root.level
        begin(level=Level.DEBUG).logs.close()
        assert (root.handlers[:], root.level) == before
        assert not structlog.is_configured()


class TestStepLog:
    def test_its_lines_carry_the_job(self, output: Output) -> None:
        step_log(job_id=JOB, step="price").warning("slow", rows=3)
        line = output.line()
        assert (line["job_id"], line["step"]) == (str(JOB), "price")
        assert (line["severity"], line["rows"]) == ("WARNING", 3)

    def test_without_configuration_it_speaks_through_the_standard_library(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, logger="headrace.step"):
            step_log(job_id="j1").info("priced", name="n", args=1, cookie="open sesame")
        (record,) = caplog.records
        assert record.name == "headrace.step"
        assert record.getMessage() == "priced name=n args=1 cookie=*** job_id=j1"

    def test_inside_another_program_it_speaks_through_that_programs_structlog(self) -> None:
        with structlog.testing.capture_logs() as captured:
            structlog.configure(processors=structlog.get_config()["processors"])
            step_log(job_id="j1").info("priced", rows=3)
        structlog.reset_defaults()
        assert captured == [{"job_id": "j1", "rows": 3, "event": "priced", "log_level": "info"}]


class TestReaders:
    def test_a_reader_that_went_away_is_survived(self) -> None:
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as stream:
            logs = configure_logs(stream=stream, style="json")
        os.close(reading)
        for _ in range(100):
            emit(STARTED)
            logs.flush()
        logs.close()

    def test_a_closed_or_missing_output_is_survived(self) -> None:
        stream = io.StringIO()
        stream.close()
        logs = configure_logs(stream=stream, style="json")
        emit(STARTED)
        assert logs.flush()
        logs.close()

    def test_a_full_disk_is_tried_again_until_the_writer_closes(self) -> None:
        with Path("/dev/full").open("w") as stream:
            writer = LineWriter(stream)
        writer.write(b"line\n")
        assert not writer.flush(timeout=0.05)
        writer.close(timeout=0.05)

    def test_closing_the_stream_later_does_no_harm(self, output: Output) -> None:
        emit(STARTED)  # the fixture closed its stream long ago
        assert output.line()["message"] == "job_started"

    def test_a_stuck_reader_never_stops_the_engine_and_losses_are_counted(self) -> None:
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as stream:
            logs = configure_logs(stream=stream, style="json")
        for _ in range(20_000):  # far more than the pipe and the queue hold; nobody reads
            emit(STARTED)
        written, lost = 0, 0
        with os.fdopen(reading) as lines:
            for text in lines:
                line = json.loads(text)
                written += line["message"] == "job_started"
                lost += line.get("lines", 0)
                if written + lost >= 20_000:
                    break
        logs.close()
        assert lost > 0
        assert written + lost == 20_000

    def test_a_stream_in_memory_is_written_too(self) -> None:
        stream = io.StringIO()
        logs = configure_logs(stream=stream, style="json")
        emit(STARTED)
        logs.close()
        assert json.loads(stream.getvalue())["message"] == "job_started"

    def test_the_last_lines_of_a_process_are_written(self) -> None:
        code = """
from headrace.telemetry.logs import configure_logs
import logging
configure_logs(style="json")
for number in range(1000):
    logging.getLogger("app").warning("line %d", number)
"""
        assert [line["message"] for line in printed_by(code)] == [
            f"line {number}" for number in range(1000)
        ]

    def test_structlog_is_imported_only_when_logs_are_configured(self) -> None:
        code = """
import sys, headrace.telemetry.logs
assert "structlog" not in sys.modules
headrace.telemetry.logs.configure_logs()
assert "structlog" in sys.modules
"""
        assert printed_by(code) == []

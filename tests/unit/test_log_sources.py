from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog

from headrace.telemetry.events import Level, emit
from headrace.telemetry.logs import configure_logs, step_log
from headrace.telemetry.writer import LineWriter
from tests.unit.log_lines import JOB, STARTED, Output, fail, printed_by


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
        assert "test_log_sources.py" in line["exception"]

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

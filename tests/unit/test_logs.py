from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from datetime import datetime

import structlog

from headrace.telemetry.events import EVENTS, Level, emit, field_names
from headrace.telemetry.job_events import JobFailed
from headrace.telemetry.lines import LARGEST_LINE
from headrace.telemetry.logs import configure_logs, step_log
from headrace.telemetry.step_events import StepStarted
from headrace.telemetry.worker_events import LoopStalled
from tests.unit.log_lines import FORGED, JOB, KEY, STARTED, Output, fail


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

    def test_an_event_is_named_once(self, begin: Callable[..., Output]) -> None:
        output = begin(style="text")
        emit(STARTED)
        assert output.text().count("job_started") == 1

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

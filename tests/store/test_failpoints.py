import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.store import failpoints
from headrace.store.failpoints import Failpoint, FailpointError, bind


class TestInert:
    def test_without_the_variable_nothing_happens(self) -> None:
        hit = bind({})
        for _ in range(3):
            hit("claim.after_commit")

    def test_a_process_that_was_started_without_it_has_the_inert_function(self) -> None:
        assert failpoints.hit is failpoints._pass

    def test_a_million_hits_cost_less_than_half_a_second(self) -> None:
        hit = bind({})
        started = time.process_time()
        for _ in range(1_000_000):
            hit("claim.after_commit")
        assert time.process_time() - started < 0.5


class TestArmed:
    def test_acts_at_the_nth_hit_of_its_own_name_only(self) -> None:
        hit = bind({failpoints.VARIABLE: "b:2:error"})
        hit("b")
        hit("a")
        with pytest.raises(FailpointError, match="failpoint b"):
            hit("b")
        hit("b")

    def test_an_error_is_taken_for_a_lost_connection(self) -> None:
        assert issubclass(FailpointError, ConnectionError)

    def test_delay_blocks_for_its_time(self) -> None:
        point = Failpoint.parse("a:1:delay=0.02")
        started = time.monotonic()
        point.hit("a")
        assert time.monotonic() - started >= 0.02

    def test_with_a_path_it_acts_once_for_all_processes(self, tmp_path: Path) -> None:
        mark = tmp_path / "reached"
        first, second = (Failpoint.parse(f"a:1:error:{mark}") for _ in range(2))
        with pytest.raises(FailpointError):
            first.hit("a")
        second.hit("a")
        assert mark.exists()

    def test_kill_ends_the_process_by_sigkill(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", "from headrace.store.failpoints import hit; hit('a')"],
            env={failpoints.VARIABLE: "a:1:kill"},
            check=False,
        )
        assert ended.returncode == -signal.SIGKILL


class TestSpecification:
    @pytest.mark.parametrize("wrong", ["a", "a:1", ":1:kill", "a:0:kill", "a:x:kill", "a:1:die"])
    def test_a_wrong_one_is_refused_and_says_what_is_wanted(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="want name:nth:action"):
            Failpoint.parse(wrong)

from io import StringIO

import pytest
from rich.console import Console

from bench.events import Event, in_flight, mark, parse, starts
from bench.figures import ROWS, Figures, percentile
from bench.plan import NAMES, ROUNDS, USUAL, plan
from bench.profiling import summed
from bench.sizes import FULL, QUICK
from bench.subjects import FLOOR, HEADRACE, PGQUEUER, SUBJECTS
from bench.table import record, table

ROW = {row.key: row for row in ROWS}


def figures(**medians: dict[str, float]) -> Figures:
    made = Figures()
    for row, values in medians.items():
        for subject, value in values.items():
            made.add(row, subject, value)
    return made


def shown(made: Figures, subjects: list[str]) -> str:
    text = StringIO()
    Console(width=160, file=text).print(table(made, subjects))
    return text.getvalue()


class TestFigures:
    def test_the_median_of_the_rounds_counts(self) -> None:
        made = Figures()
        for value in (30.0, 10.0, 20.0):
            made.add("drain", "floor", value)
        assert made.median("drain", "floor") == 20

    def test_a_ratio_is_of_medians_to_the_floor(self) -> None:
        made = figures(drain={"floor": 80_000, "headrace": 40_000})
        assert made.ratio("drain", "headrace") == 0.5
        assert made.ratio("drain", "floor") == 1

    def test_without_a_floor_there_is_no_ratio_and_no_verdict(self) -> None:
        made = figures(drain={"headrace": 40_000})
        assert made.ratio("drain", "headrace") is None
        assert made.verdict(ROW["drain"]) == "-"

    @pytest.mark.parametrize(("ours", "verdict"), [(50, "met"), (49, "missed")])
    def test_a_rate_has_to_reach_its_share_of_the_floor(self, ours: float, verdict: str) -> None:
        assert figures(drain={"floor": 100, "headrace": ours}).verdict(ROW["drain"]) == verdict

    @pytest.mark.parametrize(("ours", "verdict"), [(1.6, "met"), (1.7, "missed")])
    def test_a_latency_must_not_exceed_its_multiple(self, ours: float, verdict: str) -> None:
        assert figures(single={"floor": 1, "headrace": ours}).verdict(ROW["single"]) == verdict

    @pytest.mark.parametrize(("ours", "verdict"), [(5.9, "met"), (6.1, "missed")])
    def test_an_absolute_target_needs_no_floor(self, ours: float, verdict: str) -> None:
        assert figures(kill={"headrace": ours}).verdict(ROW["kill"]) == verdict

    def test_a_failure_shows_its_row(self) -> None:
        made = Figures()
        made.fail(("steps",), "pgqueuer", "it broke")
        assert [row.key for row in made.rows()] == ["steps"]

    def test_a_row_that_explains_another_has_no_verdict(self) -> None:
        assert figures(parsing={"headrace": 4}).verdict(ROW["parsing"]) == "-"


class TestPercentile:
    def test_it_is_a_value_that_was_measured(self) -> None:
        values = [float(value) for value in range(1, 301)]
        assert percentile(reversed(values), 0.5) == 150
        assert percentile(values, 0.99) == 297
        assert percentile(values, 1) == 300

    def test_one_value_is_every_percentile(self) -> None:
        assert percentile([7.0], 0.01) == percentile([7.0], 0.99) == 7

    def test_nothing_has_no_percentile(self) -> None:
        with pytest.raises(ValueError, match="no values"):
            percentile([], 0.5)


class TestEvents:
    def test_a_line_still_being_written_is_left_out(self) -> None:
        assert parse("mark 1 2.5 7\nmark 10") == [Event("mark", 1, 2.5, 7)]
        assert parse("mark 1") == []

    def test_the_first_mark_of_a_count_is_found(self) -> None:
        events = parse("mark 1 1.0 7\nmark 1000 2.0 7\nmark 1000 3.0 8\n")
        assert mark(events, 1000) == Event("mark", 1000, 2.0, 7)
        assert mark(events, 2000) is None

    def test_starts_elsewhere_leave_the_lost_processes_out(self) -> None:
        events = parse("start 0 1.0 7\nstart 1 1.1 7\nstart 0 9.0 8\nstart 0 9.5 8\n")
        assert starts(events) == {0: 1.0, 1: 1.1}
        assert starts(events, besides=frozenset({7})) == {0: 9.0}

    def test_what_ended_is_not_in_flight(self) -> None:
        assert in_flight(parse("start 0 1.0 7\nstart 1 1.1 7\nend 0 2.0 7\n")) == 1


class TestTable:
    def test_every_subject_has_its_median_and_ratio(self) -> None:
        made = figures(drain={"floor": 80_000, "pgqueuer": 20_000, "headrace": 44_000})
        text = shown(made, ["floor", "pgqueuer", "headrace"])
        for part in ("80,000", "20,000 ×0.25", "44,000 ×0.55", "≥ 0.5×", "met"):
            assert part in text

    def test_what_failed_is_told(self) -> None:
        made = figures(drain={"floor": 80_000})
        made.fail(("drain",), "headrace", "it broke")
        assert "failed" in shown(made, ["floor", "headrace"])
        assert record(made, ["floor", "headrace"])[0]["failures"] == {"headrace": "it broke"}

    def test_who_could_not_be_set_up_has_failed_in_every_row(self) -> None:
        made = figures(drain={"floor": 80_000}, steps={"floor": 30_000})
        made.left_out["pgqueuer"] = "not in the registry"
        assert shown(made, ["floor", "pgqueuer"]).count("failed") == 2

    def test_the_record_keeps_every_sample(self) -> None:
        made = figures(drain={"floor": 3.0})
        made.add("drain", "floor", 1.0)
        (row,) = record(made, ["floor", "headrace"])
        assert row["subjects"] == {"floor": {"samples": [3.0, 1.0], "median": 2.0, "of_floor": 1.0}}


class TestPlan:
    def test_the_rounds_are_interleaved_and_begin_with_another_subject(self) -> None:
        groups = list(plan(SUBJECTS, QUICK, ["drain"]))
        assert [task.subject.name for (task,) in groups] == [
            *("floor", "pgqueuer", "headrace"),
            *("pgqueuer", "headrace", "floor"),
            *("headrace", "floor", "pgqueuer"),
        ]

    def test_the_works_fill_every_row(self) -> None:
        groups = plan(SUBJECTS, FULL, NAMES)
        assert {row for group in groups for task in group for row in task.work.rows} == set(ROW)

    def test_a_subject_without_sleeping_jobs_has_no_memory_row(self) -> None:
        assert list(plan([FLOOR], FULL, ["memory", "recovery"])) == []

    def test_the_soak_is_for_headrace_and_only_on_demand(self) -> None:
        assert "soak" not in USUAL
        assert [task.subject for (task,) in plan(SUBJECTS, FULL, ["soak"])] == [HEADRACE]

    def test_a_slow_subject_is_measured_in_every_round_too(self) -> None:
        tasks = [task for (task,) in plan([PGQUEUER], FULL, ["steps"])]
        assert len(tasks) == FULL.rounds
        assert {task.work for task in tasks} == {ROUNDS["steps"]}

    def test_documents_are_compared_with_the_embedder_alone(self) -> None:
        tasks = [task for (task,) in plan(SUBJECTS, FULL, ["documents"])]
        assert [task.subject.name for task in tasks[:2]] == ["floor", "headrace"]
        assert len(tasks) == 2 * FULL.document_rounds


class TestProfile:
    def test_samples_are_summed_by_function_without_line_numbers(self) -> None:
        own, under = summed(["main (a.py:1);encode (c.py:5) 3", "main (a.py:2) 1"])
        assert own == {"encode (c.py)": 3, "main (a.py)": 1}
        assert under == {"main (a.py)": 4, "encode (c.py)": 3}

"""Ideas on the command line: reviewed, revised, compared."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace import InvalidError
from headrace.cli.parsing import read_input, read_json
from headrace.cli.shipped import result_text
from headrace.pipelines.consensus import ExpandedProposal, ExpandResult, consensus
from headrace.pipelines.consensus.model import Tokens
from tests.cli.conftest import Commands, Headrace, Result

QUIET = ("--quiet", "--json")


@pytest.fixture
async def fresh(empty_database: str, tmp_path: Path) -> AsyncIterator[Headrace]:
    """Commands in a folder without a project, on a database that they make their tables in."""
    started = Commands(HEADRACE_DATABASE_URL=empty_database, HEADRACE_ENV="development")

    async def run(*arguments: str, stdin: str = "", **environment: str) -> Result:
        return await started.run(*arguments, stdin=stdin, folder=tmp_path, **environment)

    yield run
    await started.close()


class TestReview:
    async def test_an_idea_in_a_file_is_reviewed_revised_and_compared(
        self, fresh: Headrace, tmp_path: Path
    ) -> None:
        written = await fresh("consensus", "ideas", "ideas")
        assert written.out.split() == [
            "ideas/clinic-reminders.md", "ideas/coin-arcade.md", "ideas/tool-library.md",
        ]  # fmt: skip
        first = await fresh("run", "consensus", "--input", "ideas/clinic-reminders.md")
        assert first.code == 0, first.err
        assert "review_security completed in" in first.err
        assert first.out.startswith("REVISE  0.8410  A clinic reminds patients")
        assert "Minority report of SecurityGuardian" in first.out
        assert "Answered offline" in first.out
        parent = re.search(r"job (\S+) completed", first.err)
        assert parent is not None

        missing = ("consensus", "revise", parent[1], "--proposal", "edit.json")
        refused = await fresh(*missing)
        assert (refused.code, "--proposal: 'edit.json' is no file" in refused.err) == (20, True)
        (tmp_path / "edit.json").write_text('{"proposed_solution": "Only an encrypted hint."}')
        second = await fresh(*missing, "--persona", "critic")
        assert second.code == 0, second.err
        assert "headrace: critic will review again" in second.err
        assert second.out.count("(of the job before)") == 4
        child = re.search(r"job (\S+) completed", second.err)
        assert child is not None

        shown = await fresh("consensus", "diff", parent[1], child[1])
        assert shown.code == 0, shown.err
        assert f"{child[1]} is a revision of {parent[1]}" in shown.out
        assert "proposed_solution: modified" in shown.out
        assert "+Only an encrypted hint." in shown.out

    async def test_a_text_is_an_idea_and_a_name_of_no_file_is_none(self, fresh: Headrace) -> None:
        quick = await fresh("run", "consensus-quick", "--input", "A bench in the park.", *QUIET)
        assert quick.json()["answered_by"] == ["offline"]
        assert quick.json()["proposal"]["raw_idea"] == "A bench in the park."
        expanded = await fresh("run", "consensus-expand", "--input", "-", stdin="A bench.")
        assert "Solution\n  A bench.\n" in expanded.out

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ("bench.md", "'bench.md' is no file, and no JSON"),
            ('{"idea": ""}', r"\$\.idea"),
            ("Sit. " * 11, "at most 10 sentences, not 11"),
            ("@bench.md", "'bench.md' cannot be read"),
        ],
    )
    def test_what_is_no_idea_is_refused(self, given: str, told: str) -> None:
        with pytest.raises(InvalidError, match=told):
            read_input(consensus, given)

    def test_json_is_taken_as_it_is(self) -> None:
        assert read_input(consensus, '{"idea": "A bench."}').idea == "A bench."
        assert read_json("consensus", "A bench.") == {"idea": "A bench."}
        with pytest.raises(InvalidError, match="no JSON"):
            read_json("orders", "A bench.")

    async def test_what_cannot_be_revised_is_told(self, fresh: Headrace) -> None:
        nobody = "01890000-0000-7000-8000-000000000000"
        refused = await fresh("consensus", "revise", nobody, "--notes", "x")
        assert (refused.code, refused.out) == (22, "")
        assert refused.err == f"headrace: no job {nobody} with a review\n"


class TestResultOfAnApi:
    def test_it_is_told_as_one_of_this_machine(self) -> None:
        proposal = ExpandedProposal(problem_statement="Nowhere to sit.", proposed_solution="Sit.")
        result = ExpandResult(
            proposal=proposal, answered_by=["offline"], models=["offline"], tokens=Tokens()
        )
        sent = result.model_dump(mode="json")
        assert result_text("consensus-expand", sent) == result.as_text()
        assert result_text("consensus-expand", {**sent, "later": True}) is None
        assert result_text("orders", sent) is None

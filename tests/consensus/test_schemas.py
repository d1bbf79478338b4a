"""What is accepted, and what an answer may say."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from headrace import InvalidError
from headrace.pipelines.consensus.answers import (
    MOST_CHARACTERS,
    MOST_ITEMS,
    ExpansionAnswer,
    ReviewAnswer,
)
from headrace.pipelines.consensus.errors import SchemaUnknownError
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.registry import SCHEMAS, SchemaRegistry, SchemaVersion
from headrace.pipelines.consensus.schemas import ExpandedProposal, IdeaInput, count_sentences

PROPOSAL = {"problem_statement": "Dust.", "proposed_solution": "A broom."}
EXPANSION = {**PROPOSAL, "title": "", "summary": "", "assumptions": [], "scope_non_goals": []}
REVIEW: dict[str, Any] = {
    "confidence_score": 0.5,
    "strengths": [],
    "concerns": [],
    "recommendations": [],
    "blocking_issues": [],
    "estimated_effort": "a day",
    "dependency_risks": [],
}


class TestIdea:
    def test_it_is_trimmed_and_not_empty(self):
        assert IdeaInput(idea="  A mill.\n").idea == "A mill."
        with pytest.raises(ValidationError):
            IdeaInput(idea=" \n ")

    @pytest.mark.parametrize(
        ("text", "sentences"),
        [
            ("A mill", 1),
            ("A mill.", 1),
            ("A mill. A race! Why?", 3),
            ("Version 1.2.3 of example.org grinds", 1),
            ('He said: "Stop." And then ...', 2),
            ("# Title\n\nA mill.\n\n- by night", 2),
        ],
    )
    def test_its_sentences_are_counted(self, text: str, sentences: int):
        assert count_sentences(text) == sentences

    def test_it_has_ten_sentences_at_most(self):
        assert IdeaInput(idea="Grind. " * 10)
        with pytest.raises(ValidationError, match="at most 10 sentences, not 11"):
            IdeaInput(idea="Grind. " * 11)

    @pytest.mark.parametrize(
        ("fields", "setting"),
        [
            ({"idea": "x" * 10_001}, "MAX_IDEA_LENGTH"),
            ({"extra_context": "x" * 49_999}, "MAX_EXTRA_CONTEXT_LENGTH"),
            ({"extra_context": {"k": "x" * 49_993}}, "MAX_EXTRA_CONTEXT_LENGTH"),
            (
                {"revision": {"parent": "p", "edited_proposal": "x" * 100_001}},
                "MAX_EDITED_PROPOSAL_LENGTH",
            ),
            ({"revision": {"parent": "p", "edit_notes": "x" * 10_001}}, "MAX_EDIT_NOTES_LENGTH"),
        ],
    )
    def test_what_is_too_long_is_refused_with_the_setting(
        self, fields: dict[str, Any], setting: str
    ):
        with pytest.raises(ValidationError, match=f"HEADRACE_CONSENSUS_{setting}"):
            IdeaInput.model_validate({"idea": "A mill.", **fields})

    def test_what_just_fits_is_taken(self):
        revision = {"parent": "p", "edited_proposal": "x" * 100_000, "edit_notes": "x" * 10_000}
        given = {"idea": "x" * 10_000, "extra_context": "x" * 49_998, "revision": revision}
        assert IdeaInput.model_validate(given)

    @pytest.mark.parametrize(
        "fields",
        [
            {"owner": "somebody"},
            {"parameters": {"weights": {"critic": 1}}},
            {"parameters": {"max_retries": 11}},
            {"parameters": {"review_temperature": 2.1}},
            {"revision": {"parent": "p"}},
            {"revision": {"parent": "p", "edited_proposal": {"decision": "approve"}}},
            {"revision": {"parent": "p", "edit_notes": "n", "rerun_threshold": 1.1}},
        ],
    )
    def test_what_it_does_not_know_is_refused(self, fields: dict[str, Any]):
        with pytest.raises(ValidationError):
            IdeaInput.model_validate({"idea": "A mill.", **fields})


class TestProposal:
    def test_texts_and_items_are_trimmed_and_blank_options_are_none(self):
        proposal = ExpandedProposal(
            problem_statement=" Dust. ",
            proposed_solution="A broom.",
            assumptions=[" Bristles. "],
            title="  ",
            summary="",
        )
        assert (proposal.problem_statement, proposal.assumptions) == ("Dust.", ["Bristles."])
        assert (proposal.title, proposal.summary, proposal.raw_idea) == (None, None, None)

    @pytest.mark.parametrize(
        "fields",
        [
            {"problem_statement": " "},
            {"proposed_solution": ""},
            {"assumptions": ["  "]},
            {"scope_non_goals": [""]},
        ],
    )
    def test_what_may_not_be_blank_is_refused(self, fields: dict[str, Any]):
        with pytest.raises(ValidationError):
            ExpandedProposal.model_validate({**PROPOSAL, **fields})


class TestAnswers:
    def test_who_reviews_is_never_read_from_an_answer(self):
        claimed = {
            **REVIEW,
            "persona_id": "security_guardian",
            "persona_name": "Owner",
            "weight": 1.0,
            "default_weight": 1.0,
            "decision": "approve",
            "model": "other",
            "internal_metadata": {"reused": True},
        }
        critic = prompt_set().persona("review_critic")
        review = ReviewAnswer.model_validate(claimed).review(critic)
        assert (review.persona_id, review.persona_name) == ("critic", "Critic")
        assert review.internal_metadata is None
        assert not {"weight", "default_weight", "decision", "model"} & set(review.model_dump())

    @pytest.mark.parametrize(
        "fields",
        [
            {"confidence_score": 1.01},
            {"confidence_score": -0.01},
            {"confidence_score": "very"},
            {"confidence_score": float("nan")},
            {"strengths": "many"},
            {"concerns": ["just text"]},
            {"blocking_issues": [{"text": "no flag"}]},
            {"estimated_effort": " "},
            {"strengths": ["x" * (MOST_CHARACTERS + 1)]},
            {"strengths": ["x"] * (MOST_ITEMS + 1)},
        ],
    )
    def test_what_does_not_fit_is_refused(self, fields: dict[str, Any]):
        with pytest.raises(ValidationError):
            ReviewAnswer.model_validate({**REVIEW, **fields})

    def test_what_steers_terminals_or_cannot_be_stored_is_left_out(self):
        answer = ExpansionAnswer.model_validate(
            {**EXPANSION, "title": "\x1b[31mred\x00\x07", "assumptions": ["\ud800", " a\tb\nc "]}
        )
        assert answer.title == "[31mred"
        assert answer.assumptions == ["a\tb\nc"]

    @pytest.mark.parametrize("schema", [ExpansionAnswer, ReviewAnswer])
    def test_their_schema_is_one_that_servers_take_strictly(self, schema: type[BaseModel]):
        text = json.dumps(schema.model_json_schema())
        assert not any(word in text for word in ('"default"', "maxLength", "minLength", "oneOf"))
        for name, part in {"": schema.model_json_schema(), **definitions(schema)}.items():
            assert set(part["required"]) == set(part["properties"]), name


def definitions(schema: type[BaseModel]) -> dict[str, Any]:
    found: dict[str, Any] = schema.model_json_schema().get("$defs", {})
    return found


class Old(BaseModel):
    name: str


def version(text: str, **fields: Any) -> SchemaVersion:
    return SchemaVersion(name="Old", version=text, model=Old, **fields)


class TestRegistry:
    def test_it_has_the_schemas_of_the_pipeline_in_version_1(self):
        assert {"IdeaInput", "ExpandedProposal", "PersonaReview", "DecisionAggregation"} <= set(
            SCHEMAS.names
        )
        for name in ("ExpandedProposal", "PersonaReview"):
            schema = SCHEMAS.find(name)
            assert (schema.version, schema.is_current, schema.is_deprecated) == (
                "1.0.0", True, False,
            )  # fmt: skip
            assert schema.prompt_set_version == "1.0.0"
            assert schema.migration_notes
            assert schema.json_schema()["properties"]

    def test_versions_are_listed_newest_first_and_one_is_current(self):
        registry = SchemaRegistry()
        registry.add(version("1.9.0", is_current=False, is_deprecated=True))
        registry.add(version("1.10.0"))
        registry.add(version("2.0.0", is_current=False))
        assert [one.version for one in registry.versions("Old")] == ["2.0.0", "1.10.0", "1.9.0"]
        assert registry.find("Old").version == "1.10.0"
        assert registry.find("Old", "1.9.0").is_deprecated

    @pytest.mark.parametrize("text", ["1", "1.0", "v1.0.0", "1.0.0-rc1", "01.0.0", "1.0.0 ", ""])
    def test_a_version_has_three_numbers(self, text: str):
        with pytest.raises(InvalidError, match="MAJOR"):
            SchemaRegistry().add(version(text))

    def test_a_second_current_one_is_refused(self):
        registry = SchemaRegistry()
        registry.add(version("1.0.0"))
        with pytest.raises(InvalidError, match="only one"):
            registry.add(version("1.1.0"))
        with pytest.raises(InvalidError, match="registered already"):
            registry.add(version("1.0.0", is_current=False))
        with pytest.raises(InvalidError, match="not current"):
            registry.add(version("2.0.0", is_deprecated=True))

    def test_what_is_not_there_is_told_with_what_is(self):
        with pytest.raises(SchemaUnknownError, match="no schema Nothing; there are IdeaInput"):
            SCHEMAS.find("Nothing")
        with pytest.raises(SchemaUnknownError, match=r"IdeaInput 9\.0\.0; there are 1\.0\.0"):
            SCHEMAS.find("IdeaInput", "9.0.0")

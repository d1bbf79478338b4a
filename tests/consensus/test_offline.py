"""The offline model: the same answers each time, named as what they are, for every path."""

from datetime import timedelta

import pytest

from headrace.pipelines.consensus.answers import ExpansionAnswer, ReviewAnswer
from headrace.pipelines.consensus.blocks import Shortened, proposal_text, write_blocks
from headrace.pipelines.consensus.decision import aggregate
from headrace.pipelines.consensus.model import AnswerT, ModelRequest
from headrace.pipelines.consensus.offline import OfflineModel
from headrace.pipelines.consensus.prompts import prompt_set
from headrace.pipelines.consensus.schemas import DecisionAggregation


def question(step: str, schema: type[AnswerT], user: str) -> ModelRequest[AnswerT]:
    return ModelRequest(
        step=step,
        schema=schema,
        schema_name=schema.__name__,
        schema_version="1.0.0",
        prompt_set_version="1.0.0",
        system="s",
        developer="d",
        user=user,
        model="gpt-5.1",
        temperature=0.2,
        timeout=timedelta(seconds=1),
        idempotency_key="key",
        request_id="id",
    )


async def decide(idea: str) -> DecisionAggregation:
    model, prompts = OfflineModel(), prompt_set()
    asked = question("expand", ExpansionAnswer, write_blocks({"idea": idea}))
    proposal = (await model.ask(asked)).value.proposal(idea)
    user = write_blocks({"proposal": proposal_text(proposal, Shortened())})
    reviews = [
        (await model.ask(question(persona.row, ReviewAnswer, user))).value.review(persona)
        for persona in prompts.personas
    ]
    return aggregate(reviews, prompts.personas)


class TestPaths:
    @pytest.mark.parametrize(
        ("idea", "label", "minority"),
        [
            ("A bench in the park.", "approve", []),
            ("Tools are lent only with an app.", "approve", ["user_advocate"]),
            ("A bench, from scratch, worldwide, in a week, untested.", "revise", []),
            ("A bench with guaranteed returns, from scratch, in real time.", "revise", ["critic"]),
            ("It sends passwords to the teacher.", "revise", ["security_guardian"]),
            ("Addictive bets for coins, guaranteed, from scratch, worldwide.", "reject", []),
        ],
    )
    async def test_the_words_of_an_idea_decide(self, idea: str, label: str, minority: list[str]):
        decided = await decide(idea)
        assert (decided.decision.value, [one.persona_id for one in decided.minority_reports]) == (
            label, minority,
        )  # fmt: skip


class TestAnswers:
    async def test_they_are_named_and_alike(self):
        asked = question("expand", ExpansionAnswer, write_blocks({"idea": "A mill."}))
        first, second = [await OfflineModel().ask(asked) for _ in range(2)]
        assert (first.client, first.model, first.temperature) == ("offline", "offline", None)
        assert first.value == second.value
        assert first.tokens == second.tokens
        assert first.tokens.total == first.tokens.input + first.tokens.output > 0

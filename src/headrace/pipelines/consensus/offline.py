"""The offline model: answers that follow from the words of an idea, the same each time.

It is for demonstrations and tests. Every answer names `offline` as what gave it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from headrace.pipelines.consensus.answers import ExpansionAnswer, ReviewAnswer
from headrace.pipelines.consensus.blocks import read_blocks
from headrace.pipelines.consensus.edits import edited_fields
from headrace.pipelines.consensus.model import (
    Answer,
    AnswerT,
    ModelRefusedError,
    ModelRequest,
    Tokens,
)
from headrace.pipelines.consensus.signals import SIGNALS, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME: Final = "offline"
BEGIN: Final = Decimal("0.86")
LEAST: Final = Decimal("0.05")
MOST: Final = Decimal("0.98")
MOST_TITLE: Final = 60
WORDS_A_TOKEN: Final = 0.75
EFFORT: Final = ((0, "two people for a month"), (1, "two people for a quarter of a year"))
LARGE_EFFORT: Final = "a team for a year"


class OfflineModel:
    """Answers without a model."""

    name = NAME

    async def ask(self, request: ModelRequest[AnswerT]) -> Answer[AnswerT]:
        """The answer that the words of the question lead to."""
        started_at = datetime.now(UTC)
        blocks = read_blocks(request.user)
        if issubclass(request.schema, ExpansionAnswer):
            fields = expansion(blocks)
        elif issubclass(request.schema, ReviewAnswer):
            fields = review(blocks.get("proposal", ""), signals_of(request.step))
        else:
            raise ModelRefusedError(f"the offline model cannot answer with {request.schema_name}")
        asked = _tokens(request.system, request.developer, request.user)
        told = _tokens(json.dumps(fields, ensure_ascii=False))
        return Answer(
            value=request.schema.model_validate(fields),
            client=NAME,
            model=NAME,
            temperature=None,
            request_id=request.request_id,
            tokens=Tokens(asked, told, asked + told),
            latency_ms=(datetime.now(UTC) - started_at).total_seconds() * 1_000,
            turns=1,
            started_at=started_at,
        )

    async def aclose(self) -> None:
        """Nothing is held."""


def signals_of(row: str) -> tuple[Signal, ...]:
    """What a reviewer goes by; one that is not known goes by all."""
    if row in SIGNALS:
        return SIGNALS[row]
    return tuple(signal for signals in SIGNALS.values() for signal in signals)


def expansion(blocks: dict[str, str]) -> dict[str, Any]:
    """A proposal from the words of an idea, or from an earlier one with its edits."""
    if "parent_proposal" in blocks:
        return _edited(blocks)
    idea = _plain(blocks.get("idea", ""))
    sentences = re.split(r"(?<=[.!?])\s+", idea)
    context = blocks.get("extra_context")
    return {
        "title": _title(sentences[0]),
        "summary": " ".join(sentences[:2]),
        "problem_statement": f"What is wanted: {sentences[0]}",
        "proposed_solution": idea,
        "assumptions": [
            "The people named in the idea want it.",
            "The first version is run by those who propose it.",
            *([f"What was said with it holds: {_plain(context)}"] if context else []),
        ],
        "scope_non_goals": ["Whatever the idea does not name."],
    }


def review(proposal: str, signals: Iterable[Signal]) -> dict[str, Any]:
    """What a reviewer says to a proposal, by its signals."""
    found = [signal for signal in signals if signal.is_in(proposal)]
    against = [signal for signal in found if signal.worth < 0]
    score = min(max(BEGIN + sum((one.worth for one in found), Decimal(0)), LEAST), MOST)
    return {
        "confidence_score": float(score),
        "strengths": [one.says for one in found if one.worth > 0] or ["It is short and clear."],
        "concerns": [{"text": one.says, "is_blocking": one.blocking} for one in against],
        "recommendations": [one.advice for one in against if one.advice],
        "blocking_issues": [
            {"text": one.says, "security_critical": one.critical} for one in against if one.blocking
        ],
        "estimated_effort": dict(EFFORT).get(len(against), LARGE_EFFORT),
        "dependency_risks": [],
    }


# --- inside ---------------------------------------------------------------------------------------


def _edited(blocks: dict[str, str]) -> dict[str, Any]:
    """The parent's proposal with the edits: a text or notes become part of the solution."""
    proposal = {"title": "", "summary": "", **_known(blocks["parent_proposal"])}
    edited = blocks.get("edited_proposal")
    if edited is not None:
        proposal |= edited_fields(_object_or_text(edited))
    if "edit_notes" in blocks:
        proposal["proposed_solution"] += f"\n\nChanged: {_plain(blocks['edit_notes'])}"
    return proposal


def _known(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(text)
    return {name: value for name, value in fields.items() if value is not None}


def _object_or_text(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, dict) else text


def _plain(text: str) -> str:
    """A text without the marks of Markdown."""
    lines = (re.sub(r"^[#>*\-\s]+", "", line) for line in text.splitlines())
    return " ".join(" ".join(lines).split())


def _title(sentence: str) -> str:
    words = sentence.rstrip(".!?")
    return words if len(words) <= MOST_TITLE else f"{words[:MOST_TITLE].rsplit(' ', 1)[0]} ..."


def _tokens(*texts: str) -> int:
    """About as many as a model would count."""
    return round(sum(len(text.split()) for text in texts) / WORDS_A_TOKEN)

"""Reads an answer into its class, and says what is wrong with one that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

if TYPE_CHECKING:
    from headrace.pipelines.consensus.model import AnswerT, ModelRequest
    from headrace.pipelines.consensus.openai_reading import Said

MOST_PROBLEMS: Final = 5
MOST_QUOTED: Final = 20_000
"""Characters of a wrong answer that the model is shown again."""
SHORTER: Final = (
    "Your answer was cut off at the limit of its length. Answer again, complete and much shorter."
)


@dataclass(frozen=True, slots=True)
class Unfit:
    """An answer that cannot be used.

    Attributes:
        problem: What is wrong with it; nothing of what it says.
        repair: What to say to the model for the next one.
    """

    problem: str
    repair: list[dict[str, str]]


def read_value(request: ModelRequest[AnswerT], said: Said) -> AnswerT | Unfit:
    """The value of an answer."""
    if said.incomplete is not None:
        problem = "the answer was cut off at its limit of tokens"
        return Unfit(problem, [{"role": "user", "content": SHORTER}])
    problems = ["it is empty"]
    for text in _candidates(said.text):
        try:
            return request.schema.model_validate_json(text)
        except ValidationError as error:
            problems = _problems_of(error)
    told = "\n".join(f"- {problem}" for problem in problems)
    return Unfit(
        f"the answer does not fit {request.schema_name}: {'; '.join(problems)}",
        [
            {"role": "assistant", "content": said.text[:MOST_QUOTED] or "(nothing)"},
            {
                "role": "user",
                "content": "Your answer does not fit the JSON schema:\n"
                f"{told}\nAnswer the question again, with nothing but JSON that fits the schema.",
            },
        ],
    )


def _candidates(text: str) -> list[str]:
    """The answer, and what stands in it between the first and the last brace, if that is less."""
    inner = text[text.find("{") : text.rfind("}") + 1]
    return [candidate for candidate in dict.fromkeys((text.strip(), inner)) if candidate]


def _problems_of(error: ValidationError) -> list[str]:
    details = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(map(str, detail['loc'])) or 'it'}: {detail['msg']}" for detail in details]
    more = len(lines) - MOST_PROBLEMS
    return lines[:MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])

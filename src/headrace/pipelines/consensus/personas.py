"""Who reviews: the personas of a set of prompts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from headrace.pipelines.consensus.errors import PromptSetError
from headrace.pipelines.consensus.schemas import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHT_TOLERANCE: Final = Decimal("0.0001")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,99}$")]


class Persona(BaseModel):
    """A reviewer with a point of view.

    Attributes:
        id: As `security_guardian`.
        display_name: As it is shown.
        row: The name of its review among the rows of a job.
        system_prompt: What the model is told to be.
        developer_instructions: What the model is told to do; both are sent.
        default_weight: Its share of the decision, 0 to 1.
        temperature: 0 to 1.
        template_version: The set of prompts that it is of.
        has_veto: Whether a security-critical blocking issue of it stops an approval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    display_name: Text
    row: Name
    system_prompt: Text
    developer_instructions: Text
    default_weight: Decimal = Field(ge=0, le=1)
    temperature: float = Field(ge=0, le=1)
    template_version: str
    has_veto: bool = False


def check_personas(personas: Sequence[Persona], *, fewest: int, most: int) -> None:
    """Return when these can decide together.

    Raises:
        PromptSetError: Too few or too many, one comes twice, or their weights do not add up to 1.
    """
    if not fewest <= len(personas) <= most:
        raise PromptSetError(
            f"{len(personas)} personas; {fewest} to {most} are accepted "
            "(HEADRACE_CONSENSUS_MIN_PERSONA_COUNT, HEADRACE_CONSENSUS_MAX_PERSONA_COUNT)"
        )
    for what in ("id", "row"):
        names = [getattr(persona, what) for persona in personas]
        if len(set(names)) != len(names):
            raise PromptSetError(f"two personas have the same {what}: {', '.join(names)}")
    total = sum((persona.default_weight for persona in personas), Decimal(0))
    if abs(total - 1) > WEIGHT_TOLERANCE:
        raise PromptSetError(f"the weights of the personas add up to {total}, not to 1")

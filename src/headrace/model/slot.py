"""One parameter of a new step, with all that could fill it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace.model.annotations import Annotation, type_text
from headrace.model.definition import Declaration, Parameter
from headrace.model.step import Step

if TYPE_CHECKING:
    from headrace.errors import DefinitionError
    from headrace.model.awaited import AwaitedSignal


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a new step can ask for: the earlier steps, and the job's input.

    Attributes:
        steps: Earlier steps by name, in order.
        input_type: The type of the job's input.
        input_name: Its name; None until a parameter takes it.
        signals: What earlier steps wait for, by name.
    """

    steps: Mapping[str, Step]
    input_type: Annotation
    input_name: str | None
    signals: Mapping[str, AwaitedSignal] = field(default_factory=dict)

    def step_of(self, function: object) -> Step | None:
        """The latest step that is this function."""
        found = [step for step in self.steps.values() if step.function is function]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter that is to be bound, with what can fill it."""

    declaration: Declaration
    parameter: Parameter
    around: Surroundings

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parameter.name

    @property
    def annotation(self) -> Annotation:
        """The parameter's annotation."""
        return self.parameter.annotation

    @property
    def written(self) -> str:
        """The parameter as it is written: `review: Review`."""
        return f"`{self.name}: {type_text(self.annotation)}`"

    def error(self, code: str, problem: str) -> DefinitionError:
        """A `DefinitionError` about the step."""
        return self.declaration.site.error(code, problem)

    def accepted(self) -> str:
        """All that could stand here, for errors."""
        name, wanted = self.around.input_name, type_text(self.around.input_type)
        the_input = f"the input `{name}: {wanted}`" if name else f"the input, any name for {wanted}"
        context = "StepContext or Transaction" if self.declaration.is_async else "SyncContext"
        return (
            f"accepted here are {steps_text(self.around.steps)}, {the_input}, and parameters with "
            f"Each(...), Signal(...), Use(...), {context}; steps are declared above their use"
        )


def steps_text(steps: Mapping[str, Step]) -> str:
    """The steps that can be asked for."""
    names = ", ".join(f"`{name}`" for name in steps)
    return f"the steps {names}" if names else "no steps yet"

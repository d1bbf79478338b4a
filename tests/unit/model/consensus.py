"""A small pipeline, and how tests add steps to it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NewType

import pytest

from headrace import DefinitionError, Each, Pipeline
from headrace.model.step import Binding, Step


@dataclass
class Idea:
    text: str


@dataclass
class Proposal:
    title: str


@dataclass
class BetterProposal(Proposal):
    score: int = 0


@dataclass
class Review:
    agrees: bool


@dataclass
class Persona:
    name: str


class Model:
    async def ask(self) -> str: ...


async def model() -> Model: ...


Other = NewType("Other", Proposal)
PERSONAS = [Persona("critic"), Persona("fan")]
MIXED: Any = [Persona("a"), Idea("b")]


def consensus() -> Pipeline[Idea, Proposal]:
    """A pipeline with an expansion, a fan-out over it, a list and an optional output."""
    pipeline = Pipeline("consensus", input=Idea, output=Proposal)

    @pipeline.step
    async def expand(idea: Idea) -> Proposal: ...

    @pipeline.step
    async def review(expand: Proposal, persona: Persona = Each(PERSONAS)) -> Review: ...

    @pipeline.step
    async def titles(expand: Proposal) -> list[str]: ...

    @pipeline.step
    async def maybe(expand: Proposal) -> Proposal | None: ...

    return pipeline


def added(function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None) -> Step:
    pipeline = pipeline or consensus()
    assert pipeline.step(function) is function
    return pipeline.steps[function.__name__]


def bound(function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None) -> Binding:
    return added(function, pipeline).bindings[0]


def refused(
    function: Callable[..., Any], pipeline: Pipeline[Any, Any] | None = None, **options: Any
) -> DefinitionError:
    pipeline = pipeline or consensus()
    before = dict(pipeline.steps), pipeline.input_name, dict(pipeline.dependents)
    with pytest.raises(DefinitionError) as caught:
        pipeline.step(**options)(function)
    assert (pipeline.steps, pipeline.input_name, pipeline.dependents) == before
    assert str(caught.value).endswith(f" [{caught.value.code}]")
    return caught.value

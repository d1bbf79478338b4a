"""What the typed pipelines beside this file are about."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from headrace import Transaction


@dataclass
class Idea:
    text: str


@dataclass
class Proposal:
    title: str


@dataclass
class Review:
    agrees: bool


@dataclass
class Persona:
    name: str


@dataclass
class Decision:
    ok: bool


class Model:
    async def propose(self, idea: Idea) -> Proposal:
        return Proposal(idea.text)

    async def review(self, proposal: Proposal, persona: Persona) -> Review:
        return Review(agrees=proposal.title != persona.name)


PERSONAS = [Persona("critic"), Persona("fan")]


def plain_model() -> Model:
    return Model()


async def async_model() -> Model:
    return Model()


@contextmanager
def model_context() -> Iterator[Model]:
    yield Model()


@asynccontextmanager
async def async_model_context() -> AsyncIterator[Model]:
    yield Model()


async def fetch(address: str, *, tries: int = 3) -> bytes:
    return address.encode() * tries


def count(text: str) -> int:
    return len(text)


async def book(tx: Transaction, amount: int) -> str:
    return await tx.execute("insert into bookings values ($1)", amount)

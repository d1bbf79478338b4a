"""Search among many: whose passages are found, how, and whether they are the nearest."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from operator import mul

import pytest
import pytest_asyncio

from headrace.pipelines.documents import (
    DocumentNotFoundError,
    Hit,
    Library,
    QuestionRefusedError,
    documents,
)
from headrace.pipelines.documents.search import SEARCHING
from headrace.pipelines.documents.statements import SQL
from headrace.testing import Engine
from tests.documents.crowd import SMALL, Crowd, around
from tests.documents.trial import TRIAL, TrialEmbedder
from tests.documents.writing import sentence

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUESTION = "Where is the sluice of the old mill?"
OTHERS = 20_000


@dataclass
class Scene:
    engine: Engine
    library: Library
    space: int
    question: list[float]
    vectors: dict[str, list[list[float]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(vector_server: str) -> AsyncIterator[Scene]:
    """Three owners: most vectors, nearest to the question, belong to `big`."""
    async with Engine([documents], server=vector_server) as engine:
        crowd = await Crowd.gather(engine)
        question = await vector_of(QUESTION)
        vectors = {
            "big": around(question, 0.05, OTHERS, 1),
            "small": around(question, 0.8, 50, 2),
            "middle": around(question, 0.8, 1_000, 3),
        }
        for owner, given in vectors.items():
            await crowd.add(owner, given)
        await crowd.add("small", around(question, 0.01, 50, 4), tenant="another")
        await crowd.settle()
        library = Library(engine.app)
        await library.search(QUESTION)
        TRIAL.reset()
        yield Scene(engine, library, crowd.space, question, vectors)
        await library.close()


async def vector_of(text: str) -> list[float]:
    (vector,) = (await TrialEmbedder(SMALL).embed([text])).vectors
    return list(vector)


def sumprod(one: list[float], other: list[float]) -> float:
    return sum(map(mul, one, other))


def cosine(one: list[float], other: list[float]) -> float:
    return sumprod(one, other) / (sumprod(one, one) * sumprod(other, other)) ** 0.5


def exact(question: list[float], vectors: list[list[float]], count: int) -> list[float]:
    return sorted((cosine(question, vector) for vector in vectors), reverse=True)[:count]


def scores(hits: list[Hit]) -> list[float]:
    return [hit.score for hit in hits]


class TestWhoseAreFound:
    async def test_an_owner_has_all_its_nearest_though_others_have_thousands_nearer(
        self, scene: Scene
    ):
        for owner, limit in (("small", 50), ("middle", 10), ("middle", 100)):
            hits = await scene.library.search(QUESTION, limit=limit, owner=owner)
            wanted = exact(scene.question, scene.vectors[owner], limit)
            assert scores(hits) == pytest.approx(wanted, abs=1e-5)
            assert {hit.document for hit in hits} <= await ids(scene, "default", owner)

    async def test_the_same_name_in_another_tenant_is_another_owner(self, scene: Scene):
        hits = await scene.library.search(QUESTION, limit=10, owner="small", tenant="another")
        assert {hit.document for hit in hits} <= await ids(scene, "another", "small")
        assert scores(hits) != scores(await scene.library.search(QUESTION, owner="small"))

    async def test_nobody_else_finds_anything(self, scene: Scene):
        assert await scene.library.search(QUESTION, owner="nobody") == []
        assert await scene.library.search(QUESTION, tenant="nobody", owner="small") == []

    async def test_documents_can_be_named_and_those_of_others_are_not_found(self, scene: Scene):
        mine, theirs = await ids(scene, "default", "middle"), await ids(scene, "default", "big")
        one = min(mine)
        hits = await scene.library.search(
            QUESTION, owner="middle", limit=100, documents=[one, min(theirs)]
        )
        assert {hit.document for hit in hits} == {one}
        assert len(hits) == 100
        assert await scene.library.search(QUESTION, owner="middle", documents=[]) == []

    async def test_a_least_score_leaves_out_what_is_further(self, scene: Scene):
        hits = await scene.library.search(QUESTION, owner="middle", limit=100)
        some = await scene.library.search(
            QUESTION, owner="middle", limit=100, least_score=hits[9].score
        )
        assert some == hits[:10]


async def ids(scene: Scene, tenant: str, owner: str) -> set[str]:
    page = await scene.library.documents(tenant=tenant, owner=owner, limit=1_000)
    return {document.id for document in page.documents}


class TestHow:
    async def test_what_the_index_finds_is_what_an_exact_search_finds(self, scene: Scene):
        found = wanted = 0
        for number in range(10):
            text = sentence(f"question {number}")
            hits = await scene.library.search(text, owner="big", limit=20)
            least = exact(await vector_of(text), scene.vectors["big"], 20)[-1]
            assert len(hits) == 20
            found += sum(hit.score >= least - 1e-6 for hit in hits)
            wanted += 20
        assert found / wanted >= 0.95

    @pytest.mark.parametrize(
        ("owner", "exact", "is_used"),
        [("big", "", True), ("small", "", False), ("big", "+ 0", False)],
    )
    async def test_the_index_of_the_space_serves_an_owner_who_has_much(
        self, scene: Scene, owner: str, exact: str, *, is_used: bool
    ):
        plan = "\n".join(await self.plans(scene, owner, exact))
        assert (f"using vectors_{scene.space}_nearest" in plan) is is_used
        assert "Seq Scan on vectors" not in plan or exact

    async def plans(self, scene: Scene, owner: str, exact: str) -> list[str]:
        """Of a statement that was run often before, as a pooled connection's."""
        nearest = SQL["vectors.nearest"].replace("{space}", str(scene.space))
        nearest = nearest.replace("{dimension}", str(SMALL.dimension)).replace("{exact}", exact)
        async with scene.engine.app.connection() as connection, connection.transaction():
            await connection.execute(SEARCHING)
            statement = await connection.prepare(nearest)
            for often in ("big", "small", "middle") * 3:
                await statement.fetch(str(scene.question), "default", often, 10, None)
            rows = await connection.fetch(
                f"explain execute {statement.get_name()}"
                f"('{scene.question}', 'default', '{owner}', 10, null)"
            )
            return [row[0] for row in rows]


class TestRefusal:
    @pytest.mark.parametrize("text", ["", "  \n", "x" * 2_001])
    async def test_a_question_has_a_length(self, scene: Scene, text: str):
        with pytest.raises(QuestionRefusedError, match=r"1 to 2,000 characters"):
            await scene.library.search(text)

    async def test_a_question_has_no_more_tokens_than_the_embedder_takes(self, scene: Scene):
        with pytest.raises(QuestionRefusedError, match="500 tokens"):
            await scene.library.search("word " * 299 + "word?", owner="small")

    async def test_a_question_is_valid_text(self, scene: Scene):
        with pytest.raises(QuestionRefusedError, match="Unicode"):
            await scene.library.search("Who \udcff?")

    @pytest.mark.parametrize("limit", [0, -1, 101])
    async def test_a_limit_has_bounds(self, scene: Scene, limit: int):
        with pytest.raises(QuestionRefusedError, match="limit is 1 to 100"):
            await scene.library.search(QUESTION, limit=limit)

    async def test_what_is_no_id_of_a_document_is_told(self, scene: Scene):
        with pytest.raises(DocumentNotFoundError):
            await scene.library.search(QUESTION, documents=["x"])

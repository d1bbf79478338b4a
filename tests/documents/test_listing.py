"""Documents as they are listed."""

import pytest

from headrace import InvalidError
from headrace.pipelines.documents import Library
from headrace.testing import Engine


class TestPages:
    async def test_each_document_is_on_one_page_newest_first(self, library: Library):
        added = [
            (await library.add(f"# Text {n}\n".encode(), name=f"{n}.md")).document for n in range(5)
        ]
        await library.add(b"# Text 0\n", name="0.md", owner="another")
        seen, cursor = [], None
        while True:
            page = await library.documents(limit=2, cursor=cursor)
            seen += [document.id for document in page.documents]
            cursor = page.next
            if cursor is None:
                break
        assert seen == added[::-1]

    @pytest.mark.parametrize("limit", [0, -1, 1_001])
    async def test_a_page_has_bounds(self, library: Library, limit: int):
        with pytest.raises(InvalidError, match="limit is 1 to 1,000"):
            await library.documents(limit=limit)

    @pytest.mark.parametrize(
        "cursor", ["", "x", "2026-01-01T00:00:00_6c8a1e6e-1f0b-4aa8-9f0a-1a7c2e6f2b42", "_"]
    )
    async def test_what_is_no_cursor_is_told(self, library: Library, cursor: str):
        with pytest.raises(InvalidError, match="no cursor"):
            await library.documents(cursor=cursor)

    @pytest.mark.parametrize(
        "bounds", [{"limit": 0}, {"limit": 1_001}, {"first": -1}, {"first": 2**31}]
    )
    async def test_chunks_have_bounds(self, library: Library, bounds: dict[str, int]):
        added = await library.add(b"# Text\n", name="a.md")
        with pytest.raises(InvalidError, match=r"is [01] to 1,000"):
            await library.chunks(added.document, **bounds)


class TestOwners:
    @pytest.mark.parametrize("whose", [{"tenant": "a\0b"}, {"owner": "a\ud800"}, {"owner": ""}])
    async def test_one_that_cannot_be_is_told_in_every_call(
        self, library: Library, whose: dict[str, str]
    ):
        document = (await library.add(b"# Text\n", name="a.md")).document
        for call in (
            lambda: library.document(document, **whose),
            lambda: library.statuses([document], **whose),
            lambda: library.documents(**whose),
            lambda: library.chunks(document, **whose),
            lambda: library.search("text", **whose),
            lambda: library.delete(document, **whose),
        ):
            with pytest.raises(InvalidError, match="printable text"):
                await call()

    async def test_a_tenant_and_an_owner_never_share_a_document_with_others(
        self, engine: Engine, library: Library
    ):
        names = [("a:b", "c"), ("a", "b:c"), ("a%3Ab", "c"), ("A", "b:c"), ("a", "b/c")]
        added = [
            await library.add(b"# A text\n", name="a.md", tenant=tenant, owner=owner)
            for tenant, owner in names
        ]
        assert len({one.document for one in added}) == len(names)
        await engine.run_until_empty(40)
        for (tenant, owner), one in zip(names, added, strict=True):
            hits = await library.search("a text", tenant=tenant, owner=owner)
            assert [hit.document for hit in hits] == [one.document]

"""F1: archives that lie, in the clothes of a DOCX."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from headrace.pipelines.documents.parsing import (
    DamagedFileError,
    FileLimitError,
    LockedFileError,
)
from tests.documents.files import (
    MIB,
    STORED,
    Entry,
    crowded_zip,
    docx,
    docx_entries,
    nested_zip_bomb,
    overlapping_zip,
    zip_bomb,
    zip_file,
)
from tests.documents.reading import read, refused


class TestBombs:
    @pytest.mark.parametrize("claimed", [None, 0, 100, 0xFFFFFFFE])
    def test_what_comes_out_is_counted_whatever_the_headers_claim(self, claimed: int | None):
        data = zip_bomb(1024 * MIB, claimed)
        tracemalloc.start()
        refused(data, FileLimitError, "more than 4 MiB of text come out", zip_bytes=4 * MIB)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 12 * MIB  # not the gibibyte

    def test_a_ratio_that_no_text_has_is_refused(self):
        data = zip_bomb(8 * MIB)
        refused(data, FileLimitError, "word/document.xml becomes more than 250 bytes")

    def test_regular_text_is_no_bomb(self):
        text = " ".join(f"{number} and the same words again." for number in range(1_000))
        data = docx([text] * 50)
        assert len(data) < 40_000  # 1.6 MB of text
        assert read(data).markdown.endswith("again.")

    def test_the_sum_of_all_parts_counts(self):
        words = [b"<x>" + os.urandom(MIB // 2).hex().encode() + b"</x>" for _ in range(3)]
        parts = [Entry(f"word/{number}.xml", text) for number, text in enumerate(words)]
        assert read(docx(["Text."], parts), zip_bytes=4 * MIB).markdown == "Text."
        refused(docx(["Text."], parts), FileLimitError, "more than 2 MiB", zip_bytes=2 * MIB)

    def test_archives_inside_are_not_opened(self):
        assert read(nested_zip_bomb()).markdown == "Text."


class TestEntries:
    @pytest.mark.parametrize("count", [None, 1, 5_000])
    def test_a_million_are_refused_at_once_whatever_the_end_claims(self, count: int | None):
        data = crowded_zip(1_000_000, count=count)
        start = time.thread_time()  # what other threads of this process do is not its doing
        refused(data, FileLimitError, "entries")
        assert time.thread_time() - start < 0.2  # the standard library takes 5 s and 500 MB

    def test_as_many_as_the_limit_are_accepted(self):
        extra = [Entry(f"word/media/{number}.png") for number in range(5)]
        assert read(docx(["Text."], extra), zip_entries=10).markdown == "Text."
        refused(docx(["Text."], extra), FileLimitError, "more than 9 entries", zip_entries=9)

    def test_a_claim_of_too_many_is_enough(self):
        data = zip_file(docx_entries(["Text."]), count=6_000)
        refused(data, FileLimitError, "more than 5,000 entries")

    @pytest.mark.parametrize("count", [0, 4, 6])
    def test_a_wrong_number_of_them_is_refused(self, count: int):
        data = zip_file(docx_entries(["Text."]), count=count)
        refused(data, DamagedFileError, "does not agree with its end")

    def test_overlapping_ones_are_refused(self):
        refused(overlapping_zip(), DamagedFileError, "overlap")

    def test_ones_that_reach_into_the_next_are_refused(self):
        first, *others = docx_entries(["Text."])
        longer = Entry(first.name, first.data, packed_size=2_000)
        refused(zip_file([longer, *others]), DamagedFileError, "overlap")

    def test_two_of_one_name_are_refused(self):
        data = zip_file([*docx_entries(["Text."]), *docx_entries(["Other."])])
        refused(data, DamagedFileError, "the same name")

    def test_encrypted_ones_are_refused(self):
        data = docx(["Text."], [Entry("word/document.xml", b"x" * 20, flags=1)])
        refused(data, LockedFileError, "protected by a password; save it without one")

    def test_an_unknown_compression_is_refused(self):
        data = docx(["Text."], [Entry("word/x.xml", b"<x/>", method=14, packed=b"<x/>")])
        refused(data, DamagedFileError, "compressed in an unknown way")

    def test_stored_ones_are_read(self):
        entries = [
            Entry(entry.name, entry.data, method=STORED) for entry in docx_entries(["Text."])
        ]
        assert read(zip_file(entries)).markdown == "Text."


class TestPlaces:
    @pytest.mark.parametrize(
        "name",
        ["../../evil.xml", "/etc/evil.xml", "..\\evil.xml", "C:evil.xml", "word/../../evil.rels"],
    )
    def test_paths_that_lead_out_lead_nowhere(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        folder = tmp_path / "a" / "b"
        folder.mkdir(parents=True)
        monkeypatch.chdir(folder)
        data = docx(["Text."], [Entry(name, b"no XML, and never looked at")])
        assert read(data).markdown == "Text."
        assert list(tmp_path.rglob("*")) == [tmp_path / "a", folder]

    def test_links_are_bytes_like_all_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(tmp_path)
        links = [
            Entry("word/media/link", b"/etc/passwd", mode=0o120777),
            Entry("word/numbering.xml", b"/etc/passwd", mode=0o120777),
        ]
        refused(docx(["Text."], links), DamagedFileError, "word/numbering.xml in the file is not")
        assert read(docx(["Text."], links[:1])).markdown == "Text."
        assert list(tmp_path.iterdir()) == []


class TestDamage:
    def test_any_missing_end_is_seen(self):
        data = docx(["Text."])
        for length in range(4, len(data), 40):
            refused(data[:length], DamagedFileError, "zip archive")

    def test_a_changed_byte_in_the_text_is_seen(self):
        entries = [
            Entry(entry.name, entry.data, method=STORED) for entry in docx_entries(["Text."])
        ]
        data = zip_file(entries)
        refused(data.replace(b"Text.", b"Tixt."), DamagedFileError, "its checksum is wrong")

    def test_a_wrong_size_is_seen(self):
        whole = docx_entries(["Text."])[-1]
        data = docx(["Text."], [Entry(whole.name, whole.data, size=len(whole.data) + 1)])
        refused(data, DamagedFileError, "word/document.xml is damaged")

    def test_a_broken_deflate_stream_is_seen(self):
        data = docx(["Text."], [Entry("word/x.xml", b"<x/>", packed=b"\xff" * 9)])
        refused(data, DamagedFileError, "word/x.xml is damaged")

    def test_a_deflate_stream_without_its_end_is_seen(self):
        whole = docx_entries(["Text."])[-1]
        packed = zip_file([whole])[30 + len(whole.name) : 200]
        data = docx(["Text."], [Entry(whole.name, whole.data, packed=packed)])
        refused(data, DamagedFileError, "word/document.xml is cut off")

    def test_bytes_before_and_behind_the_archive_are_none_of_it(self):
        data = docx(["Text."])
        place = data.rindex(b"PK\5\6")
        refused(data + b"x", DamagedFileError, "the end of the zip archive is damaged")
        refused(data[:place] + b"x" + data[place:], DamagedFileError, "not where its end says")

    def test_an_archive_of_several_disks(self):
        data = docx(["Text."])
        place = data.rindex(b"PK\5\6") + 4
        refused(
            data[:place] + b"\1" + data[place + 1 :], DamagedFileError, "end of the zip archive"
        )

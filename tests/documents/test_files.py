"""The files of documents, and what crashes leave of them."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from headrace import PermanentError, UserError
from headrace.pipelines.documents.files import FileStore, parsed_address, raw_address
from headrace.pipelines.documents.ids import checked_name, document_id
from headrace.pipelines.documents.model import Document
from headrace.pipelines.documents.parsed import Owner, parsed_file
from headrace.pipelines.documents.parsing import Kind, ParseLimits


class TestAddresses:
    @pytest.mark.parametrize("name", ["..", ".", "a/b", "/etc", "a\\b", "a%2Fb", "a.b", "ä ö"])
    def test_no_name_of_an_owner_leads_out_of_its_own_folder(self, tmp_path: Path, name: str):
        store = FileStore(tmp_path)
        address = raw_address("tenant", name, "id", ".md")
        store.write(address, b"x")
        (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert file.relative_to(tmp_path).parts[:2] == ("raw", "tenant")
        assert len(file.relative_to(tmp_path).parts) == 4
        assert store.read(address) == b"x"

    def test_names_that_look_alike_when_quoted_are_apart(self):
        names = ["a/b", "a%2Fb", "a%252Fb", "a.b", "a%2Eb"]
        assert len({parsed_address("t", name, "id") for name in names}) == len(names)

    @pytest.mark.parametrize("address", ["storage://local/../x", "file:///etc/passwd", "x"])
    def test_what_is_no_address_of_a_file_here_is_refused(self, tmp_path: Path, address: str):
        with pytest.raises(ValueError, match="no address"):
            FileStore(tmp_path).read(address)


class TestWriting:
    def test_the_file_and_every_folder_above_it_are_synced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        synced, sync = [], os.fsync

        def noted(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", noted)
        FileStore(tmp_path).write(raw_address("t", "o", "a", ".md"), b"x")
        part, *folders = synced
        assert part.parent == folders[0] == tmp_path / "raw" / "t" / "o"
        assert folders[1:] == [tmp_path / "raw" / "t", tmp_path / "raw", tmp_path]


class TestNames:
    @pytest.mark.parametrize("name", [".", "..", "notes/..", "a\\.", " .. ", "", "x/", "a\tb"])
    def test_one_that_names_no_file_is_refused(self, name: str):
        with pytest.raises(UserError, match="name"):
            checked_name(name)

    @pytest.mark.parametrize("name", ["...", "..a", ".md", "notes/../a.md"])
    def test_dots_are_part_of_others(self, name: str):
        assert checked_name(name) == name.rpartition("/")[2]


class TestDeletion:
    def test_what_a_killed_write_left_goes_with_the_file(self, tmp_path: Path):
        store = FileStore(tmp_path)
        for document in ("a", "b"):
            store.write(raw_address("t", "o", document, ".md"), b"x")
        folder = tmp_path / "raw" / "t" / "o"
        (folder / ".part-a.md-1234").write_bytes(b"half")
        (folder / ".part-b.md-1234").write_bytes(b"half")
        store.delete(raw_address("t", "o", "a", ".md"))
        assert sorted(path.name for path in folder.iterdir()) == [".part-b.md-1234", "b.md"]
        store.delete(raw_address("t", "o", "b", ".md"))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("how", ["relative", "linked"])
    def test_only_folders_below_the_store_are_removed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
    ):
        (tmp_path / "empty" / "documents").mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        folder = Path("empty/documents")
        if how == "linked":
            Path("link").symlink_to(folder)
            folder = Path("link")
        store = FileStore(folder)
        store.write(raw_address("t", "o", "a", ".md"), b"x")
        store.delete(raw_address("t", "o", "a", ".md"))
        assert list((tmp_path / "empty" / "documents").iterdir()) == []

    def test_a_write_beside_it_finds_its_folder_again(self, tmp_path: Path):
        store = FileStore(tmp_path)
        kept, gone = (raw_address("t", "o", document, ".md") for document in "ab")

        def come_and_go() -> None:
            for _ in range(1_000):
                store.write(gone, b"x", synced=False)
                store.delete(gone)

        beside = threading.Thread(target=come_and_go)
        beside.start()
        for _ in range(1_000):
            store.write(kept, b"y", synced=False)
            assert store.read(kept) == b"y"
            store.delete(kept)
        beside.join()
        assert list(tmp_path.rglob("*.md")) == []


class TestParsedFile:
    """A step process may be killed between any two writes of its files."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> FileStore:
        return FileStore(tmp_path)

    def parse(self, store: FileStore, data: bytes = b"# Title\n\nText.\n") -> tuple[str, bool]:
        sha256 = hashlib.sha256(b"# Title\n\nText.\n").hexdigest()
        document = Document(document_id("t", "o", sha256), "a.md", Kind.MARKDOWN, sha256)
        store.write(raw_address("t", "o", document.id, ".md"), data)
        made = parsed_file(document, Owner("t", "o"), store, ParseLimits())
        assert hashlib.sha256(store.read(made.address)).hexdigest() == made.sha256
        return made.address, made.is_reused

    def test_what_is_whole_is_reused(self, store: FileStore):
        address, is_reused = self.parse(store)
        assert not is_reused
        assert self.parse(store) == (address, True)

    @pytest.mark.parametrize("suffix", ["", ".json"])
    @pytest.mark.parametrize("content", [None, b"", b"{", b"# Tit", bytes(300)])
    def test_what_is_not_is_made_anew(self, store: FileStore, suffix: str, content: bytes | None):
        address, _ = self.parse(store)
        if content is None:
            store.delete(address + suffix)
        else:
            store.write(address + suffix, content)
        assert self.parse(store) == (address, False)
        assert self.parse(store) == (address, True)

    def test_an_upload_that_has_changed_on_disk_is_refused(self, store: FileStore):
        with pytest.raises(PermanentError, match="is not what was uploaded"):
            self.parse(store, b"# Other")

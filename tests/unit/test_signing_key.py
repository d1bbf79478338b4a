"""The key file of an embedded database."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from headrace import Headrace
from headrace.settings import Settings
from headrace.store.embedded.signing_key import read_signing_key

KEYS = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210")


class TestKeyFile:
    def test_it_is_made_once_and_for_its_owner_only(self, tmp_path: Path):
        folder = tmp_path / "new"
        key = read_signing_key(folder)
        assert len(key) == 32
        assert read_signing_key(folder) == key
        [file] = folder.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert read_signing_key(tmp_path / "other") != key

    def test_those_who_start_together_agree(self, tmp_path: Path):
        with ThreadPoolExecutor(8) as threads:
            keys = set(threads.map(lambda _: read_signing_key(tmp_path), range(32)))
        assert len(keys) == 1
        assert len(list(tmp_path.iterdir())) == 1


class TestKeysOfAnApp:
    def test_they_are_those_of_the_settings(self, tmp_path: Path):
        app = Headrace([], settings=Settings(signing_keys=KEYS, data_dir=tmp_path))
        assert app.signing_keys == tuple(key.encode() for key in KEYS)
        assert list(tmp_path.iterdir()) == []

    def test_the_embedded_database_has_one_of_its_own(self, tmp_path: Path):
        [key] = Headrace([], settings=Settings(data_dir=tmp_path)).signing_keys
        assert Headrace([], settings=Settings(data_dir=tmp_path)).signing_keys == (key,)

    def test_any_other_has_none(self):
        settings = Settings(database_url="postgresql://app@db/shop")
        assert Headrace([], settings=settings).signing_keys == ()
        assert Headrace([], database="postgresql://app@db/shop").signing_keys == ()

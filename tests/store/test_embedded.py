import contextlib
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from headrace.store.embedded import EmbeddedDatabase
from tests.store.embedded_users import (
    FORKING_USER,
    PROJECT,
    User,
    is_alive,
    open_folder,
    owner_of,
    query,
    server_process,
    socket_folder,
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture
def database(folder: Path) -> Iterator[EmbeddedDatabase]:
    made = EmbeddedDatabase(PROJECT, data_folder=folder)
    yield made
    made.stop()


class TestUse:
    def test_it_is_a_postgresql_18_that_keeps_what_it_confirmed(
        self, database: EmbeddedDatabase
    ) -> None:
        address = database.start()
        assert str(query(address, "show server_version")).startswith("18.")
        settings = "select string_agg(setting, ' ' order by name) from pg_settings where name in"
        names = "('fsync', 'full_page_writes', 'synchronous_commit')"
        assert query(address, f"{settings} {names}") == "on on on"

    def test_it_speaks_utf8_and_utc(self, database: EmbeddedDatabase) -> None:
        address = database.start()
        assert query(address, "show server_encoding") == "UTF8"
        assert query(address, "show timezone") == "UTC"

    def test_starting_again_gives_the_same_address(self, database: EmbeddedDatabase) -> None:
        assert database.start() == database.start()

    async def test_async_code_uses_it_in_a_block(self, folder: Path) -> None:
        async with EmbeddedDatabase(PROJECT, data_folder=folder).open() as address:
            connection = await asyncpg.connect(address)
            assert await connection.fetchval("select 1") == 1
            await connection.close()
        assert not is_alive(address)

    def test_data_outlives_the_server(self, database: EmbeddedDatabase) -> None:
        query(database.start(), "create table kept ()")
        database.stop()
        assert query(database.start(), "select to_regclass('kept')::text") == "kept"

    def test_only_its_owner_reaches_its_data_and_its_socket(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        database.start()
        home = folder / "postgres-18"
        for closed in (home / "data", home / "run"):
            assert stat.S_IMODE(closed.stat().st_mode) == 0o700

    def test_a_path_too_long_for_a_socket_works(self) -> None:
        with open_folder() as short:
            long = short / ("long" * 20) / ("path" * 20)
            database = EmbeddedDatabase(PROJECT, data_folder=long)
            try:
                address = database.start()
                assert query(address, "select 1") == 1
            finally:
                database.stop()
            socket_folder(address).rmdir()


class TestSharing:
    def test_the_server_stops_with_its_last_user(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        other = EmbeddedDatabase(PROJECT, data_folder=folder)
        address = database.start()
        assert other.start() == address
        database.stop()
        assert is_alive(address)
        other.stop()
        assert not is_alive(address)

    def test_two_processes_share_one_server(self, database: EmbeddedDatabase, folder: Path) -> None:
        with User(folder) as user:
            address = user.wait_until_it_runs()
            assert database.start() == address
            user.end()
            assert is_alive(address)
            database.stop()
            assert not is_alive(address)

    def test_processes_that_start_together_get_one_server(self) -> None:
        with open_folder() as fresh, contextlib.ExitStack() as stack:
            users = [stack.enter_context(User(fresh)) for _ in range(4)]
            addresses = {user.wait_until_it_runs() for user in users}
            assert len(addresses) == 1
            with ThreadPoolExecutor() as threads:
                list(threads.map(User.end, users))
            assert not is_alive(addresses.pop())

    def test_ctrl_c_in_the_terminal_of_its_first_user_leaves_it_to_the_others(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        with User(folder) as user:
            address = user.wait_until_it_runs()
            database.start()
            user.end_by(signal.SIGINT)
            assert is_alive(address)

    def test_a_forked_child_takes_nothing_from_its_parent(self, folder: Path) -> None:
        with User(folder, FORKING_USER) as user:
            address = user.wait_until_it_runs()
            assert is_alive(address)
            user.end()
            assert not is_alive(address)


class TestEndings:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_process_that_is_asked_to_end_stops_it(
        self, folder: Path, number: signal.Signals
    ) -> None:
        with User(folder) as user:
            address = user.wait_until_it_runs()
            user.end_by(number)
            assert not is_alive(address)

    def test_a_server_whose_users_were_all_killed_is_taken_over_and_stopped(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        with User(folder) as user:
            address = user.wait_until_it_runs()
            process = server_process(folder)
            user.end_by(signal.SIGKILL)
        assert is_alive(address)
        database.start()
        assert server_process(folder) == process
        database.stop()
        assert not is_alive(address)

    def test_a_killed_server_starts_again_with_all_that_was_committed(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        address = database.start()
        query(address, "create table if not exists survivors as select 1 as id")
        os.kill(server_process(folder), signal.SIGKILL)
        again = EmbeddedDatabase(PROJECT, data_folder=folder)
        assert again.start() == address
        assert query(address, "select count(*) from survivors") == 1
        again.stop()

    def test_a_stale_process_number_that_is_another_programs_is_seen_through(
        self, database: EmbeddedDatabase, folder: Path
    ) -> None:
        database.start()
        data = folder / "postgres-18/data"
        owner = owner_of(data)
        os.kill(server_process(folder), signal.SIGKILL)
        user = owner.pw_uid if os.geteuid() == 0 else None
        other = subprocess.Popen(["/bin/sleep", "60"], user=user)
        try:
            pid_file = data / "postmaster.pid"
            lines = pid_file.read_text().split("\n")
            pid_file.write_text("\n".join([str(other.pid), *lines[1:]]))
            again = EmbeddedDatabase(PROJECT, data_folder=folder)
            address = again.start()
            assert query(address, "select 1") == 1
            again.stop()
        finally:
            other.kill()
            other.wait()

    def test_a_folder_that_was_deleted_meanwhile_does_not_disturb_the_end(self) -> None:
        with open_folder() as fresh:
            database = EmbeddedDatabase(PROJECT, data_folder=fresh)
            database.start()
            os.kill(server_process(fresh), signal.SIGKILL)
            shutil.rmtree(fresh / "postgres-18")
            database.stop()

    def test_a_half_made_cluster_is_made_again(self) -> None:
        with open_folder() as fresh:
            left = fresh / "postgres-18/data.new"
            left.mkdir(parents=True)
            (left / "PG_VERSION").write_text("18\n")
            database = EmbeddedDatabase(PROJECT, data_folder=fresh)
            try:
                assert query(database.start(), "select 1") == 1
            finally:
                database.stop()

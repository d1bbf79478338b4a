"""A parser that waits for as long as a test wants."""

import os

from headrace.pipelines.documents.files import SCHEME, raw_address
from tests.documents.conftest import FOLDER


class Blocked:
    """An upload whose reading blocks: its file is a pipe into which nobody writes."""

    def __init__(self, document: str, *, tenant: str = "default") -> None:
        address = raw_address(tenant, "default", document, ".md")
        self._path = FOLDER / address.removeprefix(SCHEME)
        self._data = self._path.read_bytes()
        self._path.unlink()
        os.mkfifo(self._path)
        self._end: int | None = None

    def has_reader(self) -> bool:
        """Whether a parser has come, which waits from then on."""
        try:
            self._end = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        return True

    def repair(self) -> None:
        """For the next try it is a file again."""
        self._path.unlink()
        self._path.write_bytes(self._data)

    def close(self) -> None:
        if self._end is not None:
            os.close(self._end)

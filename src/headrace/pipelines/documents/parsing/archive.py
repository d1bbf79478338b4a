"""Zip archives from strangers, read strictly.

The standard library follows what an archive says of itself: it lists a million entries before the
caller can count them, and takes two entries for the same bytes. Here every number is checked
against the bytes, what is inflated is counted while it is inflated, and nothing goes to disk.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from headrace.pipelines.documents.parsing.errors import (
    DamagedFileError,
    FileLimitError,
    LockedFileError,
)
from headrace.pipelines.documents.parsing.limits import MIB, ParseLimits

_END: Final = struct.Struct("<4s4H2LH")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT: Final = 0xFFFF
_ELSEWHERE_16, _ELSEWHERE_32 = 0xFFFF, 0xFFFFFFFF  # the number is in a zip64 record
_CHUNK: Final = 64 * 1024
_ENCRYPTED: Final = 0x1
_UTF8_NAME: Final = 0x800
_STORED, _DEFLATED = 0, 8
_RATIO_FROM: Final = MIB  # bytes; smaller parts may be as regular as they like


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive, by the archive's directory."""

    name: str
    start: int
    packed_size: int
    size: int
    checksum: int
    method: int
    flags: int


def list_members(data: bytes, limits: ParseLimits) -> list[Member]:
    """The files of an archive, in the order of its directory.

    Raises:
        FileLimitError: There are more than the limit, by the archive's end or by its directory.
        DamagedFileError: The archive is cut off, or does not agree with itself.
    """
    count, start, end = _directory(data)
    if count > limits.zip_entries:
        raise _crowded(limits)
    members: list[Member] = []
    while start < end:
        if len(members) == limits.zip_entries:
            raise _crowded(limits)
        member, start = _member(data, start, end)
        members.append(member)
    if len(members) != count or start != end:
        raise DamagedFileError("the zip archive's directory does not agree with its end")
    return members


def _crowded(limits: ParseLimits) -> FileLimitError:
    return FileLimitError(f"the zip archive has more than {limits.zip_entries:,} entries")


def _directory(data: bytes) -> tuple[int, int, int]:
    """How many entries the archive's end claims, and where their directory begins and ends."""
    place = data.rfind(b"PK\5\6", max(0, len(data) - _LONGEST_COMMENT - _END.size))
    if place < 0 or place + _END.size > len(data):
        raise DamagedFileError("the end of the zip archive is missing: the file was cut off")
    _, disk, start_disk, here, count, size, start, comment = _END.unpack_from(data, place)
    if _ELSEWHERE_16 in {here, count} or _ELSEWHERE_32 in {size, start}:
        raise FileLimitError(
            "the zip archive has 65,535 entries or more, or is made for huge files (zip64)"
        )
    if disk or start_disk or here != count or place + _END.size + comment != len(data):
        raise DamagedFileError("the end of the zip archive is damaged")
    if start + size != place:
        raise DamagedFileError("the zip archive's directory is not where its end says")
    return count, start, place


def _member(data: bytes, place: int, end: int) -> tuple[Member, int]:
    """The entry of the directory at `place`, and where the next one is."""
    if place + _CENTRAL.size > end or not data.startswith(b"PK\1\2", place):
        raise DamagedFileError("the zip archive's directory is damaged")
    (_, _, _, flags, method, _, _, checksum, packed_size, size, *rest) = _CENTRAL.unpack_from(
        data, place
    )
    name_size, extra_size, comment_size, *_, start = rest
    name_start = place + _CENTRAL.size
    name = data[name_start : name_start + name_size]
    member = Member(
        name.decode("utf-8" if flags & _UTF8_NAME else "cp437", "replace"),
        start,
        packed_size,
        size,
        checksum,
        method,
        flags,
    )
    return member, name_start + name_size + extra_size + comment_size


def refuse_overlaps(data: bytes, members: list[Member]) -> None:
    """Check that every file has its own bytes and one name, before the directory.

    Raises:
        DamagedFileError: Two share bytes or a name, or one is not where the directory says.
    """
    _, end, _ = _directory(data)
    if len({member.name for member in members}) < len(members):
        raise DamagedFileError("two entries of the zip archive have the same name")
    for member in sorted(members, key=lambda member: member.start, reverse=True):
        if _content_start(data, member) + member.packed_size > end:
            raise DamagedFileError("entries of the zip archive overlap")
        end = member.start


def _content_start(data: bytes, member: Member) -> int:
    if member.start + _LOCAL.size > len(data) or not data.startswith(b"PK\3\4", member.start):
        raise DamagedFileError("an entry of the zip archive is not where its directory says")
    name_size, extra_size = _LOCAL.unpack_from(data, member.start)[-2:]
    return member.start + _LOCAL.size + int(name_size) + int(extra_size)


class Inflater:
    """Reads the files of one archive and counts all that comes out of them."""

    def __init__(self, data: bytes, limits: ParseLimits) -> None:
        self._data = memoryview(data)
        self._bytes = data
        self._limits = limits
        self._inflated = 0

    def read(self, member: Member) -> bytes:
        """The content of one file, checked against its size and its checksum.

        Raises:
            FileLimitError: More comes out than the limits allow; read up to there only.
            LockedFileError: It is encrypted.
            DamagedFileError: It is not what the directory says.
        """
        if member.flags & _ENCRYPTED:
            raise LockedFileError("the file is protected by a password; save it without one")
        if member.method not in {_STORED, _DEFLATED}:
            raise DamagedFileError(f"{member.name[:100]} is compressed in an unknown way")
        content = bytearray()
        for chunk in self._chunks(member):
            self._inflated += len(chunk)
            content += chunk
            self._refuse_bomb(member, len(content))
        if len(content) != member.size or zlib.crc32(content) != member.checksum:
            raise DamagedFileError(f"{member.name[:100]} is damaged: its checksum is wrong")
        return bytes(content)

    def _chunks(self, member: Member) -> Iterator[bytes]:
        start = _content_start(self._bytes, member)
        packed = self._data[start : start + member.packed_size]
        if member.method == _STORED:
            yield bytes(packed)
            return
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for place in range(0, len(packed), _CHUNK):
                chunk: bytes = inflater.decompress(packed[place : place + _CHUNK], _CHUNK)
                yield chunk
                while inflater.unconsumed_tail and not inflater.eof:
                    yield inflater.decompress(inflater.unconsumed_tail, _CHUNK)
            yield inflater.flush(_CHUNK)
        except zlib.error as error:
            raise DamagedFileError(f"{member.name[:100]} is damaged: {error}") from error
        if not inflater.eof:
            raise DamagedFileError(f"{member.name[:100]} is cut off")

    def _refuse_bomb(self, member: Member, inflated: int) -> None:
        if self._inflated > self._limits.zip_bytes:
            raise FileLimitError(
                f"more than {self._limits.zip_bytes // MIB:,} MiB of text come out of the file"
            )
        if inflated > max(_RATIO_FROM, self._limits.zip_ratio * member.packed_size):
            raise FileLimitError(
                f"one byte of {member.name[:100]} becomes more than {self._limits.zip_ratio} bytes:"
                " no real document is like that"
            )

"""Why a file is not read. Each message is safe to show, and says what can be done."""

from headrace import UserError


class UnsupportedFileError(UserError):
    """The file is empty, or of a kind that is not accepted."""


class DamagedFileError(UserError):
    """The file is of an accepted kind, but broken, cut off or not what it says it is."""


class LockedFileError(UserError):
    """The file can only be read with a password."""


class NoTextError(UserError):
    """The file can be read, but there is no text in it."""


class FileLimitError(UserError):
    """The file, or what is in it, is larger than the limits allow."""

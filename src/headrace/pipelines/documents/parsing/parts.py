"""The XML in office documents, checked before anything else reads it."""

from typing import Final
from xml.parsers import expat

from headrace import PermanentError
from headrace.pipelines.documents.parsing.errors import DamagedFileError, FileLimitError
from headrace.pipelines.documents.parsing.limits import ParseLimits

SAFE_EXPAT: Final = (2, 4, 1)
"""From here on expat itself stops entities that multiply; here they are refused before."""


def check_xml(name: str, data: bytes, limits: ParseLimits) -> None:
    """Check that a part is XML, with neither a document type nor too many elements.

    Only a document type can declare entities: without one nothing multiplies or is fetched.

    Raises:
        DamagedFileError: It is not well-formed, or declares a document type.
        FileLimitError: Too many elements and attributes, or too deep.
        PermanentError: The expat of this Python is too old to be trusted with it.
    """
    if expat.version_info < SAFE_EXPAT:
        raise PermanentError(f"{expat.EXPAT_VERSION} is not safe; 2.4.1 or later is needed")
    counts = _Counts(name, limits)
    parser = expat.ParserCreate()
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = counts.start
    parser.EndElementHandler = counts.end
    parser.StartDoctypeDeclHandler = counts.refuse
    try:
        parser.Parse(data, True)  # noqa: FBT003 - takes no keyword: the last piece
    except (expat.ExpatError, ValueError, LookupError) as error:  # the others: of its encoding
        raise DamagedFileError(
            f"{name[:100]} in the file is not well-formed XML: {error}"
        ) from error


class _Counts:
    def __init__(self, name: str, limits: ParseLimits) -> None:
        self._name, self._limits = name[:100], limits
        self._nodes = self._depth = 0

    def start(self, _name: str, attributes: list[str]) -> None:
        self._nodes += 1 + len(attributes) // 2
        self._depth += 1
        if self._nodes > self._limits.xml_nodes:
            raise FileLimitError(
                f"{self._name} in the file has more than {self._limits.xml_nodes:,} elements;"
                " split the document"
            )
        if self._depth > self._limits.xml_depth:
            raise FileLimitError(f"the elements of {self._name} in the file are nested too deeply")

    def end(self, _name: str) -> None:
        self._depth -= 1

    def refuse(self, *_: object) -> None:
        raise DamagedFileError(
            f"{self._name} in the file declares a document type, which no word processor writes"
        )

"""DOCX to Markdown: mammoth makes HTML of it.

Mammoth never sees the file. It gets a new archive with the XML parts only, each of them checked:
no pictures, no embedded files, no macros, nothing that the check has not read in full.
"""

import io
import re
import zipfile
from typing import Final

import mammoth

from headrace.pipelines.documents.parsing.archive import Inflater, list_members, refuse_overlaps
from headrace.pipelines.documents.parsing.errors import DamagedFileError, FileLimitError
from headrace.pipelines.documents.parsing.html import to_markdown
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.parts import check_xml
from headrace.pipelines.documents.parsing.result import Parsed

_XML_PART: Final = re.compile(r"(?!/)(?!.*(?:\\|\.\./|:)).*\.(?:xml|rels)", re.DOTALL)


def read(data: bytes, limits: ParseLimits) -> Parsed:
    """A Word document: headings, paragraphs, lists, tables and notes, without its pictures.

    Raises:
        UserError: It is damaged, locked, empty, over a limit or made to harm.
    """
    page = _to_html(_checked_copy(data, limits))
    return Parsed(to_markdown(page, limits))


def _checked_copy(data: bytes, limits: ParseLimits) -> io.BytesIO:
    members = list_members(data, limits)
    refuse_overlaps(data, members)
    inflater = Inflater(data, limits)
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as archive:
        for member in members:
            if _XML_PART.fullmatch(member.name):
                part = inflater.read(member)
                check_xml(member.name, part, limits)
                archive.writestr(zipfile.ZipInfo(member.name), part)
    copy.seek(0)
    return copy


def _to_html(copy: io.BytesIO) -> str:
    try:
        result = mammoth.convert_to_html(
            copy,
            convert_image=_drop_image,
            external_file_access=False,
            include_embedded_style_map=False,
            style_map="p[style-name='Title'] => h1:fresh",
        )
    except MemoryError:
        raise
    except RecursionError as error:
        raise FileLimitError("the elements of the document are nested too deeply") from error
    except Exception as error:  # whatever its look-ups raise on XML that is no document
        raise DamagedFileError(
            "the file is not a whole Word document; open it in a word processor and save it again"
        ) from error
    return str(result.value)


def _drop_image(_image: object) -> list[object]:
    return []

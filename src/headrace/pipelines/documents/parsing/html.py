"""HTML to Markdown, by html-to-markdown."""

import html as entities
import re
from itertools import islice
from typing import Any, Final, cast

from html_to_markdown import ConversionOptions, NodeContext, PreprocessingOptions, convert
from html_to_markdown.options import WarningKind

from headrace.pipelines.documents.parsing.errors import DamagedFileError, FileLimitError
from headrace.pipelines.documents.parsing.limits import ParseLimits
from headrace.pipelines.documents.parsing.result import Parsed, checked
from headrace.pipelines.documents.parsing.text import decode

# What is on the page but not its text. Sphinx marks its menus by role and its links by class.
_LEFT_OUT: Final = [
    *("nav", "footer", "script", "style", "template", "noscript", "svg", "math annotation"),
    *("iframe", "object", "embed", "audio", "video", "canvas", "button", "select", "a.headerlink"),
    *('[role="navigation"]', '[role="contentinfo"]', '[role="search"]', '[aria-hidden="true"]'),
]
_PARTS: Final = {"main", "article", "section", "div", "p", "address", "table"}
_FOOTER: Final = "footer"  # the class or the id of such a part
_PARAGRAPHS: Final = {"p", "div"}
_CELLS: Final = {"td", "th"}
_OPTIONS: Final = ConversionOptions(
    compact_tables=True,
    extract_metadata=False,  # it would stand before the text as YAML
    newline_style="backslash",  # two spaces at a line's end would be stripped
    preprocessing=PreprocessingOptions(enabled=False),  # _LEFT_OUT says it all, in any version
    exclude_selectors=_LEFT_OUT,
)
_PARTIAL: Final = {str(WarningKind.depth_limit_exceeded), str(WarningKind.truncated_input)}
_ELEMENT: Final = re.compile("<[a-zA-Z]")
_TITLE: Final = re.compile(r"<title(?:\s[^<>]*)?>([^<]*)", re.IGNORECASE)
_HEAD_END: Final = re.compile(r"<(?:body|svg)\b", re.IGNORECASE)  # pictures have titles, too
# Set around what is marked as the main part. No page holds them: with control characters it is
# taken for binary data. They are never in a result either, for the same reason.
_MAIN: Final = "\2", "\3"
_KEPT_LINKS: Final = ("http://", "https://", "mailto:")
_LONGEST_LINK: Final = 2_000  # characters; longer ones carry data, not an address


def read(data: bytes, limits: ParseLimits) -> Parsed:
    """An HTML page; its title is the first heading where it has none of the first level.

    Where one part of the page is marked as the main one, its text is that part's.

    Raises:
        UserError: It is no text, there is none, it is too long or nested too deeply.
    """
    page = decode(data, page=True)
    head_end = _HEAD_END.search(page)
    found = _TITLE.search(page, 0, head_end.start() if head_end else len(page))
    title = " ".join(entities.unescape(found[1]).split()) if found else ""
    return Parsed(to_markdown(page, limits, title=title))


def to_markdown(page: str, limits: ParseLimits, *, title: str = "") -> str:
    """The normalised Markdown of an HTML text.

    Raises:
        UserError: There is no text in it, it is too long, nested too deeply or all markup.
    """
    if next(islice(_ELEMENT.finditer(page), limits.html_elements, None), None):
        raise FileLimitError(f"the page has more than {limits.html_elements:,} elements; split it")
    seen = _Elements()
    try:
        result = convert(page, _OPTIONS, visitor=cast("Any", seen))
    except MemoryError:
        raise
    except Exception as error:  # its errors share no public root, and a page is never its bug
        raise DamagedFileError("the HTML cannot be converted") from error
    if any(str(warning.kind) in _PARTIAL for warning in result.warnings):
        raise FileLimitError("the elements of the page are nested too deeply")
    main = _main_part(result.content or "")
    text = checked(result.content or "" if main is None else main, limits)
    heading = seen.heading if main is None else seen.main_heading
    title = title or seen.heading
    return checked(f"# {title}\n\n{text}", limits) if title and not heading else text


def _main_part(text: str) -> str | None:
    """What stands between the marks; None where there are none, or several."""
    parts = re.split("[{}{}]".format(*_MAIN), text)
    return parts[1] if len(parts) == 3 else None  # noqa: PLR2004 - before, between, behind


class _Elements:
    """What the converter asks about on its way.

    Attributes:
        heading: The first heading of the first level that has a text.
        main_heading: The same within the main part.
    """

    def __init__(self) -> None:
        self.heading = self.main_heading = ""
        self._mains = 0  # open at present

    def visit_element_start(self, element: NodeContext) -> str:
        """Take note of the main part; pass over what is called a footer outside of it."""
        if element.tag_name not in _PARTS:
            return "continue"
        attributes = element.attributes()
        self._mains += _is_main(element.tag_name, attributes)
        names = {attributes.get("id"), *attributes.get("class", "").split()}
        return "skip" if _FOOTER in names and not self._mains else "continue"

    def visit_element_end(self, element: NodeContext, output: str) -> str | dict[str, str]:
        """Mark the main part; end a line after each paragraph of a cell.

        A table that has cells for its layout only becomes a list, which keeps these ends.
        """
        tag = element.tag_name
        if tag in _PARAGRAPHS and element.parent_tag in _CELLS:
            return {"custom": f"{output}\n"}
        if tag not in _PARTS or not _is_main(tag, element.attributes()):
            return "continue"
        self._mains -= 1
        text = output.strip()
        if self._mains or not text:
            return "continue"
        return {"custom": output.replace(text, text.join(_MAIN), 1)}

    def visit_heading(self, _ctx: object, level: int, text: str, _id: str) -> str:
        """Take note of a heading of the first level."""
        if level == 1:
            self.heading = self.heading or text.strip()
            if self._mains:
                self.main_heading = self.main_heading or text.strip()
        return "continue"

    def visit_link(
        self, _ctx: object, address: str, text: str, _title: str
    ) -> str | dict[str, str]:
        """Keep an address that means something outside of this page; else only its text."""
        kept = address.startswith(_KEPT_LINKS) and len(address) <= _LONGEST_LINK
        return "continue" if kept else {"custom": text}

    def visit_image(
        self, _ctx: object, _source: str, description: str, _title: str
    ) -> dict[str, str]:
        """Keep what is said of a picture, not the picture."""
        return {"custom": description}


def _is_main(tag: str, attributes: dict[str, str]) -> bool:
    return tag == "main" or "main" in attributes.get("role", "").lower().split()

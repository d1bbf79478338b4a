"""HTML pages."""

import socket
import time

import pytest

from headrace.pipelines.documents.parsing import (
    FileLimitError,
    NoTextError,
    UnsupportedFileError,
)
from tests.documents.reading import read, refused


def markdown(body: str, head: str = "") -> str:
    return read(
        f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>".encode()
    ).markdown


class TestText:
    def test_headings_lists_code_and_tables_stay_what_they_are(self):
        body = (
            "<h1>Title</h1><p>Some <b>bold</b> text.</p><ul><li>one</li><li>two</li></ul>"
            "<pre><code>a = 1\n  b</code></pre>"
            "<table><tr><th>Name</th><th>Age</th></tr><tr><td>Ada</td><td>36</td></tr></table>"
        )
        assert markdown(body) == (
            "# Title\n\nSome **bold** text.\n\n- one\n- two\n\n```\na = 1\n  b\n```\n\n"
            "| Name | Age |\n| --- | --- |\n| Ada | 36 |"
        )

    @pytest.mark.parametrize(
        "element",
        [
            "<nav>menu</nav>",
            "<footer>menu</footer>",
            "<script>menu()</script>",
            "<style>menu {}</style>",
            "<template>menu</template>",
            "<noscript>menu</noscript>",
            "<svg><text>menu</text></svg>",
            '<iframe src="http://menu.example">menu</iframe>',
            '<object data="menu"></object>',
            "<button>menu</button>",
            "<select><option>menu</select>",
            '<div role="navigation">menu</div>',
            '<div role="contentinfo">menu</div>',
            '<form role="search">menu</form>',
            '<div class="wide footer">menu</div>',
            '<p id="footer">menu</p>',
            '<div aria-hidden="true">menu</div>',
            "<p hidden>menu</p>",
            '<p style="display:none">menu</p>',
            "<!-- menu -->",
            '<a class="headerlink" href="#menu">menu</a>',
        ],
    )
    def test_what_is_around_the_text_is_dropped(self, element: str):
        assert markdown(f"<h1>A</h1><p>Before.</p>{element}<p>After.</p>") == (
            "# A\n\nBefore.\n\nAfter."
        )

    def test_headers_and_forms_are_text(self):
        """Some sites put the title into the one, or the whole page into the other."""
        body = "<header><h2>A</h2></header><form><p>Text.</p></form>"
        assert markdown(body) == "## A\n\nText."

    def test_a_line_break_survives_the_stripping_of_lines(self):
        assert markdown("<p>one<br>two</p>") == "one\\\ntwo"


class TestMainPart:
    """What a page says of itself is believed where it is clear."""

    @pytest.mark.parametrize(
        "main",
        [
            "<main>{}</main>",
            '<div class="body" role="main">{}</div>',
            '<main><div role="main">{}</div></main>',
            '<main hidden>Other.</main><section role="Main">{}</section>',
            "<main>{}</main><main> </main>",
        ],
    )
    def test_where_there_is_one_it_is_all_that_counts(self, main: str):
        text = "<h1>A</h1><p>Text.</p><div class=footer>Card.</div><ul><li>one<li>two</ul>"
        body = f"<div>menu<p>more menu</div>{main.format(text)}<p>the end</p>"
        assert markdown(body) == "# A\n\nText.\n\nCard.\n\n- one\n- two"

    @pytest.mark.parametrize(
        "body",
        [
            "<p>One.<main><img src=a></main><p>Two.",
            "<main><p>One.</main><p>Two.<div role=main>Three.</div>",
        ],
    )
    def test_without_text_or_beside_another_one_nothing_is_left_out(self, body: str):
        assert markdown(body).startswith("One.\n\nTwo.")

    def test_its_title_may_stand_outside_of_it(self):
        body = "<header><h1>Site</h1></header><main><h2>Part</h2><p>Text.</main>"
        assert markdown(body) == "# Site\n\n## Part\n\nText."
        assert markdown(body, "<title>Title</title>") == "# Title\n\n## Part\n\nText."


class TestLayoutTables:
    CELL = "<p><a href=a>{}</a><br>about it</p><p><a href=b>{}</a></p>"

    def test_paragraphs_of_a_cell_stay_apart(self):
        rows = f"<td>{self.CELL.format('one', 'two')}</td></tr><tr><td><a href=c>three</a></td>"
        assert markdown(f"<table><tr>{rows}</tr></table>") == "- one about it\ntwo\n- three"

    def test_rows_of_others_stay_whole(self):
        rows = "<tr><th>a<th>b</tr><tr><td><p>1</p><p>2</p></td><td><div>3</div>4</td></tr>"
        assert markdown(f"<table>{rows}</table>") == "| a | b |\n| --- | --- |\n| 1 2 | 3 4 |"


class TestTitle:
    def test_it_is_the_first_heading_where_there_is_none(self):
        head = "<meta charset=utf-8><TITLE lang=en>\n The &lt;title&gt;  of it </TITLE>"
        assert markdown("<h2>Part</h2><p>Text.", head) == "# The <title> of it\n\n## Part\n\nText."

    def test_it_is_left_out_where_there_is_one(self):
        assert markdown("<p>Text.<h1>Other</h1>", "<title>Title</title>") == "Text.\n\n# Other"

    def test_a_comment_in_code_is_no_heading(self):
        body = "<pre><code># comment</code></pre>"
        assert markdown(body, "<title>Title</title>").startswith("# Title\n\n")

    def test_an_empty_or_hidden_heading_is_none(self):
        body = "<h1><img src=logo.png></h1><nav><h1>Site</h1></nav><p>Text."
        assert markdown(body, "<title>Title</title>").startswith("# Title\n\n")

    @pytest.mark.parametrize("body", ["<body>", ""])
    def test_the_title_of_a_picture_is_not_that_of_the_page(self, body: str):
        page = f"<html>{body}<p>Text.<svg><title>Icon</title></svg>"
        assert read(page.encode()).markdown == "Text."

    def test_a_title_alone_is_no_text(self):
        with pytest.raises(NoTextError):
            markdown("", "<title>Title</title>")


class TestAddresses:
    def test_links_that_lead_somewhere_keep_their_address(self):
        body = '<a href="https://example.org/x">one</a> <a href="mailto:a@b.org">two</a>'
        assert markdown(body) == "[one](https://example.org/x) [two](mailto:a@b.org)"

    def test_an_address_that_is_its_own_text_is_there_once(self):
        body = '<a href="https://example.org/">https://example.org/</a>'
        assert markdown(body) == "<https://example.org/>"

    @pytest.mark.parametrize(
        "address",
        [
            "other.html",
            "#part",
            "javascript:alert(1)",
            "data:text/html;base64,AAAA",
            "file:///etc/passwd",
            "https://example.org/?" + "x" * 5_000,
        ],
    )
    def test_of_others_only_the_text_is_kept(self, address: str):
        assert markdown(f'<p>See <a href="{address}"><b>there</b></a>.') == "See **there**."

    @pytest.mark.parametrize("source", ["a.png", "data:image/png;base64," + "A" * 5_000])
    def test_of_pictures_the_description_is_kept_at_most(self, source: str):
        assert "AAAA" not in markdown(f'<p>See <img src="{source}" alt="a cat">.')
        assert "AAAA" not in markdown(f'<a href="http://b.org/">x<img src="{source}"></a>')
        assert ".png" not in markdown(f'<p>See <img src="{source}" alt="a cat">.')

    def test_huge_attributes_are_dropped(self):
        body = f'<p title="{"x" * 100_000}" style="{"y" * 100_000}">Text.</p>'
        assert markdown(body) == "Text."

    def test_nothing_is_fetched(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0)
            address = f"http://127.0.0.1:{server.getsockname()[1]}/"
            markdown(
                f'<base href="{address}"><link rel=stylesheet href="{address}">Text.'
                f'<img src="{address}"><script src="{address}"></script><iframe src="{address}">'
            )
            with pytest.raises(BlockingIOError):
                server.accept()


class TestEncodings:
    @pytest.mark.parametrize(
        ("declaration", "encoding"),
        [
            ('<meta charset="windows-1251">', "cp1251"),
            ("<meta charset=KOI8-R>", "koi8-r"),
            (
                '<META http-equiv="Content-Type" content="text/html; charset=iso-8859-5">',
                "iso8859-5",
            ),
            ('<meta charset="shift_jis">', "shift_jis"),
            ('<meta charset="windows-1251">', "utf-8"),
            ('<meta charset="latin1">', "utf-8"),
        ],
    )
    def test_the_declared_one_counts_where_it_is_not_utf_8(self, declaration: str, encoding: str):
        data = f"<html><head>{declaration}</head><p>Привет, мир".encode(encoding)
        assert read(data).markdown == "Привет, мир"

    @pytest.mark.parametrize(
        "name",
        ["latin1", "iso-8859-1", "ascii", "utf-8", "utf-7", "rot13", "hex", "nothing", "idna"],
    )
    def test_any_other_is_windows_1252(self, name: str):
        data = f'<html><head><meta charset="{name}"></head><p>5 €, naïve'.encode("cp1252")
        assert read(data).markdown == "5 €, naïve"

    def test_a_page_with_a_byte_order_mark(self):
        assert read("\ufeff<html><p>Grüße".encode("utf-16-le")).markdown == "Grüße"


class TestHostile:
    def test_elements_that_are_nested_too_deeply(self):
        """The converter leaves out what is deeper, and that would be a part of the page only."""
        refused(b"<div>" * 20_000 + b"Text.", FileLimitError, "nested too deeply")

    def test_a_hundred_levels_are_none_too_many(self):
        assert read(b"<div>" * 100 + b"<p>Text.").markdown == "Text."

    @pytest.mark.parametrize(
        "before",
        ["<!DOCTYPE html [<!ENTITY a 'ha'>]>", '<!DOCTYPE html SYSTEM "file:///etc/passwd">'],
    )
    def test_a_document_type_with_entities_means_nothing(self, before: str):
        text = read(f"{before}<html><p>x &a; y".encode()).markdown
        assert text.endswith("x &a; y")
        assert "root:" not in text

    def test_xml_is_no_page(self):
        refused(
            b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "x">]><l>&a;</l>',
            UnsupportedFileError,
            "an XML file",
        )

    def test_a_table_that_claims_a_billion_columns_is_small(self):
        page = b"<table><tr><td colspan=1000000000 rowspan=1000000000>x</td></tr></table><p>Text."
        assert len(read(page).markdown) < 10_000

    def test_many_titles_that_never_end_take_no_time(self):
        start = time.process_time()
        read(b"<html><p>Text." + b"<title " * 100_000)
        assert time.process_time() - start < 1

    def test_more_elements_than_the_limit(self):
        data = b"<html>" + b"<p>x</p> < 5 " * 99
        assert read(data, html_elements=100).markdown
        refused(data, FileLimitError, "more than 99 elements; split it", html_elements=99)

    def test_a_page_of_markup_only_has_no_text(self):
        refused(b"<html><body><div><p></p></div>", NoTextError, "there is no text in the file")

    def test_more_characters_than_the_limit(self):
        refused(b"<p>" + b"x" * 200, FileLimitError, "more than 150 characters", characters=150)

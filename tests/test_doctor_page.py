"""The page of what the dashboard sees of its own set-up."""

from __future__ import annotations

from html.parser import HTMLParser

from mod_wsgi_dashboard.apacheconf.findings import error, note, warning
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.doctor_page import STYLE, STYLE_NAME, page


class Reader(HTMLParser):
    """Collects elements, attributes and text, and fails on what doesn't nest."""

    VOID = frozenset({"meta", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert [] == reader.open
    return reader


HOSTILE = '</pre><script>alert("1")</script>&amp;\x1b[31m\ud800'
FOUND = [
    error("server-metrics", HOSTILE, HOSTILE, fix=HOSTILE),
    warning("threads-zero", "Two {of} them.", "a", "b", fix="line one\nline two"),
    note("prefork", "A note."),
]


def test_the_page_shows_all_of_a_finding() -> None:
    """Each finding has its severity in words, what, evidence, why, fix and a link to the page."""
    reader = read(page(FOUND))
    text = "".join(reader.text)
    for finding in FOUND[1:]:
        rule = RULES[finding.check]
        for part in (finding.what, *finding.evidence, rule.why, finding.fix or rule.fix, rule.docs):
            assert part in text
        assert ("a", {"href": rule.docs}) in reader.elements
    assert "1 error, 1 warning, 1 note." in text
    assert [word for word in ("Error:", "Warning:", "Note:") if word not in text] == []
    assert [1, 3] == [sum(tag == name for tag, _ in reader.elements) for name in ("h1", "h2")]


def test_nothing_on_the_page_is_markup_of_others() -> None:
    """Text is escaped, what can't be shown is replaced, and no script or style is in the page."""
    text = page(FOUND)
    reader = read(text)
    assert {"script", "style"}.isdisjoint(tag for tag, _ in reader.elements)
    assert all(
        not name.startswith("on") and name != "style"
        for _, attributes in reader.elements
        for name in attributes
    )
    assert '</pre><script>alert("1")</script>&amp;\ufffd[31m\ufffd' in "".join(reader.text)
    assert text.encode("utf-8")


def test_a_clean_page_is_one_line() -> None:
    """With nothing found the page says so, and what was looked at; notes are not wrong."""
    clean = "".join(read(page([])).text)
    assert "Nothing wrong was found. Looked at: " in clean
    assert "Nothing wrong was found. 1 note. Looked at: " in "".join(read(page(FOUND[2:])).text)
    assert "Nothing wrong" not in "".join(read(page(FOUND)).text)
    assert [] == [tag for tag, _ in read(page([])).elements if tag == "article"]


def test_the_style_is_a_file_beside_the_page() -> None:
    """The page's style is its neighbour, in light and dark, and asks for nothing from elsewhere."""
    reader = read(page([]))
    assert ("link", {"rel": "stylesheet", "href": STYLE_NAME}) in reader.elements
    assert "/" not in STYLE_NAME
    assert "prefers-color-scheme: dark" in STYLE
    assert "url(" not in STYLE
    assert "@import" not in STYLE

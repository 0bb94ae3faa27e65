"""The language of the filter box."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core.filters import KEYS, parse, quote
from mod_wsgi_dashboard.core.requests import LETTERS, Request
from tests.held import AT, request

texts = st.text(
    st.sampled_from(' \t\n\xa0"\\=:,.-*/<>aAsS01\xdf\u03a3\u03c2\u0130\U0001f600'), max_size=12
)
requests = st.builds(
    request,
    status=st.sampled_from(LETTERS),
    started_at=st.sampled_from([None, AT - 0.5, AT - 5.0, AT - 4000.0]),
    client=st.sampled_from(["", "192.0.2.7"]) | texts,
    vhost=texts,
    request=st.sampled_from(["", "GET /report/17 HTTP/1.1"]) | texts,
)
AGES = ["age>5s", "age<=90", "age>=1h"]
terms = st.one_of(
    st.sampled_from(["vhost:www", 'vhost:=""', "path:/report/*", "state:w,st", "is:slow", *AGES]),
    texts.filter(bool).map(lambda text: f"vhost:{quote(text)}"),
    texts.map(lambda text: f"client:={quote(text)}"),
)


def shows(text: str, **changes: Any) -> bool:
    return parse(text).matches(request(**changes), AT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("REPORT/17", True),
        ("report nothing", False),
        ("-nothing", True),
        ('"17?q=*** http"', False),
        ('"page=*** http"', True),
        ("1.1www", False),
        ("vhost:EXAMPLE", True),
        ("vhost:=www.example.com", False),
        ("client:192.0.2", True),
        ("client:=192.0.2", False),
        ("path:page=", True),
        ("path:HTTP", False),
        ("path:/report/*", True),
        ("path:/rep*", False),
        ('path:"GET /report/*"', True),
        ("path:=/report/*", False),
        ("method:get", True),
        ("method:GE", False),
        ("pid:4711", True),
        ("pid:47", False),
        ("slot:3.", True),
        ("slot:3.1", False),
        ("is:slow", True),
        ("-is:draining", True),
        ("http://x", False),
        ("[::1]:80", False),
        ("Vhost:www", False),
        ("method:GET client:192 -vhost:static age>5s", True),
    ],
)
def test_a_term_matches_or_not(text: str, expected: bool) -> None:
    """A filter that can be understood shows what all of its terms hold for."""
    parsed = parse(text)
    assert (False, ()) == (parsed.empty, parsed.errors)
    assert expected == shows(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("foo:bar", "key"),
        ('-foo:"a b"', "key"),
        ("state:x", "state"),
        ("state:s,cl", "state"),
        ("state:w,,k", "state"),
        ("age>x", "age"),
        ("age>1.2.3", "age"),
        ("age>.", "age"),
        ("age>\u0665", "age"),
        ("age:5", "age"),
        ("is:idle", "is"),
    ],
)
def test_a_bad_term_is_reported_and_hides_nothing(text: str, kind: str) -> None:
    """What cannot be understood is told as it stands, and the rest of the filter holds."""
    for whole, empty in ((text, True), (f"report {text}  17", False)):
        parsed = parse(whole)
        assert [(kind, text)] == [(error.kind, error.text) for error in parsed.errors]
        assert empty == parsed.empty
        assert parsed.matches(request(), AT)


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", '"', '""', '-""', "age>", "-age<=", 'vhost:""', *(f"-{key}:" for key in KEYS)],
)
def test_a_term_that_is_not_finished_is_none(text: str) -> None:
    """While somebody types, nothing is wrong and nothing hidden."""
    parsed = parse(text)
    assert (True, ()) == (parsed.empty, parsed.errors)
    assert shows(text)


@pytest.mark.parametrize(
    ("value", "letters"),
    [
        ("W", "W"),
        ("w", "W"),
        (".", "."),
        ("wai", "_"),
        ("se", "W"),
        ("c", "C"),
        ("i", "I"),
        ("w,K,lo", "WKL"),
    ],
)
def test_states_have_letters_and_names(value: str, letters: str) -> None:
    """A state is told by its letter, its name, or the beginning of it."""
    shown = [letter for letter in LETTERS if shows(f"state:{value}", status=letter)]
    hidden = [letter for letter in LETTERS if shows(f"-state:{value}", status=letter)]
    assert sorted(letters) == sorted(shown)
    assert sorted(LETTERS) == sorted(shown + hidden)


@pytest.mark.parametrize(
    ("text", "seconds", "expected"),
    [
        ("age>5s", 5.0, False),
        ("age>=5s", 5.0, True),
        ("age<5", 4.5, True),
        ("age>500ms", 0.75, True),
        ("age<2m", 120.0, False),
        ("age>1.5h", 5399.0, False),
        ("age>1.h", 3601.0, True),
        ("age>.5", 0.75, True),
        ("age>1d", 86_401.0, True),
        ("-age>5", 5.0, True),
    ],
)
def test_ages_have_units(text: str, seconds: float, expected: bool) -> None:
    """An age is in seconds, unless it has another unit."""
    assert expected == shows(text, started_at=AT - seconds)


@pytest.mark.parametrize("text", [*AGES, *(f"-{term}" for term in AGES), "is:slow"])
def test_an_unknown_age_is_none(text: str) -> None:
    """Neither a term on the age nor its negation holds where no age is known."""
    assert not shows(text, started_at=None)


@given(texts, texts)
def test_what_is_quoted_is_read_back(text: str, other: str) -> None:
    """A quoted value means this very text and no other, whatever comes before it."""
    found = parse(f"client:={quote(other)} vhost:={quote(text)}")
    assert (False, ()) == (found.empty, found.errors)
    assert found.matches(request(client=other, vhost=text), AT)
    assert (text == other) == found.matches(request(client=other, vhost=other), AT)


@given(terms, requests)
def test_a_term_and_its_negation_share_the_requests_out(term: str, row: Request) -> None:
    """Of a term and its negation one holds, unless an age is not known."""
    both = [parse(text).matches(row, AT) for text in (term, f"-{term}")]
    unknown = term in AGES and row.started_at is None
    assert (0 if unknown else 1) == sum(both)


@given(st.lists(terms), terms, requests)
def test_another_term_never_adds_a_row(some: list[str], term: str, row: Request) -> None:
    """More terms show less."""
    if parse(" ".join([*some, term])).matches(row, AT):
        assert parse(" ".join(some)).matches(row, AT)


@given(st.text(), requests)
def test_any_text_is_a_filter(text: str, row: Request) -> None:
    """Every text can be read, and one with nothing but errors hides nothing."""
    parsed = parse(text)
    assert parsed.matches(row, AT) or not parsed.empty
    assert all(error.text in text for error in parsed.errors)

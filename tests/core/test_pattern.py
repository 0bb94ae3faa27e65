"""The kind of a request line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.core.pattern import KEPT, pattern, target

pieces = st.sampled_from(
    [
        *' /?#:;*=&%.-~"\\<\xe9aZ07',
        "//",
        "12",
        "***",
        "http://",
        " HTTP/1.1",
        "GET ",
        "deadbeef1",
        "\U0001f600",
    ]
)
lines = st.lists(pieces, max_size=40).map("".join) | st.text()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET / HTTP/1.1", "GET /"),
        ("GET /report/17?q=*** HTTP/1.1", "GET /report/*"),
        ("GET /report/17", "GET /report/*"),
        ("GET HTTPS://host:8443/abs/5?a=*** HTTP/1.1", "GET /abs/*"),
        ("GET http://host?a=/b HTTP/1.1", "GET /"),
        ("GET /v12/app.123.js HTTP/1.1", "GET /v*/app.*.js"),
        ("GET /deadbee1/deadbeef/AbCdEfGhIjKlMnOpQrS1 HTTP/1.1", "GET /*/deadbeef/*"),
        ("GET /a/x*** HTTP/1.1", "GET /a/*"),
        ("GET /\u0661\u0662 HTTP/1.1", "GET /\u0661\u0662"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1"),
        ("garbage", "garbage"),
        ("", ""),
    ],
)
def test_a_line_becomes_its_method_and_path(line: str, expected: str) -> None:
    """What differs from one request to the next is a star; a line without a path stays."""
    assert expected == pattern(line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("GET /a/" + "x" * (KEPT - 8), "GET /a/" + "x" * (KEPT - 8)),
        ("GET /a/" + "x" * (KEPT - 7), "GET /a/*"),
        ("GET /a/" + "x" * (KEPT - 9) + "\U0001f600", "GET /a/*"),
        ("GET /a/***/b", "GET /a/*/*"),
        ("GET /a/" + "x" * KEPT + " HTTP/1.1", "GET /a/" + "x" * KEPT),
    ],
)
def test_the_end_of_a_cut_line_is_a_star(line: str, expected: str) -> None:
    """A line that may have been cut within its last segment does not tell that segment."""
    assert expected == pattern(line)


@given(lines)
def test_a_kind_is_its_own_kind(line: str) -> None:
    """Of a line with a path, the kind has the same kind once it has a protocol, and no query."""
    kind = pattern(line)
    if target(line):
        assert kind == pattern(f"{kind} HTTP/1.1")
    else:
        assert kind in (line, f"{line.partition(' ')[0]} /", f"{line.partition(' ')[0]} /*")


@given(st.sampled_from(["/a/1", "/a?b=***", "/"]), st.sampled_from(["", "http://h:80"]))
def test_the_target_has_no_host(path: str, host: str) -> None:
    """A target is the path with its query, of an absolute URL, too."""
    assert path == target(f"GET {host}{path} HTTP/1.1")
    assert "" == target(f"GET{path}")

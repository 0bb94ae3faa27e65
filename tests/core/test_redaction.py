"""Redaction of scoreboard strings: tables of known shapes, and properties over hostile ones."""

import gzip
import json
import string
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mod_wsgi_dashboard import traffic
from mod_wsgi_dashboard.core import redaction
from mod_wsgi_dashboard.core.redaction import MASK, MAX_INPUT, MAX_ORDINARY, MAX_TEXT, Redactor

APACHE_REQUEST = 63
DATA = Path(__file__).parents[1] / "data"
HEX = "3f2a9c1d4e5b60718293a4b5c6d7e8f9"
UUID = "123e4567-e89b-12d3-a456-426614174000"
BASE64 = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MTIz"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJlCg"
SLUG = "the-quick-brown-fox-jumps-over-the-lazy-dog"


def target(text: str, expected: str, name: str) -> Any:
    """A row: the target of a whole GET line, and how it must come out."""
    return pytest.param(f"GET {text} HTTP/1.1", f"GET {expected} HTTP/1.1", id=name)


def line(text: str, expected: str, name: str) -> Any:
    """A row: any line, whole, cut or garbage, and how it must come out."""
    return pytest.param(text, expected, id=name)


def kept(text: str, name: str) -> Any:
    """A row: a line that must come out as it came in."""
    return pytest.param(text, text, id=name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        kept("", "empty"),
        kept("GET / HTTP/1.1", "root"),
        kept("OPTIONS * HTTP/1.0", "asterisk form"),
        kept("GET /api/items/87 HTTP/1.1", "path"),
        kept("GET /caf%C3%A9 HTTP/1.1", "encoded letters"),
        kept("GET /%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82/%D0%BC%D0%B8%D1%80", "other script, cut"),
        kept('FOO"bar /x HTTP/1.1', "hostile method"),
        kept("GET /<script>alert(1)</script> HTTP/1.1", "markup is the view's affair"),
        kept("GET http://example.com:8080/a HTTP/1.1", "absolute form"),
        kept("GET http://[2001:db8::1]:8080/a HTTP/1.1", "absolute form, IPv6"),
        kept("CONNECT example.com:443 HTTP/1.1", "authority form"),
        kept("CONNECT example.com:44", "authority form, cut in the port"),
        kept("GET /@user/posts HTTP/1.1", "at sign of a path"),
        kept("GET /v1/jobs/7:cancel HTTP/1.1", "colon of a path"),
        kept(f"GET /blog/{SLUG} HTTP/1.1", "slug"),
        kept(f"GET /blog/{SLUG}", "slug, cut"),
        kept("GET /blog/2024-how-to-upgrade-python3-apps-safely.html HTTP/1.1", "slug, numbers"),
        kept("GET /static/bootstrap.bundle.min.css HTTP/1.1", "file name"),
        kept("GET /static/vendor.bundle.optimized.minified.js HTTP/1.1", "long file name"),
        kept("GET /files/AbCdEfGhIjKlMnOpQrStUvWxYz12345 HTTP/1.1", "31 characters"),
        kept("GET /monkeyJungle HTTP/1.1", "eyJ in a word"),
    ],
)
def test_what_is_no_secret_stays(text: str, expected: str) -> None:
    """A line without a secret comes out as it came in."""
    assert expected == Redactor().request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        target("/r?token=abc123&id=7", "/r?token=***&id=***", "two"),
        target("/r?a=1&b=secret;c=x", "/r?a=***&b=***;c=***", "both separators"),
        target("/r?abcdef", "/r?***", "no equals sign"),
        target("/r?a&b=1", "/r?***&b=***", "one without equals sign"),
        target("/r?", "/r?", "empty query"),
        target("/r?a=&b=1", "/r?a=&b=***", "empty value"),
        target("/r?=x", "/r?=***", "empty name"),
        target("/r?a=1&&b=2", "/r?a=***&&b=***", "empty parameter"),
        target("/r?a=x?y=z", "/r?a=***", "question mark in a value"),
        target("/r?a=x=y=z", "/r?a=***", "equals sign in a value"),
        target("/r?a=x%26b%3Dsecret", "/r?a=***", "encoded separator"),
        target("/r?a=two words", "/r?a=***", "space"),
        target("/r?a=x HTTP/1.1 secret", "/r?a=***", "protocol inside"),
        target("/r?a=x HTTP/1.1", "/r?a=***", "protocol twice"),
        line("GET /r?a=x HTTP/1.secret", "GET /r?a=***", "no protocol"),
        line("GET /r?a=x HTTP/1", "GET /r?a=*** HTTP/1", "protocol cut"),
        line("GET /r?a=x HT", "GET /r?a=*** HT", "protocol cut short"),
        line("GET /r?token=se", "GET /r?token=***", "cut in the value"),
        line("GET /r?a=1&tok", "GET /r?a=***&***", "cut in the name"),
        target("/r?utf8=1&user%5Bname%5D=x", "/r?utf8=***&user%5Bname%5D=***", "encoded name"),
        target(f"/r?{BASE64}=1", "/r?***=***", "opaque name"),
        target("/r?a3f09b17=1", "/r?***=***", "hex name"),
        target(f"/r?{'ab-' * 11}=1", "/r?***=***", "long name"),
        target("/r?two words=1", "/r?***=***", "name with a space"),
        target("/r?me@x=1", "/r?***=***", "name with an at sign"),
        target("/r#frag", "/r#***", "fragment"),
        target("/r#", "/r#", "empty fragment"),
        target("/r?a=1#frag?b=2", "/r?a=***#***", "query and fragment"),
        target("/r#frag?b=2", "/r#***", "question mark in a fragment"),
    ],
)
def test_query(text: str, expected: str) -> None:
    """Values are masked up to the protocol at the line's end; names stay unless they may be one."""
    assert expected == Redactor().request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        target("/r?page=2&q=x", "/r?page=2&q=***", "allowed"),
        target("/r?p%61ge=2", "/r?p%61ge=2", "compared decoded"),
        target("/r?Page=2", "/r?Page=***", "case-sensitive"),
        target("/r?sort+by=name", "/r?sort+by=name", "decoded plus"),
        target("/r?page=a+b%20c", "/r?page=a+b%20c", "encoded spaces"),
        target("/r?page=50%25", "/r?page=50%25", "encoded percent sign"),
        target("/r?page=", "/r?page=", "empty"),
        target("/r?page", "/r?***", "without equals sign"),
        target(f"/r?page={HEX}", "/r?page=***", "hex"),
        target(f"/r?page={BASE64}", "/r?page=***", "base64"),
        target("/r?page=abC1/dE2+abC1/dE2+abC1/dE2+abC1/dE2+", "/r?page=***", "raw base64"),
        target(f"/r?page={JWT}", "/r?page=***", "JWT"),
        target("/r?page=/x%3Ftoken%3Ds", "/r?page=***", "embedded query"),
        target("/r?page=/x%253Ftoken%253Ds", "/r?page=***", "doubly encoded query"),
        target("/r?page=http://u:p@h/", "/r?page=***", "embedded URL"),
        line("GET /r?page=2", "GET /r?page=2", "cut"),
        line(f"GET /r?page={HEX[:8]}", "GET /r?page=***", "hex, cut"),
        target("/r?X-Amz-Signed-Headers=host", "/r?X-Amz-Signed-Headers=host", "name never masked"),
    ],
)
def test_allowed_parameters(text: str, expected: str) -> None:
    """An allowed parameter keeps its value, unless that is opaque or may hold a parameter."""
    redactor = Redactor(allow_parameters=["page", "sort by", "X-Amz-Signed-Headers"])
    assert expected == redactor.request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        target("http://u:p@host/x", "http://***@host/x", "absolute form"),
        target("http://token@host/x", "http://***@host/x", "user only"),
        target("http://a@b:p@host/x", "http://***@host/x", "two at signs"),
        target("http://u:p%40q@host/x", "http://***@host/x", "encoded at sign in a password"),
        target("http://u:p%2Fq@host/x", "http://***@host/x", "encoded slash in a password"),
        target("http://u;a=b:p@host/x", "http://***@host/x", "semicolon in a user"),
        target("http://u:p/q", "http://***/q", "colon without a port"),
        target("http://u:p?q@host/", "http://***?***", "question mark in a password"),
        target("http://u:p#q@host/", "http://***#***", "number sign in a password"),
        target("/proxy/http://u:p@h/", "/proxy/http://***@h/", "in a path"),
        target("/p/http%3A%2F%2Fu%3Ap%40h%2Fx", "/p/http%3A%2F%2F***%40h%2Fx", "encoded"),
        target("/p/http%3a%2f%2fu%3ap%40h%2fx", "/p/http%3a%2f%2f***%40h%2fx", "lower case"),
        target(
            "/p/http%253A%252F%252Fu%253Ap%2540h%252Fx",
            "/p/http%253A%252F%252F***%2540h%252Fx",
            "encoded twice",
        ),
        target("/p/http%3A%2F%2Fu%3Ap@h%2Fx", "/p/http%3A%2F%2F***@h%2Fx", "encoded in part"),
        target("//u:p@host/", "//***@host/", "scheme-relative"),
        target("///u:p@host/", "///***@host/", "three slashes"),
        line("CONNECT u:p@host:443 HTTP/1.1", "CONNECT ***@host:443 HTTP/1.1", "authority form"),
        line("CONNECT u:p/q@h:443 HTTP/1.1", "CONNECT ***@h:443 HTTP/1.1", "slash in a password"),
        line("CONNECT u:p q@h:443 HTTP/1.1", "CONNECT ***@h:443 HTTP/1.1", "space in a password"),
        target("u:p@host/x", "***@host/x", "no scheme"),
        line("u:p@host:443", "***@host:443", "no method"),
        line("CONNECT u:pw", "CONNECT ***", "authority form, cut"),
        line("GET http://u:pw", "GET http://***", "cut in the password"),
        line("GET http://u:pw HT", "GET http://*** HT", "cut or a space in the password"),
        line("GET http://ghp12345678", "GET http://***", "cut in what may be a user"),
        line("GET http://example.com", "GET http://example.com", "cut in a host"),
        line("GET /p/http%3A%2F%2Fu%3Apw%4", "GET /p/http%3A%2F%2F***", "cut, encoded"),
        line("GET /p/http://u:p", "GET /p/http://***", "cut in a path"),
        line("Authorization: Basic dTpw", "***", "a header as a request"),
        line('{"user":"u","password":"p"}', "***", "JSON as a request"),
        line("user=u&password=p", "user=***", "a form as a request"),
    ],
)
def test_userinfo(text: str, expected: str) -> None:
    """Userinfo is masked in every target form, encoded or not, seen whole or cut before its '@'."""
    assert expected == Redactor().request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        target("/a;jsessionid=ABC/b", "/a;jsessionid=***/b", "matrix"),
        target("/a;x=1;y=2", "/a;x=***;y=***", "two"),
        target("/a;x=", "/a;x=", "empty value"),
        target("/a;flag/b", "/a;***/b", "no equals sign"),
        line("GET /a;jsess", "GET /a;***", "cut in the name"),
        line("GET /a;jsessionid=AB", "GET /a;jsessionid=***", "cut in the value"),
        target("/auth/key=abcdef/x", "/auth/key=***/x", "segment"),
        target("/a%3Bsid%3DABC/b", "/a%3Bsid%3D***/b", "encoded"),
        target("/p/x%3Ftoken%3DABC", "/p/x%3F***", "encoded query"),
        target(f"/a;{BASE64}=1", "/a;***=***", "opaque name"),
        target("/Zm9vYmFyYmF6cXV4Zm9vYmFyYm==/x", "/***=***/x", "padding ends a token"),
    ],
)
def test_path_parameters(text: str, expected: str) -> None:
    """A value after '=' in a path segment is masked, be it a matrix parameter or not."""
    assert expected == Redactor().request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        target(f"/r/{JWT}", "/r/***", "JWT"),
        target(f"/r/{JWT}/x", "/r/***/x", "JWT inside"),
        target("/r/eyJhbGciOiJ", "/r/***", "start of a JWT"),
        target("/r/Bearer%20eyJhbGci", "/r/Bearer%***", "JWT after an encoded space"),
        target("/r/ImZvbyI4MTk2NDMx.ZxYz12.QWxhZGRpbjpvcGVu", "/r/***", "signed value"),
        target(f"/r/{HEX}", "/r/***", "hex"),
        target(f"/r/{HEX.upper()}/x", "/r/***/x", "upper-case hex"),
        target(f"/r/{UUID}", "/r/***", "UUID"),
        target("/r/deadbeef-cafe-babe-face-decadeaccede", "/r/***", "UUID of letters"),
        target(f"/r/{BASE64}", "/r/***", "base64url"),
        target("/r/Zm9v%2BmFyYmF6cXV%2FZm9vYmFyYmF6cXV4", "/r/***", "encoded base64"),
        target(f"/r/{BASE64}%3D%3D", "/r/***%3D***", "encoded padding"),
        target("/r/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/r/***", "prefixed key"),
        target(f"/r/{HEX}.png", "/r/***.png", "extension"),
        target(f"/r/v2~{HEX}", "/r/v2~***", "run in a segment"),
        target(f"/r/{HEX}~{UUID}", "/r/***~***", "two runs"),
        target("/r/abcdefghijklmnopqrstuvwxyzabcdef", "/r/***", "one word of 32 letters"),
        line("GET /r/AbCdEfGhIjKlMnOp", "GET /r/***", "16 at the cut"),
        line("GET /r/AbCdEfGhIjKlMnO", "GET /r/AbCdEfGhIjKlMnO", "15 at the cut"),
        line("GET /r/3f2a9c1d", "GET /r/***", "8 of hex at the cut"),
        line("GET /r/3f2a9c1", "GET /r/3f2a9c1", "7 of hex at the cut"),
        line("GET /r/AbCdEfGhIjKlMnOp/x", "GET /r/AbCdEfGhIjKlMnOp/x", "not last"),
        line("GET /AbCdEfGhIjKlMnOp HT", "GET /AbCdEfGhIjKlMnOp HT", "cut behind the path"),
    ],
)
def test_opaque_segments(text: str, expected: str) -> None:
    """A token in a path is masked from 32 characters on, earlier where the line was cut in it."""
    assert expected == Redactor().request(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("GET /a\x1b[31mred HTTP/1.1", r"GET /a\x1b[31mred HTTP/1.1", id="ESC"),
        pytest.param("a\x00b\tc\r\nd\x7f", r"a\x00b\x09c\x0d\x0ad\x7f", id="C0 and DEL"),
        pytest.param("a\x85b\x9bc", r"a\x85b\x9bc", id="C1"),
        pytest.param("a\u202eb\u2028c\u2066d", r"a\u202eb\u2028c\u2066d", id="bidi, separators"),
        pytest.param("a\xa0b\xadc\u200bd", r"a\xa0b\xadc\u200bd", id="invisible"),
        pytest.param("a\ud800b\U000e0041c", r"a\ud800b\U000e0041c", id="surrogate, tag"),
        pytest.param(r"a\x1bb", r"a\x1bb", id="an escape is text"),
        pytest.param("caf\xe9 \xff", "caf\xe9 \xff", id="letters"),
        pytest.param("a" * 255, "a" * 255, id="longest"),
        pytest.param("a" * 256, "a" * 254 + "…", id="too long"),
        pytest.param("a" * 255 + "…", "a" * 254 + "…", id="too long by its ellipsis"),
        pytest.param("\x1b" * 64, (r"\x1b" * 64)[:254] + "…", id="too long by escapes"),
    ],
)
def test_visible_and_bounded_always(text: str, expected: str) -> None:
    """Length and control characters are seen to in all three strings, even when disabled."""
    redactor = Redactor(enabled=False)
    assert [expected] * 3 == [redactor.request(text), redactor.client(text), redactor.vhost(text)]


def test_disabled_masks_nothing() -> None:
    """`enabled=False` shows secrets: an operator's decision."""
    text = f"GET http://u:p@h/{HEX};a=b?token=secret#x HTTP/1.1"
    assert text == Redactor(enabled=False).request(text)
    assert "u:p@h" == Redactor(enabled=False).vhost("u:p@h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("203.0.113.77", "203.0.113.0/24", id="IPv4"),
        pytest.param("203.0.113.0/24", "203.0.113.0/24", id="IPv4 network"),
        pytest.param("2001:db8:85a3::8a2e:370:7334", "2001:db8:85a3::/48", id="IPv6"),
        pytest.param("2001:db8:85a3::/48", "2001:db8:85a3::/48", id="IPv6 network"),
        pytest.param("2001:DB8::1", "2001:db8::/48", id="IPv6, short"),
        pytest.param("::1", "::/48", id="IPv6 loopback"),
        pytest.param("::ffff:203.0.113.77", "203.0.113.0/24", id="IPv4-mapped"),
        pytest.param("::ffff:cb00:714d", "203.0.113.0/24", id="IPv4-mapped, hex"),
        pytest.param("0:0:0:0:0:ffff:cb00:714d", "203.0.113.0/24", id="IPv4-mapped, long"),
        pytest.param("2001:db8:85a3:1111:2222:8a2e:37", "2001:db8:85a3::/48", id="cut"),
        pytest.param("2001:db8:85a3:1111:2222:8a2e:3:", "2001:db8:85a3::/48", id="cut, colon"),
        pytest.param("fe80::1234%eth0", "fe80::/48", id="scope"),
        pytest.param("laptop.example.com", "***.example.com", id="host"),
        pytest.param("***.example.com", "***.example.com", id="masked host"),
        pytest.param("a-1.compute-1.amazonaws.c", "***.compute-1.amazonaws.c", id="host, cut"),
        pytest.param("localhost", MASK, id="single label"),
        pytest.param("203.0.113", MASK, id="no address"),
        pytest.param("2001::1111::2", MASK, id="no IPv6 address"),
        pytest.param("a.<b>.com", MASK, id="no host"),
        pytest.param("\x1b[2J", MASK, id="control characters"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
def test_truncated_clients(text: str, expected: str, enabled: bool) -> None:
    """A truncated client is a network or a domain, whatever else is enabled."""
    assert expected == Redactor(enabled=enabled, truncate_clients=True).client(text)


@pytest.mark.parametrize("text", ["203.0.113.77", "2001:db8::1", "a.example.com", "u:p@h"])
def test_clients_stay_by_default(text: str) -> None:
    """Without truncation a client is shown as Apache has it."""
    assert text == Redactor().client(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        kept("", "empty"),
        kept("www.example.com", "name"),
        kept("127.0.0.1:8055", "port"),
        kept("[::1]:8055", "IPv6"),
        kept("*:80", "any"),
        line("u:p@host:80", "***@host:80", "userinfo"),
    ],
)
def test_vhost(text: str, expected: str) -> None:
    """A virtual host loses nothing but userinfo."""
    assert expected == Redactor().vhost(text)


def _captured() -> Iterator[str]:
    for path in sorted(DATA.glob("*.jsonl.gz")):
        with gzip.open(path, "rt") as lines:
            for record in map(json.loads, lines):
                for process in (record or {}).get("processes", ()):
                    yield from (worker["request"] for worker in process["workers"])


def test_captured_requests() -> None:
    """Of what real servers showed, the query values vanish, and nothing else."""
    lines = set(_captured())
    changed = {text for text in lines if Redactor().request(text) != text}
    assert {text for text in lines if "?" in text} == changed
    assert {"token=***&id=***", "page=***"} == {
        Redactor().request(text).partition("?")[2].removesuffix(" HTTP/1.1") for text in changed
    }


def test_the_memo_is_bounded_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated line is masked once; lines longer than any of Apache's never enter the memo."""
    seen: list[str] = []
    mask_line = redaction._mask_line

    def counting(text: str, **options: Any) -> str:
        seen.append(text)
        return mask_line(text, **options)

    monkeypatch.setattr(redaction, "_mask_line", counting)
    redactor, short, long = Redactor(), "GET /%20 HTTP/1.1", "GET /" + "a/" * MAX_TEXT
    results = {redactor.request(text) for _ in range(3) for text in (short, long)}
    assert 2 == len(results)
    assert 1 == seen.count(short)
    assert 3 == seen.count(long)


def test_the_memo_keeps_what_every_tick_uses() -> None:
    """Among ever new texts, one that each tick of 6,400 asks for again is cleaned once only."""
    seen: list[str] = []

    def counting(text: str) -> str:
        seen.append(text)
        return text

    memo = redaction._Memo(counting)
    for number in range(20 * 6400):
        if number % 6400 == 0:
            assert "stays" == memo["stays"]
        assert str(number) == memo[str(number)]
        assert len(memo) + len(memo._older) <= redaction.MEMO_SIZE
    assert 1 == seen.count("stays")


ADVERSARIAL = {
    "at": "@",
    "slash": "/",
    "percent": "%",
    "encoded percent": "%25",
    "encoded slash": "%2F",
    "twice encoded slash": "%252F",
    "deeply encoded slash": "25",
    "equals": "=",
    "separator": "&",
    "semicolon": ";",
    "colon": ":",
    "space": " ",
    "half protocol": " HTTP/1.",
    "word": "a",
    "dots": "a.",
    "joints": "a-",
    "signed": "aaaaa.",
    "token": "eyJ",
    "escape": "\x1b",
    "brackets": "[:",
    "mixed": "a;b=c/d@e:f?g=h&i#j%40",
    "segment": "/a",
    "slug": f"/{SLUG}",
    "hex segment": f"/{HEX}",
    "parameter": "a=1&",
    "cut parameter": "a&",
}


@pytest.mark.parametrize("unit", ADVERSARIAL.values(), ids=ADVERSARIAL)
@pytest.mark.parametrize("head", ["", "GET ", "GET /%", "GET //", "GET /?", "CONNECT "])
@pytest.mark.parametrize("tail", ["", "%"], ids=["as it is", "failing at its end"])
@pytest.mark.parametrize("length", [MAX_ORDINARY, MAX_INPUT])
def test_adversarial_lines_cost_little(length: int, tail: str, head: str, unit: str) -> None:
    """No line takes a pattern beyond linear work: 8 ms at worst, when measured with 8 kB."""
    redactor = Redactor(allow_parameters=["a", ""], truncate_clients=True)
    text = (head + unit * length)[: length - len(tail)] + tail
    started = time.perf_counter()
    redactor.request(text)
    redactor.client(text)
    redactor.vhost(text)
    assert time.perf_counter() - started < 1


# Characters and pieces that rules look for: plain random text would hardly ever meet one.
PIECES = [
    *"/?#&;=:@%.-_ +*…a1\\\x1b\x85\u202e\ud800",
    *("//", "://", "%3A", "%2F", "%40", "%3D", "%252F", "%2", "eyJ", " HTTP/1.1", " HTTP/1", " H"),
    *("GET ", "CONNECT ", MASK, HEX, HEX[:9], UUID, BASE64, JWT, SLUG, "a" * 70, "/a;b", "1.2.3.4"),
]
hostile = st.one_of(
    st.text(max_size=400),
    st.text(st.characters(max_codepoint=0xFF), max_size=80),
    st.lists(st.sampled_from(PIECES), max_size=80).map("".join),
    st.builds(str.__mul__, st.sampled_from(PIECES), st.integers(0, 600)),
)
redactors = st.sampled_from(
    [
        Redactor(),
        Redactor(enabled=False),
        Redactor(allow_parameters=["a", "1"], truncate_clients=True),
    ]
)


@given(redactors, hostile)
@example(Redactor(), "GET /" + "/a;b" * 90)
@example(Redactor(), "GET /" + "a/" * 124 + HEX)
@example(Redactor(), "\x1b" * 9 + HEX[:29] + " HTTP/1.1")
def test_any_text_is_made_safe(redactor: Redactor, text: str) -> None:
    """Any text comes out bounded, printable, and so that cleaning it again changes nothing."""
    for clean in (redactor.request, redactor.client, redactor.vhost):
        result = clean(text)
        assert len(result) <= MAX_TEXT
        assert result.isprintable()
        assert result == clean(result)
        result.encode("utf-8")


@given(hostile)
def test_settling_needs_fewer_rounds_than_it_has(text: str) -> None:
    """A whole line never falls back to a mask because its masks would not settle."""
    rounds = 0
    mask = Redactor(allow_parameters=["a"])

    def counting(line: str) -> str:
        nonlocal rounds
        rounds += 1
        return redaction._mask_line(line, allowed=frozenset({"a"}))

    assert mask.request(text) == redaction._settle(counting, text)
    assert rounds < redaction.ROUNDS


def by_the_rules(text: str, allowed: frozenset[str] = frozenset()) -> str:
    return redaction._settle(partial(redaction._mask_line, allowed=allowed), text)


ORDINARY = [
    "GET / HTTP/1.1",
    "GET /product/48213 HTTP/1.1",
    "GET /js/app.48213.js HTTP/1.1",
    "GET /img/product/77/600x600.webp HT",
    "GET /category/99?page=3&sort=price HTTP/1.1",
    "GET /basket?session=3f9a0c11d2e4b5a6 HTTP/1.1",
    "GET /v1/orders/4411?token=8c1f00aa93be44d0 HTTP/1.1",
    "POST /v1/token?client_secret=0123456789abcdef HTTP/1.1",
    "GET /v1/users/9/events?since=2024-01-01 HTTP/1.1",
    "GET /search?q=winter+boots HTTP/1.1",
    "GET /search?q=caf%C3%A9?/=@:&page= HTTP/1.1",
    "GET /api/v2/items/123456?user=9812&session=0a1b2c3d4e5f60718293",
    "POST /hooks/payment?signature=0123456789abcdef0123456789abcdef0",
    "GET /reports?since=2024-01-01&until=&colum",
    "GET /reports?colum",
    f"GET /api/items/{UUID} HTTP/1.1",
    f"GET /api/{HEX}/items?page=2",
    f"GET /files/{HEX}",
    f"GET /files/{HEX[:8]}",
    f"GET /blog/{SLUG}/comments HTTP/1.1",
    f"GET /blog/{SLUG}",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_lines_need_no_rules(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary line comes out as the rules would have it, and without them."""
    expected = by_the_rules(text)
    monkeypatch.delattr(redaction, "_settle")
    assert expected == redaction._settle_line(text, allowed=frozenset({"other"}))


def test_ordinary_lines_cut_anywhere() -> None:
    """At every cut ordinary lines and the simulator's come out as by the rules, without them mostly."""
    visits = traffic.Traffic(Random(1), hostile=0.2)
    lines = {*ORDINARY, *(visits.draw(1.0).request for _ in range(500))}
    for holders in (traffic.SLOW_REPLIES, traffic.LONG_REPLIES, traffic.SOCKETS):
        lines |= {visits.draw_held(holders).request for _ in range(20)}
    cuts = {text[:end] for text in lines for end in range(1, APACHE_REQUEST + 1)}
    for allowed in (frozenset[str](), frozenset({"page", "session"})):
        assert {} == {
            text: result
            for text in cuts
            if (result := redaction._settle_line(text, allowed=allowed)) != by_the_rules(text, allowed)
        }
    assert sum(map(bool, map(redaction._ORDINARY.fullmatch, cuts))) > 0.7 * len(cuts)


# Pieces at both sides of every limit in the pattern of an ordinary line.
tokens = st.one_of(
    st.text("abcdefgz019-_J", max_size=34),
    st.text("0123456789abcdefABCDEF-", min_size=6, max_size=40),
    st.lists(st.from_regex("[a-z]{1,22}[0-9]{0,5}", fullmatch=True), max_size=8).map("-".join),
    st.sampled_from(["", "eyJ", "xeyJabcde", "a.b", "page", "session", "caf%C3%A9", *PIECES]),
)
parameters = st.builds("{}{}{}".format, tokens, st.sampled_from(["=", "=", "=", ""]), tokens)
nearly_ordinary = st.builds(
    "{} {}{}{}{}".format,
    st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "PROPFIND", "get", ""]),
    st.lists(tokens.map("/{}".format), max_size=5).map("".join),
    st.sampled_from(["", "/", "?", "/?"]),
    st.lists(st.builds(str.__add__, parameters, st.sampled_from(["&", ";", ""])), max_size=5).map(
        "".join
    ),
    st.sampled_from(["", " ", " H", " HTTP/1", " HTTP/1.1", " HTTP/1.1 "]),
)


@settings(max_examples=1000)
@given(
    text=nearly_ordinary | hostile,
    end=st.none() | st.integers(0, 140),
    allowed=st.sampled_from([frozenset[str](), frozenset({"page", "a"}), frozenset({""})]),
)
@example(text="GET /?a=1" + "&a=1" * 60, end=None, allowed=frozenset())
@example(text="GET /?a=1" + "&a=1" * 60, end=MAX_ORDINARY, allowed=frozenset())
@example(text="GET /r?eyJhbGciOiJ=1", end=None, allowed=frozenset())
@example(text="CONNECT /u:p@h HTTP/1.1", end=None, allowed=frozenset())
@example(text=f"GET /{'x' * 21}-words-behind-it HTTP/1.1", end=None, allowed=frozenset())
def test_ordinary_or_not_the_result_is_that_of_the_rules(
    text: str, end: int | None, allowed: frozenset[str]
) -> None:
    """Whatever is taken for an ordinary line, whole or cut, comes out as by the rules."""
    expected = by_the_rules(text[:end], allowed)
    assert expected == redaction._settle_line(text[:end], allowed=allowed)


ALNUM = string.ascii_letters + string.digits
secrets = st.text(ALNUM, min_size=16, max_size=60)
hex_secrets = st.text("0123456789abcdef", min_size=32, max_size=64)
# What stands before and behind a secret, by the kind of place that it stands in.
PLACES = {
    "query value": ("GET /r?q=", " HTTP/1.1"),
    "second query value": ("GET /r?a=1&q=x", "&b=2 HTTP/1.1"),
    "query without a name": ("GET /r?", " HTTP/1.1"),
    "query after a protocol": ("GET /r?q=x HTTP/1.1 ", " HTTP/1.1"),
    "nested query": ("GET /r?q=/x?y%3D", "&b=2 HTTP/1.1"),
    "semicolon query": ("POST /r?a=1;q=", ";b HTTP/1.1"),
    "fragment": ("GET /r#", " HTTP/1.1"),
    "password": ("GET http://u:p", "@h.example/x HTTP/1.1"),
    "user": ("GET http://", "@h.example/x HTTP/1.1"),
    "user and password": ("GET http://", ":p@h.example/x HTTP/1.1"),
    "embedded password": ("GET /p/http://u:", "x@h/ HTTP/1.1"),
    "encoded password": ("GET /p/http%3A%2F%2Fu%3Ax", "%40h%2F HTTP/1.1"),
    "encoded user": ("GET /p/http%3a%2f%2f", "%40h%2f HTTP/1.1"),
    "CONNECT": ("CONNECT u:", "@h:443 HTTP/1.1"),
    "scheme-relative": ("GET //u:x", "@h/ HTTP/1.1"),
    "matrix parameter": ("GET /a;sid=", "/b HTTP/1.1"),
    "segment with a name": ("GET /auth/key=", "/b HTTP/1.1"),
    "JWT signature": ("GET /t/eyJhbGciOiJ9.eyJzIjo0Mn0.", "/b HTTP/1.1"),
    "JWT payload": ("GET /t/eyJhbGciOiJ9.", ".c2ln HTTP/1.1"),
}


def assert_hidden(secret: str, result: str) -> None:
    pieces = (secret[start : start + 8] for start in range(len(secret) - 7))
    assert not [piece for piece in pieces if piece in result]


@pytest.mark.parametrize(("before", "behind"), PLACES.values(), ids=PLACES)
@given(secret=secrets)
def test_secrets_do_not_come_out(before: str, behind: str, secret: str) -> None:
    """No 8 characters of a secret are seen, be the line whole or cut as Apache cuts it."""
    text = before + secret + behind
    assert_hidden(secret, Redactor().request(text))
    assert_hidden(secret, Redactor().request(text[:APACHE_REQUEST]))


@given(secret=secrets, end=st.integers(0, 120), place=st.sampled_from(list(PLACES.values())))
def test_secrets_do_not_come_out_wherever_the_cut(secret: str, end: int, place: tuple[str, str]) -> None:
    """The same with a cut at any other character, as a NUL would make it."""
    assert_hidden(secret, Redactor().request((place[0] + secret + place[1])[:end]))


@given(
    secret=hex_secrets,
    before=st.sampled_from(["GET /r/", "GET /api/v1/password/reset/", "GET /r/a~", "POST /"]),
    behind=st.sampled_from(["", "/x", ".png", "?a=b", ";a=b", "~"]),
)
def test_hex_segments_do_not_come_out(secret: str, before: str, behind: str) -> None:
    """No 8 characters of a hex token are seen in a path, be the line whole or cut."""
    text = f"{before}{secret}{behind} HTTP/1.1"
    assert_hidden(secret, Redactor().request(text))
    assert_hidden(secret, Redactor().request(text[:APACHE_REQUEST]))

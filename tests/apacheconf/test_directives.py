"""apacheconf.directives: words as Apache splits them, and Apache's own dump."""

from __future__ import annotations

from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.apacheconf.directives import (
    Configuration,
    Directive,
    Place,
    Section,
    parse_dump,
    split_words,
)

# What Apache 2.4.71 printed: an empty section without an end, a macro, an Include inside of a section,
# a directive of several lines; other dumps before and behind it.
DUMP = """\
Included configuration files:
  (*) /etc/t.conf
    (28) /etc/inc.conf
VirtualHost configuration:
127.0.0.1:18080        foo.bar (/etc/t.conf:25)
# In file: /etc/t.conf
#  10:
PidFile /tmp/b/x.pid
#  13:
ServerName "a b"
# In file: macro 'vh' (defined on line 14 of "/etc/t.conf") used on line 24 of "/etc/t.conf"
#   1:
<VirtualHost *:18080>
  #   2:
  ServerName one.example
  #   3:
  <Location "/x y">
    #   4:
    <RequireAll >
      #   5:
      Require local
    </RequireAll>
  </Location>
</VirtualHost>
# In file: /etc/t.conf
#  25:
<VirtualHost 127.0.0.1:18080>
  #  27:
  ServerName foo.bar
# In file: /etc/inc.conf
  #   1:
  Header set Inc 1
# In file: /etc/t.conf
  #  30:
  Header set X "a\\"b ${NOPE}    c"
  #  31:
  <If "%{HTTP_HOST} == 'x'">
    #  32:
    Header set Y 1
  </If>
  #  37:
  <LocationMatch "^/q">
  #  41:
  <Directory ~ "^/foo>">
</VirtualHost>
#  44:
ServerName last
#12345:
Header set Z "   trailing  "
ServerRoot: "/tmp/b"
Define: FOO=bar
Loaded Modules:
 core_module (static)
"""


def row(directive: Directive) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    path = directive.section.path() if directive.section else ()
    kinds = tuple(section.kind for section in path)
    return str(directive.place), directive.key, directive.arguments, kinds


def test_the_dump_gives_every_directive_with_place_and_sections() -> None:
    """Nesting is right around an empty section, an Include and a macro; its place is where it's used."""
    assert [
        ("/etc/t.conf:10", "pidfile", ("/tmp/b/x.pid",), ()),
        ("/etc/t.conf:13", "servername", ("a b",), ()),
        ("/etc/t.conf:24", "servername", ("one.example",), ("virtualhost",)),
        ("/etc/t.conf:24", "require", ("local",), ("virtualhost", "location", "requireall")),
        ("/etc/t.conf:27", "servername", ("foo.bar",), ("virtualhost",)),
        ("/etc/inc.conf:1", "header", ("set", "Inc", "1"), ("virtualhost",)),
        ("/etc/t.conf:30", "header", ("set", "X", 'a"b ${NOPE}    c'), ("virtualhost",)),
        ("/etc/t.conf:32", "header", ("set", "Y", "1"), ("virtualhost", "if")),
        ("/etc/t.conf:44", "servername", ("last",), ()),
        ("/etc/t.conf:12345", "header", ("set", "Z", "   trailing  "), ()),
    ] == [row(directive) for directive in parse_dump(DUMP).directives]


def test_the_dump_gives_every_section() -> None:
    """Empty ones as well; the closing bracket is the last one."""
    assert [
        ("virtualhost", ("*:18080",), "*:18080"),
        ("location", ("/x y",), '"/x y"'),
        ("requireall", (), ""),
        ("virtualhost", ("127.0.0.1:18080",), "127.0.0.1:18080"),
        ("if", ("%{HTTP_HOST} == 'x'",), "\"%{HTTP_HOST} == 'x'\""),
        ("locationmatch", ("^/q",), '"^/q"'),
        ("directory", ("~", "^/foo>"), '~ "^/foo>"'),
    ] == [(one.kind, one.arguments, one.raw) for one in parse_dump(DUMP).sections]


def test_lookups() -> None:
    """`find` takes names in any case; the last directive of a scope holds; a vhost's own goes first."""
    configuration = parse_dump(DUMP)
    first, second = configuration.vhosts
    names = [one.arguments[0] for one in configuration.find("SERVERNAME", "pidfile")]
    assert ["/tmp/b/x.pid", "a b", "one.example", "foo.bar", "last"] == names
    server = configuration.server("serverName")
    assert server is not None
    assert ("last",) == server.arguments
    own = configuration.effective("ServerName", first)
    assert own is not None
    assert ("one.example",) == own.arguments
    assert first is own.vhost
    assert server is configuration.effective("ServerName", None)
    pid_file = configuration.effective("PidFile", second)
    assert pid_file is configuration.server("PidFile")
    assert None is configuration.effective("Timeout", first)
    assert None is configuration.server("Require")


def test_the_nearest_section_of_a_kind() -> None:
    """`within` goes outwards from the directive."""
    outer = Section("Location", ("/",), Place("f", 1))
    inner = Section("Location", ("/a",), Place("f", 2), outer)
    limit = Section("Limit", ("GET",), Place("f", 3), inner)
    directive = Directive("Require", ("local",), Place("f", 4), limit)
    assert (outer, inner, limit) == limit.path()
    assert inner is directive.within("location", "virtualhost")
    assert None is directive.vhost


def test_two_lines_with_the_same_words_are_two() -> None:
    """Directives and sections can be members of sets."""
    place = Place("f", 1)
    assert 2 == len({Directive("A", (), place), Directive("A", (), place)})
    assert 2 == len({Section("A", (), place), Section("A", (), place)})


@pytest.mark.parametrize(
    "text", ["", "Syntax OK\n", "AH00526: Syntax error on line 4 of /x:\n", "#  10:"]
)
def test_no_dump_is_an_empty_configuration(text: str) -> None:
    """As after a syntax error, when Apache prints none."""
    assert Configuration() == parse_dump(text)


def test_a_macro_in_a_macro_is_at_the_place_of_the_outer_use() -> None:
    """Apache names them from the inside outwards."""
    dump = (
        "# In file: macro 'in' (defined on line 1 of \"/a\") used on line 2 of "
        '"macro \'out\' (defined on line 5 of "/a") used on line 9 of "/b""\n#   1:\nTimeout 1\n'
    )
    assert ["/b:9"] == [str(one.place) for one in parse_dump(dump).directives]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  ", ()),
        ("a  b\tc ", ("a", "b", "c")),
        ('"a b" c', ("a b", "c")),
        ("'a b'c", ("a b", "c")),
        ('"a"b"c"', ("a", 'b"c"')),
        ('a"b c"', ('a"b', 'c"')),
        (r'"a\"b\\c\d"', (r'a"b\c\d',)),
        (r"'a\"b\'c'", ("a\\\"b'c",)),
        (r"a\\b\c\"d", (r"a\b\c\"d",)),
        ('"open a', ("open a",)),
        ('"open\\', ("open\\",)),
        ('""', ("",)),
        ("a\N{NO-BREAK SPACE}b", ("a\N{NO-BREAK SPACE}b",)),
    ],
)
def test_words(text: str, words: tuple[str, ...]) -> None:
    """Blanks, both quotes, backslashes inside and outside of them."""
    assert words == split_words(text)


@given(st.lists(st.text(st.characters(exclude_characters="\n"))))
def test_quoted_words_come_back(words: list[str]) -> None:
    """Any word, quoted, is split into itself."""
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words)
    assert tuple(words) == split_words(" ".join(f'"{word}"' for word in quoted))


@given(st.text())
def test_nothing_raises(text: str) -> None:
    """Neither words nor dumps are ever refused."""
    assert isinstance(split_words(text), tuple)
    assert () == parse_dump(f"# In file: {text}").sections


@pytest.mark.parametrize("text", ['"' + "\\" * 100_000, "'\\" * 100_000, " " * 100_000, '" ' * 100_000])
def test_long_text_costs_little(text: str) -> None:
    """Time grows with the length, not with its square."""
    began = monotonic()
    split_words(text)
    assert monotonic() - began < 2

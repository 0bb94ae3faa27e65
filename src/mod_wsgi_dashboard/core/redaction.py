"""Make the strings of Apache's scoreboard safe, before anything else sees them.

Owns what may leave the process of a request line, a client address and a virtual host's name. They
come straight from the network: hostile bytes, secrets of other people, cut at 63, 31 and 31
characters without a mark. Must not know workers, the wire, settings or the time.

Invariants, for any text and any configuration:

- the result has at most ``MAX_TEXT`` characters, and all of them are printable;
- cleaning what is clean changes nothing, so a recording can be cleaned again when it is replayed;
- what cannot be told apart from a secret is masked: a detail may be lost, a password never shown.

Sources of the rules: ``ap_scoreboard``'s field sizes (httpd ``include/scoreboard.h``); RFC 9112
section 3 (request line and its four target forms); RFC 3986 sections 3.2.1 (userinfo), 3.3 (path
parameters), 3.4 and 3.5; RFC 7515 section 7.1 (``header.payload.signature``).
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_address
from urllib.parse import unquote, unquote_plus

MASK = "***"
MAX_TEXT = 255  # four times Apache's longest field: room for escapes and masks
MAX_INPUT = 8192  # Apache's default LimitRequestLine (8190): bounds the work of every pattern
MAX_ORDINARY = 127  # of an ordinary line: masks add half at most ("&a=1"), and never reach MAX_TEXT
# The largest server worth drawing has about 6,400 workers. A whole tick of new lines must not push
# out the lines that stay, so each half holds more than that. Full of 63-character lines: 4.3 MB.
MEMO_SIZE = 16_384
OPAQUE = 32  # characters from which a token is a secret: 128 bits in hex
CUT_OPAQUE = 16  # ... in the last segment of a cut line: the other half may be behind the cut
CUT_HEX = 8  # ... and hex there, where a shorter piece already betrays what it is
MAX_NAME = 32  # of a parameter: what is longer is more likely text than a name
# Masks may push a text over MAX_TEXT, and that cut may call for another mask: mostly 2 rounds, and
# never more than 4 in 200,000 lines made up of what the rules look for.
ROUNDS = 6

# Apache cuts anywhere, so any beginning of " HTTP/1.1" may end a line.
_PROTOCOL_PART = "[ ]H(?:T(?:T(?:P(?:/(?:[0-9](?:[.][0-9]?)?)?)?)?)?)?"
_PROTOCOL = re.compile(rf"{_PROTOCOL_PART}\Z")
_SUSPECT = re.compile(r"[?#;=@%:]|//|eyJ|[A-Za-z0-9+_.-]{32}")

_ENC = "%(?:25)*"  # percent-encoded once or more often
_SLASH = f"{_ENC}2[Ff]"
# After a raw slash an encoded one belongs to the password; after an encoded one it ends the host.
_URL = re.compile(rf"((?:/|{_SLASH}){{2,}})((?<=/)[^/]*|(?:(?!{_SLASH})[^/])*)")
# Method, then the target up to its first slash; CONNECT's target has no path, so all of it.
_BARE = re.compile(r"((?:[^ @/:]+ )?)((?<=^CONNECT ).*|[^/]*)")
_USERINFO = re.compile(rf".*(?=@|{_ENC}40)")
_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]*\]?|[^:\[]*)(?::[0-9]{0,5})?")

_SEGMENT = re.compile(r"([/;]?)([^/;]*)")
_SIGN = re.compile(rf"=|{_ENC}3[DdFf]")  # '=', or the encoded '=' or '?' of an embedded URL
_SEPARATOR = re.compile("([&;])")
_NAME = re.compile(rf"[A-Za-z0-9_.$\[\]%~+-]{{1,{MAX_NAME}}}")
_NESTED = re.compile("[?#=&;]|//|%[0-9A-Fa-f]{2}")  # a value that may hold parameters of its own

# base64url and base64; of the percent-encoded characters only those that a token can hold, so that
# an encoded title in another script is no token.
_RUN = re.compile(
    r"(?:[A-Za-z0-9+_.-]"
    r"|%(?:2[BbDdFf]|3[0-9]|4[1-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])){8,}"
)
_HEX = re.compile("[0-9A-Fa-f-]+")
_JWT = re.compile("(?<![a-z])eyJ")  # base64 of '{"', the start of every JWT; not of "monkeyJungle"
_JOINT = re.compile("[-_.+/]+")
_WORD = re.compile("(?:[a-z]{1,20}[0-9]{0,2}|[0-9]{1,4})?")

# An ordinary line: all that the rules could mask in it is what `_settle_line` masks, and in the result
# they find nothing. On a busy server most lines are new at each tick; with a query they cost 13 to
# 22 us by the rules, and 1.2 to 1.7 us so. Every character is printable; without a "J" there is no JWT.
_HEX_CHAR = "[0-9A-Fa-f-]"
_NO_HEX = f"(?!{_HEX_CHAR}{{{CUT_HEX}}})"
# Not opaque, even at a cut: one run that is too short, and one of any length that is all `_WORD`s.
_PIECE = f"{_NO_HEX}[A-IK-Za-z0-9_-]{{1,{CUT_OPAQUE - 1}}}"
_SLUG = f"{_NO_HEX}(?:[a-z]{{1,20}}|[0-9]{{1,4}})(?:[_-](?:[a-z]{{1,20}}|[0-9]{{1,4}}))*"
_PAIR = f"""{_PIECE}=[!"$%'-:<-~]*"""
_NO_PAIR = """([!"$%'-:<>-~]*)"""
# A segment fits one branch only, told apart by length and first characters: if it fitted two, a line
# that fails at its end would be tried in 2**segments ways. So the worst line found costs 26 us.
_ORDINARY = re.compile(
    rf"""
    (?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)[ ]  # no CONNECT, whose target is an authority
    (?:/(?:  # segments with something behind them; never "//", so there is no authority
        [A-IK-Za-z0-9_.~+@:,*-]{{1,{OPAQUE - 1}}}
        |(?=[a-z0-9_-]{{{OPAQUE}}}){_SLUG}
        |({_HEX_CHAR}{{{OPAQUE},}})
    )(?=[/? ]))*
    (?:
        /?{_PROTOCOL_PART}
        |/?\?{_PAIR}(?:[&;]{_PAIR})*(?:{_PROTOCOL_PART}|[&;]{_NO_PAIR})?
        |/?\?{_NO_PAIR}
        |/(?:{_PIECE}|{_SLUG}|({_HEX_CHAR}{{{CUT_HEX},}}))?  # a path's last segment, maybe cut
    )
    """,
    re.VERBOSE,
)
_VALUE = re.compile("=[^&; ]+")
# What the groups of `_ORDINARY` tell of: opaque segments, and a parameter that was cut in its name.
_RARE = re.compile(
    rf"(?<=/)(?:{_HEX_CHAR}{{{OPAQUE},}}|{_HEX_CHAR}{{{CUT_HEX},}}\Z)|(?<=[?&;])[^=&;]+\Z"
)

# Apache keeps 31 of at most 39 characters: at least six groups, of which /48 needs three.
_CUT_IPV6 = re.compile("((?:[0-9A-Fa-f]{1,4}:){3})[0-9A-Fa-f:]*")
_HOST_NAME = re.compile(r"[A-Za-z0-9_*-]+((?:\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9-]*\.?)")


class Redactor:
    """Cleans scoreboard strings by one fixed policy; every method accepts any text.

    `enabled` masks secrets in request lines and virtual hosts. `allow_parameters` are the decoded,
    case-sensitive names of query parameters whose values may be seen, unless a value looks like a
    secret itself. `truncate_clients` reduces clients to their network, whether `enabled` or not.
    Length and control characters are seen to in any case.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        allow_parameters: Iterable[str] = (),
        truncate_clients: bool = False,
    ) -> None:
        unchanged = partial(_settle, _unchanged)
        mask_line = partial(_settle_line, allowed=frozenset(allow_parameters))
        self._requests = _Memo(mask_line if enabled else unchanged)
        self._clients = _Memo(partial(_settle, _truncate_client) if truncate_clients else unchanged)
        self._vhosts = _Memo(partial(_settle, _mask_userinfo) if enabled else unchanged)

    def request(self, text: str) -> str:
        """Return a request line without secrets, whole or cut by Apache at any character."""
        return self._requests[text]

    def client(self, text: str) -> str:
        """Return a client's address or name; its /24, /48 or domain if clients are truncated."""
        return self._clients[text]

    def vhost(self, text: str) -> str:
        """Return a virtual host's name and port."""
        return self._vhosts[text]

    def columns(
        self, clients: Iterable[str], requests: Iterable[str], vhosts: Iterable[str]
    ) -> tuple[Iterable[str], Iterable[str], Iterable[str]]:
        """Clean many of each, as `client`, `request` and `vhost` do, without a call for each."""
        return (
            map(self._clients.__getitem__, clients),
            map(self._requests.__getitem__, requests),
            map(self._vhosts.__getitem__, vhosts),
        )


_Rule = Callable[[str], str]


class _Memo(dict[str, str]):
    """A rule's results for the texts used last; a text that is here costs a look-up and no call."""

    def __init__(self, rule: _Rule) -> None:
        super().__init__()
        self._rule = rule
        self._older: dict[str, str] = {}

    def __missing__(self, text: str) -> str:
        # Apache's strings are short; others would take the memo's memory out of bounds.
        if len(text) > MAX_TEXT:
            return self._rule(text)
        result = self._older.get(text)
        if result is None:
            result = self._rule(text)
        if len(self) >= MEMO_SIZE // 2:
            self._older = self.copy()
            self.clear()
        self[text] = result
        return result


def _settle_line(line: str, *, allowed: frozenset[str]) -> str:
    """Do what `_settle` does with `_mask_line`, by two or three patterns if the line is ordinary."""
    ordinary = _ORDINARY.fullmatch(line) if len(line) <= MAX_ORDINARY else None
    # An ordinary name has nothing encoded, so it is written as it was allowed.
    if not ordinary or (allowed and any(f"{name}=" in line for name in allowed)):
        return _settle(partial(_mask_line, allowed=allowed), line)
    masked = _VALUE.sub("=" + MASK, line)
    return _RARE.sub(MASK, masked) if ordinary.lastindex else masked


def _settle(rule: _Rule, text: str) -> str:
    """Apply the rule until nothing changes: what comes out is clean by the rule's own word."""
    text = _bounded(_visible(_bounded(text, MAX_INPUT)), MAX_INPUT)
    for _ in range(ROUNDS):
        result = _bounded(rule(text), MAX_TEXT)
        if result == text:
            return result
        text = result
    return MASK


def _unchanged(text: str) -> str:
    return text


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _visible(text: str) -> str:
    """Escape what a terminal or a page would obey or hide; lone surrogates, too."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(ord(char)) for char in text)


def _escape(code: int) -> str:
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _mask_line(line: str, *, allowed: frozenset[str]) -> str:
    """Mask a line part by part; the method needs no parsing, as no rule depends on it."""
    suffix = _PROTOCOL.search(line)
    body, protocol = (line[: suffix.start()], suffix.group()) if suffix else (line, "")
    if protocol and not _SUSPECT.search(body):
        return line
    # Whatever its length: NUL cuts, too, and HTTP/0.9 has the only whole lines without a protocol.
    cut = not protocol
    target, hash_sign, fragment = body.partition("#")
    path, question_mark, query = target.partition("?")
    path = _mask_path(path, cut=cut and not question_mark and not hash_sign)
    query = _mask_query(query, allowed, cut=cut and not hash_sign)
    return f"{path}{question_mark}{query}{hash_sign}{fragment and MASK}{protocol}"


def _mask_path(path: str, *, cut: bool) -> str:
    # Authorities first: a password may hold the ';' and '=' that split segments.
    if start := _BARE.match(path):
        path = start[1] + _mask_authority(start[2]) + path[start.end() :]
    path = _URL.sub(partial(_mask_url, cut=cut), path)
    return _SEGMENT.sub(partial(_mask_segment, cut=cut), path)


def _mask_url(match: re.Match[str], *, cut: bool) -> str:
    slashes, authority = match.groups()
    masked = _mask_authority(authority)
    unfinished = cut and match.end() == len(match.string)
    if unfinished and masked == authority and "." not in authority:
        # No dot: as likely the user name (or the token in its place) of an '@' behind the cut.
        masked = authority and MASK
    return f"{slashes}{masked}"


def _mask_authority(authority: str) -> str:
    """Mask userinfo, also if its '@' is behind a cut and only a ':' tells that it is one."""
    masked = _mask_userinfo(authority)
    if masked != authority:
        return masked
    plain = unquote(unquote(authority))
    return authority if ":" not in plain or _HOST_PORT.fullmatch(plain) else MASK


def _mask_userinfo(text: str) -> str:
    userinfo = _USERINFO.match(text)
    return MASK + text[userinfo.end() :] if userinfo else text


def _mask_segment(match: re.Match[str], *, cut: bool) -> str:
    delimiter, text = match.groups()
    if sign := _SIGN.search(text):
        name, value = text[: sign.start()], text[sign.end() :]
        text = f"{_mask_runs(name, cut=True)}{sign.group()}{value and MASK}"
    elif delimiter == ";":
        text = text and MASK
    else:
        text = _mask_runs(text, cut=cut and match.end() == len(match.string))
    return f"{delimiter}{text}"


def _mask_query(query: str, allowed: frozenset[str], *, cut: bool) -> str:
    parameters = _SEPARATOR.split(query)  # parameter, separator, parameter, ...
    last = len(parameters) - 1
    for index in range(0, len(parameters), 2):
        ends_cut = cut and index == last
        parameters[index] = _mask_parameter(parameters[index], allowed, cut=ends_cut)
    return "".join(parameters)


def _mask_parameter(text: str, allowed: frozenset[str], *, cut: bool) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        return text and MASK
    is_allowed = unquote_plus(name) in allowed
    if not (is_allowed and _is_plain(value, cut=cut)):
        value = value and MASK
    if not (is_allowed or _is_name(name)):
        name = name and MASK
    return f"{name}={value}"


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _mask_runs(name, cut=True) == name


def _is_plain(value: str, *, cut: bool) -> bool:
    """Tell whether an allowed value is neither opaque nor able to carry another parameter."""
    joined = value.replace("/", "-")  # base64 holds slashes, and here they separate nothing
    return not _NESTED.search(unquote_plus(value)) and _mask_runs(joined, cut=cut) == joined


def _mask_runs(text: str, *, cut: bool) -> str:
    return _RUN.sub(partial(_mask_run, cut=cut), text)


def _mask_run(match: re.Match[str], *, cut: bool) -> str:
    run = match.group()
    parts = run.split(".")
    signed = len(parts) == 3 and min(map(len, parts)) >= 5 and _is_opaque(run, cut=cut)
    if signed or _JWT.search(run):
        return MASK
    return ".".join(MASK if _is_opaque(part, cut=cut) else part for part in parts)


def _is_opaque(token: str, *, cut: bool) -> bool:
    plain = unquote(token)
    if _HEX.fullmatch(plain):
        return len(plain) >= (CUT_HEX if cut else OPAQUE)
    if len(plain) < (CUT_OPAQUE if cut else OPAQUE):
        return False
    return not all(map(_WORD.fullmatch, _JOINT.split(plain)))


def _truncate_client(text: str) -> str:
    if not text:
        return text
    try:
        # The part before a '/', so that a network, cleaned again, stays one.
        address = ip_address(text.partition("/")[0])
    except ValueError:
        return _truncate_unparsed_client(text)
    if address.version == 6:
        if address.ipv4_mapped is None:
            return str(IPv6Network((int(address), 48), strict=False))
        address = address.ipv4_mapped
    return str(IPv4Network((int(address), 24), strict=False))


def _truncate_unparsed_client(text: str) -> str:
    if cut := _CUT_IPV6.fullmatch(text):
        return str(IPv6Network(f"{cut[1]}:/48"))
    host = _HOST_NAME.fullmatch(text)
    return MASK + host[1] if host else MASK

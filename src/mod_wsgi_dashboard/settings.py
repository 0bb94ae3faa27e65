"""Every setting, its default, and the one place where settings are checked.

Owns names, defaults and accepted values. A `Settings` is frozen and valid once it exists: no other
module checks a setting again. It must not know aiohttp, Apache or the hub.

Sources, the strongest first: keyword arguments; environment variables `MOD_WSGI_DASHBOARD_<NAME>`;
the TOML file that `MOD_WSGI_DASHBOARD_CONFIG` names; defaults.
"""

from __future__ import annotations

import base64
import dataclasses
import ipaddress
import math
import os
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mod_wsgi_dashboard.core import alerts
from mod_wsgi_dashboard.core.errors import SettingsError

ENVIRONMENT_PREFIX = "MOD_WSGI_DASHBOARD_"
CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"

# sockaddr_un.sun_path is 108 bytes on Linux, the closing NUL included; Apache's limit is the same.
UNIX_PATH_BYTES = 107


@dataclasses.dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and port to listen on; port 0 picks a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclasses.dataclass(frozen=True, slots=True)
class UnixAddress:
    """The path of a unix socket to listen on."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def _address(value: object) -> Address:
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    text = _text(value)
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not os.path.isabs(path) or not 0 < len(os.fsencode(path)) <= UNIX_PATH_BYTES:
            raise ValueError
        return UnixAddress(path)
    host, separator, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return TcpAddress(host, int(port))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}[
        _text(value).lower()
    ]


def _names(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Iterable):
        raise ValueError
    return tuple(name for name in (_text(part).strip() for part in parts) if name)


def _hosts(value: object) -> tuple[str, ...]:
    hosts = tuple(host.lower() for host in _names(value))
    if any(set(host) & set("/@?#* ") for host in hosts):
        raise ValueError
    return hosts


def _mode(value: object) -> int:
    # An int is a mode as Python writes it (0o660); text, as chmod does ("660").
    mode = value if isinstance(value, int) else int(_text(value), 8)
    if not 0 < mode <= 0o777:
        raise ValueError
    return mode


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _bytes(low: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, bool):
            raise ValueError
        if isinstance(value, int):
            amount = value
        else:
            text = _text(value).strip().upper().removesuffix("B").removesuffix("I").strip()
            unit = text[-1:] if text[-1:] in "KMGT" else ""
            number = float(text.removesuffix(unit))
            if not math.isfinite(number):
                raise ValueError
            amount = int(number * _UNITS[unit])
        if not low <= amount <= 1 << 44:
            raise ValueError
        return amount

    return parse


def _directory(value: object) -> str | None:
    if value is None:
        return None
    text = os.fspath(value) if isinstance(value, os.PathLike) else _text(value)
    if not os.path.isabs(text) or "\0" in text:
        raise ValueError
    # What no file can be named after: a ValueError, too.
    os.fsencode(text)
    return text


def _number(low: float, high: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        number = float(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _count(low: int, high: int) -> Callable[[object], int | None]:
    def parse(value: object) -> int | None:
        if value is None or isinstance(value, bool):
            if value is None:
                return None
            raise ValueError
        number = int(_text(value)) if not isinstance(value, int) else value
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _whole(low: int, high: int) -> Callable[[object], int]:
    count = _count(low, high)

    def parse(value: object) -> int:
        number = count(value)
        if number is None:
            raise ValueError
        return number

    return parse


def _choice(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        text = _text(value).lower()
        if text not in choices:
            raise ValueError
        return text

    return parse


def _rules(value: object) -> tuple[alerts.Rule, ...]:
    if value is False or value == "off":
        return ()
    if isinstance(value, str):
        value = msgspec.json.decode(value)
    if not isinstance(value, list | tuple):
        raise ValueError
    return alerts.read_rules(value)


# RFC 9110, 4.1: servers should take 8,000 bytes; no sender of alerts has a reason for as many.
_URL_BYTES = 2000


def _url(value: object) -> str | None:
    if value is None or value == "":
        return None
    text = _text(value)
    parts = urllib.parse.urlsplit(text)
    clean = text.isascii() and text.isprintable() and " " not in text
    # An impossible port is a ValueError of its own.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or not clean:
        raise ValueError
    if len(text) > _URL_BYTES:
        raise ValueError
    return text


def _signing_secret(value: object) -> str | None:
    if value is None or value == "":
        return None
    text = _text(value)
    if not 24 <= len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) <= 64:
        raise ValueError
    return text


def _setting(
    default: Any, parse: Callable[[object], Any], accepts: str, meaning: str, *, secret: bool = False
) -> Any:
    """Return a field; what is secret is neither in the repr nor in a message."""
    metadata = {"parse": parse, "accepts": accepts, "meaning": meaning, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an operator may set. Constructing one checks every value.

    Raises:
        SettingsError: a value is not accepted; the message names the setting and what is.
    """

    listen: Address = _setting(
        TcpAddress("127.0.0.1", 8765),
        _address,
        f"HOST:PORT, or unix:/absolute/path of at most {UNIX_PATH_BYTES} bytes",
        "where the dashboard listens for Apache's proxy",
    )
    allow_public: bool = _setting(
        False,
        _flag,
        "on or off",
        "let `listen` name an address that other machines reach; nothing guards it there",
    )
    socket_mode: int = _setting(
        0o660,
        _mode,
        "a file mode in octal, 1 to 777",
        "permissions of the unix socket; Apache's user needs read and write",
    )
    interval: float = _setting(
        1.0, _number(0.1, 60.0), "seconds from 0.1 to 60", "seconds between two polls"
    )
    max_request_workers: int | None = _setting(
        None,
        _count(1, 1_000_000),
        "a whole number from 1 to 1000000",
        "Apache's MaxRequestWorkers, which mod_wsgi can't tell: for true busy/max",
    )
    max_viewers: int | None = _setting(
        None,
        _count(0, 1_000_000),
        "a whole number from 0 to 1000000",
        "WebSocket viewers at once, whichever way they come; more are asked to poll. Unset: through"
        " Apache, where each holds a worker, a fifth of the workers, at least 1",
    )
    reserve_workers: int | None = _setting(
        None,
        _count(0, 1_000_000),
        "a whole number from 0 to 1000000",
        "Apache workers that viewers must leave free: under it the newest are asked to poll."
        " Unset: a tenth of the workers, at least 2",
    )
    redact: bool = _setting(
        True, _flag, "on or off", "mask query values, user names in URLs and opaque path segments"
    )
    allow_parameters: tuple[str, ...] = _setting(
        (),
        _names,
        "names of query parameters, separated by commas",
        "query parameters whose values are shown all the same",
    )
    client_addresses: str = _setting(
        "full",
        _choice("full", "truncated"),
        "full or truncated",
        "show clients whole, or as their /24 (IPv4) or /48 (IPv6)",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (),
        _hosts,
        "host names, HOST or HOST:PORT, separated by commas",
        "further names that this dashboard is reached by, such as the site's own under"
        " ProxyPreserveHost On",
    )
    record: str = _setting(
        "full",
        _choice("full", "states", "off"),
        "full, states or off",
        "what the flight recorder keeps: whole samples, redacted as they are shown; the letters of slots"
        " and numbers alone, without requests and clients; or nothing",
    )
    state_dir: str | None = _setting(
        None,
        _directory,
        "an absolute path",
        "the directory of the recording, made if it isn't there. Unset: the first that can be written of"
        " $STATE_DIRECTORY, /var/lib/mod_wsgi-dashboard (never made), ~/.local/state/mod_wsgi-dashboard"
        " and /var/tmp/mod_wsgi-dashboard-UID",
    )
    record_bytes: int = _setting(
        512 << 20,
        _bytes(8 << 20),
        "bytes, or a number with K, M, G or T (1M is 1024 x 1024); at least 8M",
        "what the recording may take on the disk; the oldest samples make room for new ones",
    )
    stall_timeout: float = _setting(
        20.0,
        _number(1.0, 600.0),
        "seconds from 1 to 600",
        "a viewer that takes no byte for so long is cut off",
    )
    heartbeat: float = _setting(
        10.0,
        _number(1.0, 60.0),
        "seconds from 1 to 60",
        "seconds between pings; a viewer that answers none of three is cut off, and Apache frees its"
        " worker one `Timeout` later",
    )
    alerts: tuple[alerts.Rule, ...] = _setting(
        alerts.DEFAULT_RULES,
        _rules,
        "off, or a list of rules: [[alerts]] in a file, JSON in the environment (docs/alerts.md)",
        "when to alert: by the share of busy workers, the oldest request, stuck workers, an unreadable"
        " scoreboard or a restart",
    )
    webhook_url: str | None = _setting(
        None,
        _url,
        f"a URL with http or https, of at most {_URL_BYTES} characters",
        "where each alert is sent when it begins and when it is over, as a POST of JSON",
        secret=True,
    )
    webhook_secret: str | None = _setting(
        None,
        _signing_secret,
        "24 to 64 bytes in base64, with or without whsec_ before them",
        "the key that signs what is sent, as Standard Webhooks says. Unset: it is not signed",
        secret=True,
    )
    metrics_processes: bool = _setting(
        False,
        _flag,
        "on or off",
        "workers, requests and bytes of each process slot in `/metrics`: three to five series a slot",
    )
    metrics_vhosts: int = _setting(
        0,
        _whole(0, 50),
        "a whole number from 0 to 50",
        "for how many virtual hosts, the busiest, `/metrics` has series of their own",
    )
    log_format: str = _setting(
        "text",
        _choice("text", "json"),
        "text or json",
        "what a line of the log is: a sentence, or a JSON object with the same",
    )
    log_level: str = _setting(
        "info",
        _choice("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "the least level that is logged",
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _checked(field, getattr(self, field.name), source=None)
            object.__setattr__(self, field.name, value)
        if isinstance(self.listen, TcpAddress) and not (self.listen.loopback or self.allow_public):
            raise SettingsError(
                f"listen = '{self.listen}' would be reachable from other machines, past Apache's"
                " access rules: use 127.0.0.1 or a unix socket, or set allow_public = on"
            )

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, /, **keywords: object) -> Settings:
        """Gather the settings from keywords, environment and TOML file, and check them.

        Args:
            environ: the environment, `os.environ` unless given.
            keywords: settings that win over every other source.

        Raises:
            SettingsError: a setting is unknown, or its value is not accepted; the message names the
                setting, where it came from, and what is accepted.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for source, given in _sources(environ, keywords):
            for name, value in given.items():
                field = _FIELDS.get(name)
                if field is None:
                    raise SettingsError(
                        f"unknown setting '{name}' (from {source});"
                        f" the settings are {', '.join(_FIELDS)}"
                    )
                values[name] = _checked(field, value, source=source)
        return cls(**values)


_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def _checked(field: dataclasses.Field[Any], value: object, *, source: str | None) -> Any:
    try:
        return field.metadata["parse"](value)
    except alerts.RuleError as error:
        raise SettingsError(f"{field.name}{_from(source)}: {error}") from None
    except (ValueError, KeyError):
        # Whoever writes a rule may put a secret into it; a URL may have one in any of its parts.
        hidden = field.metadata["secret"] or field.name == "alerts"
        shown = field.name if hidden else f"{field.name} = {value!r}"
        raise SettingsError(
            f"{shown}{_from(source)} is not accepted: use {field.metadata['accepts']}"
        ) from None


def _from(source: str | None) -> str:
    return f" (from {source})" if source else ""


def _sources(
    environ: Mapping[str, str], keywords: Mapping[str, object]
) -> Iterable[tuple[str, Mapping[str, object]]]:
    """Yield the sources with what each sets, the weakest first."""
    path = environ.get(CONFIG_VARIABLE)
    if path:
        yield f"the file {path}", _toml(Path(path))
    for variable, value in environ.items():
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != CONFIG_VARIABLE:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            yield f"the environment variable {variable}", {name: value}
    yield "a keyword argument", keywords


def _toml(path: Path) -> dict[str, object]:
    try:
        import tomllib
    except ImportError:
        raise SettingsError(
            f"{CONFIG_VARIABLE} needs Python 3.11 or newer;"
            f" use environment variables {ENVIRONMENT_PREFIX}<NAME>"
        ) from None
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{CONFIG_VARIABLE} names {path}: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


def describe() -> Iterable[tuple[str, str, str, str]]:
    """Yield (name, default, accepted values, meaning) of each setting."""
    for field in dataclasses.fields(Settings):
        yield field.name, _shown(field), field.metadata["accepts"], field.metadata["meaning"]


def _shown(field: dataclasses.Field[Any]) -> str:
    value: Any = field.default
    if field.name == "socket_mode":
        return f"{value:o}"
    if isinstance(value, bool):
        return "on" if value else "off"
    if field.name == "record_bytes":
        return f"{int(value) >> 20}M"
    if field.name == "alerts":
        return f"{len(value)} rules"
    if value is None or value == ():
        return "unset"
    return str(value)

"""What an operator may choose for a configuration, checked.

Owns the accepted values and which of them go together: a `Choices` is right once it exists, and every
text in it can stand in Apache's configuration, quoted. It must not know how a configuration is spelled
(render.py), nor the server that shall read it.

Invariant: a refusal is one line that begins with the option's name.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

from mod_wsgi_dashboard.apacheconf.state_directory import DIRECTORY
from mod_wsgi_dashboard.core.errors import UsageError
from mod_wsgi_dashboard.settings import (
    ENVIRONMENT_PREFIX,
    UNIX_PATH_BYTES,
    Address,
    TcpAddress,
    UnixAddress,
)

TARGETS = ("express", "vhost", "debian", "rhel")
PROXIES = ("upgrade", "rewrite", "wstunnel")
RECORDS = ("full", "states", "off")

Version = tuple[int, int, int]

# mod_proxy_http takes a WebSocket handshake from this one on; mod_proxy_wstunnel is as old as that one.
UPGRADE_SINCE: Version = (2, 4, 47)
WSTUNNEL_SINCE: Version = (2, 4, 5)

# RewriteOptions InheritDownBefore.
INHERIT_SINCE: Version = (2, 4, 8)

DEFAULT_LISTEN = TcpAddress("127.0.0.1", 8765)

# Longer than anything a person would type; Apache's own limit is 8190 bytes a line.
TEXT_LENGTH = 1024
MOUNT_LENGTH = 200
HOST_LENGTH = 253
LIST_LENGTH = 100

# One of a fleet's dashboards is a handful of machines, and each takes workers of this one.
MEMBERS = 32
VIEWERS = 10_000

# Either closed to the dashboard's user, or open to everyone, who could put another socket there.
SHARED = frozenset(["", "/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run"])

# Nobody's own either: a recording has a directory that is its user's alone.
SYSTEM = SHARED | {"/etc", "/home", "/opt", "/root", "/srv", "/usr", "/var", "/var/lib", "/var/www"}

# What the dashboard takes for a prefix. Of these only the dot means something in a regular expression.
_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}|#[0-9]{1,10}")

# mod_proxy reads a socket's path as a part of a URL, and takes it apart at what a URL does.
_SOCKET = re.compile(r"/[A-Za-z0-9._/+@:-]+")


@dataclass(frozen=True, slots=True)
class Tls:
    """Files of a virtual host with TLS, absolute paths."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Access:
    """Who may look: "local", "ip" with networks, "basic" with a password file, or "existing"."""

    kind: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """A dashboard elsewhere: its address, or the URL of an Apache in front of it.

    `url` has no closing slash; `socket` is the path of a unix socket, where it is one.
    """

    url: str
    socket: str | None = None

    @property
    def tls(self) -> bool:
        return self.url.startswith("https:")


@dataclass(frozen=True, slots=True)
class Pool:
    """The size of Apache's pool of workers, for directives of the MPM."""

    mpm: str
    threads_per_child: int
    server_limit: int
    max_request_workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """One configuration to be written.

    Args:
        target: one of TARGETS.
        mount: URL path that ends in a slash; "/" only for a virtual host of its own.
        server_name: gives the dashboard a virtual host of its own.
        address: where that virtual host listens, an IP address or "*".
        port: its port, with or without TLS.
        listens: write a Listen directive for that port.
        tls: certificate and key of that virtual host.
        inside_vhost: the directives go into a virtual host that is there already.
        listen: where the dashboard of this server listens; None where this Apache has none.
        members: dashboards elsewhere.
        backend_ca: file with the certificates that https:// members are checked against.
        proxy: one of PROXIES.
        version: Apache's, if it is known.
        access: who may look.
        python_home: the virtual environment that the dashboard is installed in.
        script: the service script.
        script_kind: "packaged", without settings of its own; "written", by us, with those that belong to
            these choices; or "own", the operator's, which isn't ours to write.
        user: of the daemon process; Apache's own unless given.
        group: of the daemon process.
        viewers: how many shall look at once; None leaves the pool and the guard as they are.
        pool: directives to be written for them; None where there is nothing to change.
        max_request_workers: Apache's, if it is known: the dashboard can't ask for it.
        record: one of RECORDS; None leaves it to the dashboard.
        state_dir: the directory to record in; None for the usual one.
        in_place: give values by Define, to be edited at the top of the file.

    Raises:
        UsageError: these don't go together.
    """

    target: str = "vhost"
    mount: str = "/metrics/"
    server_name: str | None = None
    address: str = "*"
    port: int = 80
    listens: bool = False
    tls: Tls | None = None
    inside_vhost: bool = False
    listen: Address | None = DEFAULT_LISTEN
    members: tuple[Member, ...] = ()
    backend_ca: str | None = None
    proxy: str = "upgrade"
    version: Version | None = None
    access: Access = Access("local")
    python_home: str = "/opt/mod_wsgi-dashboard"
    script: str = "/etc/apache2/dashboard.py"
    script_kind: str = "packaged"
    user: str | None = None
    group: str | None = None
    viewers: int | None = None
    pool: Pool | None = None
    max_request_workers: int | None = None
    record: str | None = None
    state_dir: str | None = None
    in_place: bool = False

    def __post_init__(self) -> None:
        for check in (_check_place, _check_proxy, _check_backends, _check_record, _check_express):
            check(self)

    @property
    def at_server_scope(self) -> bool:
        """Whether the mount stands outside of every virtual host."""
        return self.server_name is None and not self.inside_vhost

    @property
    def settings(self) -> dict[str, object]:
        """The dashboard's settings that belong to these choices, by name, without defaults."""
        chosen: dict[str, object] = {}
        if self.listen is None:
            return chosen
        if self.listen != DEFAULT_LISTEN:
            chosen["listen"] = str(self.listen)
        if self.max_request_workers is not None:
            chosen["max_request_workers"] = self.max_request_workers
        if self.viewers is not None:
            chosen["max_viewers"] = self.viewers
        if self.record is not None:
            chosen["record"] = self.record
        if self.state_dir is not None:
            chosen["state_dir"] = self.state_dir
        return chosen

    @property
    def environment(self) -> tuple[str, ...]:
        """The same as variables of the environment, NAME=value."""
        return tuple(
            f"{ENVIRONMENT_PREFIX}{name.upper()}={self.settings[name]}" for name in self.settings
        )

    @property
    def records_in(self) -> str | None:
        """The directory of the system that it is meant to record in; None where it records nothing."""
        if self.listen is None or self.record == "off":
            return None
        return self.state_dir or DIRECTORY

    @property
    def prefix(self) -> str:
        """The mount without its closing slash: "" for "/"."""
        return self.mount.rstrip("/")


def refuse(option: str, value: object, wanted: str) -> NoReturn:
    """Refuse the value of an option in one line, without what could harm a terminal.

    Raises:
        UsageError: always.
    """
    text = str(value)
    shown = ascii(text if len(text) <= 80 else text[:80] + "...")
    raise UsageError(f"{option} {shown} is not accepted: {wanted}")


def parse_mount(text: str) -> str:
    """Return a mount with a slash at both ends, "/metrics/" or "/"."""
    inner = text.strip("/")
    segments = inner.split("/") if inner else []
    if len(text) > MOUNT_LENGTH or not all(_SEGMENT.fullmatch(part) for part in segments):
        refuse("--mount", text, "a path such as /metrics/, of letters, digits and . _ ~ -")
    return f"/{inner}/" if inner else "/"


def parse_path(option: str, text: str) -> str:
    """Return an absolute path that can stand between double quotes in Apache's configuration."""
    if not os.path.isabs(text):
        refuse(option, text, "an absolute path")
    if len(os.fsencode(text)) > TEXT_LENGTH or not text.isprintable() or set(text) & set("\"'"):
        refuse(option, text, f"at most {TEXT_LENGTH} printable characters, no quotes")
    if "${" in text:
        refuse(option, text, "Apache would take ${ for a variable")
    return text


def parse_state_dir(text: str) -> str:
    """Return a directory to record in, without a closing slash."""
    path = text.rstrip("/")
    if path in SYSTEM:
        refuse("--state-dir", text, f"a directory of its own, such as {DIRECTORY}")
    # It comes to stand in scripts, in units and in tmpfiles.d, each of which has its own quoting.
    if not _SOCKET.fullmatch(path) or ".." in path.split("/") or len(path) > TEXT_LENGTH:
        refuse("--state-dir", text, "an absolute path of letters, digits and . _ / + @ : -")
    return path


def parse_listen(text: str) -> Address | None:
    """Return where the dashboard listens: loopback or unix socket; None for "none"."""
    if text == "none":
        return None
    if text.startswith("unix:"):
        path = _socket_path("--listen", text)
        if path.rpartition("/")[0] in SHARED:
            refuse("--listen", text, "a directory of its own, such as /run/mod_wsgi-dashboard")
        return UnixAddress(path)
    host, port = _host_and_port("--listen", text)
    address = TcpAddress(host, port)
    if not address.loopback:
        wanted = "127.0.0.1 or unix:, since other machines would go past Apache's access rules"
        refuse("--listen", text, wanted)
    return address


def parse_member(text: str) -> Member:
    """Return a dashboard elsewhere: HOST:PORT, unix:/path, or https://HOST[:PORT]/PATH/."""
    if text.startswith("unix:"):
        return Member("http://localhost", _socket_path("--balance", text))
    if text.startswith("https://"):
        return Member("https://" + _netloc_and_path(text))
    host, port = _host_and_port("--balance", text)
    return Member(f"http://{TcpAddress(host, port)}")


def parse_access(text: str) -> Access:
    """Return who may look: local, existing, ip:NETWORK[,NETWORK...], or basic:/path/of/htpasswd."""
    kind, _, rest = text.partition(":")
    if kind in {"local", "existing"} and not rest:
        return Access(kind)
    if kind == "basic":
        return Access(kind, (parse_path("--access basic:", rest),))
    if kind == "ip":
        return Access(kind, tuple(_networks(rest)))
    refuse("--access", text, "local, ip:NETWORK,..., basic:/path/of/htpasswd or existing")


def parse_server_name(text: str) -> str:
    """Return a host name."""
    if len(text) > HOST_LENGTH or not _HOST.fullmatch(text) or ".." in text:
        refuse("--server-name", text, "a host name such as status.example.org")
    return text


def parse_address(text: str) -> str:
    """Return the address that a virtual host listens on: an IP address, IPv6 in brackets, or *."""
    if text == "*":
        return text
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        refuse("--address", text, "an IP address of this machine, or *")
    return f"[{address}]" if address.version == 6 else str(address)


def parse_port(option: str, text: str) -> int:
    """Return a port, 1 to 65535."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        refuse(option, text, "a port from 1 to 65535")
    return int(text)


def parse_account(option: str, text: str) -> str:
    """Return the name of a user or group, or #NUMBER."""
    if not _ACCOUNT.fullmatch(text):
        refuse(option, text, "a name of letters, digits and . _ -, or #NUMBER")
    return text


def parse_viewers(text: str) -> int:
    """Return how many shall look at once."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 6 and 1 <= int(text) <= VIEWERS):
        refuse("--viewers", text, f"a number from 1 to {VIEWERS}")
    return int(text)


def parse_version(text: str) -> Version:
    """Return an Apache version, 2.4.0 or newer."""
    found = re.fullmatch(r"(2)\.(\d{1,3})\.(\d{1,3})", text, re.ASCII)
    if found is None or int(found[2]) < 4:
        refuse("--apache-version", text, "a version such as 2.4.41, 2.4.5 or newer")
    major, minor, patch = found.groups()
    return int(major), int(minor), int(patch)


def enlarge(pool: Pool, viewers: int) -> Pool:
    """Return a pool that has room for viewers beside what the site has now.

    Each viewer holds a worker for as long as it looks. MaxRequestWorkers is a multiple of
    ThreadsPerChild, and ServerLimit never less than before.
    """
    threads = pool.threads_per_child
    servers = -(-(pool.max_request_workers + viewers) // threads)
    return Pool(pool.mpm, threads, max(pool.server_limit, servers), servers * threads)


def _networks(text: str) -> Iterator[str]:
    parts = text.split(",")
    if len(parts) > LIST_LENGTH:
        refuse("--access ip:", text, f"at most {LIST_LENGTH} networks")
    for part in parts:
        try:
            network = ipaddress.ip_network(part.strip(), strict=False)
        except ValueError:
            refuse("--access ip:", part, "addresses or networks such as 10.0.0.0/8, separated by commas")
        single = network.prefixlen == network.max_prefixlen
        yield str(network.network_address) if single else str(network)


def _socket_path(option: str, text: str) -> str:
    path = text.removeprefix("unix:")
    if not _SOCKET.fullmatch(path) or path.endswith("/") or ".." in path.split("/"):
        refuse(option, text, "unix: and an absolute path of letters, digits and . _ / + @ : -")
    if len(os.fsencode(path)) > UNIX_PATH_BYTES:
        refuse(option, text, f"a socket's path has at most {UNIX_PATH_BYTES} bytes")
    return path


def _host_and_port(option: str, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not (_is_ip(bare) or (len(host) <= HOST_LENGTH and _HOST.fullmatch(host))):
        refuse(option, text, "HOST:PORT or unix:/path")
    return bare, parse_port(option, port)


def _netloc_and_path(text: str) -> str:
    """Return HOST[:PORT][/PATH] of an https:// URL, without a closing slash."""
    rest = text.removeprefix("https://")
    netloc, _, path = rest.partition("/")
    host, colon, port = netloc.rpartition(":") if not netloc.endswith("]") else (netloc, "", "")
    host = host if colon else netloc
    segments = path.strip("/").split("/") if path.strip("/") else []
    good = _is_ip(host.removeprefix("[").removesuffix("]")) or _HOST.fullmatch(host)
    if len(text) > TEXT_LENGTH or not good or not all(_SEGMENT.fullmatch(part) for part in segments):
        refuse("--balance", text, "https://HOST[:PORT]/PATH/")
    if colon:
        parse_port("--balance", port)
    assert urlsplit(text).hostname, "the pattern leaves a host"
    return "/".join([netloc, *segments])


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_place(choices: Choices) -> None:
    if choices.tls and choices.server_name is None and choices.target != "express":
        raise UsageError("--tls makes a virtual host of its own: add --server-name NAME")
    if choices.inside_vhost and choices.server_name is not None:
        raise UsageError("--inside-vhost and --server-name exclude each other: choose one")
    if choices.inside_vhost and choices.target != "vhost":
        raise UsageError("--inside-vhost is for the target vhost: include what it writes yourself")
    if choices.mount == "/" and choices.server_name is None:
        raise UsageError("--mount / would hide the whole site: add --server-name NAME, or a path")


def _check_proxy(choices: Choices) -> None:
    version = choices.version
    if version is None:
        return
    shown = ".".join(map(str, version))
    if choices.proxy == "upgrade" and version < UPGRADE_SINCE:
        raise UsageError(
            f"--proxy upgrade needs Apache 2.4.47, and this is {shown}: use --proxy rewrite or wstunnel"
        )
    if version < WSTUNNEL_SINCE:
        raise UsageError(f"Apache {shown} has no mod_proxy_wstunnel: 2.4.5 is the oldest that works")
    if choices.proxy == "rewrite" and choices.at_server_scope and version < INHERIT_SINCE:
        raise UsageError(
            f"--proxy rewrite outside of virtual hosts needs Apache 2.4.8, and this is {shown}:"
            " use --proxy wstunnel, --inside-vhost or --server-name"
        )


def _check_backends(choices: Choices) -> None:
    if choices.listen is None and not choices.members:
        raise UsageError("--listen none leaves nothing to show: name a dashboard with --balance")
    if len(choices.members) > MEMBERS:
        raise UsageError(f"--balance takes at most {MEMBERS} members")
    if len(set(choices.members)) < len(choices.members):
        raise UsageError("--balance names a member twice")
    if choices.listen is not None and any(_same(choices.listen, m) for m in choices.members):
        raise UsageError(f"--balance {choices.listen} is --listen, which is a member anyway")
    tls = any(member.tls for member in choices.members)
    if tls and choices.backend_ca is None:
        raise UsageError(
            "--balance https://... needs --backend-ca FILE, the certificates to check the member against"
        )
    for member in choices.members:
        # The Apache in front of it names its own mount to the dashboard, whatever stands here.
        if member.tls and urlsplit(member.url).path != choices.prefix:
            raise UsageError(
                f"--balance {member.url}/ is not mounted at {choices.mount}: a page knows but one mount,"
                " give both the same"
            )
    if choices.backend_ca is not None and not tls:
        raise UsageError("--backend-ca has no effect: no --balance begins with https://")
    if isinstance(choices.listen, UnixAddress) and choices.user and not choices.group:
        raise UsageError(
            "--user with a unix socket needs --group: Apache's own, which connects to the socket"
        )


def _check_record(choices: Choices) -> None:
    if choices.listen is None and (choices.record or choices.state_dir):
        option = "--record" if choices.record else "--state-dir"
        raise UsageError(f"{option} has no effect with --listen none: there is no dashboard to record")
    if choices.record == "off" and choices.state_dir is not None:
        raise UsageError("--state-dir has no effect with --record off: choose one")


def _same(listen: Address, member: Member) -> bool:
    if isinstance(listen, UnixAddress):
        return listen.path == member.socket
    return member.socket is None and member.url == f"http://{listen}"


def _check_express(choices: Choices) -> None:
    if choices.target != "express":
        return
    for wrong, why in (
        (choices.members, "--balance: mod_wsgi-express has no balancer, use the target vhost"),
        (choices.proxy != "upgrade", "--proxy: mod_wsgi-express writes upgrade=websocket alone"),
        (
            choices.server_name is not None and choices.tls is None,
            "--server-name: mod_wsgi-express mounts it in its own virtual host; use --mount",
        ),
        (choices.mount == "/", "--mount /: mod_wsgi-express has the application there"),
        (
            choices.tls is not None and " " in choices.tls.certificate + choices.tls.key,
            "--tls: mod_wsgi-express takes no paths with spaces",
        ),
    ):
        if wrong:
            raise UsageError(why)

"""Values that are edited at the top of a file, for the files that are copied as they stand.

Owns the names DASHBOARD_*, their defaults and what is said about them. Files with values of their own
have none of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mod_wsgi_dashboard.apacheconf.choices import Choices
from mod_wsgi_dashboard.apacheconf.lines import INDENT, comment, quoted
from mod_wsgi_dashboard.settings import TcpAddress, UnixAddress

_NUMBERS = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six", 7: "Seven"}


@dataclass(frozen=True, slots=True)
class Define:
    """A value that is edited at the top of the file, or defined before the Include."""

    name: str
    default: str
    comment: str


def defined(choices: Choices, name: str, value: str) -> str:
    """Return a value quoted; or, where it is edited in place, the variable that holds it."""
    return f"${{DASHBOARD_{name}}}" if choices.in_place else quoted(value)


def define_blocks(choices: Choices) -> list[list[str]]:
    """Return the blocks that give each value its default, for the top of the file."""
    if not choices.in_place:
        return []
    found = list(_values(choices))
    blocks = [comment(f"{_NUMBERS[len(found)]} things to edit, or to Define before the Include.")]
    for value in found:
        blocks += [
            [
                *comment(value.comment),
                f"<IfDefine !DASHBOARD_{value.name}>",
                f"{INDENT}Define DASHBOARD_{value.name} {quoted(value.default)}",
                "</IfDefine>",
            ]
        ]
    return blocks


def _values(choices: Choices) -> Iterator[Define]:
    if choices.server_name is not None:
        yield Define("SERVER_NAME", choices.server_name, "The name by which browsers ask for it.")
        yield Define("HTTPS_PORT", str(choices.port), "The port, on which Apache must listen.")
    if choices.tls is not None:
        yield Define("CERTIFICATE", choices.tls.certificate, "The certificate, with its chain.")
        yield Define("KEY", choices.tls.key, "Its private key.")
    yield Define(
        "PYTHON_HOME",
        choices.python_home,
        "The virtual environment that mod_wsgi-dashboard is installed in, of the Python that mod_wsgi"
        " was built for.",
    )
    yield Define(
        "SCRIPT",
        choices.script,
        "What `mod_wsgi-dashboard service-script` prints, or a script of your own (examples/system/).",
    )
    if isinstance(choices.listen, TcpAddress):
        said = "The port of the dashboard's setting `listen`, 127.0.0.1:8765 unless it was set."
        yield Define("PORT", str(choices.listen.port), said)
    if isinstance(choices.listen, UnixAddress):
        yield Define("SOCKET", choices.listen.path, _socket_words(choices))
    for number, member in enumerate(choices.members, 2):
        where = member.url.partition("://")[2]
        yield Define(f"MEMBER_{number}", where, f"Dashboard {number}: where this server reaches it.")
    if choices.access.kind == "basic":
        path = choices.access.values[0]
        yield Define("PASSWORDS", path, f"The password file: `htpasswd -c {path} NAME` makes it.")


def _socket_words(choices: Choices) -> str:
    assert isinstance(choices.listen, UnixAddress)
    directory = choices.listen.path.rpartition("/")[0]
    return (
        "The socket, which the dashboard is told by MOD_WSGI_DASHBOARD_LISTEN=unix:PATH in Apache's "
        "environment (Debian: `export` it in /etc/apache2/envvars), or by a script of your own. Its "
        "directory must exist at start, the daemon's user must be able to write to it, and Apache's "
        "user to search it. /run is empty after a boot: on Debian, let systemd make it, with the line "
        f" d {directory} 0750 www-data www-data  in /etc/tmpfiles.d/mod_wsgi-dashboard.conf"
    )

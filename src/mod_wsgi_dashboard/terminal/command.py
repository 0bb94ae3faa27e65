"""The command `top`: the first screen in a terminal, or one report of it.

Owns arguments, addresses, and what is said when nothing answers: one line, exit status 1. Data go to
stdout. It must not need Textual for `--once`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import logging
import netrc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from mod_wsgi_dashboard import local_recordings
from mod_wsgi_dashboard.core.errors import DashboardError, UsageError
from mod_wsgi_dashboard.core.groups import GroupKey, SortKey
from mod_wsgi_dashboard.core.verdict import Point
from mod_wsgi_dashboard.core.wire import Failure, Sample
from mod_wsgi_dashboard.settings import Settings, TcpAddress, UnixAddress
from mod_wsgi_dashboard.terminal import moment, report
from mod_wsgi_dashboard.terminal.archive import ApiArchive, Archive, FileArchive
from mod_wsgi_dashboard.terminal.moment import Choice
from mod_wsgi_dashboard.terminal.travel import BEFORE_SECONDS, Travel

_ADDRESS = re.compile(r"(?:https?|wss?)://|unix:", re.I)

# A header is a name of RFC 9110's characters, a colon, and a value without control characters.
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")

# An address to listen on that stands for all addresses of the machine.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}

# For the answers that a report can do without: how long the server has been full.
_EXTRA_SECONDS = 3.0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "top",
        help="show the first screen in this terminal",
        description="Show how busy Apache is, by what and since when, in this terminal: live, or from"
        " a recording or an incident file. Without an argument it asks the dashboard of this machine"
        " at its own address (the setting listen), past Apache, which also answers when Apache is full.",
        epilog="example: mod_wsgi-dashboard top --once --filter 'age>10s'",
    )
    add = parser.add_argument
    add(
        "where",
        nargs="?",
        metavar="URL|unix:PATH|FILE",
        help="where the dashboard is mounted, its unix socket, or a recorded file",
    )
    add("--once", action="store_true", help="print one report, and end; needs no Textual")
    add("--json", action="store_true", help="with --once: the sample as JSON, its verdict and alerts")
    add("--filter", default="", metavar="TEXT", help="list the requests that match, as in the page")
    add("--sort", default="age", choices=get_args(SortKey), metavar="KEY", help=_keys(SortKey))
    add("--group", choices=get_args(GroupKey), metavar="KEY", help=f"group by {_keys(GroupKey)}")
    add(
        "--headers",
        type=Path,
        metavar="FILE",
        help="send these headers, such as Authorization: one `Name: value` a line",
    )
    add("--netrc", action="store_true", help="log in with what ~/.netrc (or $NETRC) has for the host")
    parser.set_defaults(run=run)


def _keys(kind: object) -> str:
    return ", ".join(get_args(kind))


def run(options: argparse.Namespace) -> int:
    """Show the screen, or print a report."""
    if options.json and not options.once:
        raise UsageError("--json goes with --once")
    # What the client logs is on the screen, or in the error at the end.
    logging.getLogger("mod_wsgi_dashboard").addHandler(logging.NullHandler())
    choice = Choice(filter=options.filter, sort=options.sort, down=True, group=options.group)
    if options.sort != "age":
        choice = Choice(options.filter, options.sort, down=False, group=options.group)
    url = _address(options.where)
    if url is None:
        return _of_file(options, choice)
    headers = _headers(options, url)
    if options.once:
        return _print(*asyncio.run(_ask(url, headers, choice)), options, choice)
    _check_terminal()
    return asyncio.run(_live(url, headers, choice))


# Where


def _address(where: str | None) -> str | None:
    """Return the URL that is meant; None for a file."""
    if where is None:
        return _own_address(Settings.load())
    if _ADDRESS.match(where):
        return where
    if not Path(where).exists():
        hint = f"top http://{where}" if ":" in where else "top http://HOST/metrics/, top unix:/path"
        raise DashboardError(f"there is no file {where!r}; for a dashboard name its URL: {hint}")
    return None


def _own_address(settings: Settings) -> str:
    """Return the URL of the dashboard that listens as these settings say."""
    listen = settings.listen
    if isinstance(listen, UnixAddress):
        return f"unix:{listen.path}"
    if listen.port == 0:
        raise DashboardError("the setting listen has port 0, which may be any: name a URL, `top URL`")
    return f"http://{TcpAddress(_ANY.get(listen.host, listen.host), listen.port)}/"


def _headers(options: argparse.Namespace, url: str) -> dict[str, str]:
    """Return what to send with each request. Values are secrets: no message holds one."""
    found: dict[str, str] = {}
    if options.headers is not None:
        found.update(_read_headers(options.headers))
    host = urlsplit(url).hostname
    if options.netrc and host and not any(name.lower() == "authorization" for name in found):
        found["Authorization"] = _login(host)
    return found


def _read_headers(path: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise DashboardError(f"--headers {path} can't be read: {why}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _HEADER.fullmatch(line.strip())
        if match is None:
            raise DashboardError(f"--headers {path}, line {number}: write `Name: value`")
        yield match[1], match[2]


def _login(host: str) -> str:
    path = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        found = netrc.netrc(path).authenticators(host)
    except OSError as error:
        raise DashboardError(f"--netrc: {path} can't be read: {error.strerror}") from None
    except netrc.NetrcParseError as error:
        raise DashboardError(f"--netrc: {path}, line {error.lineno}: it can't be understood") from None
    if found is None:
        raise DashboardError(f"--netrc: {path} has no line for the machine {host}")
    login = f"{found[0] or ''}:{found[2] or ''}".encode()
    return f"Basic {base64.b64encode(login).decode()}"


def _nothing_answers(error: DashboardError, name: str, *, own: bool) -> DashboardError:
    """Return what to say of a dashboard, by its name, that can't be asked."""
    from mod_wsgi_dashboard.client import Refused

    if isinstance(error, Refused):
        return error
    hint = (
        "is the dashboard running here? `top URL` and `top unix:PATH` ask another, as do the settings"
        " listen and MOD_WSGI_DASHBOARD_LISTEN"
        if own
        else "is the dashboard running, and is this where it is mounted? On its own machine `top` alone"
        " asks past Apache"
    )
    return DashboardError(f"nothing answers at {name} ({_why(error)}): {hint}.")


def _why(error: DashboardError) -> str:
    """Return why a connection failed, in the system's words where it is the system that says so."""
    cause = error.__cause__
    system = getattr(cause, "os_error", cause)
    if not isinstance(system, OSError) or system.errno is None:
        return str(error)
    # A name that can't be resolved has a number of its own, below 0.
    return (os.strerror(system.errno) if system.errno > 0 else str(system.strerror)).lower()


# One report


Answer = tuple["Sample | Failure", "list[Point]", str]


async def _ask(url: str, headers: dict[str, str], choice: Choice) -> Answer:
    """Return the newest sample of a dashboard, the load before it, and the dashboard's name."""
    from mod_wsgi_dashboard.client import asking

    async with asking(url, headers=headers) as api:
        try:
            latest = await api.newest()
        except DashboardError as error:
            raise _nothing_answers(error, api.name, own=_is_own(url)) from None
        return latest, await _before(ApiArchive(api), latest), api.name


async def _before(archive: Archive, latest: Sample | Failure) -> list[Point]:
    """Return the load before a sample; none where nothing is recorded, or it takes long."""
    try:
        start, end = latest.at - BEFORE_SECONDS, latest.at
        work = archive.points(start, end, int(BEFORE_SECONDS))
        return await asyncio.wait_for(work, _EXTRA_SECONDS)
    except (DashboardError, asyncio.TimeoutError):
        return []


def _is_own(url: str) -> bool:
    with contextlib.suppress(DashboardError):
        return url == _own_address(Settings.load())
    return False


def _print(
    latest: Sample | Failure,
    points: list[Point],
    name: str,
    options: argparse.Namespace,
    choice: Choice,
) -> int:
    """Print a report of a sample, and return the exit status: 1 if the scoreboard can't be read."""
    if isinstance(latest, Failure):
        if options.json:
            sys.stdout.write(report.failure_as_json(latest))
        print(f"mod_wsgi-dashboard: {report.of_failure(latest, name)}", file=sys.stderr)
        return 1
    if not points or points[-1].at < latest.at - 0.5:
        points = [*points, moment.point_of(latest, before=points[-1] if points else None)]
    told = moment.read(latest, points, choice)
    # A terminal's or a file's encoding may lack a character: then it is written as an escape.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        sys.stdout.write(report.as_json(told))
    else:
        sys.stdout.write(report.as_text(told, name, group=choice.group))
    return 0


def _of_file(options: argparse.Namespace, choice: Choice) -> int:
    """Show a recording, opened at its end."""
    if not options.once:
        _check_terminal()
    name = Path(options.where).name
    with local_recordings.opened(options.where) as (_, recording):
        archive = FileArchive(recording)
        if not options.once:
            return asyncio.run(_replay(archive, name, choice))

        async def last() -> tuple[Sample | Failure, list[Point]]:
            travel = Travel(archive, still=True)
            await travel.open_at_end()
            assert travel.shown is not None
            return travel.shown, travel.points()

        latest, points = asyncio.run(last())
    return _print(latest, points, name, options, choice)


# The screen


def _check_terminal() -> None:
    """Say what is missing for a screen.

    Raises:
        DashboardError: Textual isn't installed, or this is no terminal.
    """
    try:
        import textual  # noqa: F401
    except ImportError:
        raise DashboardError(
            "`top` needs Textual: pip install 'mod_wsgi-dashboard[top]'; `top --once` works without"
        ) from None
    # Textual draws on stderr.
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()):
        raise DashboardError("`top` needs a terminal: use `top --once` for a report in a pipe or a file")


async def _live(url: str, headers: dict[str, str], choice: Choice) -> int:
    """Show a dashboard until the viewer leaves."""
    from mod_wsgi_dashboard import client
    from mod_wsgi_dashboard.terminal.screen import Top

    async with client.asking(url, headers=headers) as api:
        try:
            first = await api.newest()
        except DashboardError as error:
            raise _nothing_answers(error, api.name, own=_is_own(url)) from None
        travel = Travel(ApiArchive(api))
        travel.take(first)
        top = Top(
            api.name,
            travel,
            lambda tell: client.connect(url, headers=headers, tell=tell),
            choice=choice,
        )
        # The mouse stays the terminal's own: to select text.
        await top.run_async(mouse=False)
    return top.return_code or 0


async def _replay(archive: FileArchive, name: str, choice: Choice) -> int:
    """Show a recording until the viewer leaves."""
    from mod_wsgi_dashboard.terminal.screen import Top

    travel = Travel(archive, still=True)
    await travel.open_at_end()
    top = Top(name, travel, None, choice=choice)
    await top.run_async(mouse=False)
    return top.return_code or 0

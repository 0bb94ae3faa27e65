"""What the dashboard sees of its own set-up: by values, and inside a real Apache."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.errors import MetricsOff, ShapeError
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from mod_wsgi_dashboard.recorder import Status, choose_path, describe
from mod_wsgi_dashboard.selfcheck import Surroundings, examine, look_around
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import TapeError
from tests.apache.processes import wait_until
from tests.apache.server import APACHE_USER, Case, Server, start
from tests.conftest import build_metrics

GOOD = Surroundings(process_group="dashboard", application_group="", threads=0, processes=1, mpm="event")
VIEWERS = wire.ViewerCount(0, 3)
THROUGH_APACHE = {
    "X-Forwarded-For": "192.0.2.7, 10.0.0.1",
    "X-Forwarded-Host": "site.example",
    "X-Forwarded-Server": "site.example",
    "X-Forwarded-Prefix": "/metrics",
}


def sample(**changes: Any) -> wire.Sample:
    """Return a sample of 16 slots, all of whose workers serve."""
    board = parse(build_metrics("_W______", "________", **{"counts": 1, **changes}), Redactor())
    reading = rates.read(board, previous=None, elapsed=1.0)
    return wire.Sample(1, 2000.0, 1.0, board, reading.rates, reading.capacity, VIEWERS, [])


def failure(text: str) -> wire.Failure:
    return wire.Failure(1, 2000.0, 1.0, text, VIEWERS, [])


def look(
    around: Surroundings = GOOD,
    latest: wire.Sample | wire.Failure | None = None,
    headers: Mapping[str, str] = THROUGH_APACHE,
    recording: Status | None = Status("recording"),  # noqa: B008  # frozen
    recorded_to: Path | None = None,
    **settings: Any,
) -> list[Finding]:
    settings = {"max_request_workers": 16, **settings}
    return examine(
        around,
        Settings(**settings),
        latest or sample(),
        CIMultiDict(headers),
        recording=recording,
        recorded_to=recorded_to,
    )


def brief(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.severity.value) for finding in found]


LAST_RESORT = Path("/var/tmp/mod_wsgi-dashboard-33/recording-127.0.0.1-8765.sqlite3")

CLEAN: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "directly": {"headers": {"Host": "127.0.0.1:8765"}},
    "directly, with credentials": {"headers": {"Authorization": "Basic x"}},
    "outside Apache": {"around": Surroundings()},
    "at the root": {"headers": {**THROUGH_APACHE, "X-Forwarded-Prefix": "/"}},
    "unix socket": {
        "around": Surroundings(directory_mode=0o750),
        "listen": "unix:/run/d/s",
    },
    "open socket in a closed directory": {
        "around": Surroundings(directory_mode=0o750),
        "listen": "unix:/run/d/s",
        "socket_mode": 0o666,
    },
    "few viewers": {"max_viewers": 4},
    "no address": {"headers": {**THROUGH_APACHE, "X-Forwarded-For": "unknown"}},
    "no reserve": {"reserve_workers": 0, "max_viewers": 8},
    "off": {"recording": Status("off")},
    "a replay": {"recording": Status("replay")},
    "recording": {"recorded_to": Path("/var/lib/mod_wsgi-dashboard/recording-x.sqlite3")},
    "recording where it is told": {"recorded_to": Path("/var/tmp/x/recording-x.sqlite3")},
    "a last resort outside Apache": {"around": Surroundings(user="me"), "recorded_to": LAST_RESORT},
}


@pytest.mark.parametrize("name", CLEAN)
def test_what_is_right_is_not_found(name: str) -> None:
    """A set-up as it should be has no finding."""
    assert [] == look(**CLEAN[name])


def test_before_the_first_reading() -> None:
    """Before the scoreboard was read nothing is said of it."""
    found = examine(GOOD, Settings(), None, {})
    assert [] == found


def public(address: str) -> dict[str, Any]:
    return {"headers": {**THROUGH_APACHE, "X-Forwarded-For": address}}


def without(name: str) -> dict[str, Any]:
    return {"headers": {key: value for key, value in THROUGH_APACHE.items() if key != name}}


WRONG: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "metrics off": ({"latest": failure(str(MetricsOff()))}, ("server-metrics", "error")),
    "unreadable": ({"latest": failure(str(ShapeError("new")))}, ("url-frame", "error")),
    "status off": (
        {"latest": sample(counts=0, started=0.0)},
        ("extended-status", "error"),
    ),
    "threads": (
        {"around": Surroundings(process_group="d", threads=15)},
        ("threads-zero", "warning"),
    ),
    "interpreter": (
        {"around": Surroundings(process_group="d", application_group="x|")},
        ("application-group", "warning"),
    ),
    "processes": (
        {"around": Surroundings(process_group="d", processes=2)},
        ("sidecar-processes", "warning"),
    ),
    "public": ({"listen": "0.0.0.0:8765", "allow_public": True}, ("public-listener", "error")),
    "named": ({"listen": "site.example:80", "allow_public": True}, ("public-listener", "error")),
    "socket in /tmp": (
        {"around": Surroundings(directory_mode=0o1777), "listen": "unix:/tmp/s"},
        ("unix-socket", "warning"),
    ),
    "open socket": (
        {
            "around": Surroundings(directory_mode=0o755),
            "listen": "unix:/run/d/s",
            "socket_mode": 0o666,
        },
        ("unix-socket", "warning"),
    ),
    "open socket somewhere": (
        {"around": Surroundings(), "listen": "unix:/run/d/s", "socket_mode": 0o777},
        ("unix-socket", "warning"),
    ),
    "prefork": ({"around": Surroundings(mpm="prefork")}, ("prefork", "note")),
    "pool unknown": ({"max_request_workers": None}, ("viewers-against-workers", "note")),
    "pool too small": ({"max_request_workers": 8}, ("viewers-against-workers", "warning")),
    "too many viewers": ({"max_viewers": 14}, ("viewers-against-workers", "warning")),
    "no room": ({"reserve_workers": 16}, ("viewers-against-workers", "warning")),
    "no prefix": (without("X-Forwarded-Prefix"), ("prefix-header", "warning")),
    "password": (
        {"headers": {**THROUGH_APACHE, "authorization": "Basic aHVudGVyMg=="}},
        ("authorization-passed", "warning"),
    ),
    "failed": ({"recording": Status("failed", "Nothing is recorded: why.")}, ("recording", "warning")),
    "failed without a reason": ({"recording": Status("failed")}, ("recording", "warning")),
    "too slow": ({"recording": Status("recording", "Too slow.")}, ("recording", "note")),
    "a last resort": ({"recorded_to": LAST_RESORT}, ("recording", "note")),
    "public client": (public("8.8.8.8"), ("open-location", "note")),
    "public client behind a lie": (public("10.0.0.1, 8.8.8.8"), ("open-location", "note")),
    "public client of IPv6": (public("2606:4700::1111"), ("open-location", "note")),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str) -> None:
    """Each mistake is exactly its finding, with a fix, and without the password."""
    wrong, expected = WRONG[name]
    found = look(**wrong)
    assert [expected] == brief(found)
    assert found[0].fix
    assert found[0].check in RULES
    assert "aHVudGVyMg" not in str(found)


def test_the_worst_comes_first() -> None:
    """Errors stand before warnings, and these before notes."""
    around = Surroundings(process_group="d", threads=1, mpm="prefork")
    found = look(around=around, latest=failure(str(MetricsOff())), headers={})
    assert ["error", "warning", "note"] == [finding.severity.value for finding in found]


def test_the_group_is_named_in_the_fix() -> None:
    """A fix has the name of the very group."""
    (found,) = look(around=Surroundings(process_group="metrics-sidecar", threads=15))
    assert "WSGIDaemonProcess metrics-sidecar threads=0 server-metrics=on" == found.fix


def problems(directory: Path) -> Iterator[str]:
    """Yield what the recorder says of a directory that can't be made, or no longer written."""
    try:
        choose_path(Settings(state_dir=str(directory)))
    except TapeError as error:
        yield f"Nothing is recorded. {error}"
    yield describe(PermissionError(13, "Permission denied"), directory / "recording-x.sqlite3")
    yield describe(sqlite3.OperationalError("unable to open database file"), directory / "x.sqlite3")


def test_a_directory_to_be_made_has_its_command(tmp_path: Path) -> None:
    """For the very user and directory, whatever keeps the recorder from it; and for nobody outside."""
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "state"
    said = list(problems(directory))
    assert 3 == len(said)
    for problem in said:
        around = dataclasses.replace(GOOD, user="ops")
        status = Status("failed", problem)
        (own,) = look(around, recording=status, state_dir=str(directory))
        (usual,) = look(around, recording=status)
        (outside,) = look(Surroundings(user="me"), recording=status)
        assert problem == own.what
        assert f"install -d -m 0700 -o ops {directory}" == own.fix.splitlines()[0]
        assert "install -d -m 0700 -o ops /var/lib/mod_wsgi-dashboard" == usual.fix.splitlines()[0]
        assert outside.fix.startswith("export MOD_WSGI_DASHBOARD_STATE_DIR=")


def test_a_full_disk_wants_no_directory() -> None:
    """Where a directory wouldn't help, none is to be made."""
    problem = describe(OSError(28, "No space left on device"), Path("/x/recording-x.sqlite3"))
    (finding,) = look(recording=Status("failed", problem))
    assert "install" not in finding.fix


def test_outside_apache_there_is_nothing_around(tmp_path: Path) -> None:
    """Without Apache only the user and the socket's directory are seen; a missing one is not."""
    tmp_path.chmod(0o1777)
    listen = f"unix:{tmp_path}/s"
    alone = Surroundings(user=pwd.getpwuid(os.geteuid()).pw_name)
    open_to_all = dataclasses.replace(alone, directory_mode=0o1777)
    assert open_to_all == look_around(Settings(listen=listen))
    assert alone == look_around(Settings(listen="unix:/no/such/directory"))
    assert alone == look_around(Settings())


# Inside a real Apache

SCRIPT = """
import asyncio, dataclasses, json
from aiohttp import web
from mod_wsgi_dashboard import selfcheck, service
from mod_wsgi_dashboard.app import DASHBOARD, create_app
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.sources import ModWsgiSource

async def look(request):
    around = await asyncio.to_thread(selfcheck.look_around, settings)
    board = request.app[DASHBOARD]
    board.poller.refresh()
    found = selfcheck.examine(around, settings, board.latest, request.headers)
    return web.json_response({
        "around": dataclasses.asdict(around),
        "found": [(finding.check, finding.severity.value) for finding in found],
    })

settings = Settings.load()
app = create_app(settings, ModWsgiSource())
app.router.add_get("/look", look)
asyncio.run(service.serve_app(app, settings))
"""

GROUP = {
    "process_group": "dashboard", "application_group": "", "threads": 0, "processes": 1, "mpm": "event",
    "directory_mode": None, "user": APACHE_USER,
}  # fmt: skip

SERVERS: dict[str, tuple[Case, dict[str, str], dict[str, object], list[list[str]]]] = {
    "pypi": (Case(), {}, {}, []),
    "debian, unix socket": (Case("event", "debian", "unix"), {}, {"directory_mode": 0o750}, []),
    "worker": (Case("worker", "debian"), {}, {"mpm": "worker"}, []),
    "prefork": (Case("prefork"), {}, {"mpm": "prefork"}, [["prefork", "note"]]),
    "express": (Case("express"), {}, {"process_group": "service:dashboard"}, []),
    "threads missing": (
        Case(), {"threads=0 ": ""}, {"threads": 15}, [["threads-zero", "warning"]],
    ),
    "threads missing, debian": (
        Case("event", "debian"), {"threads=0 ": ""}, {"threads": 15}, [["threads-zero", "warning"]],
    ),
    "sub-interpreter": (
        Case(), {"application-group=%{GLOBAL}": "application-group=x"}, {"application_group": "x"},
        [["application-group", "warning"]],
    ),
    "processes": (
        Case(), {"threads=0 ": "threads=0 processes=2 "}, {"processes": 2},
        [["sidecar-processes", "warning"]],
    ),
    "metrics off": (Case(), {" server-metrics=on": ""}, {}, [["server-metrics", "error"]]),
    "status off": (
        Case(), {"ExtendedStatus On": "ExtendedStatus Off"}, {}, [["extended-status", "error"]],
    ),
    "no prefix": (
        Case(), {"    RequestHeader set X-Forwarded-Prefix /metrics\n": ""}, {},
        [["prefix-header", "warning"]],
    ),
}  # fmt: skip


@pytest.mark.apache
@pytest.mark.parametrize("name", SERVERS)
def test_inside_apache(name: str) -> None:
    """Inside a real Apache group, MPM and request are seen as they are, and no more is found."""
    case, edits, differences, expected = SERVERS[name]
    settings = {"max_request_workers": "24" if case.mpm == "express" else "16", "interval": "0.1"}
    with start(case, edits=edits, settings=settings, dashboard=False) as server:
        script = server.root / "look.py"
        script.write_text(SCRIPT, encoding="utf-8")
        script.chmod(0o644)
        server.script = script
        server.stop()
        server.start()
        wait_until(lambda: server.get("/metrics/look").status == 200, 10, "it looked around")
        # Only a reading with a busy worker tells of ExtendedStatus, and this request is one.
        wait_until(lambda: found(server) == expected, 5, f"it finds {expected}")
        answer = json.loads(server.get("/metrics/look").text)
    assert {**GROUP, **differences} == answer["around"]


def found(server: Server) -> object:
    """Return the names and severities of what a dashboard inside Apache finds."""
    return json.loads(server.get("/metrics/look").text)["found"]

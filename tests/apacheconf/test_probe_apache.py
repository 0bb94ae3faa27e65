"""The probe through a real Apache: each mistake in the operator's file is exactly its finding."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.probe import probe
from tests.apache.processes import wait_until
from tests.apache.server import Case, Server, start
from tests.apacheconf.test_probe import DOWN, ERROR, NOTE, PLACES, WARNING, brief

pytestmark = pytest.mark.apache

PREFIX = "    RequestHeader set X-Forwarded-Prefix /metrics\n"
PASS = "ProxyPass        /metrics/ http://127.0.0.1:${DASHBOARD_PORT}/ upgrade=websocket"
AUTH = """
    AuthType Basic
    AuthName metrics
    AuthUserFile dashboard.htpasswd
    Require valid-user
    RequestHeader unset Authorization
"""
MODULES = "".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
    for name in ("auth_basic", "authn_core", "authn_file", "authz_user")
)
OF_AUTH = {"# Three things to edit": f"{MODULES}# Three things to edit", "    Require local\n": AUTH}

MISTAKES: dict[str, tuple[dict[str, str], list[tuple[str, Severity]], str]] = {
    "none": ({}, [], ""),
    "no upgrade": (
        {" upgrade=websocket": ""}, [("url-websocket", ERROR)],
        "ProxyPass /metrics/ http://127.0.0.1:8765/ upgrade=websocket",
    ),
    "no prefix": (
        {PREFIX: ""}, [("prefix-header", WARNING)], "RequestHeader set X-Forwarded-Prefix /metrics",
    ),
    "prefix added": (
        {"RequestHeader set X": "RequestHeader add X"}, [("prefix-header", WARNING)],
        "RequestHeader set X-Forwarded-Prefix /metrics",
    ),
    "another prefix": (
        {PREFIX: PREFIX.replace("/metrics", "/other")}, [("url-prefix", ERROR)],
        "RequestHeader set X-Forwarded-Prefix /metrics",
    ),
    "no slash behind": (
        {PASS: PASS.replace("}/", "}")}, [("url-page", ERROR)], "ProxyPass /metrics/ http://127.0.0.1:8765/",
    ),
    "no slash before": (
        {PASS: PASS.replace("/metrics/", "/metrics")}, [("url-page", ERROR)],
        "ProxyPass /metrics/ http://127.0.0.1:8765/",
    ),
    "metrics off": ({" server-metrics=on": ""}, [("server-metrics", ERROR)], "server-metrics=on"),
    "status off": (
        {"ExtendedStatus On": "ExtendedStatus Off"}, [("extended-status", ERROR)], "ExtendedStatus On",
    ),
    "denied": (
        {"    Require local\n": "    Require all denied\n"}, [("url-page", ERROR)],
        'in <Location "/metrics/">: Require ip ADDRESS',
    ),
    "mounted elsewhere": (
        {PASS: PASS.replace("/metrics/", "/m/")}, [("url-page", ERROR)], "ProxyPass /metrics/",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
async def test_through_apache(name: str) -> None:
    """Each mistake in the operator's file is exactly its finding, with the line that mends it."""
    edits, expected, fix = MISTAKES[name]
    with start(Case(), edits=edits, dashboard=False) as server:
        await asyncio.to_thread(wait_until, lambda: answers(server), 10, "the dashboard answers")
        found = await tried(server, f"{server.url}/metrics/")
        assert "Max-Forwards" not in server.error_log
    assert expected == [(finding.check, finding.severity) for finding in found]
    assert fix in "".join(finding.fix for finding in found)


async def tried(server: Server, url: str, user: str | None = None) -> list[Finding]:
    """Return what the probe finds, once nothing but the question for it keeps Apache busy.

    A stop in the very moment in which a tunnel ends takes Apache ten seconds, one time in ten.
    """
    found = await probe(url, user=user)
    await asyncio.to_thread(wait_until, lambda: server.server_status().busy == 1, 5, "Apache is idle")
    return found


def answers(server: Server) -> bool:
    """Return whether the dashboard answers, past Apache."""
    try:
        return server.get_directly("/healthz").status == 200
    except OSError:
        return False


@pytest.mark.parametrize("bare", [True, False])
async def test_the_bare_path(*, bare: bool) -> None:
    """The path without its slash is redirected, and where it isn't, that is all that is wrong."""
    edits = {} if bare else {'RedirectMatch 301 "^/metrics$" "/metrics/"': ""}
    with start(Case(), edits=edits) as server:
        found = await tried(server, f"{server.url}/metrics")
    fix = 'RedirectMatch 301 "^/metrics$" "/metrics/"'
    assert ([] if bare else [("url-page", WARNING, fix)]) == [
        (finding.check, finding.severity, finding.fix) for finding in found
    ]


async def test_basic_authentication() -> None:
    """Behind a password: asked for it, refused with another, and nothing wrong with the right one."""
    with start(Case(), edits=OF_AUTH, dashboard=False) as server:
        await asyncio.to_thread(wait_until, lambda: answers(server), 10, "the dashboard answers")
        hashed = base64.b64encode(hashlib.sha1(b"p@ss").digest()).decode()
        path = Path(server.root) / "dashboard.htpasswd"
        path.write_text(f"me:{{SHA}}{hashed}\n", encoding="utf-8")
        url = f"{server.url}/metrics/"
        without = await tried(server, url)
        wrong = await tried(server, url, user="me:hunter2")
        right = await tried(server, url.replace("http://", "http://me:p%40ss@"))
    assert [("url-page", WARNING), ("url-page", ERROR)] == [
        (finding.check, finding.severity) for finding in without + wrong
    ]
    assert "NAME:PASSWORD@" in without[0].fix
    assert [] == right


async def test_a_stopped_dashboard() -> None:
    """A dashboard whose process doesn't listen is told apart from a wrong mount."""
    with start(Case(), settings={"intervall": "2"}, dashboard=False) as server:
        found = await tried(server, f"{server.url}/metrics/")
        assert "AH00957" in server.error_log
    assert [("url-page", ERROR, DOWN)] == brief(found)
    assert "AH00957" in found[0].fix


async def test_no_place_for_a_viewer() -> None:
    """Places that are taken are worth a note, and no fault."""
    with start(Case(), settings={"max_viewers": "0"}) as server:
        found = await tried(server, f"{server.url}/metrics/")
    assert [("viewers-against-workers", NOTE, PLACES)] == brief(found)

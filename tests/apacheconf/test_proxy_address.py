"""Doctor finds paths that lead to where no dashboard listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.findings import Severity
from tests.apacheconf.sites import system_of, text_of_site

pytestmark = pytest.mark.apache

PASS = "ProxyPass        /metrics/ http://127.0.0.1:${DASHBOARD_PORT}/ upgrade=websocket\n"
REVERSE = "ProxyPassReverse /metrics/ http://127.0.0.1:${DASHBOARD_PORT}/\n"


def script(root: Path, listen: str) -> str:
    """Write a service script that listens there, and return its path."""
    path = root / "own.py"
    path.write_text(
        f"from mod_wsgi_dashboard.service import run\nrun(listen={listen!r})\n", encoding="utf-8"
    )
    return str(path)


def found(root: Path, text: str, **more: object) -> list[tuple[str, Severity, str, str]]:
    return [
        (finding.check, finding.severity, finding.what, finding.fix)
        for finding in doctor.examine(system_of(text, root, **more))
    ]


def test_the_script_listens_elsewhere(site_root: Path) -> None:
    """The script's port is not the ProxyPass's; the fix has the script's, and mends it."""
    own = script(site_root, "127.0.0.1:9999")
    text = text_of_site(site_root, edits={"${DASHBOARD_SCRIPT} process": f"{own} process"})
    ((check, severity, what, fix),) = found(site_root, text)
    assert ("mount-address", Severity.ERROR) == (check, severity)
    assert "/metrics/ leads to 127.0.0.1:8765" in what
    assert f"127.0.0.1:9999 (listen= in {own})" in what
    assert [] == found(site_root, text.replace(PASS, fix.splitlines()[0] + "\n"))


def test_the_script_listens_on_a_socket(site_root: Path) -> None:
    """A unix socket is another address than a port; the fix names it as ProxyPass wants it."""
    own = script(site_root, f"unix:{site_root}/socket/own.sock")
    text = text_of_site(site_root, edits={"${DASHBOARD_SCRIPT} process": f"{own} process"})
    ((check, _, _, fix),) = found(site_root, text)
    assert "mount-address" == check
    assert f"unix:{site_root}/socket/own.sock|http://mod-wsgi-dashboard/ upgrade=websocket" in fix
    assert [] == found(site_root, text.replace(PASS, fix.splitlines()[0] + "\n"))


def test_the_environment_of_a_live_server(site_root: Path) -> None:
    """The environment of a running dashboard counts; where it isn't known, nothing is said."""
    text = text_of_site(site_root)
    environ = {"MOD_WSGI_DASHBOARD_LISTEN": "127.0.0.1:9998"}
    ((check, _, what, _),) = found(site_root, text, environ=environ, environ_known=True)
    assert "mount-address" == check
    assert "MOD_WSGI_DASHBOARD_LISTEN in the environment" in what
    assert [] == found(site_root, text)


def test_no_path_leads_there(site_root: Path) -> None:
    """A dashboard without a ProxyPass may be looked at in another way: a note, with the lines to add."""
    text = text_of_site(site_root, edits={PASS: "", REVERSE: "", "RedirectMatch 301": "#"})
    ((check, severity, what, fix),) = found(site_root, text)
    assert ("mount-address", Severity.NOTE) == (check, severity)
    assert what.startswith("No ProxyPass leads to the dashboard, which listens on 127.0.0.1:8765")
    assert "ProxyPass        /metrics/ http://127.0.0.1:8765/ upgrade=websocket" in fix

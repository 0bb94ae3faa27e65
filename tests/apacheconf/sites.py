"""Configurations for doctor: a small site with the dashboard, right but for what a test breaks in it.

They are read by a real Apache (`-t`), as doctor reads those of a server.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import APACHE_USER, REPOSITORY, SERVICE_SCRIPT
from tests.apache.site import SITE, VENV, load_modules, pool

APACHE = "/usr/sbin/apache2"
PORT = 18080


def text_of_site(
    root: Path,
    *,
    mpm: str = "event",
    module: str = "pypi",
    listener: str = "tcp",
    workers: int = 32,
    edits: Mapping[str, str] | None = None,
    before: str = "",
    after: str = "",
) -> str:
    """Return a whole configuration: the test site, `before`, the dashboard's file in it, `after`.

    Args:
        root: ServerRoot.
        mpm: event, worker or prefork.
        module: whose mod_wsgi: pypi or debian.
        listener: tcp or unix.
        workers: MaxRequestWorkers.
        edits: what to replace in the whole text; each must be there exactly once.
        before, after: directives around the dashboard's own.
    """
    name = "dashboard-unix-socket" if listener == "unix" else "dashboard"
    dashboard = (REPOSITORY / "apache" / f"{name}.conf").read_text(encoding="utf-8")
    (root / "socket").mkdir(mode=0o750, exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(root / "socket", APACHE_USER, APACHE_USER)
    (root / "static").mkdir(exist_ok=True)
    defines = {
        "DASHBOARD_PYTHON_HOME": VENV,
        "DASHBOARD_SCRIPT": SERVICE_SCRIPT,
        "DASHBOARD_PORT": 8765,
        "DASHBOARD_SOCKET": root / "socket" / "dashboard.sock",
    }
    text = SITE.format(
        root=root,
        port=PORT,
        venv=VENV,
        examples=REPOSITORY / "examples",
        user=f"User {APACHE_USER}\nGroup {APACHE_USER}" if os.geteuid() == 0 else "",
        modules=load_modules(mpm, module),
        pool=pool(mpm, workers),
        defines="\n".join(f"Define {name} {value}" for name, value in defines.items()),
        dashboard=f"{before}\n{dashboard}\n{after}",
    )
    for old, new in (edits or {}).items():
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def system_of(text: str, root: Path, **more: object) -> System:
    """Return what doctor sees of a configuration file with this text; `more` are further members."""
    path = root / "httpd.conf"
    path.write_text(text, encoding="utf-8")
    httpd, configuration = read_httpd(APACHE, path)
    assert configuration is not None
    return System(configuration=configuration, httpd=httpd, **more)  # type: ignore[arg-type]  # passed through


def findings_of(root: Path, **site: object) -> list[Finding]:
    """Return doctor's findings for the test site with these changes (see `text_of_site`)."""
    return doctor.examine(system_of(text_of_site(root, **site), root))  # type: ignore[arg-type]  # passed through

"""Doctor finds settings that the dashboard won't accept."""

from __future__ import annotations

from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.findings import Severity
from mod_wsgi_dashboard.apacheconf.keywords import passed_settings
from tests.apacheconf.sites import system_of, text_of_site

pytestmark = pytest.mark.apache

IMPORT = "from mod_wsgi_dashboard.service import run\n"


def found(root: Path, script: str, **environ: str) -> list[tuple[str, Severity, str]]:
    """Return the findings of a site whose dashboard has this script and environment."""
    path = root / "own.py"
    path.write_text(script, encoding="utf-8")
    text = text_of_site(root, edits={"${DASHBOARD_SCRIPT} process": f"{path} process"})
    variables = {f"MOD_WSGI_DASHBOARD_{name}": value for name, value in environ.items()}
    findings = doctor.examine(system_of(text, root, environ={"PATH": "/bin", **variables}))
    return [(finding.check, finding.severity, finding.what) for finding in findings]


@pytest.mark.parametrize(
    ("script", "environ", "words"),
    [
        ("run(intervall=2)", {}, ["unknown setting 'intervall'", "a keyword argument"]),
        ("run(interval=0.01)", {}, ["interval = 0.01", "0.1 to 60"]),
        ("run(listen='8765')", {}, ["listen = '8765'", "HOST:PORT"]),
        ("run()", {"INTERVALL": "2"}, ["MOD_WSGI_DASHBOARD_INTERVALL"]),
        ("run()", {"HEARTBEAT": "soon"}, ["heartbeat", "MOD_WSGI_DASHBOARD_HEARTBEAT"]),
        ("run(allow_parameters=[1])", {}, ["allow_parameters"]),
    ],
)
def test_a_setting_that_is_not_accepted(
    script: str, environ: dict[str, str], words: list[str], site_root: Path
) -> None:
    """It is told in the dashboard's own words, with where it comes from and what is accepted."""
    ((check, severity, what),) = found(site_root, IMPORT + script, **environ)
    assert ("setting", Severity.ERROR) == (check, severity)
    for word in words:
        assert word in what


def test_the_file_that_the_environment_names(site_root: Path) -> None:
    """A setting of the TOML file is checked as well, and the file is named."""
    path = site_root / "dashboard.toml"
    path.write_text("interval = 0\n", encoding="utf-8")
    script = site_root / "own.py"
    script.write_text(IMPORT + "run()", encoding="utf-8")
    text = text_of_site(site_root, edits={"${DASHBOARD_SCRIPT} process": f"{script} process"})
    system = system_of(text, site_root, environ={"MOD_WSGI_DASHBOARD_CONFIG": str(path)})
    (finding,) = doctor.examine(system)
    assert ("setting", str(path)) == (finding.check, finding.evidence[0])
    assert "interval = 0" in finding.what


@pytest.mark.parametrize(
    "script",
    [
        "run(interval=2, allow_parameters=['page'], max_request_workers=32)",
        "import asyncio, subprocess\nasyncio.run(main(), debug=True)\nsubprocess.run(['x'], check=True)",
        "run(interval=float(open('/etc/x').read()))",
        "run(**settings)",
        "run(",
    ],
    ids=["accepted", "other runs", "computed", "unpacked", "broken"],
)
def test_what_is_accepted_or_unknown_is_quiet(script: str, site_root: Path) -> None:
    """Accepted settings, calls of others and values that only the script knows are no finding."""
    assert [] == found(site_root, IMPORT + script, INTERVAL="2")


def test_literals_alone_are_taken() -> None:
    """What a script computes is left out, whatever its name."""
    text = "run(a=1, b=[1, 'x'], c=f(), d=-2, **e)\nother(f=1)\nx.run(g=1)"
    assert {"a": 1, "b": [1, "x"], "d": -2} == passed_settings(text)

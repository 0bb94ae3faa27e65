"""What doctor says of Apache's pool of workers: each misfit is named, and what fits is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.findings import Severity
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import SERVICE_SCRIPT
from tests.apacheconf.sites import findings_of, system_of, text_of_site

pytestmark = pytest.mark.apache

WARNING, NOTE = Severity.WARNING, Severity.NOTE
SCRIPT = f"Define DASHBOARD_SCRIPT {SERVICE_SCRIPT}"


@pytest.fixture
def root(site_root: Path) -> Path:
    """A directory that Apache's user may enter."""
    return site_root


@dataclass(frozen=True)
class Breach:
    """A pool that doesn't fit, and what must be said of it.

    Args:
        rule: the one that is breached.
        severity: of its finding.
        words: what `what`, evidence or fix have.
        edits: what is changed in the site's configuration.
        run: keyword arguments of the service script; the packaged script without.
        environ: the environment of the dashboard.
        line: a directive that the last line of the fix replaces; "" if it is added; None if the fix is
            the dashboard's setting.
        mpm: event, worker or prefork.
    """

    rule: str
    severity: Severity
    words: tuple[str, ...]
    edits: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    line: str | None = None
    mpm: str = "event"

    def __str__(self) -> str:
        return f"{self.mpm}, {self.rule}: {self.words[0]}"


BREACHES = [
    Breach("prefork", NOTE, ("one of 32 processes", "a2enmod mpm_event"), mpm="prefork"),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("told of 64 workers", "32 at most", "max_request_workers=32", "in the environment"),
        environ={"MOD_WSGI_DASHBOARD_MAX_REQUEST_WORKERS": "64"},
    ),
    Breach(
        "viewers-against-workers",
        NOTE,
        ("told of 16 workers", "max_request_workers= in {root}/dashboard.py"),
        run="max_request_workers=16",
    ),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("told of 32 workers", "has 16 at most"),
        edits={"MaxRequestWorkers 32": "MaxRequestWorkers 16"},
        run="max_request_workers=32",
    ),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("told of 600 workers", "has 400 at most"),
        edits={
            "MaxRequestWorkers 32": "",
            "ServerLimit 6": "ServerLimit 40",
            "ThreadsPerChild 16": "ThreadsPerChild 25",
            "ThreadLimit 16": "ThreadLimit 25",
        },
        run="max_request_workers=600",
    ),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("max_viewers = 29 lets viewers hold", "reserve of 3", "max_viewers=14"),
        run="max_viewers=29",
        line="MaxRequestWorkers 32",
    ),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("max_viewers = 20 lets viewers hold", "reserve of 12"),
        run="max_viewers=20, reserve_workers=12",
        line="MaxRequestWorkers 32",
    ),
    Breach(
        "viewers-against-workers",
        WARNING,
        ("No viewer gets a WebSocket", "reserve of 2"),
        edits={
            "MaxRequestWorkers 32": "MaxRequestWorkers 2",
            "ThreadsPerChild 16": "ThreadsPerChild 1",
        },
        line="MaxRequestWorkers 2",
    ),
    *(
        Breach(
            "threads-multiple",
            WARNING,
            words,
            edits={"MaxRequestWorkers 32": f"MaxRequestWorkers {asked}"},
            line=f"MaxRequestWorkers {asked}",
            mpm=mpm,
        )
        for mpm, asked, words in [
            ("event", 33, ("makes 32 of it", "AH00513", "MaxRequestWorkers 48")),
            ("worker", 33, ("makes 32 of it", "AH00316", "MaxRequestWorkers 48")),
            ("event", 10, ("makes 16 of it", "AH00511", "MaxRequestWorkers 16")),
            ("worker", 10, ("makes 16 of it", "AH00314", "MaxRequestWorkers 16")),
        ]
    ),
    *(
        Breach(
            "server-limit",
            WARNING,
            ("takes 10 processes", "ServerLimit 6 allows no more than 96", code, "ServerLimit 12"),
            edits={"MaxRequestWorkers 32": "MaxRequestWorkers 160"},
            line="ServerLimit 6",
            mpm=mpm,
        )
        for mpm, code in [("event", "AH00515"), ("worker", "AH00318")]
    ),
    Breach(
        "server-limit",
        WARNING,
        ("takes 32 processes", "the MPM's default ServerLimit", "ServerLimit 40"),
        edits={"MaxRequestWorkers 32": "MaxRequestWorkers 512", "ServerLimit 6": ""},
        line="",
    ),
    *(
        Breach(
            "server-limit",
            WARNING,
            ("ThreadsPerChild 16 exceeds ThreadLimit 8", code, "ThreadLimit 16"),
            edits={"ThreadLimit 16": "ThreadLimit 8"},
            line="ThreadLimit 8",
            mpm=mpm,
        )
        for mpm, code in [("event", "AH00507"), ("worker", "AH00310")]
    ),
]


@pytest.mark.parametrize("breach", BREACHES, ids=str)
def test_a_breach_is_found(breach: Breach, root: Path) -> None:
    """A pool that doesn't fit gives its finding and no other; the fix makes the site quiet."""
    text = text_of_site(root, mpm=breach.mpm, edits={**breach.edits, **scripted(breach.run, root)})
    (finding,) = doctor.examine(system_of(text, root, environ=breach.environ))
    assert (breach.rule, breach.severity) == (finding.check, finding.severity)
    said = "\n".join((finding.what, *finding.evidence, finding.fix))
    assert [] == [word for word in breach.words if word.replace("{root}", str(root)) not in said]
    if breach.line:
        number = text.splitlines().index(breach.line) + 1
        assert f"{root / 'httpd.conf'}:{number}" in finding.evidence
    assert [] == doctor.examine(mended(breach, text, finding.fix, root))


def mended(breach: Breach, text: str, fix: str, root: Path) -> System:
    """Return the system with the fix in it: the directive of its last line, or the setting."""
    last = fix.splitlines()[-1]
    if breach.mpm == "prefork":
        assert "a2enmod mpm_event" in last
        return system_of(text_of_site(root), root)
    if breach.line is None:
        edits = {**breach.edits, **scripted(last.partition(" ")[0], root)}
        return system_of(text_of_site(root, mpm=breach.mpm, edits=edits), root)
    fixed = text.replace(f"{breach.line}\n", f"{last}\n") if breach.line else f"{text}\n{last}\n"
    return system_of(fixed, root, environ=breach.environ)


def test_prefork_that_asks_for_too_many(root: Path) -> None:
    """On prefork ServerLimit is a number of workers, and the note about prefork stays."""
    text = text_of_site(root, mpm="prefork", edits={"MaxRequestWorkers 32": "MaxRequestWorkers 100"})
    limit, prefork = doctor.examine(system_of(text, root))
    assert ("server-limit", "prefork") == (limit.check, prefork.check)
    assert any("AH00180" in item for item in limit.evidence)
    fixed = text.replace("ServerLimit 64", limit.fix)
    assert [prefork.check] == [one.check for one in doctor.examine(system_of(fixed, root))]


QUIET: dict[str, Mapping[str, str]] = {
    "nothing said": {},
    "as Apache has it": {"run": "max_request_workers=32"},
    "a few viewers": {"run": "max_viewers=28"},
    "a smaller reserve": {"run": "max_viewers=31, reserve_workers=0"},
    "a value that is computed": {"run": "max_viewers=int('31')"},
    "the script wins over the environment": {"run": "max_viewers=5", "MAX_VIEWERS": "31"},
    "a setting in a comment": {"run": ")  # run(max_viewers=31"},
}


@pytest.mark.parametrize("mpm", ["event", "worker"])
@pytest.mark.parametrize("case", QUIET)
def test_what_fits_is_quiet(case: str, mpm: str, root: Path) -> None:
    """No finding where pool and settings go together."""
    environ = {
        f"MOD_WSGI_DASHBOARD_{name}": value for name, value in QUIET[case].items() if name.isupper()
    }
    text = text_of_site(root, mpm=mpm, edits=scripted(QUIET[case].get("run", ""), root))
    assert [] == doctor.examine(system_of(text, root, environ=environ))


def test_a_setting_of_the_toml_file(root: Path) -> None:
    """What the file of MOD_WSGI_DASHBOARD_CONFIG says counts as well."""
    pytest.importorskip("tomllib", reason="the dashboard reads TOML from Python 3.11 on")
    file = root / "dashboard.toml"
    file.write_text("max_viewers = 31\n")
    text = text_of_site(root)
    (finding,) = doctor.examine(system_of(text, root, environ={"MOD_WSGI_DASHBOARD_CONFIG": str(file)}))
    assert ("viewers-against-workers", f"max_viewers in {file}") == (finding.check, finding.evidence[0])


def test_a_pool_of_defaults_is_quiet(root: Path) -> None:
    """Without any directive of the pool, on the MPM's own defaults, there is nothing to say."""
    edits = {
        "ServerLimit 6\n": "\n",
        "MaxRequestWorkers 32": "",
        "ThreadLimit 16": "",
        "ThreadsPerChild 16": "",
    }
    assert [] == findings_of(root, edits=edits)


def scripted(run: str, root: Path) -> dict[str, str]:
    """Return the edit that puts a script with these settings in the place of the packaged one."""
    if not run:
        return {}
    path = root / "dashboard.py"
    path.write_text(f"from mod_wsgi_dashboard.service import run\nrun({run})\n")
    return {SCRIPT: f"Define DASHBOARD_SCRIPT {path}"}

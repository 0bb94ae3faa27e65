"""What doctor says of where the dashboard records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor, doctor_command, machine
from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.running import Answer, Recording
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.processes import wait_until
from tests.apache.server import APACHE_USER, Case, Server, start
from tests.apacheconf.sites import system_of, text_of_site
from tests.apacheconf.test_doctor_command import apachectl

pytestmark = pytest.mark.apache

ADDRESS = "127.0.0.1:8765"
REFUSED = "Nothing is recorded: /x can't be written. Name another directory."


def site(root: Path, recording: Recording | None = None, **more: object) -> System:
    """Return the test site, with a dashboard that answers so."""
    answers = {} if recording is None else {ADDRESS: Answer(recording=recording)}
    return system_of(text_of_site(root), root, answers=answers, **more)


def found(system: System) -> list[Finding]:
    return doctor.examine(system, ["recording"])


def test_a_dashboard_that_fails_to_record(site_root: Path) -> None:
    """Is found, in its own words, with the command that makes the directory for its user."""
    (finding,) = found(site(site_root, Recording("failed", REFUSED)))
    assert ("recording", Severity.WARNING, REFUSED) == (finding.check, finding.severity, finding.what)
    assert f"install -d -m 0700 -o {APACHE_USER} /var/lib/mod_wsgi-dashboard" in finding.fix
    assert "apachectl graceful" in finding.fix


def test_the_directory_is_that_of_the_setting(site_root: Path) -> None:
    """Where one is named, it is that one."""
    environ = {"MOD_WSGI_DASHBOARD_STATE_DIR": "/srv/state dir"}
    (finding,) = found(site(site_root, Recording("failed", REFUSED), environ=environ))
    assert f"install -d -m 0700 -o {APACHE_USER} '/srv/state dir'" in finding.fix


@pytest.mark.parametrize("state", ["recording", "off", "replay", "a later word"])
def test_whatever_else_it_says_is_quiet(state: str, site_root: Path) -> None:
    """What isn't to be recorded is no mistake; and what runs knows better than the permissions."""
    environ = {"MOD_WSGI_DASHBOARD_STATE_DIR": "/root/closed"}
    assert [] == found(site(site_root, Recording(state), environ=environ))


@pytest.mark.parametrize(
    ("directory", "words"),
    [
        ("{root}", "{root} is not writable"),
        ("{root}/x/y", "{root}/x is missing, and not to be made"),
        ("{root}/closed/x", "{root}/closed is not searchable"),
        ("{root}/file", "{root}/file is not"),
        ("/var/lib/mod_wsgi-dashboard", "/var/lib/mod_wsgi-dashboard is missing"),
        ("{root}/own", None),
        ("{root}/own/x/y", None),
    ],
)
def test_a_directory_of_the_live_server(directory: str, words: str | None, site_root: Path) -> None:
    """It must be there, or be the user's to make; but the system's own is never made."""
    (site_root / "closed").mkdir(mode=0o700)
    (site_root / "own").mkdir()
    (site_root / "file").touch()
    shutil.chown(site_root / "own", APACHE_USER)
    path = directory.replace("{root}", str(site_root))
    environ = {"MOD_WSGI_DASHBOARD_STATE_DIR": path}
    findings = found(site(site_root, environ=environ, live=True))
    if words is None:
        assert [] == findings
        return
    ((what, fix),) = [(finding.what, finding.fix) for finding in findings]
    assert words.replace("{root}", str(site_root)) in what
    assert fix.startswith(f"install -d -m 0700 -o {APACHE_USER} {path}\n")


def test_a_user_and_a_root_of_its_own(site_root: Path) -> None:
    """The group's user counts, and paths below another root aren't known."""
    shutil.chown(site_root, "daemon")
    environ = {"MOD_WSGI_DASHBOARD_STATE_DIR": str(site_root)}
    for option, count in (("", 1), (" user=daemon", 0), (" chroot=/srv", 0)):
        edits = {"display-name=%{GROUP} \\": f"display-name=%{{GROUP}}{option} \\"}
        text = text_of_site(site_root, edits=edits)
        assert count == len(found(system_of(text, site_root, environ=environ)))


# What the recorder does where it finds nothing better.


@pytest.fixture
def last_resort() -> Iterator[Path]:
    """A directory in /var/tmp by the name that the recorder gives it, for no user that there is."""
    path = Path("/var/tmp") / f"mod_wsgi-dashboard-{2**32 + os.getpid()}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    ("uid", "fix"), [(0, "install -d"), (1000, "export MOD_WSGI_DASHBOARD_STATE_DIR=")]
)
def test_a_recording_that_may_end_with_apache(
    uid: int, fix: str, last_resort: Path, site_root: Path
) -> None:
    """Is worth a note, with the process that has it open; one that was named elsewhere isn't."""
    system = site(site_root, Recording("recording"), live=True)
    # This process stands for Apache's, its child for the dashboard.
    vars(system)["parent"] = machine.Process(os.getpid(), 1, "apache2", uid, 0.0)
    recorded, named = last_resort / "recording-x.sqlite3", site_root / "recording-x.sqlite3"
    program = (
        "import sys; files = [open(path, 'w') for path in sys.argv[1:]]; print(flush=True); input()"
    )
    paths = [recorded, f"{recorded}-wal", named]
    with subprocess.Popen(
        [sys.executable, "-c", program, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        (finding,) = found(system)
        child.communicate(b"\n")
    assert Severity.NOTE is finding.severity
    assert f"The recording is {recorded}: " in finding.what
    assert (f"pid {child.pid} has it open",) == finding.evidence
    assert finding.fix.startswith(fix)
    assert [] == found(system)


# On a real Apache


def says(server: Server) -> str:
    """Return how the dashboard records; "" while it doesn't say."""
    answer = server.get("/metrics/api/v1/recording")
    return str(json.loads(answer.text)["state"]) if answer.status == 200 else ""


def test_the_fix_makes_it_record(site_root: Path) -> None:
    """A directory that can't be made is found; after the commands of the fix the server is quiet."""
    directory = site_root / "state"
    with start(Case(), settings={"state_dir": str(directory)}) as server:
        control = str(apachectl(server))
        wait_until(lambda: says(server) == "failed", 10, "a failure")
        system = doctor_command.gather(None, control)
        assert system is not None
        (finding,) = doctor.examine(system)
        assert "recording" == finding.check
        assert str(directory) in finding.what
        make, restart = finding.fix.splitlines()
        assert f"install -d -m 0700 -o {APACHE_USER} {directory}" == make
        subprocess.run(["/bin/sh", "-c", make], check=True, timeout=10)
        assert restart.startswith("apachectl graceful ")
        server.graceful()
        wait_until(lambda: says(server) == "recording", 10, "a recording")
        system = doctor_command.gather(None, control)
        assert system is not None
        assert [] == doctor.examine(system)

"""What doctor says of the dashboard's process: each mistake is named, and what is right is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor, machine
from mod_wsgi_dashboard.apacheconf.checks import sidecar_log
from mod_wsgi_dashboard.apacheconf.files import read_files
from mod_wsgi_dashboard.apacheconf.findings import Finding, Severity
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.keywords import script_keywords
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import APACHE_USER, REPOSITORY, SERVICE_SCRIPT
from tests.apache.site import SYSTEM_MODULES, VENV
from tests.apacheconf.sites import findings_of, system_of, text_of_site

pytestmark = pytest.mark.apache

GROUP = "WSGIDaemonProcess dashboard threads=0 server-metrics=on display-name=%{GROUP}"
SCRIPT = "Define DASHBOARD_SCRIPT " + str(SERVICE_SCRIPT)
HOME = "Define DASHBOARD_PYTHON_HOME " + str(VENV)
IMPORT = "process-group=dashboard application-group=%{GLOBAL}"
SECOND = (
    "WSGIDaemonProcess second threads=0 server-metrics=on display-name=%{GROUP} locale=C.UTF-8"
    f" python-home={VENV}\n"
    f"WSGIImportScript {SERVICE_SCRIPT} process-group=second application-group=%{{GLOBAL}}"
)


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that Apache's user may enter, with a directory for the socket that is this user's."""
    path = Path(tempfile.mkdtemp(prefix="doctor-test-", dir="/var/tmp"))
    path.chmod(0o755)
    (path / "socket").mkdir(mode=0o750)
    shutil.chown(path / "socket", APACHE_USER, APACHE_USER)
    yield path
    shutil.rmtree(path)


@dataclass(frozen=True)
class Breach:
    """A mistake, and what must be said of it.

    Args:
        rule: the one that is breached.
        severity: of each finding.
        words: what `what`, evidence or fix have.
        line: what is in the line of the configuration that the evidence names; "" for none.
        mended: whether the fix, put in the place of that line (or at the end), makes it quiet.
        site: what is changed in the site, with {root} for its directory.
        also: rules that are breached with it.
    """

    rule: str
    severity: Severity
    words: tuple[str, ...]
    line: str = ""
    mended: bool = True
    site: Mapping[str, object] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.rule}: {self.words[0]}"


ERROR, WARNING = Severity.ERROR, Severity.WARNING
BREACHES = [
    Breach(
        "extended-status",
        ERROR,
        ("ExtendedStatus is off",),
        line="ExtendedStatus Off",
        site={"edits": {"    ExtendedStatus On": "    ExtendedStatus Off"}},
    ),
    Breach(
        "extended-status",
        ERROR,
        ("no mod_status",),
        site={
            "edits": {
                "    ExtendedStatus On": "",
                f"LoadModule status_module {SYSTEM_MODULES}/mod_status.so": "",
            }
        },
    ),
    Breach(
        "server-metrics",
        ERROR,
        ("group dashboard", "server-metrics=on"),
        line="python-home=",
        site={"edits": {" server-metrics=on": ""}},
    ),
    Breach(
        "server-metrics-directive",
        ERROR,
        ("WSGIServerMetrics On does nothing", "server-metrics=on"),
        line="python-home=",
        site={"edits": {" server-metrics=on": " server-metrics=off"}, "after": "WSGIServerMetrics On"},
    ),
    Breach(
        "threads-zero",
        WARNING,
        ("15 threads", "threads=0"),
        line="python-home=",
        site={"edits": {GROUP: GROUP.replace(" threads=0", "")}},
    ),
    Breach(
        "threads-zero",
        WARNING,
        ("2 threads", "threads=0"),
        line="python-home=",
        site={"edits": {GROUP: GROUP.replace("threads=0", "threads=2")}},
    ),
    Breach(
        "threads-zero",
        WARNING,
        ("in the group app, whose 12 threads", "process-group=dashboard-service"),
        line="WSGIImportScript",
        site={
            "edits": {
                "WSGIDaemonProcess app ": "WSGIDaemonProcess app server-metrics=on ",
                IMPORT: "process-group=app application-group=%{GLOBAL}",
            }
        },
    ),
    Breach(
        "application-group",
        WARNING,
        ("sub-interpreter main", "application-group=%{GLOBAL}"),
        line="WSGIImportScript",
        site={"edits": {IMPORT: "process-group=dashboard application-group=main"}},
    ),
    Breach(
        "requests-to-sidecar",
        ERROR,
        ("WSGIProcessGroup in <Location /app>", "WSGIProcessGroup app"),
        line="WSGIProcessGroup",
        site={"after": "<Location /app>\nWSGIProcessGroup dashboard\n</Location>"},
    ),
    Breach(
        "requests-to-sidecar",
        ERROR,
        ("WSGIScriptAlias sends /other", "process-group=app"),
        line="/other",
        site={
            "after": f"WSGIScriptAlias /other {REPOSITORY}/examples/express/wsgi.py"
            " process-group=dashboard application-group=%{GLOBAL}"
        },
    ),
    Breach(
        "sidecar-processes",
        WARNING,
        ("3 processes", "127.0.0.1:8765", "processes=1"),
        line="python-home=",
        site={"edits": {GROUP: f"{GROUP} processes=3"}},
    ),
    Breach(
        "script-readable",
        ERROR,
        ("{root}/closed is not searchable", "drwx------ root {root}/closed", "chmod o+x {root}/closed"),
        line="WSGIImportScript",
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/closed/dashboard.py"}},
    ),
    Breach(
        "script-readable",
        ERROR,
        ("{root}/unreadable.py is not readable", "-rw-r----- root", "chmod o+r {root}/unreadable.py"),
        line="WSGIImportScript",
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/unreadable.py"}},
    ),
    Breach(
        "script-readable",
        ERROR,
        ("{root}/absent.py is not there",),
        line="WSGIImportScript",
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/absent.py"}},
    ),
    Breach(
        "script-readable",
        ERROR,
        ("Python {root}/closed/venv can't be read", "chmod o+x {root}/closed"),
        line="WSGIImportScript",
        mended=False,
        site={"edits": {HOME: "Define DASHBOARD_PYTHON_HOME {root}/closed/venv"}},
    ),
    Breach(
        "package-importable",
        ERROR,
        ("not installed in {root}/empty", "{root}/empty/bin/pip install mod_wsgi-dashboard"),
        line="python-home=",
        mended=False,
        site={"edits": {HOME: "Define DASHBOARD_PYTHON_HOME {root}/empty"}},
    ),
    Breach(
        "package-importable",
        ERROR,
        ("{root}/none is not there", f"python-home={VENV}"),
        line="locale=C.UTF-8",
        site={"edits": {HOME: "Define DASHBOARD_PYTHON_HOME {root}/none"}},
    ),
    Breach(
        "package-importable",
        WARNING,
        ("names no python-home", f"installed in {VENV}", f"python-home={VENV}"),
        line="locale=C.UTF-8",
        site={"edits": {"locale=C.UTF-8 python-home=${{DASHBOARD_PYTHON_HOME}}": "locale=C.UTF-8"}},
    ),
    Breach(
        "port-taken",
        ERROR,
        ("Apache itself listens on 127.0.0.1:8765",),
        line="Listen 127.0.0.1:8765",
        mended=False,
        site={"after": "Listen 127.0.0.1:8765"},
    ),
    Breach(
        "port-taken",
        ERROR,
        ("Apache itself listens on 8765",),
        line="Listen 8765",
        mended=False,
        site={"after": "Listen 8765"},
    ),
    Breach(
        "port-taken",
        ERROR,
        ("Apache itself listens on 0.0.0.0:8765",),
        line="Listen 0.0.0.0:8765",
        mended=False,
        site={"after": "Listen 0.0.0.0:8765"},
    ),
    Breach(
        "port-taken",
        ERROR,
        ("of the groups dashboard and second", "listen on 127.0.0.1:8765"),
        line="WSGIImportScript",
        mended=False,
        site={"after": SECOND},
    ),
    Breach(
        "public-listener",
        ERROR,
        ("listens on 0.0.0.0:8765", "listen= in {root}/public.py", 'listen="127.0.0.1:8765"'),
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/public.py"}},
    ),
    Breach(
        "public-listener",
        ERROR,
        ("told to listen on [::]:8765", "stays down without allow_public"),
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/refused.py"}},
    ),
    Breach(
        "unix-socket",
        ERROR,
        (f"user {APACHE_USER} can't make the socket {{root}}/closed/dashboard.sock", "drwx------ root"),
        line="ProxyPass",
        mended=False,
        site={
            "listener": "unix",
            "edits": {"{root}/socket/dashboard.sock": "{root}/closed/dashboard.sock"},
        },
    ),
    Breach(
        "unix-socket",
        ERROR,
        ("the dashboard makes it as daemon", f"group={APACHE_USER} umask=0007"),
        line="python-home=",
        site={
            "listener": "unix",
            "edits": {
                "{root}/socket/dashboard.sock": "{root}/shared/dashboard.sock",
                "display-name=%{{GROUP}} umask=0007 \\": "display-name=%{{GROUP}} user=daemon \\",
            },
        },
    ),
    Breach(
        "unix-socket",
        ERROR,
        ("bytes, and 107 are the most",),
        line="ProxyPass",
        mended=False,
        site={
            "listener": "unix",
            "edits": {"{root}/socket/dashboard.sock": "{root}/socket/" + 100 * "x"},
        },
    ),
    Breach(
        "duplicate-group",
        ERROR,
        ("Two groups are named dashboard", "WSGIDaemonProcess dashboard-2 threads=3"),
        line="WSGIDaemonProcess dashboard threads=3",
        site={"after": "WSGIDaemonProcess dashboard threads=3"},
    ),
    Breach(
        "recording",
        WARNING,
        (
            f"user {APACHE_USER} can't record in {{root}}/closed/state",
            "drwx------ root {root}/closed",
            "state_dir= in {root}/records.py",
            f"install -d -m 0700 -o {APACHE_USER} {{root}}/closed/state",
        ),
        line="WSGIImportScript",
        mended=False,
        site={"edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/records.py"}},
    ),
]


@pytest.mark.parametrize("breach", BREACHES, ids=str)
@pytest.mark.parametrize("module", ["pypi", "debian"])
def test_a_breach_is_found(breach: Breach, module: str, root: Path) -> None:
    """A mistake gives its finding and no other, with the line; the fix makes the site quiet."""
    furnish(root)
    site = filled(breach.site, root)
    text = text_of_site(root, module=module, **site)  # type: ignore[arg-type]  # passed through
    findings = doctor.examine(system_of(text, root))
    assert {(breach.rule, breach.severity)} == {(one.check, one.severity) for one in findings}
    finding = findings[0]
    said = "\n".join((finding.what, *finding.evidence, finding.fix))
    assert [] == [word for word in breach.words if word.replace("{root}", str(root)) not in said]
    number = named_line(text, root, finding) if breach.line else None
    assert breach.line in (text.splitlines()[number] if number is not None else "")
    if breach.mended:
        assert [] == doctor.examine(system_of(mended(text, number, finding.fix), root))


def furnish(root: Path) -> None:
    """Make what the mistakes name: closed directories, environments, scripts."""
    for name in ("closed", "shared"):
        (root / name).mkdir()
    (root / "closed").chmod(0o700)
    (root / "closed" / "dashboard.py").write_text(SERVICE_SCRIPT.read_text(encoding="utf-8"))
    (root / "closed" / "venv").mkdir()
    shutil.chown(root / "shared", "daemon", APACHE_USER)
    (root / "unreadable.py").write_text(SERVICE_SCRIPT.read_text(encoding="utf-8"))
    (root / "unreadable.py").chmod(0o640)
    venv.create(root / "empty", symlinks=True)
    for name, settings in {
        "public": "listen='0.0.0.0:8765', allow_public=True",
        "refused": "listen='[::]:8765'",
        "records": f"state_dir='{root}/closed/state'",
        "records-not": f"state_dir='{root}/closed/state', record='off'",
        "records-elsewhere": "state_dir='/opt/not-there/state'",
    }.items():
        script = f"from mod_wsgi_dashboard.service import run\nrun({settings})\n"
        (root / f"{name}.py").write_text(script)


def filled(site: Mapping[str, object], root: Path) -> dict[str, object]:
    """Return the changes with the root in them."""
    edits = site.get("edits", {})
    assert isinstance(edits, dict)

    def put(text: str) -> str:
        return text.replace("{root}", str(root)).replace("{{", "{").replace("}}", "}")

    return {**site, "edits": {put(old): put(new) for old, new in edits.items()}}


def named_line(text: str, root: Path, finding: Finding) -> int:
    """Return the index of the line that the evidence names first."""
    prefix = f"{root / 'httpd.conf'}:"
    numbers = [int(item.removeprefix(prefix)) for item in finding.evidence if item.startswith(prefix)]
    assert numbers, finding
    assert 0 < numbers[0] <= len(text.splitlines())
    return numbers[0] - 1


def mended(text: str, number: int | None, fix: str) -> str:
    """Return the configuration with the fix in the place of a directive, or at its end."""
    lines = text.splitlines()
    if number is None:
        return "\n".join([*lines, fix, ""])
    first = number
    while first and lines[first - 1].endswith("\\"):
        first -= 1
    return "\n".join([*lines[:first], fix, *lines[number + 1 :], ""])


QUIET: dict[str, Mapping[str, object]] = {
    "as copied": {},
    "unix socket": {"listener": "unix"},
    "worker": {"mpm": "worker"},
    "mod_status turns ExtendedStatus on": {"edits": {"    ExtendedStatus On": ""}},
    "an option in quotes": {"edits": {IMPORT: IMPORT.replace("%{GLOBAL}", "'%{GLOBAL}'")}},
    "one process, said so": {"edits": {GROUP: f"{GROUP} processes=1"}},
    "requests for a group with threads": {"after": "<Location /app>\nWSGIProcessGroup app\n</Location>"},
    "a port on another address": {"after": "Listen 127.0.0.2:8765"},
    "a port on the other loopback address": {"after": "Listen [::1]:8765"},
    "a second dashboard elsewhere": {"after": SECOND.replace(str(SERVICE_SCRIPT), "{root}/second.py")},
    "the package by python-path": {
        "edits": {
            HOME: "Define DASHBOARD_PYTHON_HOME {root}/empty",
            "locale=C.UTF-8 python-home=${{DASHBOARD_PYTHON_HOME}}": "locale=C.UTF-8"
            " python-home=${{DASHBOARD_PYTHON_HOME}} python-path={site}",
        }
    },
    "the package by a .pth file": {"edits": {HOME: "Define DASHBOARD_PYTHON_HOME {root}/linked"}},
    "the package by WSGIPythonHome": {
        "edits": {"locale=C.UTF-8 python-home=${{DASHBOARD_PYTHON_HOME}}": "locale=C.UTF-8"},
        "before": f"WSGIPythonHome {VENV}",
    },
    "a script that changes sys.path": {
        "edits": {
            HOME: "Define DASHBOARD_PYTHON_HOME {root}/empty",
            SCRIPT: "Define DASHBOARD_SCRIPT {root}/changes.py",
        }
    },
    "another user's socket in Apache's group": {
        "listener": "unix",
        "edits": {
            "{root}/socket/dashboard.sock": "{root}/shared/dashboard.sock",
            "display-name=%{{GROUP}} umask=0007 \\": "display-name=%{{GROUP}} user=daemon"
            f" group={APACHE_USER} \\",
        },
    },
    "a directory of sockets that is made at boot": {
        "listener": "unix",
        "edits": {"{root}/socket/dashboard.sock": "/run/mod_wsgi-dashboard-not-there/dashboard.sock"},
    },
    "a directory that nothing is recorded in": {
        "edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/records-not.py"}
    },
    "a directory of another machine": {
        "edits": {SCRIPT: "Define DASHBOARD_SCRIPT {root}/records-elsewhere.py"}
    },
    "a path of another machine": {
        "edits": {SCRIPT: "Define DASHBOARD_SCRIPT /opt/not-there/dashboard.py"}
    },
}


@pytest.mark.parametrize("case", QUIET)
def test_what_is_right_is_quiet(case: str, root: Path) -> None:
    """No finding of any rule where all is well."""
    furnish(root)
    site = root / "empty" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    shutil.copytree(root / "empty", root / "linked", symlinks=True)
    linked = root / "linked" / site.relative_to(root / "empty")
    (linked / "sources.pth").write_text(f"{REPOSITORY / 'src'}\n")
    (root / "second.py").write_text(
        "from mod_wsgi_dashboard.service import run\nrun(listen='127.0.0.1:8766')\n"
    )
    (root / "changes.py").write_text(
        "import sys\nsys.path.append('/opt/x')\nfrom mod_wsgi_dashboard.service import run\nrun()\n"
    )
    options = filled(QUIET[case], root)
    edits = {
        old: new.replace("{site}", str(VENV / site.relative_to(root / "empty")))
        for old, new in options.pop("edits").items()  # type: ignore[attr-defined]  # a dict
    }
    after = str(options.pop("after", "")).replace("{root}", str(root))
    assert [] == findings_of(root, edits=edits, after=after, **options)


def test_a_site_without_a_dashboard_is_none_of_its_business(root: Path) -> None:
    """Without a dashboard no rule of the group speaks, whatever else there is."""
    edits = {
        f"{GROUP} \\\n    locale=C.UTF-8 python-home=${{DASHBOARD_PYTHON_HOME}}": "ExtendedStatus Off",
        f"WSGIImportScript ${{DASHBOARD_SCRIPT}} {IMPORT}": "Listen 127.0.0.1:8765",
        "    ExtendedStatus On": "",
    }
    found = findings_of(root, edits=edits)
    assert [] == [one for one in found if RULES[one.check].group == "sidecar"]


EXPRESS = ("--locale", "C.UTF-8", "--service-script", "dashboard", str(SERVICE_SCRIPT))
EXPRESS_MOUNT = ("--proxy-mount-point", "/metrics/", "http://127.0.0.1:8765/")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--server-metrics",), {}),
        (
            (),
            {
                name: "mod_wsgi-express ... --server-metrics"
                for name in ("server-metrics", "extended-status")
            },
        ),
    ],
    ids=["right", "no metrics"],
)
def test_express(options: tuple[str, ...], expected: dict[str, str], root: Path) -> None:
    """What mod_wsgi-express writes is quiet; without its option, the fix names it."""
    command = [str(VENV / "bin" / "mod_wsgi-express"), "setup-server", "examples/express/wsgi.py"]
    command += ["--port", "18080", "--user", APACHE_USER, "--group", APACHE_USER]
    command += ["--server-root", str(root / "express"), *EXPRESS, *EXPRESS_MOUNT, *options]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, timeout=60)
    httpd, configuration = read_httpd(str(root / "express" / "apachectl"))
    assert configuration is not None
    rules = [name for name, rule in RULES.items() if rule.group in {"sidecar", "capacity"}]
    found = doctor.examine(System(configuration=configuration, httpd=httpd), rules)
    assert expected == {finding.check: finding.fix for finding in found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run(max_viewers=3, redact=True)", {"max_viewers": 3, "redact": True}),
        ('"""listen="unix:/doc" """\nrun()  # max_viewers=9', {}),
        ("asyncio.run(serve(Settings.load(listen='127.0.0.1:1')))", {"listen": "127.0.0.1:1"}),
        ("run(max_viewers=int(x), unknown=1, **more)", {}),
        ("print(max_viewers=3)", {}),
        ("run(", {}),
        ("\0", {}),
        ("(" * 10_000, {}),
    ],
)
def test_the_settings_of_a_script(text: str, expected: dict[str, object]) -> None:
    """Literal keyword arguments count, comments and docstrings don't; no text is too odd."""
    assert expected == script_keywords(text)


@pytest.mark.parametrize(
    "line",
    [
        "[Sat Nov 21 20:45:14 2026] [wsgi:error] [pid 1] ValueError: http://u:secret@host/x?k=secret",
        "[Sat Nov 21 20:45:14 2026] [wsgi:error] [pid 1] KeyError: token=secret",
    ],
)
def test_no_secret_of_a_log_is_shown(line: str) -> None:
    """A line of a log that becomes evidence has no userinfo, no query, no token."""
    assert "secret" not in sidecar_log.masked(line)


ODD = [
    "WSGIDaemonProcess\nWSGIImportScript\nWSGIProcessGroup\nWSGIScriptAlias\nListen\nExtendedStatus",
    "WSGIDaemonProcess dashboard threads=many processes=-3 python-home=' user=#x group=#",
    "WSGIDaemonProcess dashboard python-home=/dev/null python-path=::: home=relative user=nobody-there",
    "WSGIDaemonProcess dashboard python-home=/proc/self/fd python-path=/etc/passwd",
    "Listen :\nListen [::\nListen 99999999\nListen \x1b[31m:80\nWSGIDaemonProcess dashboard",
    "WSGIDaemonProcess %{GLOBAL}\nWSGIDaemonProcess %{GLOBAL}\nWSGIProcessGroup %{ENV:x}",
    "MaxRequestWorkers -1\nThreadsPerChild 0\nServerLimit 0\nThreadLimit 0\nWSGIDaemonProcess dashboard",
    "MaxRequestWorkers 999999999999\nThreadsPerChild many\nServerLimit\nWSGIDaemonProcess dashboard",
    "ProxyPass /metrics/ unix:|http://x/\nProxyPass /metrics unix:/\nWSGIDaemonProcess dashboard",
    "ProxyPass /metrics/ unix:/a\x07/b/" + 200 * "c" + "|http://x/\nWSGIDaemonProcess dashboard",
]
ODD_SCRIPTS = [
    "mod_wsgi_dashboard run(listen='unix:/a\\0b')",
    "from mod_wsgi_dashboard.service import run\nrun(listen='unix:/a\\0b')",
    "from mod_wsgi_dashboard.service import run\nrun(listen='\\ud800:80', max_viewers=1e999)",
    "from mod_wsgi_dashboard.service import run\nrun(listen='[::1]:0', reserve_workers=True)",
    "from mod_wsgi_dashboard.service import run\nrun(listen=b'x', max_request_workers=10**10)",
    "from mod_wsgi_dashboard.service import run\nrun(state_dir='/\\ud800', record=7)",
]


@pytest.mark.parametrize("mpm", ["event", "prefork"])
@pytest.mark.parametrize("script", ODD_SCRIPTS)
@pytest.mark.parametrize("text", ODD)
def test_no_content_is_too_odd(text: str, script: str, mpm: str, root: Path) -> None:
    """Whatever a configuration, a script or a log says, each check comes to an end without an error."""
    (root / "dashboard.py").write_text(script)
    path = root / "odd.conf"
    path.write_text(f"{text}\nWSGIImportScript {root}/dashboard.py process-group=dashboard")
    log = root / "error.log"
    log.write_text("[Foo Bar 99 99:99:99 2026] [pid] processing WSGI script ''\n[\n\x1b\n")
    system = System(
        configuration=read_files(path, modules=[f"mpm_{mpm}"]),
        live=True,
        logs=(machine.tail(log),),
        environ={"MOD_WSGI_DASHBOARD_CONFIG": "/dev/zero", "MOD_WSGI_DASHBOARD_MAX_VIEWERS": "²"},
    )
    names = [name for name, rule in RULES.items() if rule.group in {"sidecar", "capacity"}]
    assert "extended-status" in {finding.check for finding in doctor.examine(system, names)}

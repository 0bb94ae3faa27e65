"""The tools of SELinux and AppArmor, as programs that this test writes: this machine has none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import pytest

from mod_wsgi_dashboard.apacheconf import security_tools
from mod_wsgi_dashboard.apacheconf.files import read_files

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that puts a program of a name on an otherwise bare PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(security_tools, "DIRECTORIES", ())

    def put(name: str, script: str) -> None:
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    return put


def test_a_machine_without_the_tools(install: Install) -> None:
    """Nothing is there, and nothing is printed."""
    assert {} == security_tools.outputs(["/x"])


def test_the_tools_are_called_as_documented(install: Install) -> None:
    """Each is called with its arguments, in the C locale, and with nothing on its stdin."""
    install("getenforce", "echo Enforcing")
    for name in ("getsebool", "semanage", "ls", "ausearch", "aa-status"):
        install(name, 'read -r line; echo "$LC_ALL:$line:$@"')
    assert {
        "getenforce": "Enforcing\n",
        "getsebool": "C::-a\n",
        "semanage": "C::port -l\n",
        "ls -Z": "C::-dZ -- /srv/a b\n",
        "ausearch": "C::--input-logs -m AVC -ts recent\n",
        "aa-status": "C::\n",
    } == security_tools.outputs(["/srv/a b"])


@pytest.mark.parametrize("mode", ["Disabled", ""])
def test_a_disabled_selinux_is_not_asked(install: Install, mode: str) -> None:
    """Where SELinux is off, labels and booleans mean nothing, and are not asked for."""
    install("getenforce", f"echo {mode}")
    for name in ("getsebool", "semanage", "ls", "ausearch"):
        install(name, "echo x")
    assert {"getenforce"} >= set(security_tools.outputs(["/x"]))


def test_apparmor_alone(install: Install) -> None:
    """On a machine with AppArmor, the audit log is asked for its denials."""
    install("aa-status", "echo apparmor module is loaded.; exit 4")
    install("ausearch", "echo 'apparmor=\"DENIED\"'")
    assert {"aa-status", "ausearch"} == set(security_tools.outputs())


def test_a_tool_that_hangs_is_ended(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs, and what it started, is killed after the limit; what it printed counts."""
    monkeypatch.setattr(security_tools, "SECONDS", 0.3)
    install("getenforce", "echo Enforcing\n/bin/sleep 60 &\n/bin/sleep 60")
    began = monotonic()
    assert {"getenforce": "Enforcing\n"} == security_tools.outputs()
    assert monotonic() - began < 10


def test_an_endless_output_is_cut(install: Install) -> None:
    """Of what never stops printing, a bounded part is kept."""
    install(
        "aa-status",
        "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done",
    )
    assert security_tools.OUTPUT_BYTES == len(security_tools.outputs()["aa-status"])


def test_odd_tools(install: Install) -> None:
    """A program that can't start, or prints no text, gives no traceback."""
    install("getenforce", "printf '\\377\\376'")
    install("aa-status", "")
    (Path(os.environ["PATH"]) / "aa-status").write_bytes(b"\x00\x01")
    assert {"getenforce": "\\xff\\xfe"} == security_tools.outputs()


def test_paths_whose_labels_matter(tmp_path: Path) -> None:
    """They are the scripts, and the unix sockets with their directories, once each."""
    path = tmp_path / "httpd.conf"
    path.write_text(
        """\
WSGIScriptAlias / /srv/app/wsgi.py
WSGIScriptAlias /x relative.py
WSGIImportScript /srv/app/wsgi.py process-group=x application-group=%{GLOBAL}
ProxyPass /metrics/ unix:/run/d/d.sock|http://localhost/
ProxyPass /b/ http://127.0.0.1:1/
<Proxy balancer://b>
BalancerMember unix:/run/e/e.sock|http://localhost/
</Proxy>
ProxyPass /c/ balancer://b/
""",
        encoding="utf-8",
    )
    expected = {"/srv/app/wsgi.py", "/run/d/d.sock", "/run/d", "/run/e/e.sock", "/run/e"}
    found = security_tools.labelled_paths(read_files(path))
    assert expected == set(found)
    assert len(expected) == len(found)

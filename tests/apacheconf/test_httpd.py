"""apacheconf.httpd: what real Apaches say, and what becomes of programs that misbehave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest

from mod_wsgi_dashboard.apacheconf import httpd
from mod_wsgi_dashboard.apacheconf.directives import Place, Problem
from mod_wsgi_dashboard.apacheconf.httpd import find_apachectl, read_httpd
from mod_wsgi_dashboard.core.errors import DashboardError
from tests.apache.processes import wait_until
from tests.apache.server import APACHE_USER, Apache, Case
from tests.apache.site import SYSTEM_MODULES, executable
from tests.apacheconf.stock import stock_apache
from tests.apacheconf.test_files import express, rows

APACHE = executable("apache2", "apache2")

pytestmark = pytest.mark.apache

MINIMAL = f"""\
LoadModule mpm_event_module {SYSTEM_MODULES}/mod_mpm_event.so
LoadModule authz_core_module {SYSTEM_MODULES}/mod_authz_core.so
LoadModule macro_module {SYSTEM_MODULES}/mod_macro.so
ServerRoot {{root}}
PidFile httpd.pid
ErrorLog error.log
ServerName a.example
Listen 127.0.0.1:18080
"""
MINIMAL_LINES = MINIMAL.count("\n")


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Apache]:
    """The files of a site with the dashboard, for the MPM of the parameter; nothing is started."""
    server = Apache(Case(mpm=getattr(request, "param", "event")))
    try:
        server._prepare()
        server.command()
        yield server
    finally:
        server.discard()


def main_file(directory: Path, text: str = "") -> Path:
    file = directory / "httpd.conf"
    file.write_text(MINIMAL.replace("{root}", str(directory)) + text, encoding="utf-8")
    return file


def script(directory: Path, text: str, name: str = "apachectl") -> str:
    file = directory / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o755)
    return str(file)


# Real servers


@pytest.mark.parametrize("site", ["event", "worker", "prefork"], indirect=True)
def test_a_site_with_the_dashboard(site: Apache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is known of a configuration that Apache accepts."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    seen, configuration = read_httpd(APACHE, site.root / "httpd.conf")
    assert configuration is not None
    user = APACHE_USER if os.geteuid() == 0 else None
    version = subprocess.run([APACHE, "-v"], capture_output=True, text=True, check=True).stdout
    assert seen is not None
    assert "Apache/" + ".".join(map(str, seen.version or ())) in version
    assert (
        httpd.Httpd(
            command=(APACHE,),
            version=seen.version,
            mpm=site.case.mpm,
            server_root=str(site.root),
            config_file=str(site.root / "httpd.conf"),
            user=user,
            group=user,
            run_dir=str(site.root),
            pid_file=str(site.root / "httpd.pid"),
            error_log=str(site.error_log_path),
            syntax_ok=True,
            messages=(),
        )
        == seen
    )
    assert {"wsgi", "proxy_http", "core", f"mpm_{site.case.mpm}"} <= configuration.modules
    assert "info" not in configuration.modules
    assert "DASHBOARD_SCRIPT" in configuration.defines
    daemons = [one.arguments[0] for one in configuration.find("WSGIDaemonProcess")]
    assert ["app", "dashboard"] == daemons


def test_without_mod_info_the_files_say_the_same(site: Apache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other dumps give what reading the files needs."""
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    _, expected = read_httpd(APACHE, site.root / "httpd.conf")
    monkeypatch.setattr(httpd, "MODULE_DIRECTORIES", ())
    seen, read = read_httpd(APACHE, site.root / "httpd.conf")
    assert seen is not None
    assert expected is not None
    assert read is not None
    assert seen.syntax_ok
    assert rows(expected) == rows(read)
    assert (expected.modules, expected.defines) == (read.modules, read.defines)
    # Only the files have it.
    assert ((), True) == (expected.find("LoadModule"), len(read.find("LoadModule")) > 5)


def test_defines_of_files_and_of_the_command_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that is guarded against being read twice is read once."""
    guarded = "<IfDefine !GUARD>\nDefine GUARD\n<IfDefine OPTION>\nTimeout 9\n</IfDefine>\n</IfDefine>\n"
    file = main_file(tmp_path, guarded)
    command = script(tmp_path, f'#!/bin/sh\nx=-D\nexec {APACHE} $x OPTION "$@"\n')
    monkeypatch.setattr(httpd, "MODULE_DIRECTORIES", ())
    _, configuration = read_httpd(command, file)
    assert configuration is not None
    assert ["9"] == [one.raw for one in configuration.find("Timeout")]
    assert {"GUARD": "", "OPTION": ""} == configuration.defines


def test_a_mod_info_that_does_not_fit_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of another Apache on the same machine: the next is tried."""
    (tmp_path / "mod_info.so").write_bytes((SYSTEM_MODULES / "mod_alias.so").read_bytes())
    monkeypatch.setattr(httpd, "MODULE_DIRECTORIES", (str(tmp_path), str(SYSTEM_MODULES)))
    seen, configuration = read_httpd(APACHE, main_file(tmp_path))
    assert seen is not None
    assert configuration is not None
    assert (True, ()) == (seen.syntax_ok, seen.messages)
    assert ["PidFile", "ErrorLog", "ServerName", "Listen"] == [
        one.name for one in configuration.directives
    ]


def test_a_site_that_has_mod_info_keeps_it(tmp_path: Path) -> None:
    """Loading it twice is a warning of Apache that nobody needs to see."""
    file = main_file(tmp_path, f"LoadModule info_module {SYSTEM_MODULES}/mod_info.so\n")
    seen, configuration = read_httpd(APACHE, file)
    assert seen is not None
    assert configuration is not None
    assert (True, ()) == (seen.syntax_ok, seen.messages)
    assert "info" in configuration.modules


def test_the_apachectl_of_express(tmp_path: Path) -> None:
    """It splits arguments at blanks, and its defines and its file are in the script alone."""
    command = str(express(tmp_path))
    seen, configuration = read_httpd(command)
    root = str(tmp_path / "express")
    assert seen is not None
    assert configuration is not None
    assert (True, "event", root) == (seen.syntax_ok, seen.mpm, seen.server_root)
    assert (f"{root}/httpd.conf", f"{root}/error_log") == (seen.config_file, seen.error_log)
    assert (root, "www-data") == (seen.run_dir, seen.user)
    assert "MOD_WSGI_SERVER_METRICS" in configuration.defines
    assert "service:dashboard" in [one.arguments[0] for one in configuration.find("WSGIDaemonProcess")]


def test_a_mistake_in_the_configuration_of_express(tmp_path: Path) -> None:
    """The rest is read as before, the conditions on -D included."""
    command = str(express(tmp_path))
    _, expected = read_httpd(command)
    file = tmp_path / "express" / "httpd.conf"
    file.write_text(file.read_text(encoding="utf-8") + "Mistake on\n", encoding="utf-8")
    seen, configuration = read_httpd(command)
    assert seen is not None
    assert seen.syntax_error is not None
    assert expected is not None
    assert configuration is not None
    assert f"{file}:{file.read_text(encoding='utf-8').count(chr(10))}" == str(seen.syntax_error.place)
    assert (False, str(file)) == (seen.syntax_ok, seen.config_file)
    names = ("WSGIDaemonProcess", "ProxyPass", "WSGIImportScript")
    seen_names, expected_names = (
        [one.arguments[:2] for one in read.find(*names)] for read in (configuration, expected)
    )
    assert expected_names == seen_names
    assert len(seen_names) >= 4


@pytest.mark.parametrize("how", ["apachectl", "httpd"])
def test_the_stock_configuration_of_debian(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Debian's apachectl; and by the bare binary, for which its envvars are read."""
    root = stock_apache()
    etc = root / "etc" / "apache2"
    if how == "apachectl":
        monkeypatch.setenv("APACHE_CONFDIR", str(etc))
        seen, configuration = read_httpd(str(root / "usr" / "sbin" / "apachectl"))
    else:
        monkeypatch.delenv("APACHE_CONFDIR", raising=False)
        seen, configuration = read_httpd(APACHE, etc / "apache2.conf")
    assert seen is not None
    assert configuration is not None
    assert seen.syntax_ok, seen.messages
    assert ["AH00558"] == [line.partition(":")[0] for line in seen.messages]
    assert ("event", str(etc)) == (seen.mpm, seen.server_root)
    assert str(etc / "apache2.conf") == seen.config_file
    assert (APACHE_USER, APACHE_USER) == (seen.user, seen.group)
    assert str(root / "var" / "log" / "apache2" / "error.log") == seen.error_log
    assert str(root / "var" / "run" / "apache2") == seen.run_dir
    assert ["*:80"] == [one.arguments[0] for one in configuration.vhosts]


# Configurations that Apache refuses


@pytest.mark.parametrize("how", ["apachectl", "httpd"])
def test_a_mistake_in_the_configuration_of_debian(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Includes, which are relative to the directory, and the environment are as before."""
    stock = stock_apache()
    etc = tmp_path / "apache2"
    shutil.copytree(stock / "etc" / "apache2", etc, symlinks=True)
    with (etc / "conf-enabled" / "security.conf").open("a", encoding="utf-8") as file:
        file.write("Mistake on\n")
    if how == "apachectl":
        monkeypatch.setenv("APACHE_CONFDIR", str(etc))
        seen, configuration = read_httpd(str(stock / "usr" / "sbin" / "apachectl"))
    else:
        monkeypatch.delenv("APACHE_CONFDIR", raising=False)
        seen, configuration = read_httpd(APACHE, etc / "apache2.conf")
    assert seen is not None
    assert configuration is not None
    assert seen.syntax_error is not None
    assert str(seen.syntax_error.place).startswith(str(etc / "conf-enabled" / "security.conf:"))
    assert (str(etc), "event", APACHE_USER) == (seen.server_root, seen.mpm, seen.user)
    assert ((), ["*:80"]) == (
        configuration.problems,
        [one.arguments[0] for one in configuration.vhosts],
    )


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("Mistake on\n", "Invalid command 'Mistake', perhaps misspelled or", 1),
        ("<Location /a>\n", "<Location> was not closed.", 1),
        ("\n<Location /a>\n</Directory>\n", "Expected </Location> but saw </Directory>", 3),
        ("Include missing.conf\n", "Could not open configuration file {root}/missing.conf: No such", 1),
        ("Timeout\n", "Timeout takes one argument, Timeout duration (sec)", 1),
        (
            "<Macro m>\nTimeout\n</Macro>\nUse m\n",
            "Timeout takes one argument, Timeout duration (sec)",
            4,
        ),
        ("ErrorLog nowhere/error.log\n", "(2)No such file or directory: AH02291: Cannot access", None),
    ],
)
def test_a_refused_configuration_says_where_and_is_read_nevertheless(
    tmp_path: Path, text: str, message: str, line: int | None
) -> None:
    """One message with its place; what the files hold is there for the checks to go on with."""
    file = main_file(tmp_path, text)
    seen, configuration = read_httpd(APACHE, file)
    assert seen is not None
    assert configuration is not None
    assert seen.syntax_error is not None
    place = Place(str(file), MINIMAL_LINES + line) if line else None
    assert (False, place) == (seen.syntax_ok, seen.syntax_error.place)
    assert message.format(root=tmp_path) in seen.syntax_error.message
    assert (str(tmp_path), "event") == (seen.server_root, seen.mpm)
    assert str(tmp_path / "httpd.pid") == seen.pid_file
    server_name = configuration.server("ServerName")
    assert server_name is not None
    assert ("a.example",) == server_name.arguments
    assert {"mpm_event", "authz_core"} <= configuration.modules


def test_a_mistake_in_an_included_file_has_its_place(tmp_path: Path) -> None:
    """Not that of the Include."""
    (tmp_path / "part.conf").write_text("\nInclude nothing\n", encoding="utf-8")
    seen, _ = read_httpd(APACHE, main_file(tmp_path, "Include part.conf\n"))
    assert seen is not None
    message = f"Could not open configuration file {tmp_path}/nothing: No such file or directory"
    assert Problem(message, Place(str(tmp_path / "part.conf"), 2)) == seen.syntax_error


def test_a_part_of_a_configuration_is_read_but_not_tested(tmp_path: Path) -> None:
    """A file that some main file includes: all modules are taken to be loaded."""
    file = tmp_path / "part.conf"
    file.write_text(
        "<IfModule mod_proxy.c>\nProxyPass /a http://b/\n</IfModule>\n"
        "<IfModule mpm_prefork_module>\nTimeout 1\n</IfModule>\nUnknown on\n",
        encoding="utf-8",
    )
    seen, configuration = read_httpd(APACHE, file)
    assert seen is not None
    assert configuration is not None
    assert (False, None, ()) == (seen.syntax_ok, seen.syntax_error, seen.messages)
    assert (str(file), None) == (seen.config_file, seen.mpm)
    assert ["ProxyPass", "Unknown"] == [one.name for one in configuration.directives]


def test_warnings_of_a_good_configuration_are_messages(tmp_path: Path) -> None:
    """As Apache words them; that the syntax is OK is none."""
    modules = "".join(
        f"LoadModule {m}_module {SYSTEM_MODULES}/mod_{m}.so\n" for m in ("proxy", "proxy_http")
    )
    url = "http://127.0.0.1:8765/"
    text = f"{modules}ProxyPass /a/ {url}\nProxyPass /b/ {url} upgrade=websocket\n"
    seen, _ = read_httpd(APACHE, main_file(tmp_path, text))
    assert seen is not None
    assert (True, 1) == (seen.syntax_ok, len(seen.messages))
    assert "AH01146" in seen.messages[0]


def test_an_ordinary_user_gets_what_may_be_read() -> None:
    """A configuration that only root may read is a syntax error of Apache, and no traceback."""
    directory = Path(tempfile.mkdtemp(prefix="dashboard-test-", dir="/var/tmp"))
    try:
        directory.chmod(0o755)
        closed = main_file(directory, "Include closed.conf\n").with_name("closed.conf")
        closed.touch(mode=0)
        program = (
            "import sys, pathlib; from mod_wsgi_dashboard.apacheconf.httpd import read_httpd\n"
            "seen, configuration = read_httpd(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
            "print(seen.syntax_error.message.rpartition(': ')[2])\n"
            "print(*[one.message.rpartition(': ')[2] for one in configuration.problems])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, APACHE, directory / "httpd.conf"],
            user=APACHE_USER if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        shutil.rmtree(directory)
    assert ("Permission denied\nPermission denied\n", "") == (done.stdout, done.stderr)


# Programs


def test_an_apachectl_that_takes_no_arguments_leads_to_the_httpd_beside_it(tmp_path: Path) -> None:
    """Red Hat's, which refuses all but a single one."""
    refusal = "Passing arguments to httpd using apachectl is no longer supported."
    text = f"#!/bin/sh\nif [ x$2 != x ]; then echo '{refusal}'; exit 1; fi\nexec {APACHE} \"$@\"\n"
    command = script(tmp_path, text)
    (tmp_path / "httpd").symlink_to(APACHE)
    seen, _ = read_httpd(command, main_file(tmp_path))
    assert seen is not None
    assert ((str(tmp_path / "httpd"),), True) == (seen.command, seen.syntax_ok)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie doesn't."""
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_apachectl_that_hangs_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time limit, as one line."""
    monkeypatch.setattr(httpd, "PROGRAM_SECONDS", 0.5)
    command = script(tmp_path, f"#!/bin/sh\nsleep 600 & echo $! >{tmp_path}/pid\nwait\n")
    began = monotonic()
    with pytest.raises(DashboardError, match=r"apachectl was stopped: it doesn't end within 0.5 s\.$"):
        read_httpd(command)
    assert monotonic() - began < 10
    pid = int((tmp_path / "pid").read_text(encoding="ascii"))
    wait_until(lambda: not is_alive(pid), 5, "it is gone")


def test_endless_output_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr(httpd, "OUTPUT_BYTES", 100_000)
    with pytest.raises(DashboardError, match=r"apachectl was stopped: it wrote over 100,000 bytes\.$"):
        read_httpd(script(tmp_path, "#!/bin/sh\nyes\n"))


def test_output_that_is_not_text(tmp_path: Path) -> None:
    """Is shown as such: control characters and bytes don't reach a terminal."""
    version = "Server version: Apache/2.4.41 (Unix)"
    text = f"#!/bin/sh\necho '{version}'; printf '\\377\\033[31mbad\\n' >&2; exit 1\n"
    seen, configuration = read_httpd(script(tmp_path, text))
    assert seen is not None
    assert ((2, 4, 41), ("\\xff?[31mbad",)) == (seen.version, seen.messages)
    assert Problem("\\xff?[31mbad") == seen.syntax_error
    assert configuration is not None
    assert () == configuration.directives


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none", None, "is not there: give --apachectl the path of apachectl or httpd."),
        ("file", "", "is not executable: give --apachectl the path of apachectl or httpd."),
        (".", None, "is not executable: give --apachectl the path of apachectl or httpd."),
        ("true", "#!/bin/sh\n", "is not Apache's: its answer to -V names no version."),
        ("garbage", "\1\2\3", "can't be run: Exec format error."),
        ("dead", "#!/no/such/shell\n", "can't be run: No such file or directory."),
    ],
)
def test_a_named_program_that_is_none_is_one_line(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    """It says what to change."""
    file = tmp_path / name
    if text is not None:
        script(tmp_path, text, name)
    if name == "file":
        file.chmod(0o644)
    with pytest.raises(DashboardError) as raised:
        read_httpd(str(file))
    assert f"{file} {message}" == str(raised.value)


def test_a_configuration_that_is_no_file_is_one_line(tmp_path: Path) -> None:
    """Before any program is called."""
    with pytest.raises(DashboardError, match="/none is not a file"):
        read_httpd(APACHE, tmp_path / "none")


def test_without_an_apache_the_named_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing, if none is named."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(httpd, "DIRECTORIES", ())
    assert (None, None) == (find_apachectl(), None)
    assert (None, None) == read_httpd()
    seen, configuration = read_httpd(config=main_file(tmp_path))
    assert seen is None
    assert configuration is not None
    assert "mpm_event" in configuration.modules


def test_apachectl_goes_before_httpd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the environment that Apache is started with."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(httpd, "DIRECTORIES", (str(tmp_path / "sbin"),))
    (tmp_path / "sbin").mkdir()
    script(tmp_path, "", "httpd")
    assert (str(tmp_path / "httpd"),) == find_apachectl()
    expected = script(tmp_path / "sbin", "", "apachectl")
    assert (expected,) == find_apachectl()
    assert (str(tmp_path / "httpd"),) == find_apachectl("httpd")

"""The command `config`: what it prints and writes, what it says of the server, and what it refuses."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf.config_command import EXAMPLES
from mod_wsgi_dashboard.cli import main
from tests.apacheconf.stock import stock_apache

pytestmark = pytest.mark.apache

SOCKET = "unix:/run/mod_wsgi-dashboard/dashboard.sock"


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the apachectl of Debian's stock Apache."""
    monkeypatch.setenv("APACHE_CONFDIR", str(stock_apache() / "etc" / "apache2"))
    return str(stock_apache() / "usr" / "sbin" / "apachectl")


def config(*arguments: str) -> int:
    """Run the command for a server that isn't asked."""
    return main(["config", *arguments, "--apachectl", "none"])


def test_a_configuration_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else: it can be put into a file or a pipe. What is to be minded goes to stderr."""
    assert config("vhost", "--listen", SOCKET, "--inside-vhost", "--access", "existing") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("# The dashboard at /metrics/")
    assert captured.out.endswith("</Location>\n")
    lines = captured.err.splitlines()
    assert all(line.startswith("mod_wsgi-dashboard: ") for line in lines)
    for words in (
        "Assumed, since no server",
        "ExtendedStatus On",
        "No Require",
        "LISTEN=unix:/run",
        "The directory of",
    ):
        assert 1 == sum(words in line for line in lines), words


def test_a_port_that_others_can_reach(capsys: pytest.CaptureFixture[str]) -> None:
    """A unix socket is advised where other users log in; who has one isn't told."""
    for listen, told in (("127.0.0.1:9000", True), (SOCKET, False)):
        assert config("vhost", "--listen", listen) == 0
        assert told is ("past Apache's access rules" in capsys.readouterr().err)
    assert config("vhost", "--listen", "unix:/srv/x/y.sock") == 0
    assert "/srv/x/y.sock must be there before" in capsys.readouterr().err


def test_a_file_and_its_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The settings that belong to a configuration are in a script beside it."""
    path = tmp_path / "site.conf"
    assert config("vhost", "--listen", SOCKET, "-o", str(path)) == 0
    script = tmp_path / "site.py"
    assert f"listen={SOCKET!r}".replace("'", '"') in script.read_text(encoding="utf-8")
    assert f"WSGIImportScript {script} " in path.read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines() == [f"written   {path}", f"written   {script}"]


def test_no_script_without_settings(tmp_path: Path) -> None:
    """With the default listener the packaged script does."""
    path = tmp_path / "site.conf"
    assert config("vhost", "-o", str(path)) == 0
    assert [path] == list(tmp_path.iterdir())
    assert re.search(r"WSGIImportScript \S+/service_script\.py ", path.read_text(encoding="utf-8"))


def test_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same choices change nothing; other ones need --force, and --dry-run shows what they change."""
    first = ("debian", "--listen", SOCKET, "-o", str(tmp_path))
    second = ("debian", "--listen", "127.0.0.1:9000", "-o", str(tmp_path))
    assert config(*first) == 0
    capsys.readouterr()
    assert config(*first) == 0
    assert 3 == capsys.readouterr().out.count("unchanged ")
    assert config(*second) == 1
    assert "--force overwrites" in capsys.readouterr().err
    assert config(*second, "--dry-run") == 0
    shown = capsys.readouterr().out
    assert f'-    listen="{SOCKET}",\n+    listen="127.0.0.1:9000",' in shown
    script = tmp_path / "etc/apache2/mod_wsgi-dashboard.py"
    assert SOCKET in script.read_text(encoding="utf-8")
    assert config(*second, "--force") == 0
    assert SOCKET not in script.read_text(encoding="utf-8")


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is a patch from nothing to every file."""
    assert config("rhel", "--listen", SOCKET, "-o", str(tmp_path), "--dry-run") == 0
    assert [] == list(tmp_path.iterdir())
    assert 3 == capsys.readouterr().out.count("--- /dev/null\n")


def test_commands_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They follow what was written, indented, to be pasted."""
    assert config("debian", "-o", str(tmp_path)) == 0
    _, _, commands = capsys.readouterr().out.partition("Then, as root:\n")
    assert "  a2enmod headers proxy proxy_http wsgi\n" in commands
    assert all(line.startswith("  ") for line in commands.splitlines())


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_work(
    example: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each example of --help does what it says."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)
    words += ["-o", str(tmp_path)] if words[0] in {"debian", "rhel"} else []
    assert config(*words) == 0
    assert capsys.readouterr().out


def test_the_server_is_asked(stock: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Version, MPM, modules and workers are those of the server; nothing is assumed then."""
    assert main(["config", "vhost", "--apachectl", stock, "-o", "/x.conf", "--dry-run"]) == 0
    captured = capsys.readouterr()
    (read,) = [line for line in captured.err.splitlines() if "Written for" in line]
    found = re.search(r"Apache 2\.4\.\d+, MPM event, modules to load: (.+), MaxRequestWorkers 150", read)
    assert found is not None, read
    assert found[1].split() == ["headers", "proxy", "proxy_http", "wsgi"]
    assert "Assumed" not in captured.err
    assert "max_request_workers=150," in captured.out


def test_viewers_are_added_to_what_the_server_has(
    stock: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """150 workers and 20 viewers make seven whole processes of 25 threads."""
    assert main(["config", "vhost", "--apachectl", stock, "--viewers", "20"]) == 0
    captured = capsys.readouterr()
    assert "    ServerLimit 16\n    MaxRequestWorkers 175\n" in captured.out
    assert "MAX_REQUEST_WORKERS=175" in captured.out


def test_what_it_wrote_itself_is_not_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once it is in place, the same command changes nothing: neither pool nor Listen."""
    root = tmp_path / "root"
    shutil.copytree(stock_apache(), root, symlinks=True)
    etc = root / "etc" / "apache2"
    monkeypatch.setenv("APACHE_CONFDIR", str(etc))
    (etc / "mods-available" / "wsgi.load").write_text("", encoding="utf-8")
    arguments = ["config", "debian", "--viewers", "20", "--server-name", "a.example", "--port", "8080"]
    arguments += ["--apachectl", str(root / "usr/sbin/apachectl"), "-o", str(root)]
    assert main(arguments) == 0
    for name in ("headers", "proxy", "proxy_http"):
        for kind in ("load", "conf"):
            if (etc / f"mods-available/{name}.{kind}").exists():
                os.symlink(f"../mods-available/{name}.{kind}", etc / f"mods-enabled/{name}.{kind}")
    wsgi = "LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so\n"
    (etc / "mods-enabled" / "wsgi.load").write_text(wsgi, encoding="utf-8")
    site = "mod_wsgi-dashboard.conf"
    os.symlink(f"../sites-available/{site}", etc / "sites-enabled" / site)
    capsys.readouterr()
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert 3 == captured.out.count("unchanged ")
    assert "all modules loaded" in captured.err


def test_a_low_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is told, with the directive to set: Apache would cut every viewer off."""
    root = tmp_path / "root"
    shutil.copytree(stock_apache(), root, symlinks=True)
    monkeypatch.setenv("APACHE_CONFDIR", str(root / "etc" / "apache2"))
    main_file = root / "etc/apache2/apache2.conf"
    text = main_file.read_text(encoding="utf-8")
    apachectl = str(root / "usr/sbin/apachectl")
    for seconds, told in ((10, True), (11, False)):
        main_file.write_text(re.sub(r"(?m)^Timeout .*", f"Timeout {seconds}", text), encoding="utf-8")
        assert main(["config", "vhost", "--apachectl", apachectl]) == 0
        assert told is ("`Timeout 60`" in capsys.readouterr().err)


def test_a_second_dashboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where another file has one already, its place is named: Apache wouldn't start with both."""
    root = tmp_path / "root"
    shutil.copytree(stock_apache(), root, symlinks=True)
    monkeypatch.setenv("APACHE_CONFDIR", str(root / "etc" / "apache2"))
    other = root / "etc/apache2/conf-enabled/older.conf"
    wsgi = "LoadModule wsgi_module /usr/lib/apache2/modules/mod_wsgi.so\n"
    other.write_text(wsgi + "WSGIDaemonProcess dashboard threads=0\n", encoding="utf-8")
    assert main(["config", "vhost", "--apachectl", str(root / "usr/sbin/apachectl")]) == 0
    assert f"{other}:2 has a group 'dashboard' already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "RewriteRule|upgrade="),
        (("--inside-vhost",), "RewriteRule"),
        (("--server-name", "a.example"), "RewriteRule"),
        (("--proxy", "rewrite"), "RewriteRule"),
    ],
)
def test_an_older_apache(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gets mod_proxy_wstunnel: by rewriting in virtual hosts, by ProxyPass outside of them."""
    assert config("vhost", *arguments, "--apache-version", "2.4.41") == 0
    text = capsys.readouterr().out
    assert "proxy_wstunnel" in text
    if arguments:
        assert f"\n{words}" in text.replace("    ", "")
    else:
        assert not re.search(rf"^\s*({words})", text, re.MULTILINE)
        assert "ProxyPass        /metrics/ws ws://127.0.0.1:8765/ws\n" in text
    assert "upgrade=websocket" not in text


def test_prefork(capsys: pytest.CaptureFixture[str]) -> None:
    """Its viewers are whole processes: that is said, and the pool sized by processes."""
    assert config("vhost", "--mpm", "prefork", "--viewers", "10") == 0
    captured = capsys.readouterr()
    assert "MPM prefork: " in captured.err
    assert "    ServerLimit 266\n    MaxRequestWorkers 266\n" in captured.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["vhost", "--mount", "/a b/"], "--mount"),
        (["vhost", "--listen", "0.0.0.0:80"], "--listen"),
        (["vhost", "--https-port", "443"], "--https-port"),
        (["vhost", "--port", "80"], "--port"),
        (["vhost", "--address", "127.0.0.1"], "--address"),
        (["vhost", "--server-name", "a", "--tls", "/c", "/k", "--port", "80"], "--port"),
        (["vhost", "--tls", "/c", "/k"], "--tls"),
        (["vhost", "--python-home", "venv"], "--python-home"),
        (["vhost", "--script", "/a\nb"], "--script"),
        (["vhost", "-o", "/x/dashboard.py"], "--output"),
        (["vhost", "-o", "/x/a\x1bb"], "--output"),
        (["vhost", "--user", "daemon", "--listen", "unix:/run/x/y"], "--user"),
        (["vhost", "--apache-version", "2.4.46", "--proxy", "upgrade"], "--proxy"),
        (["express", "--balance", "10.0.0.2:80"], "--balance"),
        (["express", "--server-name", "a"], "--server-name"),
        (["debian", "--inside-vhost"], "--inside-vhost"),
        (["debian", "--viewers", "many"], "--viewers"),
        (["debian", "--state-dir", "/var/lib"], "--state-dir"),
        (["vhost", "--listen", "none", "--balance", "a:80", "--record", "full"], "--record"),
    ],
)
def test_a_refusal_is_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the option's name, nothing on stdout, and status 1."""
    assert config(*arguments) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"mod_wsgi-dashboard: {words}")
    assert line.isprintable()
    assert captured.out == ""


def test_an_apachectl_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Who names one wants it asked."""
    assert main(["config", "vhost", "--apachectl", "/nonexistent/apachectl"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "/nonexistent/apachectl" in line


@pytest.mark.parametrize(("target", "group"), [("debian", "www-data"), ("rhel", "apache")])
def test_a_user_of_its_own_has_apaches_group(target: str, group: str, tmp_path: Path) -> None:
    """On a unix socket, which Apache connects to by its group."""
    assert config(target, "--user", "ops", "--listen", SOCKET, "-o", str(tmp_path)) == 0
    (conf,) = tmp_path.glob("etc/*/conf*/*.conf")
    assert f"user=ops group={group} umask=0007" in conf.read_text(encoding="utf-8")


def test_a_directory_to_record_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is in the script, with what to record; and who must see to it himself is told."""
    for directory, told in (("/srv/dashboard", False), ("/srv/everybody", True)):
        options = ("--state-dir", directory, "--record", "states", "-o", str(tmp_path), "--force")
        assert config("debian", *options) == 0
        assert told is (f"The directory {directory} must be there" in capsys.readouterr().err)
        script = (tmp_path / "etc/apache2/mod_wsgi-dashboard.py").read_text(encoding="utf-8")
        assert f'    record="states",\n    state_dir="{directory}",\n' in script


def test_a_virtual_host_says_how_to_make_it(capsys: pytest.CaptureFixture[str]) -> None:
    """What is pasted into somebody's configuration has the command in a comment, if it records."""
    command = "#   install -d -m 0700 -o ops /var/lib/mod_wsgi-dashboard\n"
    for record, told in (("full", True), ("off", False)):
        assert config("vhost", "--user", "ops", "--record", record) == 0
        assert told is (command in capsys.readouterr().out)

"""Doctor has nothing to say of configurations that are right."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.findings import Severity
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.cli import main
from tests.apache.server import APACHE_USER, REPOSITORY, SERVICE_SCRIPT
from tests.apache.site import SYSTEM_MODULES, VENV, executable, wsgi_module
from tests.apache.written import named_modules
from tests.apacheconf.sites import APACHE, findings_of
from tests.apacheconf.stock import stock_apache
from tests.apacheconf.test_configtest import BASE, LISTENS, PLACES, certificate

__all__ = ["certificate"]

pytestmark = pytest.mark.apache


def findings(apachectl: str, config: Path | None = None) -> list[tuple[str, str]]:
    """Return name and words of what doctor finds, notes included."""
    httpd, configuration = read_httpd(apachectl, config)
    assert httpd is not None
    assert configuration is not None
    assert httpd.syntax_ok, httpd.messages
    found = doctor.examine(System(configuration=configuration, httpd=httpd, environ={}))
    return [(finding.check, finding.what) for finding in found]


@pytest.mark.parametrize("module", ["pypi", "debian"])
@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_the_files_that_operators_copy(mpm: str, listener: str, module: str, site_root: Path) -> None:
    """Of apache/*.conf there is nothing but a note that prefork is dear."""
    found = findings_of(site_root, mpm=mpm, listener=listener, module=module)
    expected = [("prefork", Severity.NOTE)] if mpm == "prefork" else []
    assert expected == [(finding.check, finding.severity) for finding in found]


def test_debian_s_stock_configuration() -> None:
    """Of Debian's own configuration, without WSGI, there is nothing."""
    assert [] == findings(APACHE, stock_apache() / "etc" / "apache2" / "apache2.conf")


def test_debian_with_what_config_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `config debian`'s files there is but the note that Debian leaves ServerName out."""
    root = tmp_path / "debian"
    shutil.copytree(stock_apache(), root, symlinks=True)
    assert 0 == main(["config", "debian", "--apachectl", "none", "-o", str(root)])
    capsys.readouterr()
    configuration = root / "etc" / "apache2"
    available = configuration / "conf-available" / "mod_wsgi-dashboard.conf"
    (configuration / "conf-enabled" / available.name).symlink_to(available)
    loads = [
        f"LoadModule {name}_module {SYSTEM_MODULES}/mod_{name}.so"
        for name in ("headers", "proxy", "proxy_http", "wsgi")
    ]
    (configuration / "mods-enabled" / "dashboard.load").write_text("\n".join(loads), encoding="utf-8")
    assert ["server-name"] == [check for check, _ in findings(APACHE, configuration / "apache2.conf")]


def test_mod_wsgi_express(site_root: Path) -> None:
    """Of what mod_wsgi-express generates there is nothing, but that nobody is asked who he is."""
    root = site_root / "express"
    express = executable("mod_wsgi-express", "mod_wsgi (pip)", VENV / "bin")
    options = ["--server-metrics", "--service-script", "dashboard", str(SERVICE_SCRIPT)]
    options += ["--proxy-mount-point", "/metrics/", "http://127.0.0.1:8765/", "--locale", "C.UTF-8"]
    options += ["--server-root", str(root), "--host", "127.0.0.1", "--port", "18080"]
    options += ["--user", APACHE_USER, "--group", APACHE_USER]
    subprocess.run(
        [express, "setup-server", str(REPOSITORY / "examples" / "express" / "wsgi.py"), *options],
        check=True,
        capture_output=True,
        timeout=60,
    )
    found = findings(str(root / "apachectl"))
    assert ["open-location"] == [check for check, _ in found]


@pytest.mark.parametrize("place", PLACES)
def test_what_config_writes(
    place: str, certificate: Path, site_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of no combination of choices that `config vhost` can write is there anything to say."""
    accesses = ("local", "ip:10.0.0.0/8", "basic:/etc/dashboard.htpasswd")
    path = "/" if "--server-name" in PLACES[place] else "/metrics/"
    others = ((), ("--balance", "10.0.0.2:8765"), ("--balance", f"https://h.example.org{path}"))
    wrong = {}
    for listen, proxy, access, other in itertools.product(
        LISTENS, ("upgrade", "rewrite", "wstunnel"), accesses, others
    ):
        options = [*PLACES[place], *listen, "--proxy", proxy, "--access", access, *other]
        if other and other[1].startswith("https"):
            options += ["--backend-ca", "{tls}/cert 1.pem"]
        options = [option.replace("{tls}", str(certificate)) for option in options]
        options = [
            option.replace("/run/mod_wsgi-dashboard", str(site_root / "run")) for option in options
        ]
        found = findings(APACHE, written(options, site_root))
        if found:
            wrong[" ".join(options)] = found
    capsys.readouterr()
    assert {} == wrong


def written(options: list[str], root: Path) -> Path:
    """Write a configuration that includes what `config vhost` writes, and return its path."""
    part = root / "dashboard.conf"
    assert 0 == main(["config", "vhost", *options, "--apachectl", "none", "--force", "-o", str(part)])
    include = f"Include {part}"
    if "--inside-vhost" in options:
        include = (
            f"ExtendedStatus On\n<VirtualHost *:80>\nServerName localhost\n{include}\n</VirtualHost>"
        )
    names = named_modules(part.read_text(encoding="utf-8"))
    wsgi = wsgi_module("debian")
    load = [
        f"LoadModule {name}_module {wsgi if name == 'wsgi' else SYSTEM_MODULES / f'mod_{name}.so'}"
        for name in names
    ]
    path = root / "httpd.conf"
    path.write_text(
        BASE.format(root=root, modules=SYSTEM_MODULES, load="\n".join(load), include=include),
        encoding="utf-8",
    )
    return path

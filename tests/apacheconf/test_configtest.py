"""Every configuration that `config` can write passes a real Apache's configtest."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mod_wsgi_dashboard.cli import main
from tests.apache.site import SYSTEM_MODULES, VENV, executable, wsgi_module
from tests.apache.written import named_modules

pytestmark = pytest.mark.apache

BASE = """
ServerRoot {root}
DefaultRuntimeDir {root}
PidFile httpd.pid
ServerName localhost
Listen 127.0.0.1:80
ErrorLog error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
{load}
{include}
"""

MOUNTS = ("/metrics/", "/status.d/~ops/")

# Where it is seen; {tls} is the directory of the certificate, {mount} the path.
PLACES = {
    "server": (),
    "inside": ("--inside-vhost",),
    "own": ("--server-name", "status.example.org", "--port", "8080"),
    "tls": ("--server-name", "status.example.org", "--tls", "{tls}/cert 1.pem", "{tls}/key.pem"),
}
# A part of a virtual host is the target vhost's alone.
TARGETS = [
    (target, place)
    for target in ("vhost", "debian", "rhel")
    for place in PLACES
    if target == "vhost" or place != "inside"
]
LISTENS = (("--listen", "127.0.0.1:9000"), ("--listen", "unix:/run/mod_wsgi-dashboard/dashboard.sock"))
PROXIES = ("upgrade", "rewrite", "wstunnel")
ACCESSES = ("local", "ip:10.0.0.0/8,192.0.2.7,2001:db8::/32", "basic:/etc/a b/$1%x\\y", "existing")
OTHERS = (
    (),
    ("--balance", "10.0.0.2:8765", "--balance", "unix:/run/mod_wsgi-dashboard/2.sock"),
    ("--balance", "https://h2.example.org{mount}", "--backend-ca", "{tls}/cert 1.pem"),
)
ALONE = (
    ("--listen", "none", "--balance", "10.0.0.2:8765"),
    ("--listen", "none", "--balance", "[2001:db8::2]:8765", "--balance", "h3.example.org:8765"),
    ("--listen", "none", "--balance", "https://[::1]:8443{mount}", "--backend-ca", "{tls}/cert 1.pem"),
)
BACKENDS = (*(listen + others for listen in LISTENS for others in OTHERS), *ALONE)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a certificate and its key."""
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory,
        check=True,
        capture_output=True,
    )
    (directory / "cert 1.pem").write_bytes((directory / "cert.pem").read_bytes())
    return directory


def configtest(root: Path, configuration: Path, *, module: str, include: str) -> str:
    """Return what Apache says of a configuration, with the modules that it names and no others."""
    names = named_modules(configuration.read_text(encoding="utf-8"))
    load = [
        f"LoadModule {name}_module {wsgi_module_path(module) if name == 'wsgi' else modules_path(name)}"
        for name in names
    ]
    main_file = root / "httpd.conf"
    main_file.write_text(
        BASE.format(root=root, modules=SYSTEM_MODULES, load="\n".join(load), include=include),
        encoding="utf-8",
    )
    done = subprocess.run(
        [executable("apache2", "apache2"), "-t", "-f", str(main_file)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout + done.stderr


def modules_path(name: str) -> Path:
    return SYSTEM_MODULES / f"mod_{name}.so"


_WSGI: dict[str, Path] = {}


def wsgi_module_path(module: str) -> Path:
    """Return mod_wsgi's path, asked for once."""
    if module not in _WSGI:
        _WSGI[module] = wsgi_module(module)
    return _WSGI[module]


def combinations(place: Sequence[str], certificate: Path) -> Iterator[list[str]]:
    """Yield the options of every combination for a place."""
    mounts = (*MOUNTS, "/") if "--server-name" in place else MOUNTS
    for mount, backend, proxy, access in itertools.product(mounts, BACKENDS, PROXIES, ACCESSES):
        options = [*place, "--mount", mount, *backend, "--proxy", proxy, "--access", access]
        yield [option.replace("{tls}", str(certificate)).replace("{mount}", mount) for option in options]


@pytest.mark.parametrize(("target", "place"), TARGETS)
@pytest.mark.timeout(600)
def test_every_combination(
    target: str, place: str, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each passes without a warning, on mod_wsgi 6 and 4.9.4, with no more modules than it names."""
    wrong = {}
    modules = itertools.cycle(["pypi", "debian"])
    cases = list(combinations(PLACES[place], certificate))
    # The other targets differ in where the same text goes.
    for options in cases if target == "vhost" else cases[::7]:
        said = written(target, options, tmp_path, next(modules))
        if said != "Syntax OK\n":
            wrong[" ".join(options)] = said
    capsys.readouterr()
    assert {} == wrong


def written(target: str, options: list[str], root: Path, module: str) -> str:
    """Write a configuration and return what Apache says of it."""
    common = ["config", target, *options, "--apachectl", "none", "--viewers", "30", "--force"]
    if target == "vhost":
        path = root / "dashboard.conf"
        assert main([*common, "-o", str(path)]) == 0
        include = f"Include {path}"
        if "--inside-vhost" in options:
            include = f"<VirtualHost *:80>\nServerName localhost\n{include}\n</VirtualHost>"
        return configtest(root, path, module=module, include=include)
    assert main([*common, "-o", str(root)]) == 0
    own = "--server-name" in options
    folder = {
        "debian": f"etc/apache2/{'sites' if own else 'conf'}-available",
        "rhel": "etc/httpd/conf.d",
    }
    path = root / folder[target] / "mod_wsgi-dashboard.conf"
    return configtest(root, path, module=module, include=f"IncludeOptional {path.parent}/*.conf")


EXPRESS_ACCESSES = ("local", "ip:10.0.0.0/8", "basic:/etc/a b", "existing")


@pytest.mark.parametrize("access", EXPRESS_ACCESSES)
@pytest.mark.parametrize("tls", [False, True])
def test_express(
    access: str, *, tls: bool, certificate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start script's options and its file of directives make a configuration that passes."""
    listen = "unix:/run/mod_wsgi-dashboard/dashboard.sock" if tls else "127.0.0.1:9000"
    options = ["--listen", listen, "--access", access, "--viewers", "7"]
    if tls:
        files = [str(certificate / "cert.pem"), str(certificate / "key.pem")]
        options += ["--server-name", "localhost", "--mount", "/metrics/", "--https-port", "8443"]
        options += ["--tls", *files]
    assert main(["config", "express", *options]) == 0
    script = capsys.readouterr().out
    start = tmp_path / "start.sh"
    start.write_text(
        script.replace("exec mod_wsgi-express start-server", "mod_wsgi-express setup-server")
    )
    (tmp_path / "wsgi.py").write_text("def application(environ, start_response): ...\n")
    root = tmp_path / "express"
    venv = str(Path(executable("mod_wsgi-express", "mod_wsgi (pip)", VENV / "bin")).parent)
    arguments = [
        "--server-root",
        str(root),
        "--user",
        "www-data",
        "--group",
        "www-data",
        "--port",
        "8000",
    ]
    subprocess.run(
        ["/bin/sh", str(start), *arguments],
        cwd=tmp_path,
        env={"PATH": f"{venv}:/usr/sbin:/usr/bin:/bin"},
        check=True,
        capture_output=True,
        timeout=60,
    )
    generated = (root / "httpd.conf").read_text(encoding="utf-8")
    assert re.search(r"Max(Clients|RequestWorkers) 39\n", generated)
    assert "MOD_WSGI_DASHBOARD_MAX_REQUEST_WORKERS=39\n" in script
    done = subprocess.run(
        [str(root / "apachectl"), "configtest"], capture_output=True, text=True, timeout=30
    )
    assert (0, "Syntax OK\n") == (done.returncode, done.stdout + done.stderr)

"""What `mod_wsgi-dashboard config` writes serves a real WebSocket: one test of each kind."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.apache.server import APACHE_USER, REPOSITORY, SERVICE_SCRIPT, free_ports
from tests.apache.site import SYSTEM_MODULES, VENV, executable, wsgi_module
from tests.apache.written import (
    Written,
    basic,
    config,
    fetch,
    handshake,
    named_modules,
    run,
    tls_files,
    trusting,
)
from tests.apacheconf.stock import stock_apache

pytestmark = pytest.mark.apache

TCP = ("--listen", "127.0.0.1:{back}")
UNIX = ("--listen", "unix:{socket}")
OWN = ("--server-name", "localhost", "--mount", "/metrics/", "--address", "127.0.0.1")

# mod_proxy_wstunnel as it was before 2.4.47, when mod_proxy_http didn't know WebSockets.
NATIVE = "ProxyWebsocketFallbackToProxyHttp Off"


@pytest.fixture(scope="module")
def tls() -> Iterator[Path]:
    """Return the directory of a certificate for localhost."""
    with tls_files() as directory:
        yield directory


async def assert_serves(
    server: Written, port: int, mount: str = "/metrics/", *, tls: ssl.SSLContext | None = None
) -> None:
    """Page and WebSocket come through, below the mount, whatever prefix the client claims."""
    spoofed = {"X-Forwarded-Prefix": "/spoofed"}
    page = await asyncio.to_thread(fetch, port, mount, spoofed, tls=tls)
    assert (page.status, server.error_log) == (200, server.error_log)
    assert [mount] * (mount != "/") == re.findall(r'<base href="([^"]*)"', page.text)
    assert "spoofed" not in page.text
    frame = await handshake(port, f"{mount}ws", spoofed, tls=tls)
    assert isinstance(frame, dict), f"the handshake got {frame}\n{server.logs()}"
    assert frame["snapshot"]["processes"]


def assert_redirects(port: int, url: str, *, tls: ssl.SSLContext | None = None) -> None:
    """The bare path leads to the mount, by the same scheme, name and port."""
    answer = fetch(port, "/metrics", tls=tls)
    assert (301, url) == (answer.status, answer.headers["Location"])


WAYS = {
    "upgrade": (("--proxy", "upgrade"), "", ""),
    "upgrade-inside": (("--proxy", "upgrade", "--inside-vhost"), "{file}", "ExtendedStatus On"),
    "rewrite": (("--proxy", "rewrite"), "RewriteEngine On", ""),
    "rewrite-inside": (("--proxy", "rewrite", "--inside-vhost"), "{file}", "ExtendedStatus On"),
    "rewrite-native": (("--proxy", "rewrite", "--inside-vhost"), "{file}", NATIVE),
    "wstunnel": (("--proxy", "wstunnel"), "", ""),
    "wstunnel-native": (("--proxy", "wstunnel"), "", NATIVE),
}


@pytest.mark.parametrize(("listen", "module"), [(TCP, "pypi"), (UNIX, "debian")], ids=["tcp", "unix"])
@pytest.mark.parametrize("way", WAYS)
async def test_each_way(way: str, listen: tuple[str, ...], module: str) -> None:
    """Each way for WebSockets works in a virtual host, on a port and on a unix socket."""
    options, inside, extra = WAYS[way]
    with Written(*listen, *options, module=module, inside=inside, extra=extra) as server:
        await assert_serves(server, server.port)
        await asyncio.to_thread(
            assert_redirects, server.port, f"http://localhost:{server.port}/metrics/"
        )


async def test_a_user_of_its_own() -> None:
    """A dashboard of another user shares a unix socket with Apache by Apache's group alone."""
    # Nobody but root can give a process another user.
    account = ("--user", "daemon", "--group", APACHE_USER) if os.geteuid() == 0 else ()
    server = Written(*UNIX, *account)
    server.socket_owner = "daemon"
    with server:
        await assert_serves(server, server.port)
        assert server.socket_path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("proxy", ["upgrade", "rewrite", "wstunnel"])
async def test_tls(tls: Path, proxy: str) -> None:
    """A virtual host with TLS speaks wss:// to the browser; its bare path stays on https."""
    (port,) = free_ports(1)
    options = ("--tls", f"{tls}/cert.pem", f"{tls}/key.pem", "--https-port", str(port), "--proxy", proxy)
    with Written(*TCP, *OWN, *options) as server:
        await assert_serves(server, port, tls=trusting(tls))
        url = f"https://localhost:{port}/metrics/"
        await asyncio.to_thread(assert_redirects, port, url, tls=trusting(tls))


async def test_a_virtual_host_of_its_own() -> None:
    """By a server name it is at /, and the site beside it stays without it."""
    (port,) = free_ports(1)
    place = ("--server-name", "localhost", "--port", str(port), "--address", "127.0.0.1")
    with Written(*TCP, *place) as server:
        await assert_serves(server, port, "/")
        assert (await asyncio.to_thread(server.get, "/metrics/")).status == 404


async def test_a_path_in_a_path() -> None:
    """A mount with dots below another path is one, and matches no other path."""
    with Written(*TCP, "--mount", "/ops/status.d") as server:
        await assert_serves(server, server.port, "/ops/status.d/")
        bare, other = [fetch(server.port, path) for path in ("/ops/status.d", "/ops/statusXd")]
        assert (301, 404) == (bare.status, other.status)


async def members_seen(port: int, cookie: str) -> set[float]:
    """Return which servers a browser with this cookie sees, by their start."""
    headers = {"Cookie": cookie}
    seen = set()
    for _ in range(4):
        answer = await asyncio.to_thread(fetch, port, "/metrics/api/v1/snapshot", headers)
        started = re.search(r'"restart_time":([0-9.]+)', answer.text)
        assert started is not None, answer
        seen.add(float(started[1]))
        frame = await handshake(port, "/metrics/ws", headers)
        seen.add(frame["snapshot"]["restart_time"])
    return seen


BALANCED = {
    "upgrade": ("upgrade", TCP, ""),
    "wstunnel": ("wstunnel", TCP, ""),
    "wstunnel-native": ("wstunnel", UNIX, NATIVE),
    "sockets": ("upgrade", UNIX, ""),
}


@pytest.mark.parametrize("kind", BALANCED)
async def test_a_balancer(kind: str) -> None:
    """A browser stays with the dashboard it got first, its WebSocket as well; another gets another."""
    proxy, listen, extra = BALANCED[kind]
    with Written(*listen) as second:
        address = f"127.0.0.1:{second.dashboard_port}" if listen is TCP else f"unix:{second.socket_path}"
        options = ("--balance", address, "--proxy", proxy)
        with Written(*listen, *options, extra=extra) as server:
            await assert_serves(server, server.port)
            cookies = set()
            for _ in range(6):
                answer = await asyncio.to_thread(fetch, server.port, "/metrics/")
                cookies.add(answer.headers["Set-Cookie"].partition(";")[0])
            assert {"ROUTEID=.1", "ROUTEID=.2"} == cookies
            first = await members_seen(server.port, "ROUTEID=.1")
            other = await members_seen(server.port, "ROUTEID=.2")
    assert (1, 1) == (len(first), len(other))
    assert first != other


@pytest.mark.parametrize("proxy", ["upgrade", "wstunnel"])
@pytest.mark.parametrize("others", [(), TCP], ids=["alone", "balanced"])
async def test_another_apache_over_tls(tls: Path, others: tuple[str, ...], proxy: str) -> None:
    """A dashboard behind an Apache of its own is reached over TLS, with its certificate checked."""
    (port,) = free_ports(1)
    secure = ("--tls", f"{tls}/cert.pem", f"{tls}/key.pem", "--https-port", str(port))
    with Written(*TCP, *OWN, *secure, settings={"allowed_hosts": "localhost"}):
        away = ("--balance", f"https://localhost:{port}/metrics/", "--backend-ca", f"{tls}/cert.pem")
        with Written(*(others or ("--listen", "none")), *away, "--proxy", proxy) as server:
            await assert_serves(server, server.port)
            answer = await handshake(server.port, "/metrics/ws", {"Cookie": "ROUTEID=.2"})
            assert isinstance(answer, dict), server.logs()


async def test_a_foreign_certificate_is_refused(tls: Path) -> None:
    """An Apache whose certificate another authority signed is not talked to."""
    (port,) = free_ports(1)
    secure = ("--tls", f"{tls}/cert.pem", f"{tls}/key.pem", "--https-port", str(port))
    with tls_files() as other, Written(*TCP, *OWN, *secure):
        away = ("--balance", f"https://localhost:{port}/metrics/", "--backend-ca", f"{other}/cert.pem")
        with Written("--listen", "none", *away) as server:
            assert 500 <= (await asyncio.to_thread(fetch, server.port, "/metrics/")).status <= 502


@asynccontextmanager
async def mirror() -> AsyncIterator[tuple[int, list[dict[str, str]]]]:
    """Give the port of a back end that keeps the headers of its requests, and these."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        if "Upgrade" not in request.headers:
            return web.Response()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({})
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        (port,) = free_ports(1)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield port, seen
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("proxy", ["upgrade", "rewrite", "wstunnel"])
async def test_basic_auth(proxy: str) -> None:
    """No password, no page and no WebSocket; with it both, and the back end doesn't see it."""
    access = ("--access", "basic:{root}/pass words", "--proxy", proxy)
    async with mirror() as (port, seen):
        away = ("--listen", "none", "--balance", f"127.0.0.1:{port}")
        with Written(*away, *access, inside="RewriteEngine On" if proxy == "rewrite" else "") as server:
            make_passwords(server.root / "pass words")
            good, bad = basic("ops", "s3cret"), basic("ops", "guess")
            for headers in ({}, bad):
                assert (await asyncio.to_thread(fetch, server.port, "/metrics/", headers)).status == 401
                assert await handshake(server.port, "/metrics/ws", headers) == 401
            assert [] == seen
            assert (await asyncio.to_thread(fetch, server.port, "/metrics/", good)).status == 200
            assert await handshake(server.port, "/metrics/ws", good) == {}
    assert 2 == len(seen)
    assert [] == [headers for headers in seen if "Authorization" in headers]
    assert [["/metrics"], ["/metrics"]] == [
        [value for name, value in headers.items() if name == "X-Forwarded-Prefix"] for headers in seen
    ]


def make_passwords(path: Path) -> None:
    """Write a password file for ops, s3cret, by the format that Apache documents as {SHA}."""
    path.write_text("ops:{SHA}/vNB+F2HQ559kaLUZbmHHvZrXpg=\n", encoding="utf-8")


async def test_by_address() -> None:
    """Who comes from elsewhere gets neither page nor WebSocket."""
    for network, status in (("192.0.2.7,2001:db8::/32", 403), ("127.0.0.0/8,::1", 200)):
        with Written(*TCP, "--access", f"ip:{network}") as server:
            page = await asyncio.to_thread(fetch, server.port, "/metrics/")
            frame = await handshake(server.port, "/metrics/ws")
            assert (status, isinstance(frame, dict)) == (page.status, status == 200)


async def test_a_block_of_ones_own() -> None:
    """With --access existing a block elsewhere decides, as it did."""
    block = '<Location "/metrics/">\nRequire ip 192.0.2.7\n</Location>'
    extra = f"LoadModule authz_host_module {SYSTEM_MODULES}/mod_authz_host.so\n{block}"
    with Written(*TCP, "--access", "existing", extra=extra) as server:
        assert (await asyncio.to_thread(fetch, server.port, "/metrics/")).status == 403
        assert await handshake(server.port, "/metrics/ws") == 403


async def test_room_for_viewers() -> None:
    """Apache makes room for the viewers asked for, and the dashboard knows how much there is."""
    status = f"LoadModule status_module {SYSTEM_MODULES}/mod_status.so"
    options = ("--viewers", "60", "--mpm", "event")
    with Written(*TCP, *options, extra=status) as server:
        frame = (await asyncio.to_thread(fetch, server.port, "/metrics/api/v1/snapshot")).text
        assert '"max_request_workers":475' in frame
        # ServerLimit x ThreadLimit.
        assert frame.count('"thread_num"') == 19 * 64
        assert '"limit":60' in frame
        assert "warn]" not in server.error_log


# The files of apache/, as they stand; dashboard.conf and the one with a socket serve all other tests.
FILES = {
    "dashboard-rewrite": {},
    "dashboard-balancer": {"MEMBER_2": "127.0.0.1:1"},
    "dashboard-basic-auth": {"PASSWORDS": "{root}/passwords"},
    "dashboard-tls": {"SERVER_NAME": "localhost", "SOCKET": "{socket}"},
}


@pytest.mark.parametrize("name", FILES)
async def test_files_to_copy(name: str, tls: Path) -> None:
    """Each file of apache/ serves as it stands, with its values defined."""
    secure = name == "dashboard-tls"
    defines = {"PYTHON_HOME": VENV, "SCRIPT": SERVICE_SCRIPT, "PORT": "{back}", **FILES[name]}
    (port,) = free_ports(1)
    if secure:
        defines |= {"CERTIFICATE": tls / "cert.pem", "KEY": tls / "key.pem", "HTTPS_PORT": port}
    file = REPOSITORY / "apache" / f"{name}.conf"
    server = Written(file=file, defines=defines)
    if secure:
        server.extra = f"Listen 127.0.0.1:{port}"
    if name == "dashboard-rewrite":
        server.inside = "RewriteEngine On"
    listen = f"unix:{server.socket_path}" if secure else f"127.0.0.1:{server.dashboard_port}"
    server.environment["MOD_WSGI_DASHBOARD_LISTEN"] = listen
    with server:
        make_passwords(server.root / "passwords")
        headers = basic("ops", "s3cret") if "auth" in name else {"Cookie": "ROUTEID=.1"}
        mount, way = ("/", trusting(tls)) if secure else ("/metrics/", None)
        port = port if secure else server.port
        page = await asyncio.to_thread(fetch, port, mount, headers, tls=way)
        frame = await handshake(port, f"{mount}ws", headers, tls=way)
        assert (200, True) == (page.status, isinstance(frame, dict)), server.logs()


class Stock(Written):
    """Debian's stock Apache with the target debian, and the commands run that it prints."""

    def command(self) -> list[str]:
        shutil.copytree(stock_apache(), self.root, symlinks=True, dirs_exist_ok=True)
        etc = self.root / "etc" / "apache2"
        for path in (etc / "envvars", etc / "apache2.conf", *etc.glob("sites-available/*.conf")):
            text = path.read_text(encoding="utf-8").replace(str(stock_apache()), str(self.root))
            path.write_text(text.replace("*:80>", f"127.0.0.1:{self.port}>"), encoding="utf-8")
        (etc / "ports.conf").write_text(f"Listen 127.0.0.1:{self.port}\n", encoding="utf-8")
        # Debian's own prefix is in /var/run/apache2, which only an installed Apache has.
        load = [
            f"LoadModule wsgi_module {wsgi_module(self.case.module)}",
            f"WSGISocketPrefix {self.root}/w",
        ]
        (etc / "mods-available" / "wsgi.load").write_text("\n".join([*load, ""]), encoding="utf-8")
        self.environment |= {
            "APACHE_CONFDIR": str(etc),
            "APACHE_STATE_DIRECTORY": str(self.root / "state"),
            "APACHE_MODULES_DIR": str(SYSTEM_MODULES),
        }
        apachectl = str(self.root / "usr" / "sbin" / "apachectl")
        options = [*map(self.fill, self.options), "-o", str(self.root)]
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            self.printed = config("debian", *options, server=apachectl)
        for line in self.printed.splitlines():
            words = line.split()
            if words and words[0].startswith("a2en"):
                run([str(self.root / "usr" / "sbin" / words[0]), *words[1:]], self.environment)
        # The script would be there for good; here the directory stands for /.
        conf = etc / "conf-available" / "mod_wsgi-dashboard.conf"
        text = conf.read_text(encoding="utf-8")
        script = "/etc/apache2/mod_wsgi-dashboard.py"
        conf.write_text(text.replace(script, f"{self.root}{script}"), encoding="utf-8")
        assert "Syntax OK" in run([apachectl, "configtest"], self.environment)
        # As apachectl does, without the shell that would stay in between.
        apache2 = executable("apache2", "apache2")
        return ["/bin/sh", "-c", f". {etc}/envvars; exec {apache2} -d {etc} -DFOREGROUND"]

    @property
    def error_log_path(self) -> Path:
        return self.root / "var" / "log" / "apache2" / "error.log"


async def test_debian() -> None:
    """On Debian's stock Apache the files and commands give a dashboard in its default site."""
    with Stock(*TCP, module="debian") as server:
        await assert_serves(server, server.port)
        snapshot = (await asyncio.to_thread(fetch, server.port, "/metrics/api/v1/snapshot")).text
        # As in its mpm_event.conf, read by the command.
        assert '"max_request_workers":150' in snapshot
        again = config("debian", *map(server.fill, server.options), "-o", str(server.root / "again"))
        assert "a2enmod headers proxy proxy_http wsgi" in again


RHEL = """
ServerRoot {root}/etc/httpd
DefaultRuntimeDir {root}
PidFile {root}/httpd.pid
Listen 127.0.0.1:{port}
Include conf.modules.d/*.conf
User www-data
Group www-data
ServerName localhost
ErrorLog {root}/error.log
WSGISocketPrefix {root}/wsgi
IncludeOptional conf.d/*.conf
"""


class RedHat(Written):
    """An httpd in Red Hat's layout with the target rhel."""

    def command(self) -> list[str]:
        etc = self.root / "etc" / "httpd"
        self.printed = config("rhel", *map(self.fill, self.options), "-o", str(self.root))
        conf = etc / "conf.d" / "mod_wsgi-dashboard.conf"
        text = conf.read_text(encoding="utf-8")
        script = "/etc/httpd/mod_wsgi-dashboard.py"
        conf.write_text(text.replace(script, f"{self.root}{script}"), encoding="utf-8")
        (etc / "conf.modules.d").mkdir()
        load = [f"LoadModule {n}_module {SYSTEM_MODULES}/mod_{n}.so" for n in named_modules(text)]
        load = [f"LoadModule wsgi_module {wsgi_module('debian')}" if "wsgi" in n else n for n in load]
        load.append(f"LoadModule mpm_event_module {SYSTEM_MODULES}/mod_mpm_event.so")
        (etc / "conf.modules.d" / "00-base.conf").write_text("\n".join(load) + "\n", encoding="utf-8")
        main_file = self.root / "httpd.conf"
        main_file.write_text(self.fill(RHEL), encoding="utf-8")
        return [executable("apache2", "apache2"), "-f", str(main_file), "-DFOREGROUND"]


async def test_rhel() -> None:
    """In Red Hat's layout the files give a dashboard, and SELinux is told of the port."""
    with RedHat(*TCP) as server:
        await assert_serves(server, server.port)
        assert f"semanage port -a -t http_port_t -p tcp {server.dashboard_port}" in server.printed
        assert "setsebool -P httpd_can_network_relay on" in server.printed


class Express(Written):
    """mod_wsgi-express by the start script that the target express gives."""

    def command(self) -> list[str]:
        start = self.root / "start.sh"
        config("express", *map(self.fill, self.options), "-o", str(start))
        shutil.copy(REPOSITORY / "examples" / "express" / "wsgi.py", self.root)
        (self.root / "express").mkdir()
        user = ["--user", "www-data", "--group", "www-data"]
        return [
            *("/bin/sh", str(start), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--server-root", str(self.root / "express"), *user),
        ]

    @property
    def error_log_path(self) -> Path:
        return self.root / "express" / "error_log"


@pytest.mark.parametrize("listen", [TCP, UNIX], ids=["tcp", "unix"])
async def test_express(listen: tuple[str, ...]) -> None:
    """The start script gives an application with the dashboard beside it, and its access rule holds."""
    with Express(*listen, "--access", "basic:{root}/passwords", "--viewers", "5") as server:
        make_passwords(server.root / "passwords")
        assert (await asyncio.to_thread(fetch, server.port, "/metrics/")).status == 401
        assert await handshake(server.port, "/metrics/ws") == 401
        frame = await handshake(server.port, "/metrics/ws", basic("ops", "s3cret"))
        assert isinstance(frame, dict)
        assert frame["capacity"]["max_request_workers"] == 36
        assert (await asyncio.to_thread(server.get, "/")).status == 200


async def test_express_with_tls(tls: Path) -> None:
    """By https:// the bare path stays there, where mod_wsgi-express itself would leave it."""
    (port,) = free_ports(1)
    options = ("--server-name", "localhost", "--mount", "/metrics/", "--https-port", str(port))
    with Express(*TCP, *options, "--tls", f"{tls}/cert.pem", f"{tls}/key.pem") as server:
        await assert_serves(server, port, tls=trusting(tls))
        url = f"https://localhost:{port}/metrics/"
        await asyncio.to_thread(assert_redirects, port, url, tls=trusting(tls))

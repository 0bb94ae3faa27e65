"""A real Apache with a virtual host for each case, in front of two back ends that say their names.

What the checks of the proxy believe about Apache is compared with what it does.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mod_wsgi_dashboard.apacheconf.directives import Section
from mod_wsgi_dashboard.apacheconf.httpd import read_httpd
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.processes import wait_until
from tests.apache.server import APACHE_USER, REQUEST_SECONDS, STOP_SECONDS, free_ports
from tests.apache.site import SYSTEM_MODULES
from tests.apacheconf.sites import APACHE

MODULES = (
    *(
        "mpm_event",
        "authz_core",
        "authz_host",
        "access_compat",
        "authn_core",
        "authn_file",
        "authz_user",
    ),
    *("auth_basic", "alias", "env", "headers", "proxy", "proxy_http", "rewrite", "proxy_wstunnel"),
    *("setenvif", "slotmem_shm", "proxy_balancer", "lbmethod_byrequests"),
)

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class _BackEnd(BaseHTTPRequestHandler):
    """Says its name, the path it was asked for and the headers it got; upgrades when asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        upgrade = self.headers.get("Upgrade", "").lower() == "websocket"
        self.send_response_only(101 if upgrade else 200)
        self.send_header("X-Back-End", self.server.name)  # type: ignore[attr-defined]  # set below
        self.send_header("X-Path", self.path)
        self.send_header("X-Prefix", "|".join(self.headers.get_all("X-Forwarded-Prefix", [])))
        if upgrade:
            self.send_header("Connection", "Upgrade")
            self.send_header("Upgrade", "websocket")
        else:
            # Or Apache may send the next request on a connection that is about to close.
            self.send_header("Connection", "close")
            self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Answer:
    """What came back, and from whom: "" where no back end was asked."""

    status: int
    back_end: str
    path: str
    prefix: str


@dataclass(frozen=True)
class Proxied:
    """The running Apache."""

    system: System
    scopes: Mapping[str, Section]
    port: int
    dashboard: int

    def ask(self, case: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer of a case's virtual host to a GET request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        with contextlib.closing(connection):
            host = _name(list(self.scopes).index(case))
            connection.request("GET", path, headers={"Host": host, **(headers or {})})
            answer = connection.getresponse()
            fields = (answer.getheader(name, "") for name in ("X-Back-End", "X-Path", "X-Prefix"))
            return Answer(answer.status, *fields)


@contextlib.contextmanager
def proxied(cases: Mapping[str, str], server: str = "") -> Iterator[Proxied]:
    """Start an Apache with a virtual host for each case; @D@ is the dashboard's port, @O@ another's."""
    port, dashboard, other = _ports()
    root = Path(tempfile.mkdtemp(prefix="dashboard-test-", dir="/var/tmp"))
    root.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        for name, own in (("dashboard", dashboard), ("other", other)):
            stack.enter_context(_back_end(name, own))
        text = _text(root, cases, port, server)
        for word, value in (("@D@", dashboard), ("@O@", other), ("@R@", root)):
            text = text.replace(word, str(value))
        path = root / "httpd.conf"
        path.write_text(text, encoding="utf-8")
        (root / "htpasswd").write_text("", encoding="utf-8")
        httpd, configuration = read_httpd(APACHE, path)
        assert httpd is not None
        assert configuration is not None
        assert httpd.syntax_ok, httpd.messages
        stack.enter_context(_running(path, port))
        yield Proxied(
            System(configuration=configuration, httpd=httpd),
            dict(zip(cases, configuration.vhosts, strict=True)),
            port,
            dashboard,
        )


def _ports() -> list[int]:
    """Return three free ports: those of Apache, of the dashboard, and of something else."""
    while len(set(ports := free_ports(3))) < 3:
        pass
    return ports


def _name(number: int) -> str:
    return f"case{number}.example"


def _text(root: Path, cases: Mapping[str, str], port: int, server: str) -> str:
    lines = [
        f"ServerRoot {root}\nDefaultRuntimeDir {root}\nPidFile httpd.pid\nServerName localhost",
        f"User {APACHE_USER}\nGroup {APACHE_USER}\nErrorLog error.log",
        *(f"LoadModule {name}_module {SYSTEM_MODULES}/mod_{name}.so" for name in MODULES),
        f"Listen 127.0.0.1:{port}",
        server,
    ]
    for number, text in enumerate(cases.values()):
        lines.append(f"<VirtualHost *:{port}>\nServerName {_name(number)}\n{text}\n</VirtualHost>")
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _back_end(name: str, port: int) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", port), _BackEnd) as server:
        server.name = name  # type: ignore[attr-defined]  # the handler's
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def _running(path: Path, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [APACHE, "-f", str(path), "-DFOREGROUND"], stdin=subprocess.DEVNULL, start_new_session=True
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        wait_until(answers, REQUEST_SECONDS, "Apache listens")
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
            raise

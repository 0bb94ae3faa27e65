"""Servers that run what `mod_wsgi-dashboard config` wrote, and clients that come as a browser does.

Owns the smallest site around a written configuration: a virtual host without a word about the
dashboard, as most sites have, and the modules that the configuration itself names.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mod_wsgi_dashboard.cli import main
from tests.apache.server import APACHE_USER, Case, Response, Server, ask
from tests.apache.site import SYSTEM_MODULES, executable, wsgi_module

SITE = """
ServerRoot {root}
DefaultRuntimeDir {root}
PidFile httpd.pid
ServerName localhost
Listen 127.0.0.1:{port}
ErrorLog error.log
LogLevel warn
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
{load}
<IfModule wsgi_module>
    WSGISocketPrefix wsgi
</IfModule>
{include}
<VirtualHost 127.0.0.1:{port}>
    ServerName localhost
    {inside}
</VirtualHost>
"""

FRAME_SECONDS = 10.0

KEY_AND_CERTIFICATE = ("-keyout", "key.pem", "-out", "cert.pem")


class Written(Server):
    """An Apache with a configuration of the target vhost.

    Args:
        options: of the command; {port} and {root} stand for this server's.
        module: whose mod_wsgi.
        inside: directives for the site's own virtual host; {file} is the written one.
        extra: directives at server scope.
        file: one of apache/, instead of what the command writes.
        defines: its values, by the names without DASHBOARD_.
        settings: the dashboard's, in Apache's environment.
    """

    def __init__(
        self,
        *options: str,
        module: str = "pypi",
        inside: str = "",
        extra: str = "",
        file: Path | None = None,
        defines: Mapping[str, object] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        values = (*options, *(defines or {}).values())
        listener = "unix" if any("{socket}" in str(value) for value in values) else "tcp"
        super().__init__(Case("event", module, listener), settings=settings, dashboard=False)
        del self.environment["MOD_WSGI_DASHBOARD_LISTEN"]
        self.options = options
        self.inside = inside
        self.extra = extra
        self.file = file
        self.defines = defines or {}
        self.printed = ""
        self.socket_owner = APACHE_USER

    def __enter__(self) -> Written:
        super().__enter__()
        return self

    def fill(self, text: object) -> str:
        """Return a text with this server's own ports and paths in it."""
        values = {"root": self.root, "port": self.port, "back": self.dashboard_port}
        values["socket"] = self.socket_path
        return re.sub(r"\{(root|port|back|socket)\}", lambda found: str(values[found[1]]), str(text))

    def command(self) -> list[str]:
        file = self.file or self.root / "dashboard.conf"
        if self.file is None:
            config("vhost", *map(self.fill, self.options), "-o", str(file))
        names = named_modules(file.read_text(encoding="utf-8"))
        load = [f"LoadModule {name}_module {SYSTEM_MODULES}/mod_{name}.so" for name in names]
        load = [
            f"LoadModule wsgi_module {wsgi_module(self.case.module)}" if "wsgi" in n else n for n in load
        ]
        include = [f"Define DASHBOARD_{name} {self.fill(value)}" for name, value in self.defines.items()]
        include += [self.fill(self.extra)] + ([] if "{file}" in self.inside else [f"Include {file}"])
        (self.root / "httpd.conf").write_text(
            SITE.format(
                root=self.root,
                port=self.port,
                user=f"User {APACHE_USER}\nGroup {APACHE_USER}" if os.geteuid() == 0 else "",
                modules=SYSTEM_MODULES,
                load="\n".join(load),
                include="\n".join(include),
                inside=self.inside.replace("{file}", f"Include {file}"),
            ),
            encoding="utf-8",
        )
        return [executable("apache2", "apache2"), "-f", str(self.root / "httpd.conf"), "-DFOREGROUND"]

    def _prepare(self) -> None:
        super()._prepare()
        if os.geteuid() == 0:
            shutil.chown(self.socket_path.parent, self.socket_owner, APACHE_USER)

    def _answers(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        if status is not None:
            raise AssertionError(f"the server ended with {status}")
        self.get("/nothing-here")
        if "--listen" in self.options and "none" in self.options:
            return True
        return self.get_directly("/readyz").status == 200


def config(*arguments: str, server: str = "none") -> str:
    """Run the command, for a server that isn't asked unless told so, and return its stdout."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
        assert main(["config", *arguments, "--apachectl", server]) == 0
    return output.getvalue()


def named_modules(text: str) -> list[str]:
    """Return the modules that a configuration says it needs."""
    prose = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    found = re.search(r"Modules: ([a-z_ ]+)\. On Debian: `a2enmod ([a-z_ ]+)`", prose)
    assert found is not None, text
    return found[1].split()


@contextlib.contextmanager
def tls_files() -> Iterator[Path]:
    """Give a directory with cert.pem, for localhost, and key.pem."""
    with tempfile.TemporaryDirectory(prefix="dashboard-tls-", dir="/var/tmp") as name:
        command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        subprocess.run(
            [*command.split(), "-addext", "subjectAltName=DNS:localhost", *KEY_AND_CERTIFICATE],
            cwd=name,
            check=True,
            capture_output=True,
        )
        yield Path(name)


def trusting(directory: Path) -> ssl.SSLContext:
    """Return a context that trusts the certificate of `tls_files` alone."""
    return ssl.create_default_context(cafile=str(directory / "cert.pem"))


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header that a browser sends once it knows a password."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


def fetch(
    port: int, path: str, headers: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None
) -> Response:
    """Return the answer to a GET request for localhost at a port."""
    if tls is None:
        return ask(http.client.HTTPConnection("localhost", port, timeout=10), path, headers or {})
    secure = http.client.HTTPSConnection("localhost", port, timeout=10, context=tls)
    return ask(secure, path, headers or {})


async def handshake(
    port: int, path: str, headers: Mapping[str, str] | None = None, *, tls: ssl.SSLContext | None = None
) -> Any:
    """Return the first frame of a WebSocket, opened as a browser does; or the status it got instead."""
    scheme, origin = ("wss", "https") if tls is not None else ("ws", "http")
    try:
        async with connect(
            f"{scheme}://localhost:{port}{path}",
            origin=f"{origin}://localhost:{port}",  # type: ignore[arg-type]  # a NewType of str
            additional_headers=dict(headers or {}),
            ssl=tls,
            open_timeout=10,
            close_timeout=1,
            ping_interval=None,
            proxy=None,
        ) as socket:
            return json.loads(await asyncio.wait_for(socket.recv(), FRAME_SECONDS))
    except InvalidStatus as error:
        return error.response.status_code


def run(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run one of Apache's own commands and return what it said; it must succeed."""
    done = subprocess.run(
        command, env=dict(environment), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr

"""Real servers for tests: a system-style Apache, and mod_wsgi-express, behind one face.

Owns starting, signalling and stopping them. The dashboard is configured by the files that operators
copy (`apache/*.conf`, `examples/express/start.sh`), as they stand; what is written here is only the
site around it, on a free port of the loopback interface, in a directory of its own.

Invariants: nothing is left behind. A server that is stopped, or whose test failed, has no process and
no file any more; `stop` fails if it has to help.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import ClassVar

from tests.apache.processes import MARK, marked, send, title, wait_until
from tests.apache.site import SITE, VENV, executable, load_modules, pool

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICE_SCRIPT = REPOSITORY / "src" / "mod_wsgi_dashboard" / "service_script.py"

# Apache's children can't run as root. Debian's name for the user they run as.
APACHE_USER = "www-data"

START_SECONDS = 15.0
STOP_SECONDS = 15.0
REQUEST_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Response:
    """What an HTTP request was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


@dataclasses.dataclass(frozen=True)
class ServerStatus:
    """What mod_status says, by its own names. `kbytes` is whole units of 1024 bytes."""

    accesses: int
    kbytes: int
    busy: int
    idle: int
    graceful: int
    uptime: int
    generation: int
    scoreboard: str

    FIELDS: ClassVar = {
        "accesses": "Total Accesses",
        "kbytes": "Total kBytes",
        "busy": "BusyWorkers",
        "idle": "IdleWorkers",
        "graceful": "GracefulWorkers",
        "uptime": "ServerUptimeSeconds",
        "generation": "ParentServerMPMGeneration",
    }

    @classmethod
    def parse(cls, text: str) -> "ServerStatus":
        """Read the form of `/server-status?auto`; Apache before 2.4.54 has no GracefulWorkers."""
        lines = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        numbers = {name: int(lines.get(key, 0)) for name, key in cls.FIELDS.items()}
        return cls(**numbers, scoreboard=lines["Scoreboard"])


@dataclasses.dataclass(frozen=True)
class Case:
    """Which server to start: its kind or MPM, whose mod_wsgi, and how the dashboard listens."""

    mpm: str = "event"
    module: str = "pypi"
    listener: str = "tcp"

    def __str__(self) -> str:
        return f"{self.mpm}-{self.module}-{self.listener}"


class Server:
    """A running httpd with the dashboard at /metrics/; a context manager that starts and stops it.

    Args:
        case: what to start.
        settings: the dashboard's settings, by name without prefix, put into the environment.
        script: the service script; the packaged one unless given.
        edits: what to replace in the operator's file first, to see what a mistake in it does.
        in_vhost: include the dashboard's configuration inside a virtual host.
        dashboard: False for a server whose dashboard is not expected to answer at once.
        workers: MaxRequestWorkers, of an Apache that is not mod_wsgi-express's.
    """

    running: ClassVar[set["Server"]] = set()

    def __init__(
        self,
        case: Case,
        *,
        settings: Mapping[str, str] | None = None,
        script: Path | None = None,
        edits: Mapping[str, str] | None = None,
        in_vhost: bool = False,
        dashboard: bool = True,
        workers: int = 16,
    ) -> None:
        self.case = case
        self.workers = workers
        self.script = script
        self.edits = edits or {}
        self.in_vhost = in_vhost
        self.dashboard = dashboard
        # pytest's own directories are closed to other users, and one of them reads here.
        self.root = Path(tempfile.mkdtemp(prefix="dashboard-test-", dir="/var/tmp"))
        self.root.chmod(0o755)
        self.port, self.dashboard_port = free_ports(2)
        self.socket_path = self.root / "socket" / "dashboard.sock"
        self.state_directory = self.root / "state"
        self.environment = {
            "PATH": f"{VENV / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            # As in Debian's envvars: what is right must be right under it, too.
            "LANG": "C",
            MARK: uuid.uuid4().hex,
            "MOD_WSGI_DASHBOARD_LISTEN": self.listen,
            # As systemd's StateDirectory= says it.
            "STATE_DIRECTORY": str(self.state_directory),
        }
        for name, value in (settings or {}).items():
            self.environment[f"MOD_WSGI_DASHBOARD_{name.upper()}"] = value
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def error_log_path(self) -> Path:
        return self.root / "error.log"

    @property
    def access_log_path(self) -> Path:
        return self.root / "access.log"

    def command(self) -> list[str]:
        """Write what the server needs and return how to start it in the foreground."""
        raise NotImplementedError

    def edited(self, path: Path) -> Path:
        """Return the path of the operator's file, or of a copy of it with the edits."""
        if not self.edits:
            return path
        text = path.read_text(encoding="utf-8")
        for old, new in self.edits.items():
            assert text.count(old) == 1, f"{path} should have {old!r} once"
            text = text.replace(old, new)
        copy = self.root / path.name
        copy.write_text(text, encoding="utf-8")
        return copy

    # What it is

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def listen(self) -> str:
        if self.case.listener == "unix":
            return f"unix:{self.socket_path}"
        return f"127.0.0.1:{self.dashboard_port}"

    @property
    def pid(self) -> int:
        """The pid of Apache's parent process."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def error_log(self) -> str:
        return _text(self.error_log_path)

    @property
    def access_log(self) -> list[str]:
        return _text(self.access_log_path).splitlines()

    def pids(self) -> list[int]:
        """Return the pids of all living processes of this server, orphans as well."""
        return marked(self.environment[MARK])

    def sidecar_pid(self) -> int | None:
        """Return the pid of the dashboard's process; None while there is none."""
        names = ("(wsgi:dashboard)", "(wsgi:service:dashboard)")
        return next((pid for pid in self.pids() if title(pid).startswith(names)), None)

    # Its life

    def __enter__(self) -> "Server":
        try:
            self.start()
        except BaseException:
            self.discard()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        try:
            if self._process is not None:
                self.stop()
        finally:
            self.discard()

    def start(self) -> float:
        """Start the server, wait for site and dashboard, and return the seconds that it took."""
        began = monotonic()
        self._prepare()
        with (self.root / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # Ctrl-C at the terminal is pytest's, which then stops this in good order.
                start_new_session=True,
            )
        Server.running.add(self)
        self.wait_ready()
        return monotonic() - began

    def wait_ready(self, timeout: float = START_SECONDS) -> None:
        """Wait until the site and, where it is expected, the dashboard answer through Apache."""
        try:
            wait_until(self._answers, timeout, "site and dashboard answer")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def graceful(self) -> None:
        """Ask for a graceful restart; return at once."""
        send(self.pid, signal.SIGUSR1)

    def restart(self) -> None:
        """Ask for a full restart; return at once."""
        send(self.pid, signal.SIGHUP)

    def restart_fully(self) -> float:
        """Restart, and return the seconds until Apache says that it is back."""
        starts = self.error_log.count("resuming normal operations")
        began = monotonic()
        self.restart()
        wait_until(
            lambda: self.error_log.count("resuming normal operations") > starts,
            STOP_SECONDS,
            "Apache has restarted",
        )
        return monotonic() - began

    def stop(self) -> float:
        """Stop the server and return the seconds that it took.

        Raises:
            AssertionError: it was dead before, or processes of it outlived it; they are killed.
        """
        process, self._process = self._process, None
        assert process is not None, "the server was not started"
        dead_before = process.poll()
        began = monotonic()
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        seconds = monotonic() - began
        left = [f"{pid} {title(pid)}" for pid in self.pids()]
        self.reap(process)
        ended = dead_before if dead_before is not None else process.returncode
        assert (dead_before, ended) == (None, 0), f"the server died with {ended}\n{self.logs()}"
        assert not left, f"outlived a stop by {seconds:.1f} s: {left}\n{self.logs()}"
        return seconds

    def kill_sidecar(self) -> int:
        """Kill the dashboard's process as the kernel would, and return its pid."""
        pid = wait_until(self.sidecar_pid, START_SECONDS, "a dashboard to kill")
        send(pid, signal.SIGKILL)
        return pid

    def kill_parent(self) -> None:
        """Kill Apache's parent process; its children live on, as Apache's do."""
        process, self._process = self._process, None
        assert process is not None, "the server was not started"
        process.kill()
        process.wait(STOP_SECONDS)

    def reap(self, process: subprocess.Popen[bytes] | None = None) -> None:
        """Kill whatever is left of this server."""
        for pid in self.pids():
            send(pid, signal.SIGKILL)
        if process is not None:
            process.wait(STOP_SECONDS)
        wait_until(lambda: not self.pids(), STOP_SECONDS, "killed processes are gone")

    def discard(self) -> None:
        """Leave nothing behind: no process, no file."""
        process, self._process = self._process, None
        self.reap(process)
        Server.running.discard(self)
        shutil.rmtree(self.root, ignore_errors=True)

    # Talking to it

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer to a GET request through Apache."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        return ask(connection, path, headers or {})

    def get_directly(self, path: str) -> Response:
        """Return the dashboard's answer past Apache, so that no worker of it is busy with this."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.dashboard_port, timeout=REQUEST_SECONDS
        )
        if self.case.listener == "unix":
            connection.sock = connect_unix(self.socket_path)
        return ask(connection, path, {})

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes to Apache as they are, and return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), REQUEST_SECONDS) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while chunk := connection.recv(65536):
                answer += chunk
        return bytes(answer)

    def server_status(self) -> ServerStatus:
        """Return what mod_status says. The request is itself a busy worker in it."""
        return ServerStatus.parse(self.get("/server-status?auto").text)

    def viewer_count(self) -> int:
        """Return how many viewers the dashboard has."""
        count: int = json.loads(self.get_directly("/healthz").body)["viewers"]
        return count

    def settled(self) -> int:
        """Return how many requests there were, this method's own included, once all are counted.

        A client may have its answer before Apache has logged and counted the request.
        """

        def agreed() -> int:
            lines = len(self.access_log)
            return lines + 1 if lines == self.server_status().accesses else 0

        return wait_until(agreed, REQUEST_SECONDS, "access log and mod_status agree")

    def logs(self) -> str:
        """Return the ends of the logs, for the message of a failure."""
        parts = [_text(self.root / "console.log"), self.error_log]
        return "\n".join("\n".join(part.splitlines()[-30:]) for part in parts)

    def _answers(self) -> bool:
        assert self._process is not None
        status = self._process.poll()
        if status is not None:
            raise AssertionError(f"the server ended with {status}")
        paths = ("/", "/metrics/healthz") if self.dashboard else ("/",)
        return all(self.get(path).status == 200 for path in paths)

    def _prepare(self) -> None:
        _check_readable(VENV, REPOSITORY)
        static = self.root / "static"
        static.mkdir(exist_ok=True)
        (static / "hello.txt").write_text("hello\n", encoding="utf-8")
        for directory in (self.socket_path.parent, self.state_directory):
            directory.mkdir(mode=0o750, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(directory, APACHE_USER, APACHE_USER)


class Apache(Server):
    """A system-style Apache: a configuration by hand that includes `apache/*.conf`."""

    def command(self) -> list[str]:
        configuration = self.root / "httpd.conf"
        configuration.write_text(self._site(), encoding="utf-8")
        return [executable("apache2", "apache2"), "-f", str(configuration), "-DFOREGROUND"]

    def _site(self) -> str:
        return SITE.format(
            root=self.root,
            port=self.port,
            venv=VENV,
            examples=REPOSITORY / "examples",
            user=f"User {APACHE_USER}\nGroup {APACHE_USER}" if os.geteuid() == 0 else "",
            modules=load_modules(self.case.mpm, self.case.module),
            pool=pool(self.case.mpm, self.workers),
            defines=self._defines(),
            dashboard=self._dashboard(),
        )

    def _defines(self) -> str:
        defines = {
            "DASHBOARD_PYTHON_HOME": VENV,
            "DASHBOARD_SCRIPT": self.script or SERVICE_SCRIPT,
            "DASHBOARD_PORT": self.dashboard_port,
            "DASHBOARD_SOCKET": self.socket_path,
        }
        return "\n".join(f"Define {name} {value}" for name, value in defines.items())

    def _dashboard(self) -> str:
        name = "dashboard-unix-socket" if self.case.listener == "unix" else "dashboard"
        path = self.edited(REPOSITORY / "apache" / f"{name}.conf")
        if self.in_vhost:
            return (
                f"Define DASHBOARD_IN_VHOST\n<VirtualHost 127.0.0.1:{self.port}>\n"
                f"ServerName localhost\nInclude {path}\n</VirtualHost>"
            )
        return f"Include {path}"


class Express(Server):
    """mod_wsgi-express, started by `examples/express/start.sh`."""

    @property
    def error_log_path(self) -> Path:
        return self.root / "express" / "error_log"

    @property
    def access_log_path(self) -> Path:
        return self.root / "express" / "access_log"

    def command(self) -> list[str]:
        example = REPOSITORY / "examples" / "express"
        start = self.edited(example / "start.sh")
        if self.edits:
            shutil.copy(example / "wsgi.py", self.root)
        if self.script:
            self.environment["DASHBOARD_SCRIPT"] = str(self.script)
        executable("mod_wsgi-express", "mod_wsgi (pip)", VENV / "bin")
        (self.root / "express").mkdir(exist_ok=True)
        options = {
            "--host": "127.0.0.1",
            "--port": str(self.port),
            "--server-root": str(self.root / "express"),
            "--threads": "12",
        }
        arguments = [part for option in options.items() for part in option]
        alias = ["--url-alias", "/static", str(self.root / "static")]
        return ["/bin/sh", str(start), *arguments, *alias, "--server-status", "--access-log"]


def start(case: Case, **options: object) -> Server:
    """Return the server of a case, to be entered."""
    kind = Express if case.mpm == "express" else Apache
    return kind(case, **options)  # type: ignore[arg-type]  # passed through as given


def free_ports(count: int) -> list[int]:
    """Return free ports that no outgoing connection can take meanwhile.

    The kernel picks the near ends of connections from 32768 up, unless told otherwise; a port from
    there could be one of those in the very moment in which the restarted dashboard wants it back.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    return ports


def connect_unix(path: Path) -> socket.socket:
    """Return a connection to a unix socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(REQUEST_SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def ask(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> Response:
    """Return the answer to one GET request on `connection`, which is closed then."""
    try:
        connection.request("GET", path, headers={"Connection": "close", **headers})
        answer = connection.getresponse()
        return Response(answer.status, dict(answer.getheaders()), answer.read())
    except http.client.HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {error!r}") from error
    finally:
        connection.close()


def _check_readable(*paths: Path) -> None:
    """Fail in one line when Apache's user can't read what it has to run."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam(APACHE_USER)
    for path in paths:
        for directory in (path, *path.parents):
            found = directory.stat()
            needed = 0o001
            if found.st_uid == user.pw_uid:
                needed = 0o100
            elif found.st_gid == user.pw_gid:
                needed = 0o010
            assert found.st_mode & needed, f"{APACHE_USER} can't enter {directory}: chmod o+x it"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError:
        return ""

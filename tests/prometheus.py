"""The real Prometheus, promtool and apache_exporter, on free loopback ports, for tests.

They are Debian's, unpacked by `make setup` into the virtual environment and not installed, since their
services would listen to all. What a test starts here is ended by its pid.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.apache.processes import wait_until
from tests.apache.server import free_ports

PROGRAMS = Path(sys.prefix) / "debian" / "usr" / "bin"

START_SECONDS = 20.0
STOP_SECONDS = 10.0
REQUEST_SECONDS = 10.0

# A result of a query: the labels of its series, and its value.
Series = tuple[dict[str, str], float]


def program(name: str) -> Path:
    """Return the path of a program.

    Raises:
        AssertionError: it is not there; what to run.
    """
    path = PROGRAMS / name
    assert path.exists(), f"missing: {path}, run `make setup`"
    return path


def promtool(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run promtool and return how it ended, with what it said; stdin is empty unless given."""
    command = [program("promtool"), *arguments]
    return subprocess.run(command, input=stdin or b"", capture_output=True, check=False, timeout=60)


def configuration(jobs: Mapping[str, Mapping[str, Any]], *, interval: str = "1s", **more: Any) -> str:
    """Return a prometheus.yml (JSON is YAML) with these jobs.

    Args:
        jobs: what stands in each of the `scrape_configs`, by job name; `targets` is short for one
            static configuration.
        interval: how often everything is scraped and evaluated.
        more: further top-level members, as `rule_files`.
    """
    scrapes = []
    for name, job in jobs.items():
        scrape: dict[str, Any] = {"job_name": name, **job}
        if "targets" in scrape:
            scrape["static_configs"] = [{"targets": scrape.pop("targets")}]
        scrapes.append(scrape)
    every = {"scrape_interval": interval, "evaluation_interval": interval, "scrape_timeout": interval}
    return json.dumps({"global": every, "scrape_configs": scrapes, **more}, indent=1)


class Prometheus:
    """A running Prometheus; a context manager that starts and stops it.

    Entering waits until it answers; `wait_scraped` then waits for its targets. It looks for targets five
    seconds after it started and no sooner, whatever it is told: so one of these serves a module.

    Args:
        directory: an empty or new one, for its data and its log.
        text: the prometheus.yml; see `configuration`.
    """

    def __init__(self, directory: Path, text: str) -> None:
        self._directory = directory
        self._text = text
        self._running = contextlib.ExitStack()
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self._directory / "prometheus.log").read_text(errors="replace")

    def __enter__(self) -> Prometheus:
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / "prometheus.yml"
        path.write_text(self._text, encoding="utf-8")
        command = [
            str(program("prometheus")),
            f"--config.file={path}",
            f"--storage.tsdb.path={self._directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
            "--log.level=warn",
        ]
        with contextlib.ExitStack() as stack:
            process = stack.enter_context(_running(command, self._directory / "prometheus.log"))
            wait_until(lambda: self._answers(process), START_SECONDS, "Prometheus answers")
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def api(self, path: str, **parameters: str | float) -> Any:
        """Return the `data` of a request to its HTTP API below /api/v1/.

        Raises:
            AssertionError: it was refused; the message is Prometheus's own.
        """
        query = urllib.parse.urlencode(parameters)
        try:
            answer = json.loads(fetch(f"{self.url}/api/v1/{path}?{query}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str, *, at: float | None = None) -> list[Series]:
        """Return what an expression gives at an instant, now unless given; a scalar has no labels."""
        when = {} if at is None else {"time": at}
        data = self.api("query", query=expression, **when)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def value(self, expression: str, *, at: float | None = None) -> float:
        """Return the one value that an expression gives.

        Raises:
            AssertionError: it gives none, or several.
        """
        found = self.query(expression, at=at)
        assert len(found) == 1, f"{expression}: {found}"
        return found[0][1]

    def targets(self) -> list[dict[str, Any]]:
        """Return its active targets, as its API tells: `health`, `lastError`, `labels`, ..."""
        found: list[dict[str, Any]] = self.api("targets", state="active")["activeTargets"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Return its pending and firing alerts: `labels`, `annotations`, `state`, `activeAt`."""
        found: list[dict[str, Any]] = self.api("alerts")["alerts"]
        return found

    def wait_scraped(self, *, scrapes: int = 1, seconds: float = START_SECONDS) -> None:
        """Wait until every target was scraped so many times, the last time with success.

        Raises:
            AssertionError: one was not; the message tells why, as Prometheus sees it.
        """

        def told() -> str:
            found = self.targets()
            return "; ".join(f"{one['scrapeUrl']}: {one['lastError'] or one['health']}" for one in found)

        def scraped() -> bool:
            found = self.targets()
            counts = {
                series["instance"]: count for series, count in self.query("count_over_time(up[1h])")
            }
            return bool(found) and all(
                one["health"] == "up" and counts.get(one["labels"]["instance"], 0) >= scrapes
                for one in found
            )

        try:
            wait_until(scraped, seconds, "all targets are up")
        except AssertionError as error:
            raise AssertionError(f"{error}: {told()}\n{self.log[-2000:]}") from None

    def wait(self, expression: str, wanted: Callable[[float], bool] = bool) -> float:
        """Return the one value of an expression, once there is one that is wanted."""

        def found() -> list[float]:
            return [value for _, value in self.query(expression) if wanted(value)][:1]

        return wait_until(found, START_SECONDS, expression)[0]

    def reload(self) -> None:
        """Have it read its configuration and rules again.

        Raises:
            urllib.error.HTTPError: they are not accepted.
        """
        request = urllib.request.Request(f"{self.url}/-/reload", method="POST")
        urllib.request.urlopen(request, timeout=REQUEST_SECONDS).close()

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        assert process.poll() is None, f"Prometheus ended with {process.returncode}\n{self.log}"
        return fetch(f"{self.url}/-/ready") != b""


@contextlib.contextmanager
def apache_exporter(scrape_uri: str, directory: Path) -> Iterator[str]:
    """Run the real apache_exporter on a mod_status, and give the URL of its metrics.

    Args:
        scrape_uri: of `/server-status?auto`.
        directory: for its log.
    """
    (port,) = free_ports(1)
    command = [
        str(program("prometheus-apache-exporter")),
        f"--telemetry.address=127.0.0.1:{port}",
        f"--scrape_uri={scrape_uri}",
        "--log.level=warn",
    ]
    directory.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}/metrics"
    log = directory / "apache_exporter.log"
    with _running(command, log) as process:

        def answers() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")
            # Its own page: /metrics would ask Apache, and count there.
            return fetch(f"http://127.0.0.1:{port}/") != b""

        wait_until(answers, START_SECONDS, "apache_exporter answers")
        yield url


def fetch(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the body of a GET request.

    Raises:
        OSError: nothing answers, or with an error status.
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
        body: bytes = answer.read()
    return body


@contextlib.contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that writes to a log; end it behind."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C at the terminal is pytest's, which then ends this in good order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

"""`/metrics` on real servers: beside the real apache_exporter, and scraped by the real Prometheus."""

import asyncio
import base64
import contextlib
import hashlib
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.apache.load import Load, in_flight
from tests.apache.processes import wait_until
from tests.apache.server import START_SECONDS, Case, Server, start
from tests.prometheus import Prometheus, apache_exporter, configuration, fetch, promtool

pytestmark = pytest.mark.apache

WORKERS = 16
USER, PASSWORD = "prometheus", "correct-horse"

# What operators write instead of `Require local` for a Prometheus on another machine.
PROTECTED = {
    "    Require local\n": (
        "AuthType Basic\nAuthName dashboard\nAuthUserFile passwords\nRequire valid-user\n"
    ),
    'RedirectMatch 301 "^/metrics$" "/metrics/"\n': "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in ("auth_basic", "authn_core", "authn_file", "authz_user")
    ),
}

# What mod_status tells, and the scoreboard does not; connections are those of the event MPM alone.
LEFT_OUT = {
    *(
        f'apache_connections{{state="{state}"}}'
        for state in ("closing", "keepalive", "total", "writing")
    ),
    *(f'apache_cpu_time_ms_total{{type="{kind}"}}' for kind in ("system", "user")),
    "apache_cpuload",
    "apache_duration_ms_total",
    'apache_generation{type="config"}',
}

# What mod_status tells of the event MPM alone, and the scoreboard of all.
ADDED = {'apache_processes{state="all"}', 'apache_processes{state="stopping"}'}

# These move on while the others stand still.
MOVING = {"apache_accesses_total", "apache_sent_kilobytes_total", "apache_uptime_seconds_total"}

# mod_status counts the request that asks it: one worker more sends a reply, one less waits.
ITSELF = {
    'apache_workers{state="busy"}': 1.0,
    'apache_workers{state="idle"}': -1.0,
    'apache_scoreboard{state="reply"}': 1.0,
    'apache_scoreboard{state="idle"}': -1.0,
}

Values = dict[str, float]


@contextlib.contextmanager
def serving(case: Case, edits: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server whose dashboard knows MaxRequestWorkers, and ticks fast."""
    settings = {
        "interval": "0.2",
        "max_request_workers": str(WORKERS),
        "reserve_workers": "0",
        "metrics_processes": "on",
        "metrics_vhosts": "5",
    }
    server = start(case, settings=settings, workers=WORKERS, edits=edits, dashboard=False)
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (server.root / "passwords").write_text(f"{USER}:{{SHA}}{digest}\n", encoding="ascii")
    with server:
        wait_until(lambda: ours(server), START_SECONDS, "the dashboard answers")
        yield server


@pytest.fixture(scope="module")
def tcp() -> Iterator[Server]:
    """The event MPM, PyPI's mod_wsgi, and who asks through Apache has to have a password."""
    with serving(Case("event", "pypi", "tcp"), PROTECTED) as server:
        yield server


@pytest.fixture(scope="module")
def unix() -> Iterator[Server]:
    """The prefork MPM and Debian's mod_wsgi; the dashboard listens on a unix socket."""
    with serving(Case("prefork", "debian", "unix")) as server:
        yield server


@pytest.fixture(scope="module", params=["tcp", "unix"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of them."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture(scope="module")
def exporter(server: Server) -> Iterator[str]:
    """The real apache_exporter on this server."""
    with apache_exporter(f"{server.url}/server-status?auto", server.root) as url:
        yield url


async def test_between_its_values_under_load(server: Server, exporter: str) -> None:
    """Each counter of apache_exporter, asked under load, lies between ours of before and after."""
    async with Load(server.url) as load:
        before = await asyncio.to_thread(next_tick, server)
        theirs = await asyncio.to_thread(theirs_of, exporter)
        after = await asyncio.to_thread(next_tick, server)
    assert load.errors == 0
    for name in MOVING:
        assert before[name] <= theirs[name] <= after[name], name
    assert before["apache_accesses_total"] < after["apache_accesses_total"]


async def test_equals_apache_exporter(
    server: Server, exporter: str, figure: Callable[[str], None]
) -> None:
    """After a load, with workers held and then at rest, each value that both have is the same."""
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(in_flight(server.port, "/held"))
        loaded = await asyncio.to_thread(still_moment, server, exporter, busy=3)
    at_rest = await asyncio.to_thread(still_moment, server, exporter, busy=0)
    for mine, theirs in (loaded, at_rest):
        shared = {name: value - ITSELF.get(name, 0.0) for name, value in theirs.items() if name in mine}
        assert {name: mine[name] for name in shared} == shared
        assert theirs.keys() - mine.keys() <= LEFT_OUT
        assert mine.keys() - theirs.keys() <= ADDED
        assert (
            sum(value for name, value in mine.items() if name.startswith("apache_scoreboard")) == WORKERS
        )
    figure(
        "name: apache_exporter, /metrics, with 3 workers held (it counts its own request as a fourth)"
    )
    mine, theirs = loaded
    for name in sorted(theirs.keys() & mine.keys()):
        figure(f"{name}: {theirs[name]:g}, {mine[name]:g}")


async def test_equals_apache_exporter_while_it_drains(
    server: Server, exporter: str, figure: Callable[[str], None]
) -> None:
    """While an old process finishes a request after a graceful restart, values are the same, too."""
    # Apache reads the body before it asks anybody for the answer, so that nothing else ends with it.
    with in_flight(server.port, "/held"):
        await asyncio.to_thread(
            wait_until, lambda: ours(server)['apache_workers{state="busy"}'] == 1, 5, "it is held"
        )
        server.graceful()
        await asyncio.to_thread(wait_until, lambda: drains(server), 10, "it drains")
        mine, theirs = await asyncio.to_thread(still_moment, server, exporter)
    shared = {name: value - ITSELF.get(name, 0.0) for name, value in theirs.items() if name in mine}
    assert {name: mine[name] for name in shared} == shared
    assert mine['apache_generation{type="mpm"}'] == 1
    assert mine['apache_scoreboard{state="graceful_stop"}'] == 1
    figure(str({name: value for name, value in mine.items() if "{state" in name and value}))


def test_promtool_finds_only_the_names_of_apache_exporter(
    server: Server, figure: Callable[[str], None]
) -> None:
    """`promtool check metrics` finds no fault with our names; with apache_exporter's, as always."""
    checked = promtool("check", "metrics", stdin=server.get_directly("/metrics").body)
    said = (checked.stdout + checked.stderr).decode().splitlines()
    figure(f"promtool check metrics: {said}")
    assert said == ['apache_sent_kilobytes_total use base unit "bytes" instead of "kilobytes"']
    # 3 stands for what is about style alone.
    assert checked.returncode == 3


async def test_by_the_unix_socket(unix: Server) -> None:
    """curl and aiohttp get them by the unix socket, past Apache."""
    command = ["curl", "--silent", "--unix-socket", str(unix.socket_path), "http://localhost/metrics"]
    by_curl = await asyncio.to_thread(subprocess.check_output, command, text=True)
    assert parse(by_curl)["apache_up"] == 1
    connector = aiohttp.UnixConnector(str(unix.socket_path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/metrics") as answer,
    ):
        assert answer.status == 200
        assert parse(await answer.text()).keys() == parse(by_curl).keys()


def test_through_apache_with_a_password(tcp: Server) -> None:
    """Through Apache they are at /metrics/metrics, and who has no password gets none."""
    assert tcp.get("/metrics/metrics").status == 401
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    answer = tcp.get("/metrics/metrics", {"Authorization": f"Basic {token}", "Accept": "text/plain"})
    assert answer.status == 200
    assert parse(answer.text)["apache_up"] == 1


@pytest.fixture(scope="module")
def prometheus(tcp: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """The real Prometheus, which scrapes by the loopback port, and through Apache with the password."""
    login = {"username": USER, "password": PASSWORD}
    jobs: dict[str, dict[str, Any]] = {
        "loopback": {"targets": [f"127.0.0.1:{tcp.dashboard_port}"]},
        "apache": {
            "targets": [f"127.0.0.1:{tcp.port}"],
            "metrics_path": "/metrics/metrics",
            "basic_auth": login,
        },
    }
    directory = Path(tmp_path_factory.mktemp("prometheus"))
    with Prometheus(directory, configuration(jobs)) as running:
        running.wait_scraped(scrapes=2)
        yield running


def test_prometheus_scrapes_by_both_doors(prometheus: Prometheus, figure: Callable[[str], None]) -> None:
    """Both targets are up, and a query gives the values, the same by both."""
    assert {"loopback", "apache"} == {one["labels"]["job"] for one in prometheus.targets()}
    assert prometheus.value("min(up)") == 1
    for job in ("loopback", "apache"):
        assert prometheus.value(f'sum(apache_workers{{job="{job}"}})') == WORKERS
        assert prometheus.value(f'count(apache_scoreboard{{job="{job}"}})') == 11
        assert prometheus.value(f'max_over_time(apache_up{{job="{job}"}}[1m])') == 1
    seconds = prometheus.value('max(max_over_time(scrape_duration_seconds{job="loopback"}[1m]))')
    figure(f"longest scrape by the loopback port: {1000 * seconds:.1f} ms")


async def test_prometheus_counts_the_load(prometheus: Prometheus, tcp: Server) -> None:
    """After a load, `increase` of our counters is what was served, and rules of others' work."""
    at = prometheus.value("time()")
    async with Load(tcp.url) as load:
        await asyncio.to_thread(prometheus.wait, 'count_over_time(up{job="loopback"}[5s]) > 4')
    sent = sum(load.answered.values())
    counted = await asyncio.to_thread(
        prometheus.wait,
        f'modwsgi_requests_total{{job="loopback"}} - modwsgi_requests_total{{job="loopback"}} @ {at}',
        lambda value: value >= sent,
    )
    # Scrapes through Apache are requests as well.
    assert sent <= counted <= sent + 60
    share = prometheus.query(
        "sum by (job) (apache_workers{state='busy'}) / sum by (job) (apache_scoreboard) * 100"
    )
    assert {"loopback", "apache"} == {labels["job"] for labels, _ in share}
    assert all(0 <= value <= 100 for _, value in share)


def parse(text: str) -> Values:
    """Return the value of each series, by its name as one writes it."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            values[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return values


def ours(server: Server) -> Values:
    """Return what the dashboard exposes, asked past Apache so that it changes nothing there."""
    return parse(server.get_directly("/metrics").text)


def theirs_of(exporter: str) -> Values:
    """Return what apache_exporter exposes of Apache."""
    found = apache_of(parse(fetch(exporter).decode()))
    return {name: value for name, value in found.items() if not name.startswith("apache_exporter_")}


def apache_of(values: Values) -> Values:
    """Return what is told of Apache; mod_status rounds the load."""
    return {
        name: round(value, 2) if name.startswith("apache_load") else value
        for name, value in values.items()
        if name.startswith("apache_")
    }


def next_tick(server: Server) -> Values:
    """Return what is exposed of a tick that is not over yet."""
    ticks = ours(server)["modwsgi_ticks_total"]

    def later() -> Values | None:
        found = ours(server)
        return found if found["modwsgi_ticks_total"] > ticks else None

    return wait_until(later, 5, "another tick")


def drains(server: Server) -> bool:
    """Whether one process of before a restart is left, beside all of its successors."""
    found = ours(server)
    serving = found["modwsgi_serving_workers"] >= WORKERS // 2
    return serving and found["modwsgi_old_generation_processes"] == 1


def still_moment(server: Server, exporter: str, *, busy: int | None = None) -> tuple[Values, Values]:
    """Return our values and apache_exporter's of a moment when nothing else happened.

    That is when so many workers are busy, no connection lingers, and the next tick has one request more:
    apache_exporter's own.
    """

    def attempt() -> tuple[Values, Values] | None:
        before = apache_of(next_tick(server))
        wanted = before['apache_workers{state="busy"}'] if busy is None else busy
        lingers = before['apache_scoreboard{state="keepalive"}']
        if lingers or before['apache_workers{state="busy"}'] != wanted:
            return None
        theirs = theirs_of(exporter)
        after = apache_of(next_tick(server))
        # After its request the worker waits for the next one on that connection, on prefork.
        steady = ("load", "processes", "generation", "uptime", 'scoreboard{state="open_slot"')
        names = [name for name in before if name.removeprefix("apache_").startswith(steady)]
        still = [before[name] for name in names] == [after[name] for name in names]
        one_more = before["apache_accesses_total"] + 1 == after["apache_accesses_total"]
        return (before, theirs) if still and one_more else None

    return wait_until(attempt, 15, "a moment when nothing happens")

"""`/metrics` over HTTP: forms, what there is at each state, and that no client's word gets in."""

from __future__ import annotations

import asyncio
import gzip
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from hypothesis import given, settings
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.core import wire
from mod_wsgi_dashboard.core.metrics import FAMILIES, OTHER, STATES, Recording, State
from mod_wsgi_dashboard.exposition import (
    OPENMETRICS,
    TEXT,
    Exposition,
    Form,
    choose_form,
    software_rows,
    takes_gzip,
)
from mod_wsgi_dashboard.poller import Poller
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from tests.boards import histories, samples
from tests.conftest import build_metrics
from tests.recordings import play, record
from tests.served import FixedSource, Served, serving, until
from tests.test_poller import FakeClock, Script, Stopped, watched

PAGE = (Path(__file__).parent.parent / "docs" / "prometheus.md").read_text(encoding="utf-8")

# What Prometheus 2.42 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

Values = dict[tuple[str, tuple[str, ...]], float]


def values_of(body: bytes, form: Form = TEXT) -> Values:
    """Return each series' value, by its name and the values of its labels."""
    parse = parse_text if form is TEXT else parse_openmetrics
    found: Values = {}
    for family in parse(body.decode()):
        for sample in family.samples:
            known = FAMILIES[sample.name]
            assert set(known.labels) == sample.labels.keys()
            assert known.kind == family.type
            series = (sample.name, tuple(sample.labels[name] for name in known.labels))
            assert series not in found
            found[series] = sample.value
    return found


async def scrape(served: Served, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body as it is sent, and headers."""
    wanted = {"Accept-Encoding": "identity", **headers}
    async with (
        ClientSession(auto_decompress=False) as session,
        session.get(f"{served.url}/metrics", headers=wanted) as response,
    ):
        return response.status, await response.read(), response.headers


async def values(served: Served) -> Values:
    status, body, _ = await scrape(served)
    assert 200 == status
    return values_of(body)


async def read_on(viewer: ClientConnection) -> None:
    """Read until the connection is closed."""
    while True:
        await viewer.recv()


def names(found: Values) -> set[str]:
    return {name for name, _ in found}


@given(histories())
@settings(max_examples=50, deadline=None)
def test_any_board_gives_bodies_that_parse(history: list[dict[str, Any] | None]) -> None:
    """Whatever the scoreboard holds: all 11 states, no counter of ours falls, no word of a client."""
    ticks = iter(samples(history, redact=False))
    latest: wire.Sample | wire.Failure = next(ticks)

    def state() -> State:
        return State(
            latest=latest,
            ticks=latest.tick,
            failures=0,
            interval=1.0,
            lag=0.0,
            duration=0.0,
            refused=0,
            let_go=0,
            recording=Recording(up=True, size=None, limit=1, dropped=0),
            rules=[("saturated", "critical")],
            stuck=2,
        )

    exposition = Exposition(Settings(metrics_processes=True, metrics_vhosts=2), state)
    before: Values = {}
    while True:
        exposition.observe(latest)
        found = values_of(exposition.body(TEXT, packed=False))
        assert found.keys() == values_of(exposition.body(OPENMETRICS, packed=False), OPENMETRICS).keys()
        is_up = isinstance(latest, wire.Sample)
        assert is_up == found["apache_up", ()]
        states = {labels[0] for name, labels in found if name == "apache_scoreboard"}
        assert states == (set(STATES.values()) if is_up else set())
        for series in found:
            # Boards of these histories have no HOST:PORT: every other word is ours.
            assert all(re.fullmatch(r"[a-z0-9_.-]+", label) for label in series[1])
            if FAMILIES[series[0]].kind == "counter" and series[0].startswith("modwsgi_"):
                falls_with_apache = series[0].startswith("modwsgi_process_")
                assert falls_with_apache or found[series] >= before.get(series, 0.0)
        before |= found
        latest_or_none = next(ticks, None)
        if latest_or_none is None:
            break
        latest = latest_or_none


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ([], TEXT),
        ([""], TEXT),
        (["*/*"], TEXT),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], TEXT),
        ([PROMETHEUS], OPENMETRICS),
        (["text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5"], TEXT),
        (["application/openmetrics-text"], OPENMETRICS),
        (["text/plain", "application/openmetrics-text; version=1.0.0"], OPENMETRICS),
        (["application/openmetrics-text;q=0.4,text/plain;q=0.5"], TEXT),
        (["application/openmetrics-text;q=0,*/*"], TEXT),
        (["application/openmetrics-text;version=0.0.1,text/plain;q=0.1"], TEXT),
        (["application/*"], OPENMETRICS),
        (["text/plain;q=0, */*;q=0.5"], OPENMETRICS),
        (["APPLICATION/OpenMetrics-Text ; Version = 1.0.0"], OPENMETRICS),
        (["text/plain;q=1.5"], TEXT),
        (["text/plain;q=nan"], None),
        (["application/openmetrics-text;version=0.0.1"], None),
        (["application/openmetrics-text;version=2.0.0"], None),
        (["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily"], None),
        (["application/json"], None),
        (["text/plain;q=0"], None),
        (["*/*;q=0.000"], None),
        (["\xff;;==,;q=,q"], None),
    ],
)
def test_the_form_is_what_accept_wants_most(accept: list[str], expected: Form | None) -> None:
    """Weights and the versions of OpenMetrics are heeded; a wild card is answered with text."""
    assert expected == choose_form(accept)


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ([], False),
        (["gzip"], True),
        (["br", "deflate, GZIP;q=0.5"], True),
        (["*"], True),
        (["gzip;q=0, *"], False),
        (["gzip;q=0.0"], False),
        (["gzip ; q = 0"], False),
        (["identity"], False),
        (["br"], False),
    ],
)
def test_gzip_where_it_is_taken(accept_encoding: list[str], expected: bool) -> None:
    """A weight of 0 is a refusal, and one that is named outweighs the wild card."""
    assert expected == takes_gzip(accept_encoding)


async def test_forms_over_http() -> None:
    """Text for who says nothing, OpenMetrics and gzip for Prometheus, with the same series."""
    async with serving(interval=60.0, record="off") as served:
        status, text, headers = await scrape(served)
        packed = await scrape(served, **{"Accept": PROMETHEUS, "Accept-Encoding": "gzip"})
    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (status, headers["Content-Type"])
    assert "Content-Encoding" not in headers
    assert {"Accept", "Accept-Encoding"} == set(headers["Vary"].split(", "))
    assert "gzip" == packed[2]["Content-Encoding"]
    assert "application/openmetrics-text; version=1.0.0; charset=utf-8" == packed[2]["Content-Type"]
    openmetrics = gzip.decompress(packed[1])
    assert openmetrics.endswith(b"# EOF\n")
    assert values_of(text).keys() == values_of(openmetrics, OPENMETRICS).keys()


async def test_an_accept_for_neither_is_refused_with_what_there_is() -> None:
    """406 as problem details; nothing of what was asked for is in the answer."""
    async with serving() as served:
        status, body, headers = await scrape(served, Accept="application/x-forged;version=0.0.7")
    assert (406, "application/problem+json") == (status, headers["Content-Type"])
    assert TEXT.content_type.encode() in body
    assert OPENMETRICS.content_type.encode() in body
    assert b"forged" not in body


async def test_a_version_of_the_client_is_never_in_the_answer() -> None:
    """Prometheus_client's own choice would put an asked version into Content-Type: ours is our own."""
    async with serving() as served:
        accept = 'application/openmetrics-text; version=1.0.0"evil'
        _, _, headers = await scrape(served, Accept=accept)
    assert OPENMETRICS.content_type == headers["Content-Type"]


async def test_a_tick_has_one_body() -> None:
    """Within an interval the scoreboard is read once, however often it is scraped; bodies are equal."""
    source = FixedSource()
    async with serving(source, interval=60.0, record="off") as served:
        first = await scrape(served)
        second = await scrape(served)
        assert 1 == source.readings
    assert first[1] == second[1]


async def test_without_viewers_a_scrape_reads_the_scoreboard() -> None:
    """With nothing recorded and nobody looking, a scrape after the interval polls, and counts it."""
    source = FixedSource()
    async with serving(source, interval=0.1, record="off") as served:
        before = await values(served)
        await until(lambda: served.dashboard.poller.age > 0.1)  # type: ignore[union-attr]
        after = await values(served)
        assert 2 == source.readings
    assert 1 == after["modwsgi_ticks_total", ()] - before["modwsgi_ticks_total", ()]


async def test_a_scoreboard_that_cannot_be_read() -> None:
    """apache_up is 0, nothing else is told of Apache, and the dashboard tells of itself; 200."""
    source = FixedSource()
    async with serving(source, interval=0.1) as served:
        before = await values(served)
        source.metrics = None
        await until(lambda: isinstance(served.dashboard.latest, wire.Failure))
        found = await values(served)
    assert 1 == before["apache_up", ()]
    assert "modwsgi_guard_free_workers" in names(before)
    assert 0 == found["apache_up", ()]
    assert {"apache_up", "apache_load"} == {name for name in names(found) if name.startswith("apache_")}
    assert 1 <= found["modwsgi_tick_failures_total", ()] < found["modwsgi_ticks_total", ()]
    assert {"modwsgi_viewers", "modwsgi_dashboard_info", "modwsgi_recorder_up"} <= names(found)
    assert not names(found) & {"modwsgi_scoreboard_slots", "modwsgi_oldest_request_seconds"}
    assert not names(found) & {"modwsgi_guard_free_workers", "modwsgi_guard_reserve_workers"}


async def test_values_are_the_samples() -> None:
    """Values are those of the API's sample; what the operator didn't ask for is left out."""
    async with serving(interval=60.0) as served:
        found = await values(served)
        latest = served.dashboard.latest
    assert isinstance(latest, wire.Sample)
    rates = latest.rates
    assert rates.busy == found["apache_workers", ("busy",)]
    assert rates.idle == found["apache_workers", ("idle",)]
    assert rates.accesses == found["apache_accesses_total", ()]
    assert latest.at == found["modwsgi_last_tick_timestamp_seconds", ()]
    assert latest.viewers.free == found["modwsgi_guard_free_workers", ()]
    assert 60 == found["modwsgi_tick_interval_seconds", ()]
    optional = {name for name, family in FAMILIES.items() if family.setting.startswith("m")}
    assert not names(found) & optional
    # There is no mod_wsgi around this process.
    assert not names(found) & {"apache_info", "apache_version"}


async def test_everything_that_there_is() -> None:
    """With all settings on, every family is exposed, but for what only mod_wsgi's process can tell."""
    board = build_metrics("_W_W", counts=1, vhost="site.example:443")
    options = {"metrics_processes": True, "metrics_vhosts": 3, "max_request_workers": 4}
    async with serving(FixedSource(board), interval=0.1, **options) as served:
        await until(lambda: served.dashboard.archive.status.bytes)
        found = await values(served)
    assert FAMILIES.keys() - names(found) == {"apache_info", "apache_version"}


async def test_who_is_not_let_in_and_who_is_let_go_are_counted() -> None:
    """The guard's refusals and what it moves to polling are counters."""
    source = FixedSource(build_metrics("____", counts=1))
    options = {"max_viewers": 1, "reserve_workers": 1, "max_request_workers": 4}
    through_apache = {"X-Forwarded-For": "192.0.2.7"}
    async with serving(source, interval=0.1, **options) as served:
        url = f"ws://127.0.0.1:{served.port}/ws"
        async with connect(url, additional_headers=through_apache) as first:
            await first.recv()
            async with connect(url, additional_headers=through_apache) as second:
                with pytest.raises(ConnectionClosed):
                    await second.recv()
            found = await values(served)
            assert 1 == found["modwsgi_viewers_refused_total", ()]
            assert 0 == found["modwsgi_viewers_let_go_total", ()]
            source.metrics = build_metrics("WWWW", counts=1)
            with pytest.raises(ConnectionClosed):
                await read_on(first)
        found = await values(served)
    assert 1 == found["modwsgi_viewers_let_go_total", ()]
    assert 0 == found["modwsgi_guard_accepting", ()]


async def test_the_recorder_is_told() -> None:
    """It is up while it records; nothing is told of one that is off."""
    async with serving(interval=0.1, record_bytes="64M") as served:
        await until(lambda: served.dashboard.archive.status.bytes)
        found = await values(served)
    assert 1 == found["modwsgi_recorder_up", ()]
    assert 64 << 20 == found["modwsgi_recorder_limit_bytes", ()]
    assert 0 < found["modwsgi_recorder_size_bytes", ()]
    assert 0 == found["modwsgi_recorder_dropped_ticks_total", ()]
    async with serving(record="off") as served:
        assert not {name for name in names(await values(served)) if "recorder" in name}


async def test_a_recorder_that_cannot_write_is_down(tmp_path: Path) -> None:
    """Where its directory can't be made it is not up, and has no size; its ticks are missing ones."""
    (tmp_path / "file").write_text("")
    async with serving(interval=60.0, state_dir=str(tmp_path / "file" / "below")) as served:
        found = await values(served)
    assert 0 == found["modwsgi_recorder_up", ()]
    assert ("modwsgi_recorder_size_bytes", ()) not in found
    (tmp_path / "state").mkdir()
    async with serving(interval=0.1, state_dir=str(tmp_path / "state")) as served:
        recorder = served.dashboard.archive.recorder
        assert recorder is not None
        await until(lambda: recorder.status.bytes)
        recorder.path.unlink()
        recorder.path.mkdir()
        await until(lambda: recorder.dropped > 2)
        found = await values(served)
        recorder.path.rmdir()
    assert 0 == found["modwsgi_recorder_up", ()]
    assert 2 < found["modwsgi_recorder_dropped_ticks_total", ()]


async def test_a_replay_has_no_metrics(tmp_path: Path) -> None:
    """A recording is not of now: 404 with a sentence."""
    path = tmp_path / "r.sqlite3"
    record(path, play(range(3)))
    runner = make_runner(create_replay(Settings(), path, "incident.gz"))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with (
            ClientSession() as session,
            session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/metrics") as response,
        ):
            assert (404, "application/problem+json") == (response.status, response.content_type)
            assert "replay" in await response.text()
    finally:
        await runner.cleanup()


def test_lag_and_duration_of_a_poll() -> None:
    """A poll that began late has a lag, how long it took is its duration; failures are counted."""
    told = []

    class Late(FakeClock):
        async def sleep_until(self, instant: float) -> None:
            await super().sleep_until(instant)
            # As if something else had held the event loop.
            self.now += 0.25

    clock = Late(5.0)
    source = Script(clock, lambda number: None if number == 2 else build_metrics("_W"), takes=0.125)

    def publish(_: wire.Sample | wire.Failure) -> None:
        told.append((poller.ticks, poller.failures, poller.lag))

    poller = Poller(
        source,
        Settings(),
        wanted=watched(),
        publish=publish,
        viewers=lambda _: wire.ViewerCount(1, 4),
        notices=list,
        clock=clock,
    )
    with pytest.raises(Stopped):
        asyncio.run(poller.run())
    assert [(1, 0, 0.0), (2, 1, 0.25), (3, 1, 0.25)] == told[:3]
    assert 0.125 == poller.duration


@pytest.mark.parametrize(
    ("description", "version"),
    [
        ("Apache/2.4.71 (Debian) mod_wsgi/6.1.1 Python/3.11", 2.04071),
        ("Apache/2.4.6 (CentOS)", 2.04006),
        ("Apache/2.10.100", 2.10100),
        ("Apache", None),
        ("Apache/2.4.71-dev", 2.04071),
        ("nginx/1.2.3", None),
    ],
)
def test_the_version_is_a_number_as_apache_exporter_makes_it(
    description: str, version: float | None
) -> None:
    """Major, then two digits and three; none where the description has no version."""
    found = dict((name, value) for name, _, value in software_rows("event", description))
    assert version == found.get("apache_version")
    assert 1 == found["apache_info"]


def test_the_documentation_lists_every_metric() -> None:
    """Each family stands once in the tables, with its type and labels, and nothing else does."""
    listed = re.findall(
        r"^\| `((?:apache|modwsgi|process)_\w+)(?:\{([^}]*)\})?` \| (\w+) \|", PAGE, re.M
    )
    expected = [(family.name, ",".join(family.labels), family.kind) for family in FAMILIES.values()]
    assert sorted(expected) == sorted(
        (name, re.sub(r'="[^"]*"', "", labels).replace(", ", ","), kind) for name, labels, kind in listed
    )
    assert f'`vhost="{OTHER}"`' in PAGE

"""What Prometheus scrapes: the newest sample and the dashboard's own state, as text or OpenMetrics.

Owns `/metrics`: which format an answer has, and its bytes. It must not know where samples come from,
nor what else the application serves; what is exposed is `core.metrics`' matter.

Invariant: the body of a tick is made once for each form, and made anew for the next tick alone.

Formats: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import dataclasses
import gzip
import importlib
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mod_wsgi_dashboard import __version__, middlewares
from mod_wsgi_dashboard.core import metrics, wire
from mod_wsgi_dashboard.core.metrics import FAMILIES, Row, State, VhostCounter
from mod_wsgi_dashboard.settings import Settings

# Apache's own description of itself may name any module.
DESCRIPTION_LENGTH = 200


class Exposition:
    """Makes the bodies of `/metrics`.

    Args:
        settings: `metrics_processes` and `metrics_vhosts`.
        state: asked at each scrape for what there is now, of a sample no older than the interval.
        mpm: Apache's MPM where this runs inside of mod_wsgi, None elsewhere.
    """

    def __init__(
        self, settings: Settings, state: Callable[[], State], *, mpm: str | None = None
    ) -> None:
        self._settings = settings
        self._state = state
        self._software = list(software_rows(mpm, _description())) if mpm else []
        self._vhosts = VhostCounter(settings.metrics_vhosts)
        self._started_at = time.time()
        self._made_of: wire.Sample | wire.Failure | None = None
        self._bodies: dict[tuple[str, bool], bytes] = {}

    def observe(self, latest: wire.Sample | wire.Failure) -> None:
        """Count what a tick brought."""
        if self._settings.metrics_vhosts and isinstance(latest, wire.Sample):
            self._vhosts.observe(latest)

    def body(self, form: Form, *, packed: bool) -> bytes:
        """Return the body in a form, made at the first call of a tick; `packed` is gzip."""
        state = self._state()
        if state.latest is not self._made_of or state.latest is None:
            self._bodies.clear()
            self._made_of = state.latest
        body = self._bodies.get((form.accept, False))
        if body is None:
            encode, _ = choose_encoder(form.accept)
            body = self._bodies[form.accept, False] = encode(_Collected(self._rows(state)))
        if not packed:
            return body
        if (form.accept, True) not in self._bodies:
            self._bodies[form.accept, True] = gzip.compress(body, 1, mtime=0)
        return self._bodies[form.accept, True]

    def _rows(self, state: State) -> Iterator[Row]:
        sample = state.latest if isinstance(state.latest, wire.Sample) else None
        yield "apache_up", (), sample is not None
        yield from load_rows()
        yield from self._software
        yield "modwsgi_dashboard_info", (__version__,), 1
        yield "modwsgi_dashboard_start_time_seconds", (), self._started_at
        yield "process_cpu_seconds_total", (), time.process_time()
        yield from metrics.state_rows(state)
        if sample is None:
            return
        letters = [metrics.letters_of(process) for process in sample.snapshot.processes]
        yield from metrics.apache_rows(sample, letters)
        yield from metrics.sample_rows(sample, letters, state.stuck)
        if self._settings.metrics_processes:
            yield from metrics.process_rows(sample, letters)
        if self._settings.metrics_vhosts:
            yield from self._vhosts.rows(sample, letters)


class _Collected(Collector):
    """Rows as prometheus_client's encoders take them."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have rows, in their order."""
        found: dict[str, list[tuple[tuple[str, ...], float]]] = {name: [] for name in FAMILIES}
        for name, labels, value in self._rows:
            if value is not None:
                found[name].append((labels, value))
        for name, rows in found.items():
            if rows:
                family = FAMILIES[name]
                make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                metric = make(name, family.help, labels=family.labels)
                for labels, value in rows:
                    metric.add_metric(labels, float(value))
                yield metric


def _description() -> str | None:
    """Return what mod_status calls ServerVersion; mod_wsgi has a module for it inside of Apache."""
    try:
        description = importlib.import_module("apache").description
    except (ImportError, AttributeError):
        return None
    return description[:DESCRIPTION_LENGTH] if isinstance(description, str) else None


def software_rows(mpm: str, description: str | None) -> Iterator[Row]:
    """Yield what Apache is, by its own description: "Apache/2.4.62 (Debian) mod_wsgi/5.0"."""
    if description is None:
        return
    # mod_wsgi 4's `apache.version` is that of the Apache it was built with.
    version = re.match(r"Apache/(\d+)\.(\d{1,2})\.(\d{1,3})(?!\d)", description)
    if version is not None:
        major, minor, patch = version.groups()
        yield "apache_version", (), float(f"{major}.{minor:>02}{patch:>03}")
    yield "apache_info", (description, mpm), 1


def load_rows() -> Iterator[Row]:
    """Yield the machine's load, as mod_status does; nothing where the system tells none."""
    try:
        loads = os.getloadavg()
    except OSError:
        return
    for interval, load in zip(("1min", "5min", "15min"), loads, strict=True):
        yield "apache_load", (interval,), load


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """A format: what asks prometheus_client for it, and the media type of the answer."""

    accept: str
    media_type: str
    parameters: str

    @property
    def content_type(self) -> str:
        return f"{self.media_type}; {self.parameters}"


TEXT = Form("", "text/plain", "version=0.0.4; charset=utf-8")
OPENMETRICS = Form(
    "application/openmetrics-text; version=1.0.0",
    "application/openmetrics-text",
    "version=1.0.0; charset=utf-8",
)

EXPOSITION = web.AppKey("mod_wsgi_dashboard.exposition", Exposition)


def routes() -> list[web.RouteDef]:
    """Return the routes of this module."""
    return [web.get("/metrics", scrape)]


async def scrape(request: web.Request) -> web.Response:
    """Answer what Prometheus scrapes; in a replay there is nothing of now."""
    exposition = request.app.get(EXPOSITION)
    if exposition is None:
        return middlewares.problem(404, "A replay has no metrics: they are of now, and it is not.")
    form = choose_form(request.headers.getall("Accept", []))
    if form is None:
        return middlewares.problem(
            406,
            f"There are `{TEXT.content_type}` and `{OPENMETRICS.content_type}`:"
            " ask for one of them in Accept.",
        )
    packed = takes_gzip(request.headers.getall("Accept-Encoding", []))
    headers = {"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"}
    if packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=exposition.body(form, packed=packed), headers=headers)


def choose_form(accept: Sequence[str]) -> Form | None:
    """Return the format that an Accept wants most, None if it takes neither (RFC 9110, 12.5.1).

    Without one it is text, as for browsers. A version of OpenMetrics other than 1 is another format.
    """
    ranges = _weighted(accept)
    if not ranges:
        return TEXT
    text = _weight(ranges, "text/plain", "text/*", "*/*")
    # Older versions beside the one that is wanted are for servers that have no other.
    open_ranges = [
        (name, version, weight)
        for name, version, weight in ranges
        if name != OPENMETRICS.media_type or version in ("", "1") or version.startswith("1.")
    ]
    openmetrics = _weight(open_ranges, OPENMETRICS.media_type, "application/*", "*/*")
    named = any(name == OPENMETRICS.media_type for name, _, _ in open_ranges)
    if openmetrics > text or (named and 0 < openmetrics == text):
        return OPENMETRICS
    return TEXT if text else None


def takes_gzip(accept_encoding: Sequence[str]) -> bool:
    """Return whether an answer may be packed with gzip (RFC 9110, 12.5.3)."""
    return _weight(_weighted(accept_encoding), "gzip", "x-gzip", "*") > 0


_QUALITY = re.compile(r"[01](?:\.[0-9]{0,3})?")


def _weighted(headers: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return what a header lists: each name, its `version`, and its weight, 0 to 1."""
    found = []
    for element in ",".join(headers).split(","):
        name, *parameters = (part.strip() for part in element.split(";"))
        values = dict(part.lower().replace(" ", "").split("=", 1) for part in parameters if "=" in part)
        quality = values.get("q", "1")
        # A weight that is none is no wish.
        weight = min(1.0, float(quality)) if _QUALITY.fullmatch(quality) else 0.0
        if name:
            found.append((name.lower(), values.get("version", "").strip('"'), weight))
    return found


def _weight(found: Iterable[tuple[str, str, float]], *names: str) -> float:
    """Return the weight of the first of some names that is listed, 0 if none is."""
    by_name: dict[str, float] = {}
    for name, _, weight in found:
        by_name[name] = max(weight, by_name.get(name, 0.0))
    return next((by_name[name] for name in names if name in by_name), 0.0)

"""Samples that a test makes by hand, for a page whose WebSocket is the test's."""

from __future__ import annotations

import time

from playwright.sync_api import Page, WebSocketRoute

from mod_wsgi_dashboard.core import rates, wire
from mod_wsgi_dashboard.core.encoder import Encoder
from mod_wsgi_dashboard.core.redaction import Redactor
from mod_wsgi_dashboard.core.scoreboard import parse
from tests.conftest import Metrics


class Feed:
    """A server that sends what it is told to, each sample as a key frame."""

    def __init__(self, page: Page) -> None:
        self._reading: rates.Reading | None = None
        self._routes: list[WebSocketRoute] = []
        self._encoder = Encoder()
        self._tick = 0
        page.route_web_socket("**/ws", lambda route: self._routes.append(route))

    @property
    def open(self) -> bool:
        """Whether the page has asked for its socket."""
        return bool(self._routes)

    def send(self, metrics: Metrics) -> None:
        """Send the sample that a poller would make of these metrics now."""
        self._tick += 1
        self._reading = rates.read(
            parse(metrics, Redactor(enabled=False)), previous=self._reading, elapsed=1.0
        )
        sample = wire.Sample(
            tick=self._tick,
            at=time.time(),
            interval=1.0,
            snapshot=self._reading.scoreboard,
            rates=self._reading.rates,
            capacity=self._reading.capacity,
            viewers=wire.ViewerCount(connected=1, limit=4),
            notices=[],
        )
        self._encoder.advance(sample)
        self._routes[-1].send(self._encoder.key().decode())

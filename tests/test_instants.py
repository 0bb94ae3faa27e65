"""Instants as people write them, in time zones with and without summer time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from mod_wsgi_dashboard.core.errors import UsageError
from mod_wsgi_dashboard.instants import parse_instant, shown, span


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set the machine's time zone for one test."""

    def choose(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    return datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


NOW = utc(2026, 11, 21, 8, 30)  # 09:30 in Berlin

WRITTEN = [
    ("now", NOW),
    ("-20m", NOW - 1200),
    ("-90s", NOW - 90),
    ("-2h", NOW - 7200),
    ("-1.5h", NOW - 5400),
    ("-1d", NOW - 86_400),
    ("-999999999d", 0.0),
    ("1901-01-01", 0.0),
    ("1790000000", 1790000000.0),
    ("1790000000.25", 1790000000.25),
    ("03:12", utc(2026, 11, 21, 2, 12)),
    ("3:12", utc(2026, 11, 21, 2, 12)),
    ("03:12:30", utc(2026, 11, 21, 2, 12, 30)),
    ("09:30", NOW),
    ("09:31", utc(2026, 11, 20, 8, 31)),
    ("23:50", utc(2026, 11, 20, 22, 50)),
    ("2026-11-21", utc(2026, 11, 20, 23)),
    ("2026-11-21T03:12", utc(2026, 11, 21, 2, 12)),
    ("2026-11-21 03:12:30", utc(2026, 11, 21, 2, 12, 30)),
    ("2026-11-21T03:12:30.5", utc(2026, 11, 21, 2, 12, 30)),
    ("2026-11-21T03:12Z", utc(2026, 11, 21, 3, 12)),
    ("2026-11-21T03:12+05:30", utc(2026, 11, 20, 21, 42)),
    ("2026-11-21T03:12:00-0800", utc(2026, 11, 21, 11, 12)),
    ("2026-07-21T03:12", utc(2026, 7, 21, 1, 12)),
]


@pytest.mark.parametrize(("text", "expected"), WRITTEN)
def test_instants(text: str, expected: float, zone: Callable[[str], None]) -> None:
    """Each form is understood, by the machine's time zone unless it names another."""
    zone("Europe/Berlin")
    assert expected == parse_instant(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "yesterday", "20m", "+20m", "-20", "-20x", "-m", "24:00", "03:60", "3", "1234"),
        *(
            "2026-13-01",
            "2026-02-30",
            "2026-11-21T25:00",
            "2026-11-21T",
            "0000-01-01",
            "2026-11-21T3:12",
        ),
        *(
            "1e9",
            "nan",
            "-inf",
            "999999999999",
            "2026-11-21T03:12+99:00",
            "\u0660\u0663:\u0661\u0662",
            "03:12\n",
            "-1d\n",
        ),
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """Anything else is refused, with what is accepted."""
    with pytest.raises(UsageError, match="is no instant: use 2026-11-21T03:12"):
        parse_instant(text, NOW)


def test_an_hour_that_comes_twice(zone: Callable[[str], None]) -> None:
    """As summer time ends, a range takes both hours: it begins in the first and ends in the second."""
    zone("Europe/Berlin")
    first, second = utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 30)
    assert first == parse_instant("2026-10-25T02:30", NOW)
    assert second == parse_instant("2026-10-25T02:30", NOW, later=True)
    now = utc(2026, 10, 25, 9)
    assert (first, second) == (parse_instant("02:30", now), parse_instant("02:30", now, later=True))


def test_yesterday_by_the_calendar(zone: Callable[[str], None]) -> None:
    """A time that is still to come is yesterday's, on a day of 25 hours, too."""
    zone("Europe/Berlin")
    assert utc(2026, 10, 24, 21, 50) == parse_instant("23:50", utc(2026, 10, 25, 20, 0))
    assert utc(2026, 10, 25, 22, 50) == parse_instant("23:50", utc(2026, 10, 26, 20, 0))


def test_what_is_shown_is_read_again(zone: Callable[[str], None]) -> None:
    """An instant from a message can be pasted into the next command."""
    zone("America/New_York")
    assert "2026-11-21 03:30:00" == shown(NOW)
    assert NOW == parse_instant(shown(NOW), 0.0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 m 0 s"),
        (2590, "43 m 10 s"),
        (83_520, "23 h 12 m"),
        (86_400, "1 d 0 h"),
        (1e7, "115 d 17 h"),
    ],
)
def test_lengths(seconds: float, expected: str) -> None:
    """A length of time has its two largest units."""
    assert expected == span(seconds)

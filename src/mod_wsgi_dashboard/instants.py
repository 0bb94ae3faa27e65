"""Instants and lengths of time as people write and read them, in the machine's time zone.

Owns their forms. It must not know a clock: now is an argument.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from mod_wsgi_dashboard.core.errors import UsageError

INSTANTS = (
    "2026-11-21T03:12[:30], 03:12 (the last time that it was), -20m, -2h or -1d (ago), now, or epoch"
    " seconds"
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"-(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?)?(?:(Z)|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_EPOCH = re.compile(r"\d{5,11}(?:\.\d{1,9})?", re.ASCII)


def shown(instant: float) -> str:
    """Return an instant (epoch seconds) in local time."""
    return datetime.fromtimestamp(instant).strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float) -> str:
    """Return a length of time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def parse_instant(text: str, now: float, *, later: bool = False) -> float:
    """Return the epoch seconds of what somebody wrote as an instant.

    Args:
        text: one of the forms in `INSTANTS`; a date may end in Z or +01:00.
        now: epoch seconds.
        later: of an hour that comes twice, as summer time ends, the second one.

    Raises:
        UsageError: it is none of them.
    """
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        # Nothing is older than the epoch.
        return max(0.0, now - float(ago[1]) * _UNITS[ago[2]])
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        if clock := _CLOCK.fullmatch(text):
            return _last_time(clock, now, fold=int(later))
        if date := _DATE.fullmatch(text):
            return max(0.0, _instant_of(date, fold=int(later)))
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"{text!r} is no instant: use {INSTANTS}")


def _last_time(clock: re.Match[str], now: float, *, fold: int) -> float:
    hour, minute, second = (int(part or 0) for part in clock.groups())
    today = datetime.fromtimestamp(now).replace(microsecond=0)
    at = today.replace(hour=hour, minute=minute, second=second, fold=fold)
    if at.timestamp() > now:
        # By the calendar: a day may have 23 or 25 hours.
        at -= timedelta(days=1)
    return at.timestamp()


def _instant_of(date: re.Match[str], *, fold: int) -> float:
    year, month, day, hour, minute, second = (int(part or 0) for part in date.groups()[:6])
    at = datetime(year, month, day, hour, minute, second, fold=fold)
    utc, sign, hours, minutes = date.groups()[6:]
    if utc:
        return at.replace(tzinfo=timezone.utc).timestamp()
    if sign:
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return at.replace(tzinfo=timezone(offset if sign == "+" else -offset)).timestamp()
    return at.timestamp()

"""The checks, one for each rule: functions of a `System` that yield findings.

A check looks at what it needs and says nothing where it can't know. It never raises for content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.system import System

Check = Callable[[System], Iterator[Finding]]

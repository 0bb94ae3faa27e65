"""Where scoreboards come from: the Apache around this process, or a simulator.

Owns the import of `mod_wsgi`, which only exists, with what is needed of it, inside Apache.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from types import ModuleType
from typing import Protocol

from mod_wsgi_dashboard.core.errors import NotInsideApache
from mod_wsgi_dashboard.simulator import Simulator


class Source(Protocol):
    """Gives the present scoreboard, in the form of `mod_wsgi.server_metrics()`."""

    def read(self) -> object:
        """Return the dict, or None when metrics are off. May raise anything."""


class ModWsgiSource:
    """The scoreboard of the Apache that this process belongs to.

    Raises:
        NotInsideApache: there is no mod_wsgi here that could read one.
    """

    def __init__(self) -> None:
        self._module = inside_apache()

    def read(self) -> object:
        return self._module.server_metrics()


class SimulatorSource:
    """A simulated scoreboard, for demonstrations and tests."""

    def __init__(self, simulator: Simulator, clock: Callable[[], float] = time.time) -> None:
        self._simulator = simulator
        self._clock = clock

    def read(self) -> object:
        return self._simulator.server_metrics(self._clock())


def inside_apache() -> ModuleType:
    """Return the `mod_wsgi` module of the Apache around this process.

    PyPI's `mod_wsgi` package imports anywhere, but only Apache's own module has `server_metrics`.

    Raises:
        NotInsideApache: this process was not started by Apache.
    """
    try:
        module = importlib.import_module("mod_wsgi")
    except ImportError:
        module = ModuleType("mod_wsgi")
    if not hasattr(module, "server_metrics"):
        raise NotInsideApache(
            "Apache's scoreboard can only be read inside Apache, as a mod_wsgi service script"
            " (mod_wsgi-express --service-script, or WSGIImportScript);"
            " to see the dashboard without Apache, run: mod_wsgi-dashboard demo"
        )
    return module

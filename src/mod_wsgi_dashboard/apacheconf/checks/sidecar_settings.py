"""What a dashboard of the configuration is told: its settings, without running it.

Owns the order of script, environment and the TOML file that it names, which is the dashboard's own, as
are the parsers. Must not know what a value
means for Apache. A script that computes its settings tells nothing here.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from mod_wsgi_dashboard.apacheconf.keywords import script_keywords
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Sidecar
from mod_wsgi_dashboard.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings, UnixAddress

_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """A setting's value, as the dashboard parses it, and where it stands."""

    value: Any
    source: str


def told(system: System, sidecar: Sidecar, name: str) -> Told | None:
    """Return what a dashboard is told of one setting; None where nothing says, or nothing that counts.

    A value that the dashboard doesn't accept is nothing: it says so itself, and stays down.
    """
    text = system.script_text(sidecar.script.path)
    keywords = script_keywords(text or "")
    if name in keywords:
        return _parsed(name, keywords[name], f"{name}= in {sidecar.script.path}")
    variable = ENVIRONMENT_PREFIX + name.upper()
    if variable in system.environ:
        return _parsed(name, system.environ[variable], f"{variable} in the environment")
    path = system.environ.get(CONFIG_VARIABLE)
    table = toml(system.script_text(path) or "") if path else {}
    return _parsed(name, table[name], f"{name} in {path}") if name in table else None


def listens_on(system: System, sidecar: Sidecar) -> Told | None:
    """Return the address that a dashboard listens on; None where its script can't be read.

    Without a setting it is the default, unless its mounts all lead to one unix socket: then somebody
    told it so in a way that isn't seen from here.
    """
    if system.script_text(sidecar.script.path) is None:
        return None
    found = told(system, sidecar, "listen")
    if found is not None:
        return found
    paths = mounted_sockets(sidecar)
    if paths:
        return Told(UnixAddress(paths[0]), "the ProxyPass to it") if len(paths) == 1 else None
    return Told(_FIELDS["listen"].default, "the default of `listen`")


def mounted_sockets(sidecar: Sidecar) -> list[str]:
    """Return the paths of the unix sockets that a dashboard's mounts lead to, each once."""
    addresses = [
        end.address for mount in sidecar.mounts for end in (mount.members if mount.members else (mount,))
    ]
    paths = [address.removeprefix("unix:") for address in addresses if address.startswith("unix:")]
    return list(dict.fromkeys(paths))


def _parsed(name: str, value: object, source: str) -> Told | None:
    try:
        return Told(_FIELDS[name].metadata["parse"](value), source)
    except (ValueError, KeyError):
        return None


def toml(text: str) -> dict[str, object]:
    """Return the table of a TOML text; nothing of a broken one, or before Python 3.11."""
    try:
        import tomllib
    except ImportError:
        # Before Python 3.11 the dashboard doesn't read it either.
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}

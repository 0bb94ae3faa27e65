"""The check that a path of Apache leads to where a dashboard listens."""

from __future__ import annotations

from collections.abc import Iterator

from mod_wsgi_dashboard.apacheconf.checks.sidecar_settings import listens_on, told
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import Sidecar, normal_address
from mod_wsgi_dashboard.settings import UnixAddress


def mount_address(system: System) -> Iterator[Finding]:
    """A dashboard that no ProxyPass leads to, or that listens elsewhere than where they lead.

    Apache's environment may hold `listen`: where that isn't known, only what the script says counts.
    """
    for sidecar in system.sidecars:
        listen = listens_on(system, sidecar)
        if listen is None or not _is_known(system, sidecar):
            continue
        address = normal_address(str(listen.value))
        if any(mount.leads_to(one) for mount in sidecar.mounts for one in _reached_by(address)):
            continue
        # One of several may be looked at in another way.
        if not sidecar.mounts and system.dashboard_mounts:
            continue
        target = (
            f"{address}|http://mod-wsgi-dashboard/" if isinstance(listen.value, UnixAddress) else None
        )
        yield _finding(sidecar, target or f"http://{address}/", f"{address} ({listen.source})")


def _is_known(system: System, sidecar: Sidecar) -> bool:
    known = system.environ_known or told(system, sidecar, "listen") is not None
    # Without any ProxyPass it doesn't matter where.
    return known or not system.mounts


def _reached_by(address: str) -> tuple[str, ...]:
    """Return the addresses that lead to a listener: one on all of them is on the loopback, too."""
    host, _, port = address.rpartition(":")
    return (address, f"127.0.0.1:{port}") if host in {"0.0.0.0", "::"} else (address,)


def _finding(sidecar: Sidecar, target: str, listens: str) -> Finding:
    if not sidecar.mounts:
        return note(
            "mount-address",
            f"No ProxyPass leads to the dashboard, which listens on {listens}.",
            sidecar.script.directive.place,
            fix=_lines("/metrics/", target),
        )
    mount = sidecar.mounts[0]
    leads = mount.address or mount.target
    return error(
        "mount-address",
        f"{mount.path} leads to {leads}, and the dashboard listens on {listens}.",
        mount.directive.place,
        sidecar.script.directive.place,
        fix=_lines("/metrics/" if mount.rewritten else mount.path, target),
    )


def _lines(path: str, target: str) -> str:
    return (
        f"ProxyPass        {path} {target} upgrade=websocket\n"
        f"ProxyPassReverse {path} {target.rpartition('|')[2]}"
    )

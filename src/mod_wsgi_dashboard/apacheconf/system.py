"""What doctor looks at: a configuration, the Apache that reads it, and the machine around them.

Owns the gathering, once, so that the checks are functions of one value. Gathers nothing by itself:
httpd.py runs Apache's programs, files.py reads configurations, machine.py sees the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import machine, topology
from mod_wsgi_dashboard.apacheconf.directives import Configuration
from mod_wsgi_dashboard.apacheconf.httpd import Httpd
from mod_wsgi_dashboard.apacheconf.running import Answer

# A service script is a few lines.
SCRIPT_BYTES = 256 * 1024
PID_BYTES = 32

_PROGRAM = re.compile(r"apache|httpd")

# What Apache runs as where the configuration doesn't say: its compiled default, on every platform
# that packages it.
DEFAULT_USER = "www-data"


@dataclass(frozen=True, eq=False, kw_only=True)
class System:
    """Everything that the checks may look at.

    Args:
        configuration: what Apache reads.
        httpd: the Apache that reads it; None where there is none.
        live: whether this is the server of this machine, with logs, sockets and processes, and not a
            configuration file alone.
        logs: the ends of the error logs.
        environ: the environment that the dashboard gets its settings from, as far as it can be told.
        environ_known: whether that is a running dashboard's own, so that nothing else is set.
        tools: outputs of getenforce, getsebool, ls -Z, ausearch and aa-status, by the command's name;
            what the machine doesn't have is missing.
        answers: what the running dashboards say of themselves, by their address.
    """

    configuration: Configuration
    httpd: Httpd | None = None
    live: bool = False
    logs: tuple[machine.Log, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    environ_known: bool = False
    tools: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)

    @cached_property
    def groups(self) -> tuple[topology.Group, ...]:
        return topology.groups(self.configuration)

    @cached_property
    def scripts(self) -> tuple[topology.Script, ...]:
        return topology.scripts(self.configuration)

    @cached_property
    def mounts(self) -> tuple[topology.Mount, ...]:
        return topology.mounts(self.configuration)

    @cached_property
    def sidecars(self) -> tuple[topology.Sidecar, ...]:
        listen = self.environ.get("MOD_WSGI_DASHBOARD_LISTEN", topology.DEFAULT_LISTEN)
        return topology.sidecars(self.configuration, self.script_text, listen)

    @cached_property
    def dashboard_mounts(self) -> tuple[topology.Mount, ...]:
        """The mounts of all dashboards, each once, in the order of the configuration."""
        lines = {mount.directive for sidecar in self.sidecars for mount in sidecar.mounts}
        return tuple(mount for mount in self.mounts if mount.directive in lines)

    @cached_property
    def mpm(self) -> str | None:
        """The MPM, as Apache says it or as a LoadModule does."""
        if self.httpd is not None and self.httpd.mpm:
            return self.httpd.mpm
        loaded = [name for name in self.configuration.modules if name.startswith("mpm_")]
        return loaded[0].removeprefix("mpm_") if len(loaded) == 1 else None

    @cached_property
    def pool(self) -> topology.Pool | None:
        """The pool of workers; None where the MPM isn't known."""
        return topology.pool(self.configuration, self.mpm) if self.mpm else None

    @cached_property
    def parent(self) -> machine.Process | None:
        """Apache's parent process; None if it doesn't run, or this is a configuration alone."""
        if not self.live or self.httpd is None or self.httpd.pid_file is None:
            return None
        text = (machine.text_of(Path(self.httpd.pid_file), PID_BYTES) or "").strip()
        found = next((one for one in machine.processes() if str(one.pid) == text), None)
        # A PidFile that was left behind may have the number of another program by now.
        return found if found is not None and _PROGRAM.search(found.title) else None

    @cached_property
    def apache_account(self) -> machine.Account | None:
        """Who Apache's children run as; None where that user isn't on this machine.

        Only an Apache that root started changes its user: any other stays who it is.
        """
        if self.parent is not None and self.parent.uid != 0:
            return machine.account(f"#{self.parent.uid}")
        user = self.configuration.server("User")
        group = self.configuration.server("Group")
        if user is None and os.geteuid() != 0:
            return machine.current_account()
        name = user.arguments[0] if user is not None and user.arguments else DEFAULT_USER
        return machine.account(name, group.arguments[0] if group and group.arguments else None)

    def daemon_account(self, group: topology.Group | None) -> machine.Account | None:
        """Return who a daemon process group runs as; None where that user isn't on this machine."""
        options = group.options if group is not None else {}
        by_root = self.parent is None or self.parent.uid == 0
        if not by_root or ("user" not in options and "group" not in options):
            return self.apache_account
        user = options.get("user") or (self.apache_account.name if self.apache_account else DEFAULT_USER)
        return machine.account(user, options.get("group"))

    def script_text(self, path: str) -> str | None:
        """Return the text of a script, None if it can't be read."""
        return machine.text_of(Path(path), SCRIPT_BYTES)

    def log_lines(self, *texts: str) -> list[str]:
        """Return the lines of the error logs that hold one of the texts, the oldest first."""
        return [line for log in self.logs for line in log.lines if any(text in line for text in texts)]

"""Checks of what SELinux and AppArmor keep from Apache, by what their tools print.

Owns the meaning of those outputs and of the policy for httpd_t, as far as a WSGI application and a
proxy meet it. Must not run the tools: security_tools.py does.

Not tried on a machine with either: the outputs are as documented, the policy is that of Fedora and RHEL
(policy/modules/contrib/apache.te of fedora-selinux/selinux-policy). What httpd_t may do to a type that
is not listed here isn't known, and gives no error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mod_wsgi_dashboard.apacheconf.directives import Place
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System

# Ports by type where `semanage port -l` can't be asked (it needs root): those of the policy.
_PORTS = {
    "http_port_t": ("80", "81", "443", "488", "8008", "8009", "8443", "9000"),
    "http_cache_port_t": ("8080", "8118", "8123", "10001-10010"),
    "unreserved_port_t": ("1024-65535",),
    "reserved_port_t": ("1-1023",),
}

# Types of ports that no service has: one may be given a type (-a), others have theirs changed (-m).
_UNNAMED = {"unreserved_port_t", "reserved_port_t", "ephemeral_port_t", "hi_reserved_port_t", "port_t"}

# What httpd_t may always listen on.
_BINDABLE = {
    "http_port_t",
    "http_cache_port_t",
    "ntop_port_t",
    "jboss_management_port_t",
    "jboss_messaging_port_t",
    "puppet_port_t",
}

# What httpd_t may connect to, by the boolean that allows it.
_CONNECTABLE = {
    "httpd_graceful_shutdown": {"http_port_t"},
    "httpd_can_network_relay": {"http_port_t", "http_cache_port_t", "squid_port_t", "memcache_port_t"},
}

# What httpd_t may read: what is made for it, and what every program reads.
_READABLE = re.compile(
    r"httpd_\w+|public_content(?:_rw)?_t|git_sys_content_t|(?:usr|lib|bin|etc|locale|cert|fonts|var_lib)_t"
)

# What it may not, and where that label is from.
_CLOSED = {
    "user_home_t": "a home directory",
    "user_home_dir_t": "a home directory",
    "admin_home_t": "root's home directory",
    "home_root_t": "/home",
    "default_t": "a directory that the policy doesn't know",
    "root_t": "the root directory",
    "var_t": "/var or /srv",
    "tmp_t": "/tmp",
    "user_tmp_t": "a user's file in /tmp",
    "mnt_t": "/mnt",
    "unlabeled_t": "a file without a label",
    "container_file_t": "a container",
    "samba_share_t": "a Samba share",
}

# What httpd_t may make and use sockets as; in a directory of the second kind they become the first.
_SOCKETS = {"httpd_var_run_t", "httpd_tmp_t", "httpd_tmpfs_t"}
_SOCKET_DIRECTORIES = {*_SOCKETS, "var_run_t", "tmp_t", "tmpfs_t"}

_LABEL = re.compile(r"^(?:\S+\s+)*?\w+:\w+:(\w+)(?::\S+)?\s+(/.*)$")

_AVC = re.compile(r"avc:\s+(denied|granted)\s+\{([^}]*)\}")
_FIELD = re.compile(r'\b(comm|path|name|dest|src|scontext|tcontext|tclass|permissive)=("[^"]*"|\S+)')

_SECTION = re.compile(r"^\s*\d+ (profiles|processes) are in (\w+) mode")
_PROFILE = re.compile(r"^(?:/\S*/)?(?:apache2|httpd)(?:$|//|\^)")
_DENIED_PROFILE = re.compile(
    r'apparmor="DENIED".*profile="((?:/[^"]*/)?(?:apache2|httpd)(?:(?://|\^)[^"]*)?)"'
)
_NAME = re.compile(r'\bname="([^"]{1,200})"')
_MASK = re.compile(r'\bdenied_mask="(\w{1,16})"')


@dataclass(frozen=True, slots=True)
class Denial:
    """What SELinux denied Apache: permissions, a type and class, and a path or port if it says so."""

    permissions: str
    target: str
    kind: str
    what: str

    def __str__(self) -> str:
        subject = f" {self.what}" if self.what else ""
        return f"avc: denied {{ {self.permissions} }} {self.kind}{subject} ({self.target})"


@dataclass(frozen=True, slots=True)
class _Policy:
    """What is known of SELinux on this machine."""

    enforcing: bool
    booleans: Mapping[str, bool]
    ports: tuple[tuple[str, int, int], ...]
    ports_known: bool
    labels: Mapping[str, str]
    denials: tuple[Denial, ...]

    def port_type(self, port: int) -> str:
        """Return the type of a TCP port: the narrowest range that holds it, the first of equals."""
        fitting = [one for one in self.ports if one[1] <= port <= one[2]]
        return min(fitting, key=lambda one: one[2] - one[1])[0] if fitting else "port_t"

    def may_connect(self, kind: str) -> bool:
        if self.booleans.get("httpd_can_network_connect", False):
            return True
        return any(
            self.booleans.get(name, False) and kind in kinds for name, kinds in _CONNECTABLE.items()
        )


def selinux(system: System) -> Iterator[Finding]:
    """What SELinux denies, or has denied lately. Silent where it is disabled or not there."""
    mode = system.tools.get("getenforce", "").strip()
    if mode not in {"Enforcing", "Permissive"}:
        return
    policy = _policy(system.tools, enforcing=mode == "Enforcing")
    seen: set[Denial] = set()
    yield from _ports(system, policy, seen)
    yield from _sockets(system, policy, seen)
    yield from _scripts(system, policy, seen)
    for denial in dict.fromkeys(policy.denials):
        if denial not in seen:
            yield _found(
                policy,
                f"SELinux denied Apache {denial.permissions} on {denial.what or 'a ' + denial.kind}"
                f" ({denial.kind}, {denial.target}).",
                f"ausearch: {denial}",
                fix=_allowed(denial),
            )


def _found(policy: _Policy, what: str, *evidence: object, fix: str) -> Finding:
    if policy.enforcing:
        return error("selinux", what, *evidence, fix=fix)
    told = "getenforce: Permissive (it is logged, and would be denied in enforcing mode)"
    return note("selinux", what, told, *evidence, fix=fix)


# Ports


def _ports(system: System, policy: _Policy, seen: set[Denial]) -> Iterator[Finding]:
    own = {sidecar.address: sidecar.script.directive for sidecar in system.sidecars}
    proxied = {
        one.address: one.directive
        for mount in reversed(system.mounts)
        for one in (*reversed(mount.members), mount)
    }
    for address in dict.fromkeys((*own, *proxied)):
        port = address.rpartition(":")[2]
        if address.startswith("unix:") or not re.fullmatch(r"\d{1,5}", port):
            continue
        kind = policy.port_type(int(port))
        wrongs = []
        if address in own and kind not in _BINDABLE:
            wrongs.append(_unlistenable(policy, address, kind))
        if address in proxied and policy.booleans and not policy.may_connect(kind):
            wrongs.append(_unreachable(address, kind, own=address in own))
        if wrongs:
            directives = [own.get(address), proxied.get(address)]
            places = [one.place for one in directives if one is not None]
            yield _port(policy, wrongs, places, _relevant(policy, seen, {f"port {port}"}))


# What is wrong, what shows it, and what mends it.
_Wrong = tuple[str, str, str]


def _unlistenable(policy: _Policy, address: str, kind: str) -> _Wrong:
    port = address.rpartition(":")[2]
    known = "" if policy.ports_known else " (by the policy's defaults; `semanage port -l` needs root)"
    return (
        f"the dashboard may not listen on {address}, since port {port} is {kind}",
        f"port {port}: {kind}{known}",
        f"semanage port {'-a' if kind in _UNNAMED else '-m'} -t http_port_t -p tcp {port}"
        "   # or listen on a unix socket below /run",
    )


def _unreachable(address: str, kind: str, *, own: bool) -> _Wrong:
    # A port of the dashboard's own is labelled http_port_t, now or by the fix: the narrow one will do.
    boolean = "httpd_can_network_relay" if own or kind == "http_port_t" else "httpd_can_network_connect"
    names = dict.fromkeys(("httpd_can_network_connect", boolean))
    off = ", ".join(f"{name} --> off" for name in names)
    return (
        f"Apache may not connect to {address}",
        f"getsebool: {off}",
        f"setsebool -P {boolean} on",
    )


def _port(policy: _Policy, wrongs: list[_Wrong], places: list[Place], denials: list[str]) -> Finding:
    what = f"SELinux: {', and '.join(wrong for wrong, _, _ in wrongs)}."
    evidence = [*places, *(shows for _, shows, _ in wrongs), *denials]
    fix = "\n".join(mends for _, _, mends in wrongs)
    if policy.enforcing and not policy.ports_known and not denials:
        return warning("selinux", what, *evidence, fix=fix)
    return _found(policy, what, *evidence, fix=fix)


# Files


def _sockets(system: System, policy: _Policy, seen: set[Denial]) -> Iterator[Finding]:
    addresses = {sidecar.address: sidecar.script.directive for sidecar in system.sidecars}
    for mount in system.mounts:
        for one in (mount, *mount.members):
            addresses.setdefault(one.address, one.directive)
    for address, directive in addresses.items():
        path = address.removeprefix("unix:")
        if path == address:
            continue
        place, allowed = path, _SOCKETS
        if path not in policy.labels:
            place, allowed = os.path.dirname(path), _SOCKET_DIRECTORIES
        kind = policy.labels.get(place)
        if kind is None or kind in allowed:
            continue
        yield _found(
            policy,
            f"SELinux: Apache may not use the unix socket {path}, since {place} is {kind}.",
            directive.place,
            f"ls -Z: {kind} {place}",
            *_relevant(policy, seen, {path, os.path.basename(path), place}),
            fix=_labelled("httpd_var_run_t", os.path.dirname(path)),
        )


def _scripts(system: System, policy: _Policy, seen: set[Denial]) -> Iterator[Finding]:
    for script in system.scripts:
        path = script.path
        kind = policy.labels.get(path)
        if kind is None or _READABLE.fullmatch(kind) or _is_readable_by_boolean(policy, kind):
            continue
        denials = _relevant(policy, seen, {path, os.path.basename(path)})
        evidence = (script.directive.place, f"ls -Z: {kind} {path}", *denials)
        fix = _labelled("httpd_sys_content_t", os.path.dirname(path))
        if kind in _CLOSED or denials:
            origin = _CLOSED.get(kind, "something else")
            what = f"SELinux: Apache may not read {path}, which has the label of {origin} ({kind})."
            yield _found(policy, what, *evidence, fix=fix)
        else:
            what = f"SELinux: {path} is {kind}; whether Apache may read that depends on the policy."
            yield note("selinux", what, *evidence, fix=fix)


def _is_readable_by_boolean(policy: _Policy, kind: str) -> bool:
    booleans = {
        "nfs_t": "httpd_use_nfs",
        "cifs_t": "httpd_use_cifs",
        "fusefs_t": "httpd_use_fusefs",
        "user_home_t": "httpd_read_user_content",
    }
    return policy.booleans.get(booleans.get(kind, ""), False)


def _labelled(kind: str, directory: str) -> str:
    return f"semanage fcontext -a -t {kind} '{directory}(/.*)?'\nrestorecon -R {directory}"


def _relevant(policy: _Policy, seen: set[Denial], subjects: set[str]) -> list[str]:
    """Return the denials of the subjects, which are seen then; some name a file without its path."""
    found = [denial for denial in dict.fromkeys(policy.denials) if denial.what in subjects]
    seen.update(found)
    return [f"ausearch: {denial}" for denial in found]


def _allowed(denial: Denial) -> str:
    """Return what lets a denied thing happen."""
    permissions = set(denial.permissions.split())
    path = denial.what if denial.what.startswith("/") else ""
    port = denial.what.removeprefix("port ")
    if "name_connect" in permissions:
        return "setsebool -P httpd_can_network_connect on"
    if "name_bind" in permissions:
        return f"semanage port -a -t http_port_t -p tcp {port}"
    if permissions & {"execmem", "execstack"}:
        return "setsebool -P httpd_execmem on"
    if denial.kind == "sock_file":
        return _labelled("httpd_var_run_t", os.path.dirname(path) or "/run/DIRECTORY")
    if denial.kind in {"file", "dir", "lnk_file"} and path:
        writes = permissions & {
            "write",
            "append",
            "create",
            "unlink",
            "add_name",
            "remove_name",
            "setattr",
        }
        kind = "httpd_sys_rw_content_t" if writes else "httpd_sys_content_t"
        return _labelled(kind, path if denial.kind == "dir" else os.path.dirname(path))
    make = "ausearch -m AVC -ts recent | audit2allow -M mywsgi   # read mywsgi.te first"
    return f"{make}\nsemodule -i mywsgi.pp"


# Outputs


def _policy(tools: Mapping[str, str], *, enforcing: bool) -> _Policy:
    ports = tuple(_port_types(tools.get("semanage", "")))
    return _Policy(
        enforcing=enforcing,
        booleans=_booleans(tools.get("getsebool", "")),
        ports=ports or tuple(_ranges(_PORTS)),
        ports_known=bool(ports),
        labels=dict(_labels(tools.get("ls -Z", ""))),
        denials=tuple(_denials(tools.get("ausearch", ""))),
    )


def _booleans(text: str) -> dict[str, bool]:
    """Read `getsebool -a`: "httpd_can_network_connect --> off"."""
    return {
        name: value == "on" for name, value in re.findall(r"^(\w+) --> (on|off)", text, re.MULTILINE)
    }


def _port_types(text: str) -> Iterator[tuple[str, int, int]]:
    """Read `semanage port -l`: "http_port_t    tcp    80, 81, 443, 8008-8009"."""
    for kind, ports in re.findall(r"^(\w+)\s+tcp\s+(\d[\d, \t-]*)", text, re.MULTILINE):
        yield from _ranges({kind: re.findall(r"\d+(?:-\d+)?", ports)})


def _ranges(types: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, int, int]]:
    for kind, ports in types.items():
        for port in ports:
            first, _, last = port.partition("-")
            yield kind, int(first), int(last or first)


def _labels(text: str) -> Iterator[tuple[str, str]]:
    """Read `ls -dZ`: "unconfined_u:object_r:httpd_sys_content_t:s0 /srv/app.wsgi", by path."""
    for line in text.split("\n"):
        match = _LABEL.match(line[:4096])
        if match is not None:
            yield match[2], match[1]


def _denials(text: str) -> Iterator[Denial]:
    """Read `ausearch -m AVC`: what was denied to Apache's processes."""
    for line in text.split("\n"):
        match = _AVC.search(line)
        if match is None or match[1] != "denied":
            continue
        fields = {name: value.strip('"') for name, value in _FIELD.findall(line)}
        if fields.get("comm") not in {"httpd", "apache2"} and ":httpd_t" not in fields.get(
            "scontext", ""
        ):
            continue
        port = fields.get("dest") or fields.get("src")
        target = fields.get("tcontext", "").split(":")
        yield Denial(
            permissions=" ".join(match[2].split()),
            target=target[2] if len(target) > 2 else "?",
            kind=fields.get("tclass", "?"),
            what=f"port {port}" if port else fields.get("path") or fields.get("name", ""),
        )


# AppArmor


def apparmor(system: System) -> Iterator[Finding]:
    """A profile in enforce mode around Apache: an error if it denied something, else worth knowing."""
    profiles = list(_enforced(system.tools.get("aa-status", "")))
    denials = list(dict.fromkeys(_blocked(system.tools.get("ausearch", ""))))
    if denials:
        paths = list(dict.fromkeys(f"{path} {mask}," for _, path, mask in denials if path))
        yield error(
            "apparmor",
            f"AppArmor's profile {denials[0][0]} denied Apache what it asked for.",
            *(f'apparmor="DENIED" name="{path}" denied_mask="{mask}"' for _, path, mask in denials[:3]),
            fix="\n".join(
                ["# in the profile below /etc/apparmor.d, then: apparmor_parser -r FILE", *paths[:9]]
            ),
        )
    elif profiles:
        yield note(
            "apparmor",
            f"AppArmor confines Apache by the profile {profiles[0]} (enforce mode), whatever the file"
            " permissions say.",
            f"aa-status: {profiles[0]}, in enforce mode",
            fix="journalctl -k | grep 'apparmor=\"DENIED\"'",
        )


def _enforced(text: str) -> Iterator[str]:
    """Read `aa-status`: names of Apache's profiles in the sections of enforced profiles."""
    inside = False
    for line in text.split("\n"):
        section = _SECTION.match(line)
        if section is not None:
            inside = section[1] == "profiles" and section[2] in {"enforce", "kill"}
        elif inside and _PROFILE.match(line.strip()):
            yield line.strip()[:200]


def _blocked(text: str) -> Iterator[tuple[str, str, str]]:
    """Read AppArmor's denials in the audit log: profile, path and mask."""
    for line in text.split("\n"):
        match = _DENIED_PROFILE.search(line[:4096])
        if match is not None:
            name, mask = _NAME.search(line), _MASK.search(line)
            yield match[1], name[1] if name else "", mask[1] if mask else "r"

"""Checks of files and directories: who may read the scripts, reach the sockets; what lies where.

Owns the checks file-permissions, socket-prefix, c-extensions and htaccess.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from mod_wsgi_dashboard.apacheconf import directories, logs, machine
from mod_wsgi_dashboard.apacheconf.directives import Directive
from mod_wsgi_dashboard.apacheconf.findings import Finding, error, note, warning
from mod_wsgi_dashboard.apacheconf.system import System
from mod_wsgi_dashboard.apacheconf.topology import GLOBAL, Group, Script

# Who reads what: the path, the account, what it needs there, and what that is for.
_Need = tuple[str, machine.Account, str, str]

# Everybody may write there, on any machine.
_PUBLIC = frozenset({"/tmp", "/var/tmp", "/dev/shm"})

# What is made anew at each boot, by the programs that use it.
_VOLATILE = ("/run/", "/var/run/")

# A .htaccess file of more is none that a person wrote.
HTACCESS_BYTES = 256 * 1024

# Packages of site-packages that are known to need the main interpreter, or to warn without it: those
# built on PyO3 refuse a second interpreter, Cython's and numpy's share state between them.
EXTENSIONS = (
    "numpy",
    "scipy",
    "pandas",
    "sklearn",
    "torch",
    "tensorflow",
    "lxml",
    "cryptography",
    "bcrypt",
    "pydantic_core",
    "orjson",
    "rpds",
    "grpc",
)

# What extension modules say when they refuse or dislike a sub-interpreter.
_REFUSALS = (
    "does not support loading in subinterpreters",
    "PyO3 modules",
    "NumPy was imported from a Python sub-interpreter",
    "Interpreter change detected",
)

# mod_wsgi's directives that a .htaccess may hold; all others it may not (the AP_INIT tables of 4.9.4
# and 6.1.1).
_WSGI_ALLOWED = frozenset(
    {
        "wsgicallableobject",
        "wsgipassauthorization",
        "wsgiscriptreloading",
        "wsgierroroverride",
        "wsgichunkedrequest",
        "wsgimapheadtoget",
        "wsgiignoreactivity",
        "wsgitrustedproxyheaders",
        "wsgitrustedproxies",
        "wsgienablesendfile",
        "wsgiaccessscript",
        "wsgiauthuserscript",
        "wsgiauthgroupscript",
        "wsgigroupauthoritative",
    }
)

# Of other modules, what is near: how a WSGI application or a proxy is set up.
_SERVER_ONLY = frozenset(
    {
        "proxypass",
        "proxypassmatch",
        "proxypassreverse",
        "proxypreservehost",
        "proxyrequests",
        "proxytimeout",
        "balancermember",
        "alias",
        "aliasmatch",
        "scriptalias",
        "scriptaliasmatch",
        "extendedstatus",
        "loadmodule",
        "listen",
        "timeout",
        "documentroot",
        "servername",
        "serveralias",
        "<virtualhost",
        "<directory",
        "<location",
        "<proxy",
    }
)


# Permissions


def file_permissions(system: System) -> Iterator[Finding]:
    """WSGI scripts, and the Python of their group, that can't be read by those who run them."""
    dashboards = {sidecar.script.directive for sidecar in system.sidecars}
    for script in system.scripts:
        if script.directive not in dashboards:  # they have a check of their own
            yield from _unreadable(system, script)


def _unreadable(system: System, script: Script) -> Iterator[Finding]:
    blocks: dict[machine.Block, list[_Need]] = {}
    for need in _needs(system, script):
        block = machine.blocked_at(need[0], need[1], want=need[2])
        if block is not None and not _is_elsewhere(system, need[0], block):
            blocks.setdefault(block, []).append(need)
    for block, needs in blocks.items():
        yield _permission(system, script, block, needs)


def _permission(system: System, script: Script, block: machine.Block, needs: list[_Need]) -> Finding:
    path, _, _, purpose = needs[0]
    if block.reason == "missing":
        return error(
            "file-permissions",
            f"{path} is missing, {purpose}.",
            script.directive.place,
            f"no {block.path}",
            fix=f"Correct the path in {script.directive.name}.",
        )
    names = " and ".join(dict.fromkeys(account.name for _, account, _, _ in needs))
    return error(
        "file-permissions",
        f"{names} can't read {path}, {purpose}: {block.path} is {block.reason}.",
        script.directive.place,
        seen(block),
        fix=_opened(system, script, block),
    )


def _needs(system: System, script: Script) -> Iterator[_Need]:
    path, _, varies = script.path.partition("$")  # WSGIScriptAliasMatch: what the URL chooses
    if not os.path.isabs(path):
        return
    if varies:
        path = os.path.dirname(path)
    is_directory = bool(varies) or path.endswith("/")
    group, is_known = _group(system, script)
    apache = system.apache_account
    mount = f"the WSGI script of {script.alias}" if script.alias is not None else "a script to import"
    reader = system.daemon_account(group) if group is not None else apache
    if reader is not None and is_known:
        yield path, reader, "x" if is_directory else "r", mount
    if apache is not None and script.alias is not None:
        # Apache maps the URL to the file, and looks for .htaccess files beside it.
        yield path if is_directory else os.path.dirname(path), apache, "x", f"where {mount} is"
    home = group.options.get("python-home", "") if group is not None else ""
    if group is not None and reader is not None and os.path.isabs(home):
        yield home, reader, "x", f"the Python of group {group.name}"


def _group(system: System, script: Script) -> tuple[Group | None, bool]:
    """Return the group that runs a script, None in embedded mode, and whether it can be told."""
    name = script.process_group
    if name in (None, "", GLOBAL):
        return None, True
    found = next((group for group in system.groups if group.name == name), None)
    return found, found is not None


def _is_elsewhere(system: System, path: str, block: machine.Block) -> bool:
    """Whether what is missing may be on another machine, which the configuration is written for.

    A file that is missing in a directory that is there was meant for this one.
    """
    return block.reason == "missing" and not system.live and block.path != path


def _opened(system: System, script: Script, block: machine.Block) -> str:
    path = shlex.quote(block.path)
    command = {"not readable": f"chmod o+r {path}", "not a directory": f"ls -l {path}"}.get(
        block.reason, f"chmod o+x {path}"
    )
    group, _ = _group(system, script)
    if group is None or "user" in group.options or block.owner in {"root", ""}:
        return command
    return (
        f"{command}\n# or, for what the group itself reads, run it as the owner:\n"
        f"WSGIDaemonProcess {group.directive.raw} user={block.owner}"
    )


def seen(block: machine.Block) -> str:
    """Return a block as `ls -l` has it: "drwx------ jane /home/jane"."""
    kind = "-" if block.reason == "not readable" else "d"
    return f"{kind}{stat.filemode(block.mode)[1:]} {block.owner} {block.path}"


# Sockets


def socket_prefix(system: System) -> Iterator[Finding]:
    """A directory of sockets that is closed to Apache's user, missing, or open to everybody."""
    directive = system.configuration.server("WSGISocketPrefix")
    directory = _socket_directory(system, directive) if system.groups else None
    if directory is None:
        return
    place = (
        directive.place if directive is not None else "no WSGISocketPrefix: Apache's runtime directory"
    )
    if directory in _PUBLIC or directories.writable_by_all(directory):
        yield warning(
            "socket-prefix",
            f"mod_wsgi's sockets are in {directory}, where everybody may make files.",
            place,
            fix=_elsewhere(),
        )
        return
    account, refused = system.apache_account, _refused(system)
    block = machine.blocked_at(directory, account, want="x") if account is not None else None
    if block is not None and account is not None and _counts(system, directory, block, directive):
        yield _closed(directory, account, block, place, *refused)
    elif refused:
        what = f"Apache's children were refused at mod_wsgi's sockets in {directory}."
        yield error("socket-prefix", what, place, *refused, fix=_elsewhere())


def _closed(
    directory: str, account: machine.Account, block: machine.Block, *evidence: object
) -> Finding:
    if block.reason == "missing":
        return error(
            "socket-prefix",
            f"mod_wsgi's sockets are to be in {directory}, and {block.path} is missing.",
            *evidence,
            f"no {block.path}",
            fix=f"mkdir -p {shlex.quote(directory)}",
        )
    return error(
        "socket-prefix",
        f"{account.name}, Apache's user, can't reach mod_wsgi's sockets in {directory}: {block.path} is"
        f" {block.reason}.",
        *evidence,
        seen(block),
        fix=_elsewhere(),
    )


def _socket_directory(system: System, directive: Directive | None) -> str | None:
    """Return where the sockets are, None if that can't be told."""
    httpd = system.httpd
    if directive is None or not directive.arguments:
        default = system.configuration.server("DefaultRuntimeDir")
        if default is not None and default.arguments and os.path.isabs(default.arguments[0]):
            return os.path.normpath(default.arguments[0])
        return os.path.normpath(httpd.run_dir) if httpd is not None and httpd.run_dir else None
    prefix = directive.arguments[0]
    if not os.path.isabs(prefix):
        # Of a configuration that is judged alone, ServerRoot may be on another machine.
        if not system.live or httpd is None or not httpd.server_root:
            return None
        prefix = os.path.join(httpd.server_root, prefix)
    return os.path.normpath(os.path.dirname(prefix))


def _counts(system: System, directory: str, block: machine.Block, directive: Directive | None) -> bool:
    """Whether a block is a fault: what is made at start may be missing as long as nothing runs."""
    if block.reason != "missing":
        return system.live or directive is not None
    if directive is None or f"{block.path}/".startswith(_VOLATILE):
        return False
    return not _is_elsewhere(system, directory, block)


def _refused(system: System) -> list[str]:
    """Return the last line of the log in which Apache's user was refused at a socket."""
    if not system.live:
        return []
    found = logs.since_start(system.logs).find(
        "(13)Permission denied", "Unable to connect to WSGI daemon"
    )
    return [logs.shown(entry.text) for entry in found[-1:]]


def _elsewhere() -> str:
    # Root alone may write to /var/run, and all may search it.
    return "WSGISocketPrefix /var/run/wsgi"


# Extension modules


def c_extensions(system: System) -> Iterator[Finding]:
    """Applications in a sub-interpreter, with packages that want the main one."""
    lines = _refusals(system)
    told = False
    for script in system.scripts:
        if script.alias is None or script.application_group in (GLOBAL, ""):
            continue
        home, place = _python_home(system, script)
        names = [name for name in EXTENSIONS if name in directories.packages(home)] if home else []
        if not names and not lines:
            continue
        told = True
        yield _sub_interpreter(script, home, names, place, lines)
    if lines and not told:
        yield warning(
            "c-extensions",
            "An extension module complains of the sub-interpreter that it runs in.",
            *lines,
            fix="WSGIApplicationGroup %{GLOBAL}",
        )


def _sub_interpreter(
    script: Script, home: str, names: list[str], place: object, lines: list[str]
) -> Finding:
    what = (
        f"The application at {script.alias} runs in a sub-interpreter"
        f" ({script.application_group or 'no application-group'})"
    )
    what += f", and its Python has {', '.join(names)}." if names else ", and extension modules complain."
    severe = error if lines else warning
    return severe(
        "c-extensions",
        what,
        script.directive.place,
        place,
        f"{home}/lib/python*/site-packages" if names else None,
        *lines,
        fix=_global(script),
    )


def _global(script: Script) -> str:
    raw = script.directive.raw
    if "application-group=" in raw:
        changed = re.sub(
            r"(?i)application-group=(\"[^\"]*\"|\S+)", lambda _: f"application-group={GLOBAL}", raw
        )
        return f"{script.directive.name} {changed}"
    return f"{script.directive.name} {raw} application-group={GLOBAL}"


def _python_home(system: System, script: Script) -> tuple[str, object]:
    """Return the virtual environment of a script, "" where there is none, and what says so."""
    group, _ = _group(system, script)
    if group is not None and group.options.get("python-home"):
        return group.options["python-home"], group.directive.place
    directive = system.configuration.server("WSGIPythonHome")
    if directive is not None and directive.arguments:
        return directive.arguments[0], directive.place
    return "", None


def _refusals(system: System) -> list[str]:
    if not system.live:
        return []
    run = logs.since_start(system.logs)
    found = {text: run.find(text) for text in _REFUSALS}
    return [logs.shown(entries[-1].text) for entries in found.values() if entries]


# .htaccess


def htaccess(system: System) -> Iterator[Finding]:
    """Directives of .htaccess files that only the server's configuration may hold."""
    overrides = _overrides(system)
    walk = directories.Walk()
    for root in _roots(system, overrides):
        for path in walk.named(root, ".htaccess"):
            yield from _misplaced(path, overrides)


def _overrides(system: System) -> dict[str, Directive]:
    """Return AllowOverride by the directory it is for; the last one counts."""
    found = {}
    for directive in system.configuration.find("AllowOverride"):
        section = directive.section
        if section is not None and section.kind == "directory" and len(section.arguments) == 1:
            found[os.path.normpath(section.arguments[0])] = directive
    return found


def _roots(system: System, overrides: dict[str, Directive]) -> list[str]:
    """Return the directories to search: document roots, and where .htaccess files are allowed."""
    roots = [
        os.path.normpath(directive.arguments[0])
        for directive in system.configuration.find("DocumentRoot")
        if directive.arguments
    ]
    roots += [directory for directory, directive in overrides.items() if _allows(directive)]
    return [root for root in dict.fromkeys(roots) if os.path.isabs(root) and root != "/"]


def _allows(directive: Directive | None) -> bool:
    words = [word.lower() for word in directive.arguments] if directive is not None else ["none"]
    return words != ["none"]


def _misplaced(path: str, overrides: dict[str, Directive]) -> Iterator[Finding]:
    text = machine.text_of(Path(path), HTACCESS_BYTES)
    if text is None:
        return
    directory = os.path.dirname(path)
    above = [place for place in overrides if directory == place or directory.startswith(f"{place}/")]
    above += ["/"] if "/" in overrides else []
    allowing = overrides[max(above, key=len)] if above else None
    place = allowing.place if allowing is not None else None
    for line, name in _directives(text):
        if not _is_server_only(name):
            continue
        fix = f"Move {name} from {path} into the server's configuration."
        if _allows(allowing):
            what = f"{path} has {name}, which no .htaccess may hold: all requests there get a 500."
            yield error("htaccess", what, f"{path}:{line}", place, fix=fix)
        else:
            what = f"{path} has {name}, and Apache doesn't read that file: AllowOverride None."
            yield note("htaccess", what, f"{path}:{line}", place, fix=fix)


def _directives(text: str) -> Iterator[tuple[int, str]]:
    """Yield line numbers and names of directives; of one over several lines, the first."""
    continued = False
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split(maxsplit=1)
        if words and not continued and not words[0].startswith("#"):
            yield number, words[0][:80]
        continued = line.rstrip("\r").endswith("\\")


def _is_server_only(name: str) -> bool:
    key = name.lower()
    return (key.startswith("wsgi") and key not in _WSGI_ALLOWED) or key in _SERVER_ONLY

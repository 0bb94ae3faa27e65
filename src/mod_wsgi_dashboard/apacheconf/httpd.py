"""Asks Apache's own programs what they would run with.

Owns the calls of apachectl and httpd, and what their outputs mean. Must not know what a directive means,
nor look at the machine beyond these programs and the files that they name.

Invariants: no call starts, stops or changes a server; each has a time limit and a bound on its output.
What Apache can't say (it refuses its configuration, or there is no mod_info) is read from the files.
Source: https://httpd.apache.org/docs/2.4/programs/httpd.html, and the outputs of Apache 2.4.71.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import selectors
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic

from mod_wsgi_dashboard.apacheconf.directives import (
    Configuration,
    Problem,
    parse_dump,
    place_of,
)
from mod_wsgi_dashboard.apacheconf.files import ASSUMED_MODULES, read_files
from mod_wsgi_dashboard.core.errors import DashboardError

# A configuration test takes 20 ms; with names of virtual hosts that DNS has to look up, seconds.
PROGRAM_SECONDS = 30.0
# The dump of 5,000 virtual hosts has 3 MB.
OUTPUT_BYTES = 16 * 1024 * 1024
# As much of an apachectl as is looked at for -f and -D.
SCRIPT_BYTES = 64 * 1024
MAX_MESSAGES = 200

PROGRAMS = ("apachectl", "apache2ctl", "httpd", "apache2")
DIRECTORIES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/apache2/bin")
# Where distributions put modules: Debian, Red Hat, SUSE and Alpine, macOS, FreeBSD, httpd's own layout.
MODULE_DIRECTORIES = (
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib64/apache2",
    "/usr/lib/apache2",
    "/usr/libexec/apache2",
    "/usr/local/libexec/apache24",
    "/usr/local/apache2/modules",
)

_DUMPS = ("DUMP_INCLUDES", "DUMP_CONFIG", "DUMP_RUN_CFG", "DUMP_MODULES")
_MODULE = re.compile(r"^ (\w+)_module \((static|shared)\)$", re.MULTILINE)
_SYNTAX_ERROR = re.compile(r"Syntax error on line (\d+) of (.+?):(?: |$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Lines that are no news: the end of a good test, and our own mod_info beside the site's.
_SILENT = ("Syntax OK", "info_module is already loaded")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Httpd:
    """Hold what Apache says about itself; None is "not known".

    `syntax_ok` is False without a `syntax_error` where only a part of a configuration was given, which
    can't be tested by itself. `error_log` is the main server's, a path, "|program" or "syslog".
    """

    command: tuple[str, ...]
    version: tuple[int, int, int] | None = None
    mpm: str | None = None
    server_root: str | None = None
    config_file: str | None = None
    user: str | None = None
    group: str | None = None
    run_dir: str | None = None
    pid_file: str | None = None
    error_log: str | None = None
    syntax_ok: bool = False
    messages: tuple[str, ...] = ()
    syntax_error: Problem | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Output:
    text: str
    messages: tuple[str, ...]  # the lines of stderr
    status: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """How to call Apache, and what it was built with (-V)."""

    command: tuple[str, ...]
    arguments: tuple[str, ...]  # before all others
    environ: Mapping[str, str]
    version: tuple[int, int, int] | None
    mpm: str | None
    root: str | None
    config: str | None


def find_apachectl(path: str | None = None) -> tuple[str, ...] | None:
    """Return the command that runs Apache's control program: `path`, else the first that is installed.

    Raises:
        DashboardError: the path that was given is not a program that can be run.
    """
    if path is not None:
        found = shutil.which(path)
        if found is None:
            wrong = "is not executable" if os.path.exists(path) else "is not there"
            raise DashboardError(
                f"{_shown(path)} {wrong}: give --apachectl the path of apachectl or httpd."
            )
        return (os.path.abspath(found),)
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *DIRECTORIES))
    installed = (shutil.which(name, path=places) for name in PROGRAMS)
    return next(((found,) for found in installed if found), None)


def read_httpd(
    apachectl: str | None = None, config: Path | None = None
) -> tuple[Httpd | None, Configuration | None]:
    """Ask Apache what it would run with: its own configuration, or the file `config`.

    Without an Apache the first is None; the second, too, unless `config` says what to read. With a
    syntax error, or a `config` that is only a part, the configuration is read from the files.

    Raises:
        DashboardError: the program that was named can't be run, or isn't Apache's; or it hangs.
    """
    if config is not None:
        config = Path(os.path.abspath(config))
        if not config.is_file():
            raise DashboardError(
                f"{_shown(str(config))} is not a file: give the path of a configuration."
            )
    command = find_apachectl(apachectl)
    program = _program(command, config) if command else None
    if program is None and apachectl is not None:
        raise DashboardError(f"{_shown(apachectl)} is not Apache's: its answer to -V names no version.")
    if program is None:
        return None, read_files(config, environ=_envvars(config)) if config else None
    return _read(program, config)


# Which program


def _program(command: tuple[str, ...], config: Path | None) -> _Program | None:
    """Return how to call Apache, or None if this program isn't Apache's."""
    arguments = ("-f", str(config)) if config else ()
    environ = dict(os.environ)
    if config and _is_debians(config):
        # What Debian's apachectl does with APACHE_CONFDIR, and makes of it.
        environ["APACHE_CONFDIR"] = str(config.parent)
        arguments = ("-d", str(config.parent), *arguments)
    # The define means nothing: Red Hat's apachectl says only of a second argument that it takes none.
    output = _run((*command, *arguments, "-D", "DUMP_VERSION", "-V"), environ)
    if "no longer supported" in output.text + " ".join(output.messages):
        beside = os.path.join(os.path.dirname(command[0]), "httpd")
        found = beside if os.access(beside, os.X_OK) else shutil.which("httpd")
        return _program((found,), config) if found and (found,) != command else None
    version = re.search(r"^Server version: \S*?/(\d+)\.(\d+)\.(\d+)", output.text, re.MULTILINE)
    if version is None:
        return None
    root = _first(r' -D HTTPD_ROOT="([^"\n]*)"', output.text)
    file = _first(r' -D SERVER_CONFIG_FILE="([^"\n]*)"', output.text)
    default = os.path.join(root or "/", file) if file else None
    if _is_binary(command[0]):
        # What Debian's apachectl would have done.
        environ |= _envvars(config or Path(default or "/"))
    return _Program(
        command=command,
        arguments=arguments,
        environ=environ,
        version=(int(version[1]), int(version[2]), int(version[3])),
        mpm=_first(r"^Server MPM: +(\w+)", output.text),
        root=root,
        config=str(config) if config else default,
    )


def _is_debians(config: Path) -> bool:
    """Return whether this is Debian's layout, in which the file's directory is the ServerRoot."""
    return (config.parent / "envvars").is_file()


def _is_binary(path: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(2) != b"#!"
    return False


def _envvars(config: Path) -> dict[str, str]:
    """Return what Debian's envvars file beside the configuration sets; a shell has to read it."""
    if not _is_debians(config):
        return {}
    file = config.parent / "envvars"
    script = '. "$1" >/dev/null && env'
    output = _run(("/bin/sh", "-c", script, "sh", str(file)), os.environ)
    pairs = (line.partition("=") for line in output.text.splitlines() if "=" in line)
    values = {name: value for name, _, value in pairs}
    return {name: value for name, value in values.items() if os.environ.get(name) != value}


# What it says


def _read(program: _Program, config: Path | None) -> tuple[Httpd, Configuration]:
    output = _dumped(program)
    httpd = _httpd(program, output)
    if config and httpd.syntax_error and any("AH00534" in line for line in output.messages):
        # No MPM: Apache's main file is not this one, which some other file includes.
        httpd = dataclasses.replace(httpd, config_file=str(config), messages=(), syntax_error=None)
        return httpd, _part(program, config)
    modules = dict(_MODULE.findall(output.text))
    defines = dict(_defines(output.text))
    static = [name for name, how in modules.items() if how == "static"]
    files = _files(program, httpd, static, defines)
    httpd = _completed(httpd, files)
    if not modules:
        return httpd, files
    if "info" not in files.modules:
        modules.pop("info", None)  # ours
    dump = parse_dump(output.text)
    read = dump if dump.directives else files
    return httpd, dataclasses.replace(read, modules=frozenset(modules), defines=defines)


def _dumped(program: _Program) -> _Output:
    """Return all dumps; that of the configuration only where a mod_info fits this Apache."""
    dumps = [word for name in _DUMPS for word in ("-D", name)]
    call = (*program.command, *program.arguments, "-t", *dumps)
    for module in _mod_infos(program):
        # A form feed is a blank for Apache, and none for the shell: mod_wsgi-express's apachectl would
        # split the argument at blanks.
        load = f"LoadModule\finfo_module\f{module}"
        output = _run((*call, "-c", load), program.environ)
        if not any("-C/-c directive" in line for line in output.messages):
            return output
    return _run(call, program.environ)


def _mod_infos(program: _Program) -> Iterator[str]:
    """Yield the paths of the mod_info that may fit: Apache's own directory first."""
    directories = (os.path.join(program.root or "/", "modules"), *MODULE_DIRECTORIES)
    files = (os.path.join(directory, "mod_info.so") for directory in directories)
    # A blank or a quote would make more words of it.
    found = [file for file in files if os.path.isfile(file) and not re.search(r"[\s\"'\\]", file)]
    yield from dict.fromkeys(os.path.realpath(file) for file in found)


def _httpd(program: _Program, output: _Output) -> Httpd:
    text = output.text
    error = _error(output)
    file = _first(r"^ +\(\*\) (.+)$", text) or program.config
    root = os.path.dirname(file) if file and _is_debians(Path(file)) else program.root
    return Httpd(
        command=program.command,
        version=program.version,
        mpm=_mpm(dict(_MODULE.findall(text))) or program.mpm,
        server_root=_first(r'^ServerRoot: "(.*)"$', text) or root,
        config_file=file,
        user=_account(_first(r'^User: name="(.*)" id=', text)),
        group=_account(_first(r'^Group: name="(.*)" id=', text)),
        # That of all mutexes, unless a Mutex directive says otherwise.
        run_dir=_first(r'^Mutex default: dir="(.+?)/*" mechanism=default', text),
        pid_file=_first(r'^PidFile: "(.*)"$', text),
        error_log=_first(r'^Main ErrorLog: "(.*)"$', text),
        syntax_ok=error is None,
        messages=tuple(line for line in output.messages if not any(one in line for one in _SILENT)),
        syntax_error=error,
    )


def _error(output: _Output) -> Problem | None:
    """Return what the test failed on; the place is that in the innermost of files that include it."""
    if output.status == 0:
        return None
    messages = [line for line in output.messages if "AH00014" not in line]
    for number, line in enumerate(messages):
        found = list(_SYNTAX_ERROR.finditer(line))
        if found:
            message = line[found[-1].end() :] or " ".join(messages[number + 1 : number + 2])
            return Problem(message, place_of(found[-1][2], int(found[-1][1])))
    return Problem(messages[-1] if messages else f"Apache ended with status {output.status}")


def _defines(text: str) -> Iterator[tuple[str, str]]:
    for define in re.findall(r"^Define: (.+)$", text, re.MULTILINE):
        name, _, value = define.partition("=")
        if name not in _DUMPS:
            yield name, value


def _mpm(modules: Iterable[str]) -> str | None:
    return next((name.removeprefix("mpm_") for name in modules if name.startswith("mpm_")), None)


def _account(name: str | None) -> str | None:
    # "#-1" is Apache's own default, which no server can run as.
    return None if name == "#-1" else name


# What the files say, where Apache doesn't


def _files(
    program: _Program, httpd: Httpd, static: Iterable[str], defines: Mapping[str, str]
) -> Configuration:
    """Read the files; `static` and `defines` are those that Apache has in the end, if it said so."""
    if httpd.config_file is None:
        return Configuration()
    file = Path(httpd.config_file)
    environ = {**_envvars(file), **program.environ}

    def read(first: Mapping[str, str]) -> Configuration:
        # LoadModule and Define are followed, so that conditions before them hold as for Apache.
        return read_files(
            file,
            server_root=httpd.server_root,
            modules=static,
            defines=first,
            version=httpd.version,
            environ=environ,
        )

    options = _script_defines(program.command[0])
    files = read(options)
    # What no file defines was given as -D to Apache, somehow.
    missing = {name: value for name, value in defines.items() if name not in files.defines}
    return read({**options, **missing}) if missing else files


def _completed(httpd: Httpd, files: Configuration) -> Httpd:
    """Add what Apache didn't say: all but DefaultRuntimeDir only where it refused the configuration."""

    def value(name: str) -> str | None:
        directive = files.server(name)
        return directive.arguments[0] if directive and directive.arguments else None

    def path(name: str) -> str | None:
        text = value(name)
        if not text or text.startswith(("|", "syslog")):
            return text
        return os.path.normpath(os.path.join(root or "/", text))

    refused = httpd.user is None
    root = (value("ServerRoot") if refused else None) or httpd.server_root
    return dataclasses.replace(
        httpd,
        mpm=httpd.mpm or _mpm(files.modules),
        server_root=root,
        user=httpd.user or value("User"),
        group=httpd.group or value("Group"),
        run_dir=path("DefaultRuntimeDir") or httpd.run_dir,
        pid_file=httpd.pid_file or path("PidFile"),
        error_log=httpd.error_log or path("ErrorLog"),
    )


def _part(program: _Program, config: Path) -> Configuration:
    """Read a file that is only a part of a configuration, as if all were loaded that there is."""
    names = {
        re.sub(r"^mod_|\.so$", "", name)
        for module in _mod_infos(program)
        for name in os.listdir(os.path.dirname(module))
    }
    usual = {name for name in names if not name.startswith("mpm_")}
    environ = {**_envvars(config), **program.environ}
    return read_files(
        config,
        server_root=program.root,
        modules=usual | ASSUMED_MODULES,
        version=program.version,
        environ=environ,
    )


def _script_defines(path: str) -> dict[str, str]:
    """Return the `-D` of an apachectl that is a script: those of mod_wsgi-express's stand in it."""
    if _is_binary(path):
        return {}
    with contextlib.suppress(OSError), open(path, errors="backslashreplace") as file:
        return dict.fromkeys(re.findall(r"\s-D(\w+)", file.read(SCRIPT_BYTES)), "")
    return {}


# Running a program


def _run(command: tuple[str, ...], environ: Mapping[str, str]) -> _Output:
    """Run a program to its end, without input or terminal; kill it and its children if it hangs."""
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,  # Apache may ask for the passphrase of a key
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise DashboardError(f"{_shown(command[0])} can't be run: {error.strerror}.") from None
    with process:
        try:
            out, err = _collected(process)
            status = process.wait(PROGRAM_SECONDS)
        except (subprocess.TimeoutExpired, _Unbounded) as error:
            raise DashboardError(f"{_shown(command[0])} was stopped: {error}.") from None
        finally:
            if process.returncode is None:  # not waited for: the number is still its own
                os.killpg(process.pid, signal.SIGKILL)
    messages = [_CONTROL.sub("?", line) for line in err.split("\n") if line.strip()]
    return _Output(out, tuple(messages[:MAX_MESSAGES]), status)


class _Unbounded(Exception):
    """A program takes too long, or says too much."""


def _collected(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Return what the program writes to stdout and stderr until it closes both."""
    assert process.stdout is not None
    assert process.stderr is not None
    texts = {process.stdout: bytearray(), process.stderr: bytearray()}
    end = monotonic() + PROGRAM_SECONDS
    with selectors.DefaultSelector() as selector:
        for pipe in texts:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - monotonic()))
            if not ready:
                raise _Unbounded(f"it doesn't end within {PROGRAM_SECONDS:g} s")
            for key, _events in ready:
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                text = texts[process.stdout if key.fileobj is process.stdout else process.stderr]
                text += data
                if len(text) > OUTPUT_BYTES:
                    raise _Unbounded(f"it wrote over {OUTPUT_BYTES:,} bytes")
    out, err = (text.decode("utf-8", "backslashreplace") for text in texts.values())
    return out, err


def _first(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else None


def _shown(text: str) -> str:
    return _CONTROL.sub("?", text)[:200]

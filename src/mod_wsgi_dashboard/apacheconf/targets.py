"""Where a configuration goes: the files of each target, and the commands that put them to work.

Owns the places and habits of Debian, of Red Hat and its kin, and of mod_wsgi-express. Pure: it names
files, writer.py writes them. The text of the configuration is render.py's.

SELinux: types and booleans are those of Fedora's policy (selinux-policy, apache.te and apache.fc),
where `/run/mod_.*` is httpd_var_run_t already, httpd_t may bind to ports of type http_port_t, and write
and map files of type httpd_var_lib_t, which var_lib_t doesn't let it. They were read there, not tried.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from mod_wsgi_dashboard.apacheconf.choices import Choices
from mod_wsgi_dashboard.apacheconf.lines import comment
from mod_wsgi_dashboard.apacheconf.render import (
    DEBIAN_STOCK,
    access_lines,
    members,
    modules,
    nokeepalive,
    render,
)
from mod_wsgi_dashboard.apacheconf.state_directory import MODE, VARIABLE
from mod_wsgi_dashboard.settings import TcpAddress, UnixAddress

NAME = "mod_wsgi-dashboard"

# The workers of a mod_wsgi-express that is told nothing else: 10 + max(10, 1.5 x 5 threads).
EXPRESS_WORKERS = 20


@dataclass(frozen=True, slots=True)
class File:
    """A file to be there: its absolute path on the server, and its text."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The files of a configuration, and the commands to run then, one a line."""

    files: tuple[File, ...]
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where a distribution has what, and how it calls it."""

    script: str
    mount_file: str
    vhost_file: str
    service: str
    user: str
    group: str
    certificates: str


DISTRIBUTIONS = {
    "debian": Distribution(
        script=f"/etc/apache2/{NAME}.py",
        mount_file=f"/etc/apache2/conf-available/{NAME}.conf",
        vhost_file=f"/etc/apache2/sites-available/{NAME}.conf",
        service="apache2",
        user="www-data",
        group="www-data",
        certificates="/etc/ssl/certs/ca-certificates.crt",
    ),
    "rhel": Distribution(
        script=f"/etc/httpd/{NAME}.py",
        mount_file=f"/etc/httpd/conf.d/{NAME}.conf",
        vhost_file=f"/etc/httpd/conf.d/{NAME}.conf",
        service="httpd",
        user="apache",
        group="apache",
        certificates="/etc/pki/tls/certs/ca-bundle.crt",
    ),
}


def plan(choices: Choices) -> Plan:
    """Return the files and commands for the targets debian and rhel."""
    return Plan(tuple(_files(choices)), tuple(_commands(choices)))


def service_script(choices: Choices) -> str:
    """Return the text of a service script with these settings."""
    lines = [
        '"""The service script of the dashboard. A setting here wins over the environment."""',
        "",
        "from mod_wsgi_dashboard.service import run",
        "",
    ]
    chosen = choices.settings
    if not chosen:
        return "\n".join([*lines, "run()", ""])
    lines.append("run(")
    for name, value in chosen.items():
        if name == "max_request_workers":
            lines.append("    # As in Apache's configuration: mod_wsgi can't tell. Keep them equal.")
        lines.append(f"    {name}={_literal(value)},")
    return "\n".join([*lines, ")", ""])


def makes_directory(choices: Choices) -> bool:
    """Return whether the plan sees to the directory of the socket."""
    return choices.target in DISTRIBUTIONS and _run_directory(choices) is not None


def makes_state_directory(choices: Choices) -> bool:
    """Return whether the plan sees to the directory of the recording."""
    return choices.target in DISTRIBUTIONS and _state_directory(choices) is not None


def express(choices: Choices) -> str:
    """Return a shell script that starts mod_wsgi-express with the dashboard."""
    location = _express_modules(choices)
    location.append(f'<Location "{choices.mount}">')
    location += [f"    {line}" for line in nokeepalive()]
    location += [f"    {line}" for line in access_lines(choices.access)]
    location.append("</Location>")
    if choices.tls is not None:
        bare = choices.prefix.replace(".", r"\.")
        location = [
            *comment(
                "mod_wsgi-express itself would send https:// visitors of the bare path to http://."
            ),
            f'RedirectMatch 301 "^{bare}$" "{choices.mount}"',
            *location,
        ]
    # Nothing in these values needs quotes: numbers, and paths of few kinds of characters.
    environment = [f"export {setting}" for setting in choices.environment]
    if choices.records_in is not None and choices.state_dir is None:
        environment += comment(
            f"The dashboard records below ~/.local/state of its user, or in /var/tmp. {VARIABLE} names"
            " another directory."
        )
    return "\n".join(
        [
            "#!/bin/sh",
            *comment(f"An application under mod_wsgi-express, with the dashboard at {choices.mount}."),
            *comment("wsgi.py is yours; further options of mod_wsgi-express may follow this script."),
            *comment("One older than 6 may not pass WebSockets on: the page then polls."),
            "set -eu",
            "",
            *comment("mod_wsgi-express has no option for access rules, but takes a file of directives."),
            f"cat >{NAME}.conf <<'END'",
            *location,
            "END",
            "",
            *([*environment, ""] if environment else []),
            " \\\n    ".join(["exec mod_wsgi-express start-server wsgi.py", *_express_options(choices)]),
            "",
        ]
    )


def _express_options(choices: Choices) -> Iterator[str]:
    (member,) = members(choices)
    url = f"unix:{member.socket}|{member.url}/" if member.socket else f"{member.url}/"
    # The built-in locale, en_US.UTF-8, is absent from small systems.
    yield "--locale C.UTF-8"
    yield "--server-metrics"
    yield f"--service-script dashboard {shlex.quote(choices.script)}"
    yield f"--proxy-mount-point {choices.mount} {shlex.quote(url)}"
    yield f'--include-file "$PWD/{NAME}.conf"'
    if choices.viewers is not None:
        yield f"--max-clients {EXPRESS_WORKERS + choices.viewers}"
    if choices.tls is not None:
        yield f"--server-name {choices.server_name}"
        yield f"--https-port {choices.port}"
        yield f"--ssl-certificate-file {shlex.quote(choices.tls.certificate)}"
        yield f"--ssl-certificate-key-file {shlex.quote(choices.tls.key)}"
    if choices.user:
        yield f"--user {shlex.quote(choices.user)}"
    if choices.group:
        yield f"--group {shlex.quote(choices.group)}"
    yield '"$@"'


def _express_modules(choices: Choices) -> list[str]:
    """Return LoadModule directives for what mod_wsgi-express loads with options of its own alone."""
    lines = []
    for name in ("auth_basic", "authn_file", "authz_user") if choices.access.kind == "basic" else ():
        lines += [
            f"<IfModule !{name}_module>",
            f"    LoadModule {name}_module '${{MOD_WSGI_MODULES_DIRECTORY}}/mod_{name}.so'",
            "</IfModule>",
        ]
    return lines


def express_workers(viewers: int) -> int:
    """Return the MaxRequestWorkers that mod_wsgi-express makes of --max-clients for these viewers."""
    clients = EXPRESS_WORKERS + viewers
    threads = clients // (clients // 20 + 1) if clients > 20 else 10
    return -(-clients // threads) * threads


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _files(choices: Choices) -> Iterator[File]:
    place = DISTRIBUTIONS[choices.target]
    own = choices.server_name is not None
    yield File(place.vhost_file if own else place.mount_file, render(choices))
    if choices.listen is None:
        return
    if choices.script_kind == "written":
        yield File(choices.script, service_script(choices))
    elif choices.settings:
        yield File(f"/etc/systemd/system/{place.service}.service.d/{NAME}.conf", _drop_in(choices))
    directories = list(_directories(choices))
    if directories:
        yield File(f"/etc/tmpfiles.d/{NAME}.conf", "\n".join([*directories, ""]))


def _directories(choices: Choices) -> Iterator[str]:
    """Yield the lines of tmpfiles.d that make the dashboard's directories."""
    place = DISTRIBUTIONS[choices.target]
    user, group = choices.user or place.user, choices.group or place.group
    account = f"{user.lstrip('#')} {group.lstrip('#')}"
    run, state = _run_directory(choices), _state_directory(choices)
    if run is not None:
        yield from comment(
            "/run is empty after a boot. The dashboard makes its socket here; Apache's group connects."
        )
        yield f"d {run} 0750 {account}"
    if state is not None:
        yield from comment(
            "The dashboard records here what each worker does. No age: it keeps to its bounds itself"
            " (record_bytes)."
        )
        yield f"d {state} {MODE} {account} -"


def _drop_in(choices: Choices) -> str:
    lines = comment("Settings of the dashboard, for a service script that doesn't set them itself.")
    lines.append("[Service]")
    lines += [f'Environment="{setting}"' for setting in choices.environment]
    return "\n".join([*lines, ""])


def _state_directory(choices: Choices) -> str | None:
    """Return the directory of the recording, if it is the dashboard's own by its name."""
    directory = choices.records_in
    return directory if directory is not None and _is_own(directory) else None


def _is_own(directory: str) -> bool:
    """Return whether a directory is the dashboard's by its name.

    systemd-tmpfiles would change the owner of somebody else's directory, too.
    """
    return "dashboard" in directory.rpartition("/")[2]


def _run_directory(choices: Choices) -> str | None:
    """Return the socket's directory, if it is below /run and the dashboard's own by its name."""
    if not isinstance(choices.listen, UnixAddress):
        return None
    directory = choices.listen.path.rpartition("/")[0]
    return directory if _is_own(directory) and directory.startswith(("/run/", "/var/run/")) else None


def _commands(choices: Choices) -> Iterator[str]:
    place = DISTRIBUTIONS[choices.target]
    yield from _modules(choices)
    if choices.target == "rhel":
        yield from _selinux(choices)
    if _run_directory(choices) is not None or _state_directory(choices) is not None:
        yield f"systemd-tmpfiles --create /etc/tmpfiles.d/{NAME}.conf"
    if choices.target == "rhel" and choices.records_in is not None:
        yield f"restorecon -R {choices.records_in}"
    if choices.script_kind != "written" and choices.settings:
        yield "systemctl daemon-reload"
    if choices.target == "debian":
        yield f"a2ensite {NAME}" if choices.server_name is not None else f"a2enconf {NAME}"
    # A reload doesn't do: a new environment, module or ServerLimit needs a restart.
    yield f"apachectl configtest && systemctl restart {place.service}"


def _modules(choices: Choices) -> Iterator[str]:
    needed = modules(choices)
    if choices.target == "debian":
        if choices.listen is not None:
            yield "apt-get install libapache2-mod-wsgi-py3    # or a mod_wsgi of your own"
        yield "a2enmod " + " ".join(name for name in needed if name not in DEBIAN_STOCK)
        return
    packages = ["python3-mod_wsgi"] if choices.listen is not None else []
    packages += ["mod_ssl"] if "ssl" in needed else []
    if packages:
        yield f"dnf install {' '.join(packages)}"


def _selinux(choices: Choices) -> Iterator[str]:
    """Yield the commands that let httpd_t do what the configuration asks of it."""
    if isinstance(choices.listen, TcpAddress):
        yield f"semanage port -a -t http_port_t -p tcp {choices.listen.port}"
    if any(member.socket is None and not member.tls for member in choices.members):
        yield "setsebool -P httpd_can_network_connect on    # ports of other machines"
    elif isinstance(choices.listen, TcpAddress) or choices.members:
        yield "setsebool -P httpd_can_network_relay on"
    if isinstance(choices.listen, UnixAddress):
        directory = choices.listen.path.rpartition("/")[0]
        if not directory.startswith("/run/"):
            yield f"semanage fcontext -a -t httpd_var_run_t '{directory}(/.*)?' && mkdir -p {directory}"
            yield f"restorecon -R {directory}"
        elif not directory.startswith(("/run/mod_", "/run/httpd")):
            yield "# SELinux has labels for Apache in /run/mod_* and /run/httpd*: put the socket there"
    if choices.records_in is not None:
        yield f"semanage fcontext -a -t httpd_var_lib_t '{choices.records_in}(/.*)?'"
    if choices.listen is not None:
        home = choices.python_home.rstrip("/")
        if not home.startswith(("/opt/", "/usr/")):
            pattern = shlex.quote(f"{home}/lib(64)?(/.*)?")
            yield f"semanage fcontext -a -t lib_t {pattern}"
        yield f"restorecon -R {shlex.quote(home)}"

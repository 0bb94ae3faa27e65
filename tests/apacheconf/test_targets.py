"""The files and commands of each target."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

import pytest

from mod_wsgi_dashboard.apacheconf.choices import Access, Choices, Member, Tls
from mod_wsgi_dashboard.apacheconf.state_directory import DIRECTORY
from mod_wsgi_dashboard.apacheconf.targets import express, express_workers, plan, service_script
from mod_wsgi_dashboard.recorder import SYSTEM_DIRECTORY
from mod_wsgi_dashboard.settings import TcpAddress, UnixAddress

SOCKET = UnixAddress("/run/mod_wsgi-dashboard/dashboard.sock")
DEBIAN = Choices(target="debian", script="/etc/apache2/mod_wsgi-dashboard.py", script_kind="written")
RHEL = Choices(target="rhel", script="/etc/httpd/mod_wsgi-dashboard.py", script_kind="written")
OWN = {"server_name": "a.example", "mount": "/", "port": 443, "tls": Tls("/c", "/k")}


def texts(choices: Choices) -> dict[str, str]:
    """Return the text of each file of a plan, by its path."""
    return {file.path: file.text for file in plan(choices).files}


TMPFILES = "/etc/tmpfiles.d/mod_wsgi-dashboard.conf"


def made_at_boot(choices: Choices) -> list[str]:
    """Return the lines of tmpfiles.d, without the comments."""
    return [line for line in texts(choices)[TMPFILES].splitlines() if not line.startswith("#")]


def test_debian() -> None:
    """A mount is a conf, with its script beside Apache's files, and is enabled as Debian does."""
    assert list(texts(DEBIAN)) == [
        "/etc/apache2/conf-available/mod_wsgi-dashboard.conf",
        "/etc/apache2/mod_wsgi-dashboard.py",
        "/etc/tmpfiles.d/mod_wsgi-dashboard.conf",
    ]
    assert plan(DEBIAN).commands[1:] == (
        "a2enmod headers proxy proxy_http wsgi",
        "systemd-tmpfiles --create /etc/tmpfiles.d/mod_wsgi-dashboard.conf",
        "a2enconf mod_wsgi-dashboard",
        "apachectl configtest && systemctl restart apache2",
    )


def test_debian_virtual_host() -> None:
    """A virtual host of its own is a site."""
    made = plan(dataclasses.replace(DEBIAN, **OWN))
    assert made.files[0].path == "/etc/apache2/sites-available/mod_wsgi-dashboard.conf"
    assert "a2ensite mod_wsgi-dashboard" in made.commands
    assert "a2enmod headers proxy proxy_http ssl wsgi" in made.commands


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        (DEBIAN, "d /run/mod_wsgi-dashboard 0750 www-data www-data"),
        (RHEL, "d /run/mod_wsgi-dashboard 0750 apache apache"),
        (
            dataclasses.replace(DEBIAN, user="ops", group="web"),
            "d /run/mod_wsgi-dashboard 0750 ops web",
        ),
    ],
)
def test_the_directory_of_a_socket(choices: Choices, line: str) -> None:
    """Below /run it is made at each boot, writable for the dashboard and closed to everyone else."""
    choices = dataclasses.replace(choices, listen=SOCKET)
    assert [line] == [one for one in made_at_boot(choices) if "/run/" in one]
    assert f"systemd-tmpfiles --create {TMPFILES}" in plan(choices).commands
    for socket in ("/srv/dashboard/d.sock", "/run/systemd/d.sock"):
        others = made_at_boot(dataclasses.replace(choices, listen=UnixAddress(socket)))
        assert [] == [one for one in others if "/var/lib/" not in one]


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        (DEBIAN, "d /var/lib/mod_wsgi-dashboard 0700 www-data www-data -"),
        (RHEL, "d /var/lib/mod_wsgi-dashboard 0700 apache apache -"),
        (
            dataclasses.replace(DEBIAN, user="#1001", record="states"),
            "d /var/lib/mod_wsgi-dashboard 0700 1001 www-data -",
        ),
        (
            dataclasses.replace(RHEL, state_dir="/srv/my-dashboard", user="ops", group="web"),
            "d /srv/my-dashboard 0700 ops web -",
        ),
    ],
)
def test_the_directory_of_the_recording(choices: Choices, line: str) -> None:
    """It is made, open to the dashboard's user alone, and nothing is tidied away in it."""
    assert [line] == made_at_boot(choices)
    assert f"systemd-tmpfiles --create {TMPFILES}" in plan(choices).commands


@pytest.mark.parametrize(
    "changes",
    [
        {"record": "off"},
        {"state_dir": "/srv/everybody"},
        {"listen": None, "members": (Member("http://10.0.0.2:8765"),)},
    ],
    ids=["off", "another's by its name", "no dashboard"],
)
def test_no_directory_of_a_recording(changes: dict[str, Any]) -> None:
    """Where nothing is recorded, or in what may be somebody else's, none is made and none is owned."""
    made = plan(dataclasses.replace(DEBIAN, **changes))
    assert TMPFILES not in [file.path for file in made.files]
    assert not any("tmpfiles" in command for command in made.commands)


def test_the_recorder_takes_what_is_made() -> None:
    """The directory is the one that the recorder looks for."""
    assert str(SYSTEM_DIRECTORY) == DIRECTORY


def test_a_script_of_ones_own_gets_its_settings_by_the_environment() -> None:
    """Apache's unit has them then, since nobody writes into that script."""
    choices = dataclasses.replace(DEBIAN, script="/srv/own.py", script_kind="own", listen=SOCKET)
    files = texts(choices)
    drop_in = files["/etc/systemd/system/apache2.service.d/mod_wsgi-dashboard.conf"]
    assert f'Environment="MOD_WSGI_DASHBOARD_LISTEN={SOCKET}"' in drop_in.splitlines()
    assert "systemctl daemon-reload" in plan(choices).commands
    assert "/srv/own.py" not in files
    assert "/srv/own.py" in files["/etc/apache2/conf-available/mod_wsgi-dashboard.conf"]


def test_a_front_alone_has_no_script() -> None:
    """Where Apache has no dashboard of its own there is neither script nor directory for it."""
    choices = dataclasses.replace(DEBIAN, listen=None, members=(Member("http://10.0.0.2:8765"),))
    assert 1 == len(plan(choices).files)
    assert not any("wsgi-py3" in command or "wsgi," in command for command in plan(choices).commands)


SELINUX = ("semanage", "setsebool", "restorecon")
LABEL = "semanage fcontext -a -t httpd_var_lib_t '/var/lib/mod_wsgi-dashboard(/.*)?'"
LABELLED = "restorecon -R /var/lib/mod_wsgi-dashboard"


@pytest.mark.parametrize(
    ("changes", "commands"),
    [
        (
            {"listen": TcpAddress("127.0.0.1", 9000)},
            [
                "semanage port -a -t http_port_t -p tcp 9000",
                "setsebool -P httpd_can_network_relay on",
                LABEL,
                "restorecon -R /opt/mod_wsgi-dashboard",
                LABELLED,
            ],
        ),
        ({"listen": SOCKET}, [LABEL, "restorecon -R /opt/mod_wsgi-dashboard", LABELLED]),
        (
            {"listen": UnixAddress("/run/web/d.sock"), "record": "off"},
            ["restorecon -R /opt/mod_wsgi-dashboard"],
        ),
        (
            {
                "listen": UnixAddress("/srv/x/d.sock"),
                "python_home": "/srv/v env",
                "state_dir": "/srv/dashboard",
            },
            [
                "semanage fcontext -a -t httpd_var_run_t '/srv/x(/.*)?' && mkdir -p /srv/x",
                "restorecon -R /srv/x",
                "semanage fcontext -a -t httpd_var_lib_t '/srv/dashboard(/.*)?'",
                "semanage fcontext -a -t lib_t '/srv/v env/lib(64)?(/.*)?'",
                "restorecon -R '/srv/v env'",
                "restorecon -R /srv/dashboard",
            ],
        ),
        (
            {"listen": None, "members": (Member("http://10.0.0.2:8765"),)},
            ["setsebool -P httpd_can_network_connect on    # ports of other machines"],
        ),
        (
            {"listen": None, "members": (Member("https://h2/metrics"),), "backend_ca": "/ca"},
            ["setsebool -P httpd_can_network_relay on"],
        ),
    ],
)
def test_selinux(changes: dict[str, object], commands: list[str]) -> None:
    """Red Hat is told of ports, sockets and libraries that its policy doesn't expect."""
    made = plan(dataclasses.replace(RHEL, **changes))  # type: ignore[arg-type]
    assert commands == [command for command in made.commands if command.startswith(SELINUX)]
    hint = any(command.startswith("# SELinux") for command in made.commands)
    assert hint is ("/run/web" in str(changes))


def test_rhel() -> None:
    """Everything is in conf.d, and TLS needs a package."""
    made = plan(dataclasses.replace(RHEL, **OWN))
    assert made.files[0].path == "/etc/httpd/conf.d/mod_wsgi-dashboard.conf"
    assert made.commands[0] == "dnf install python3-mod_wsgi mod_ssl"
    assert made.commands[-1] == "apachectl configtest && systemctl restart httpd"


@pytest.mark.parametrize(
    "choices",
    [
        DEBIAN,
        dataclasses.replace(DEBIAN, listen=SOCKET, max_request_workers=425, viewers=20),
        dataclasses.replace(DEBIAN, record="states", state_dir="/srv/dashboard"),
    ],
)
def test_a_script_has_the_settings(choices: Choices, monkeypatch: pytest.MonkeyPatch) -> None:
    """It calls run() with them and with nothing else."""
    calls: list[dict[str, object]] = []
    monkeypatch.setattr("mod_wsgi_dashboard.service.run", lambda **settings: calls.append(settings))
    exec(compile(service_script(choices), "dashboard.py", "exec"), {"__name__": "_mod_wsgi_x"})
    assert [choices.settings] == calls


@pytest.mark.parametrize(("viewers", "workers"), [(1, 30), (5, 36), (7, 39), (20, 52), (100, 136)])
def test_the_workers_of_express(viewers: int, workers: int) -> None:
    """What mod_wsgi-express 6 makes of --max-clients: whole processes of at most 20 threads."""
    assert workers == express_workers(viewers)


def test_express_is_a_command_line() -> None:
    """Its options are mod_wsgi-express's, quoted for a shell; settings go by the environment."""
    text = express(
        Choices(
            target="express",
            listen=SOCKET,
            viewers=5,
            max_request_workers=36,
            script="/srv/a b.py",
            access=Access("basic", ("/etc/pass words",)),
            user="ops",
            group="web",
        )
    )
    words = shlex.split(text.partition("exec ")[2])
    assert words[:3] == ["mod_wsgi-express", "start-server", "wsgi.py"]
    options = words[3:]
    assert options[options.index("--service-script") + 1 :][:2] == ["dashboard", "/srv/a b.py"]
    at = options.index("--proxy-mount-point")
    assert options[at + 1 :][:2] == ["/metrics/", f"unix:{SOCKET.path}|http://mod-wsgi-dashboard/"]
    assert options[options.index("--max-clients") + 1] == "25"
    assert f"export MOD_WSGI_DASHBOARD_LISTEN={SOCKET}\n" in text
    assert "MOD_WSGI_DASHBOARD_STATE_DIR names another" in text
    assert 'AuthUserFile "/etc/pass words"\n' in text
    assert "RequestHeader unset Authorization\n" in text


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"record": "off"}, False), ({"state_dir": "/srv/dashboard"}, True)],
)
def test_express_is_told_what_to_record(changes: dict[str, Any], *, named: bool) -> None:
    """By the environment; who has chosen isn't told that there is a choice."""
    text = express(Choices(target="express", script="/srv/a.py", **changes))
    assert ("export MOD_WSGI_DASHBOARD_STATE_DIR=/srv/dashboard\n" in text) is named
    assert ("export MOD_WSGI_DASHBOARD_RECORD=off\n" in text) is not named
    assert "names another" not in text

"""What a configuration means: groups, scripts, mounts, pools."""

from __future__ import annotations

import pytest

from mod_wsgi_dashboard.apacheconf import topology
from mod_wsgi_dashboard.apacheconf.directives import Configuration, parse_dump

DASHBOARD = """
WSGIDaemonProcess dashboard threads=0 server-metrics=on user=www-data
WSGIImportScript /srv/dash.py process-group=dashboard application-group=%{GLOBAL}
"""


def configuration(text: str) -> Configuration:
    """Return the configuration of some lines in the form of Apache's own dump."""
    lines, depth = ["# In file: /etc/httpd.conf"], 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("</"):
            depth -= 1
        elif line:
            lines.append(f"{'  ' * depth}# {number:3}:")
        lines.append("  " * depth + line)
        depth += line.startswith("<") and not line.startswith("</")
    return parse_dump("\n".join(lines))


def only_sidecar(text: str, script: str = "import mod_wsgi_dashboard") -> topology.Sidecar:
    found = topology.sidecars(configuration(text), lambda _path: script)
    assert len(found) == 1
    return found[0]


def test_a_group_has_its_options_and_mod_wsgi_s_defaults() -> None:
    """What WSGIDaemonProcess leaves out is what mod_wsgi takes."""
    first, second = topology.groups(
        configuration(
            "WSGIDaemonProcess app\nWSGIDaemonProcess b threads=0 processes=2 server-metrics=On"
        )
    )
    assert (first.name, first.threads, first.processes, first.server_metrics) == ("app", 15, 1, False)
    assert (second.name, second.threads, second.processes, second.server_metrics) == ("b", 0, 2, True)


def test_the_values_of_options_may_be_quoted() -> None:
    """mod_wsgi takes quotes around a value, and mod_wsgi-express writes them."""
    text = """WSGIDaemonProcess 'service:x' threads='0' user="a b"
WSGIImportScript '/d b.py' process-group='service:x' application-group='%{GLOBAL}'"""
    (group,) = topology.groups(configuration(text))
    (script,) = topology.scripts(configuration(text))
    assert ("service:x", 0, "a b") == (group.name, group.threads, group.options["user"])
    assert ("/d b.py", "service:x", "%{GLOBAL}") == (
        script.path,
        script.process_group,
        script.application_group,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WSGIScriptAlias / /a.py", (None, None)),
        ("WSGIScriptAlias / /a.py process-group=g application-group=%{GLOBAL}", ("g", "%{GLOBAL}")),
        ("WSGIProcessGroup g\nWSGIScriptAlias / /a.py", ("g", None)),
        (
            "WSGIProcessGroup g\n<VirtualHost *:80>\nWSGIProcessGroup h\nWSGIScriptAlias / /a.py",
            ("h", None),
        ),
        (
            "WSGIScriptAlias /x /srv/a.py\n<Directory /srv>\nWSGIApplicationGroup %{GLOBAL}",
            (None, "%{GLOBAL}"),
        ),
        ("WSGIScriptAlias /x /a.py\n<Location /x/>\nWSGIProcessGroup g\n</Location>", ("g", None)),
        ("WSGIScriptAlias /x /a.py\n<Location /xy>\nWSGIProcessGroup g\n</Location>", (None, None)),
    ],
)
def test_the_groups_of_a_script(text: str, expected: tuple[str | None, str | None]) -> None:
    """Its own options win, then those of its Location or Directory, virtual host, and server."""
    (script,) = topology.scripts(configuration(text))
    assert expected == (script.process_group, script.application_group)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ProxyPass /m/ http://127.0.0.1:8765/", ("/m/", "127.0.0.1:8765", "http", False)),
        (
            "ProxyPass /m/ http://localhost:8765/ upgrade=websocket",
            ("/m/", "127.0.0.1:8765", "http", True),
        ),
        ("ProxyPass /m/ http://[::1]:8765/ upgrade=ANY", ("/m/", "127.0.0.1:8765", "http", True)),
        ("ProxyPass /m/ http://x.example/", ("/m/", "x.example:80", "http", False)),
        ("ProxyPass /m/ unix:/run/d.sock|http://localhost/", ("/m/", "unix:/run/d.sock", "http", False)),
        ("ProxyPass /m/ws ws://127.0.0.1:8765/ws", ("/m/ws", "127.0.0.1:8765", "ws", True)),
        (
            "RewriteRule ^/m/(.*)$ ws://127.0.0.1:8765/$1 [P,L]",
            ("^/m/(.*)$", "127.0.0.1:8765", "ws", True),
        ),
        ("ProxyPass /m/ http://127.0.0.1:port/", ("/m/", "", "", False)),
        ("ProxyPass /m/ !", ("/m/", "", "", False)),
    ],
)
def test_a_mount(line: str, expected: tuple[str, str, str, bool]) -> None:
    """A mount has its path, one spelling of its address, and whether WebSockets get through."""
    (mount,) = topology.mounts(configuration(line))
    assert expected == (mount.path, mount.address, mount.scheme, mount.upgrades)


def test_a_rewrite_without_p_is_no_mount() -> None:
    """Only [P] proxies."""
    assert () == topology.mounts(configuration("RewriteRule ^/a /b [PT,L]"))


def test_a_mount_in_a_location() -> None:
    """Inside <Location> ProxyPass has no path of its own."""
    (mount,) = topology.mounts(
        configuration("<Location /m/>\nProxyPass http://127.0.0.1:8765/ upgrade=websocket\n</Location>")
    )
    assert ("/m/", True) == (mount.path, mount.upgrades)


@pytest.mark.parametrize(("second", "expected"), [("upgrade=websocket", True), ("retry=1", False)])
def test_a_balancer_upgrades_if_all_members_do(second: str, expected: bool) -> None:
    """One member without upgrade= is one too many."""
    mount = topology.mounts(
        configuration(
            "<Proxy balancer://m>\nBalancerMember http://127.0.0.1:1 upgrade=websocket\n"
            f"BalancerMember http://127.0.0.1:2 {second}\n</Proxy>\nProxyPass /m/ balancer://m/"
        )
    )[0]
    assert expected is mount.upgrades
    assert mount.leads_to("127.0.0.1:2")


@pytest.mark.parametrize(
    ("script", "address"),
    [
        ("from mod_wsgi_dashboard.service import run\nrun()", "127.0.0.1:8765"),
        ("import mod_wsgi_dashboard\nrun(listen='localhost:9')", "127.0.0.1:9"),
        ('import mod_wsgi_dashboard\nrun(listen="unix:/run/d.sock")', "unix:/run/d.sock"),
    ],
)
def test_where_a_dashboard_listens(script: str, address: str) -> None:
    """What its script says, else the default."""
    assert address == only_sidecar(DASHBOARD, script).address


def test_a_dashboard_has_its_group_and_mounts() -> None:
    """The group of its process-group=, and what is proxied to its address."""
    sidecar = only_sidecar(
        DASHBOARD + "ProxyPass /a/ http://127.0.0.1:1/\nProxyPass /m/ http://localhost:8765/"
    )
    assert sidecar.group is not None
    assert sidecar.group.name == "dashboard"
    assert ["/m/"] == [mount.path for mount in sidecar.mounts]


def test_another_service_script_is_no_dashboard() -> None:
    """A script that doesn't import the package, in a group of another name, is somebody else's."""
    text = DASHBOARD.replace("dashboard", "tasks").replace("dash.py", "t.py")
    assert () == topology.sidecars(configuration(text), lambda _path: "import celery")


@pytest.mark.parametrize(
    ("mpm", "text", "most"),
    [
        ("event", "", 400),
        ("prefork", "", 256),
        ("event", "MaxRequestWorkers 150\nThreadsPerChild 25", 150),
        ("event", "MaxRequestWorkers 160\nThreadsPerChild 25", 150),
        ("worker", "MaxRequestWorkers 1000\nThreadsPerChild 25\nServerLimit 4", 100),
        ("event", "MaxClients 50", 50),
        ("prefork", "MaxRequestWorkers 500", 256),
        ("event", "ThreadsPerChild 0", 16),
    ],
)
def test_the_pool(mpm: str, text: str, most: int) -> None:
    """The workers that there can be follow from the MPM's directives and defaults."""
    assert most == topology.pool(configuration(text), mpm).most

"""What may be chosen, and what is refused in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mod_wsgi_dashboard.apacheconf import choices as choose
from mod_wsgi_dashboard.apacheconf.choices import Access, Choices, Member, Pool, Tls
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.settings import TcpAddress, UnixAddress


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/metrics/", "/metrics/"),
        ("/metrics", "/metrics/"),
        ("metrics", "/metrics/"),
        ("//metrics//", "/metrics/"),
        ("/a.b/c~d/e_f-g", "/a.b/c~d/e_f-g/"),
        ("/", "/"),
        ("", "/"),
    ],
)
def test_a_mount_has_a_slash_at_both_ends(text: str, mount: str) -> None:
    """However it is written."""
    assert mount == choose.parse_mount(text)


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("127.0.0.1:8765", TcpAddress("127.0.0.1", 8765)),
        ("localhost:1", TcpAddress("localhost", 1)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("unix:/run/x/y.sock", UnixAddress("/run/x/y.sock")),
        ("unix:/run/" + "a" * 100 + "/b", UnixAddress("/run/" + "a" * 100 + "/b")),
        ("none", None),
    ],
)
def test_where_the_dashboard_listens(text: str, listen: object) -> None:
    """On loopback, on a unix socket of at most 107 bytes, or not at all."""
    assert listen == choose.parse_listen(text)


@pytest.mark.parametrize(
    ("text", "member"),
    [
        ("10.0.0.2:8765", Member("http://10.0.0.2:8765")),
        ("h2.example.org:80", Member("http://h2.example.org:80")),
        ("[2001:db8::2]:8765", Member("http://[2001:db8::2]:8765")),
        ("unix:/run/2.sock", Member("http://localhost", "/run/2.sock")),
        ("https://h2/", Member("https://h2")),
        ("https://h2:8443/a/b/", Member("https://h2:8443/a/b")),
        ("https://[::1]/metrics", Member("https://[::1]/metrics")),
    ],
)
def test_members(text: str, member: Member) -> None:
    """A port, a socket, or an Apache with TLS."""
    assert member == choose.parse_member(text)


@pytest.mark.parametrize(
    ("text", "access"),
    [
        ("local", Access("local")),
        ("existing", Access("existing")),
        ("basic:/etc/x y", Access("basic", ("/etc/x y",))),
        (
            "ip:10.1.2.3/8, 192.0.2.7,2001:db8::/32",
            Access("ip", ("10.0.0.0/8", "192.0.2.7", "2001:db8::/32")),
        ),
    ],
)
def test_access(text: str, access: Access) -> None:
    """By machine, address or password, or by a block elsewhere."""
    assert access == choose.parse_access(text)


REFUSED: dict[str, tuple[Callable[[str], Any], list[str]]] = {
    "--mount": (
        choose.parse_mount,
        ["/a b/", "/../", "/a/../b", "/a//b", '/a"/', "/a\n/", "/a%20/", "/é/", "/" + "a" * 200, "/.x"],
    ),
    "--listen": (
        choose.parse_listen,
        [
            "8765",
            ":8765",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:٣",
            "0.0.0.0:1",
            "10.0.0.1:80",
            "[::]:80",
            "unix:",
            "unix:x",
            "unix:/",
            "unix:/a b",
            "unix:/a|b",
            "unix:/a%b",
            "unix:/a/../b",
            "unix:/a\n",
            "unix:/run/" + "a" * 101 + "/b",
            "unix:/run/x.sock",
            "unix:/tmp/x.sock",
            "unix:/x.sock",
            "a b:80",
            "127.0.0.1\n:80",
        ],
    ),
    "--balance": (
        choose.parse_member,
        [
            "h2",
            "http://h2/",
            "https://",
            "https:///x",
            "https://h2/a b/",
            "https://h2/?x",
            "https://u:p@h2/",
            "https://h2:0/",
            "https://h2:x/",
            "https://h2/../",
            "h2:",
            "-h:1",
            "h2\r:1",
            "https://h 2/",
        ],
    ),
    "--state-dir": (
        choose.parse_state_dir,
        [
            "",
            "x",
            "~/x",
            "/",
            "/tmp",
            "/var/tmp/",
            "/var/lib",
            "/a b",
            '/a"b',
            "/a\nb",
            "/a%b",
            "/a/../b",
            "/${x}",
            "/é",
            "/" + "a" * 1024,
        ],
    ),
    "--access": (
        choose.parse_access,
        [
            "",
            "all",
            "local:x",
            "ip:",
            "ip:x",
            "ip:10.0.0.0/33",
            "ip:10.0.0.1\nRequire all granted",
            "basic:",
            "basic:htpasswd",
            'basic:/a"b',
            "basic:/a\nb",
            "basic:/a${X}",
            "existing:x",
            "ip:" + ",".join(["10.0.0.1"] * 101),
        ],
    ),
    "--server-name": (
        choose.parse_server_name,
        ["", "a b", "a\n", "-a", "a-", "a..b", "a_b", "*.a", "ü", "a" * 254, 'a"', "${x}"],
    ),
    "--address": (choose.parse_address, ["", "localhost", "1.2.3", "*:80", "127.0.0.1 x", "::1\n"]),
    "--user": (
        lambda text: choose.parse_account("--user", text),
        ["", "a b", "a\n", "#", "#x", "-a", "a" * 65, 'a"', "ü"],
    ),
    "--viewers": (choose.parse_viewers, ["0", "-1", "x", "10001", "1e3", "٣", "1\n"]),
    "--apache-version": (
        choose.parse_version,
        ["2", "2.4", "2.2.34", "3.0.0", "2.4.x", "2.4.41\n", "٢.4.4"],
    ),
    "--https-port": (
        lambda text: choose.parse_port("--https-port", text),
        ["0", "65536", "-1", "x", " 1", "1 ", "٣"],
    ),
    "--python-home": (
        lambda text: choose.parse_path("--python-home", text),
        [
            "",
            "x",
            "~/x",
            '/a"b',
            "/a'b",
            "/a\nb",
            "/a\x1b[31mb",
            "/a\x00",
            "/a\u202eb",
            "/${HOME}",
            "/" + "a" * 1024,
        ],
    ),
}


@pytest.mark.parametrize(
    ("option", "text"), [(o, t) for o, (_, texts) in REFUSED.items() for t in texts]
)
def test_what_is_refused(option: str, text: str) -> None:
    """In one line that begins with the option and holds nothing that steers a terminal."""
    with pytest.raises(DashboardError) as refused:
        REFUSED[option][0](text)
    message = str(refused.value)
    assert message.startswith(option)
    assert message.isprintable()
    assert len(message) < 400


OWN = {"server_name": "a.example", "mount": "/"}

EXCLUDED = {
    "--tls": {"tls": Tls("/c", "/k")},
    "--inside-vhost": {"inside_vhost": True, "server_name": "a.example"},
    "--inside-vhost is": {"inside_vhost": True, "target": "debian"},
    "--mount /": {"mount": "/"},
    "--proxy upgrade": {"version": (2, 4, 46)},
    "Apache 2.4.4": {"version": (2, 4, 4), "proxy": "wstunnel"},
    "--proxy rewrite": {"version": (2, 4, 7), "proxy": "rewrite"},
    "--listen none": {"listen": None},
    "--record has": {"listen": None, "members": (Member("http://a:1"),), "record": "states"},
    "--state-dir has no effect with --l": {
        "listen": None,
        "members": (Member("http://a:1"),),
        "state_dir": "/a",
    },
    "--state-dir has no effect with --r": {"record": "off", "state_dir": "/a"},
    "--balance names": {"members": (Member("http://a:1"), Member("http://a:1"))},
    "--balance 127": {"members": (Member("http://127.0.0.1:8765"),)},
    "--balance unix": {"listen": UnixAddress("/x"), "members": (Member("http://localhost", "/x"),)},
    "--balance takes": {"members": tuple(Member(f"http://a:{n}") for n in range(1, 34))},
    "--balance https://...": {"members": (Member("https://a/metrics"),)},
    "--balance https://a/x/ is": {"members": (Member("https://a/x"),), "backend_ca": "/ca"},
    "--backend-ca": {"backend_ca": "/ca"},
    "--user": {"listen": UnixAddress("/x"), "user": "daemon"},
    "--balance: mod": {"target": "express", "members": (Member("http://a:1"),)},
    "--proxy: mod": {"target": "express", "proxy": "rewrite"},
    "--server-name: mod": {"target": "express", "server_name": "a.example"},
    "--mount /: mod": {"target": "express", "tls": Tls("/c", "/k"), **OWN},
    "--tls: mod": {"target": "express", "tls": Tls("/c d", "/k"), "server_name": "a.example"},
}


@pytest.mark.parametrize("beginning", EXCLUDED)
def test_what_does_not_go_together(beginning: str) -> None:
    """Is refused in one line that names the option, too."""
    with pytest.raises(DashboardError) as refused:
        Choices(**EXCLUDED[beginning])  # type: ignore[arg-type]
    message = str(refused.value)
    assert message.startswith(beginning)
    assert message.isprintable()


@pytest.mark.parametrize(
    ("version", "proxy", "inside"),
    [
        ((2, 4, 47), "upgrade", False),
        ((2, 4, 5), "wstunnel", False),
        ((2, 4, 5), "rewrite", True),
        ((2, 4, 8), "rewrite", False),
    ],
)
def test_the_oldest_versions(version: choose.Version, proxy: str, *, inside: bool) -> None:
    """Each way is allowed from the version on that has it."""
    assert Choices(version=version, proxy=proxy, inside_vhost=inside).proxy == proxy


@given(
    threads=st.integers(1, 1000),
    limit=st.integers(1, 20_000),
    workers=st.integers(1, 100_000),
    viewers=st.integers(1, choose.VIEWERS),
)
def test_a_pool_for_viewers(threads: int, limit: int, workers: int, viewers: int) -> None:
    """It has room for site and viewers, in whole processes that ServerLimit allows, and no more."""
    pool = choose.enlarge(Pool("event", threads, limit, workers), viewers)
    assert workers + viewers <= pool.max_request_workers < workers + viewers + threads
    assert pool.max_request_workers % threads == 0
    assert pool.max_request_workers <= pool.server_limit * threads
    assert pool.server_limit >= limit


def test_settings_that_belong_to_choices() -> None:
    """What the dashboard must be told, and nothing that is the default."""
    assert {} == Choices().settings
    made = Choices(listen=UnixAddress("/x"), max_request_workers=425, viewers=20)
    assert {"listen": "unix:/x", "max_request_workers": 425, "max_viewers": 20} == made.settings
    assert "MOD_WSGI_DASHBOARD_LISTEN=unix:/x" in made.environment
    recorded = Choices(record="states", state_dir=choose.parse_state_dir("/srv/dashboard-state/"))
    assert {"record": "states", "state_dir": "/srv/dashboard-state"} == recorded.settings
    away = dataclasses.replace(made, listen=None, members=(Member("http://a:1"),))
    assert {} == away.settings

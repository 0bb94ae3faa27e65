"""The text of configurations: what stands in it, quoted how, and why."""

from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import apache_files

from mod_wsgi_dashboard.apacheconf.choices import Access, Choices, Member, Pool, Tls
from mod_wsgi_dashboard.apacheconf.directives import split_words
from mod_wsgi_dashboard.apacheconf.lines import quoted
from mod_wsgi_dashboard.apacheconf.render import modules, render
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.settings import UnixAddress

SOCKET = UnixAddress("/run/mod_wsgi-dashboard/dashboard.sock")
OWN = Choices(server_name="a.example", mount="/", port=443, tls=Tls("/c", "/k"))
FLEET = Choices(members=(Member("http://10.0.0.2:8765"), Member("http://localhost", "/run/3.sock")))


def directives(text: str) -> list[str]:
    """Return the lines that Apache acts on, blanks evened out."""
    joined = text.replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def prose(text: str) -> str:
    """Return the comments as one line."""
    lines = (line.strip() for line in text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))


@pytest.mark.parametrize("name", apache_files.FILES)
def test_the_files_to_copy_are_generated(name: str) -> None:
    """apache/ holds what `python -m tools.apache_files` writes."""
    assert apache_files.texts()[name] == (apache_files.APACHE / name).read_text(encoding="utf-8")


def test_every_file_to_copy_is_known() -> None:
    """There is no configuration in apache/ that nothing generates, and the README names each."""
    names = {path.name for path in apache_files.APACHE.glob("*.conf")}
    assert set(apache_files.FILES) == names
    readme = (apache_files.APACHE / "README.md").read_text(encoding="utf-8")
    assert [] == [name for name in names if f"({name})" not in readme]


def test_the_default() -> None:
    """The whole of it, without comments."""
    assert directives(render(Choices())) == [
        "ExtendedStatus On",
        "WSGIDaemonProcess dashboard threads=0 server-metrics=on display-name=%{GROUP}"
        " locale=C.UTF-8 python-home=/opt/mod_wsgi-dashboard",
        "WSGIImportScript /etc/apache2/dashboard.py process-group=dashboard application-group=%{GLOBAL}",
        "ProxyPass /metrics/ http://127.0.0.1:8765/ upgrade=websocket",
        "ProxyPassReverse /metrics/ http://127.0.0.1:8765/",
        'RedirectMatch 301 "^/metrics$" "/metrics/"',
        '<Location "/metrics/">',
        "RequestHeader set X-Forwarded-Prefix /metrics",
        "<IfModule env_module>",
        "SetEnv nokeepalive 1",
        "</IfModule>",
        "Require local",
        "</Location>",
    ]


@pytest.mark.parametrize(
    ("choices", "rules"),
    [
        (Choices(), {"extended-status", "shared-worker", "prefix-header", "open-location"}),
        (Choices(access=Access("ip", ("10.0.0.0/8",))), {"open-location"}),
    ],
)
def test_the_reasons_are_the_rules(choices: Choices, rules: set[str]) -> None:
    """A comment that explains a line has the words with which a breach is reported."""
    assert set() == {name for name in rules if RULES[name].why not in prose(render(choices))}


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\"'")).map("/ ".__add__))
def test_a_value_stays_one_word(value: str) -> None:
    """Whatever may be in a path, Apache reads the path."""
    assert (value,) == split_words(quoted(value))


def test_an_own_virtual_host() -> None:
    """Stands below server scope's ExtendedStatus, with TLS, at /, and needs no bare path."""
    lines = directives(render(OWN))
    assert lines[:6] == [
        "ExtendedStatus On",
        "<VirtualHost *:443>",
        "ServerName a.example",
        "SSLEngine On",
        "SSLCertificateFile /c",
        "SSLCertificateKeyFile /k",
    ]
    assert lines[-1] == "</VirtualHost>"
    assert "ProxyPass / http://127.0.0.1:8765/ upgrade=websocket" in lines
    assert "RequestHeader set X-Forwarded-Prefix /" in lines
    assert "RequestHeader set X-Forwarded-Proto https" in lines
    assert not any(line.startswith(("RedirectMatch", "Listen")) for line in lines)
    assert "alias" not in modules(OWN)


@pytest.mark.parametrize(("address", "listen"), [("*", "Listen 8443"), ("[::1]", "Listen [::1]:8443")])
def test_a_port_that_nobody_listens_on(address: str, listen: str) -> None:
    """Gets its Listen."""
    choices = dataclasses.replace(OWN, port=8443, listens=True, address=address)
    assert directives(render(choices))[1:3] == [listen, f"<VirtualHost {address}:8443>"]


def test_inside_a_virtual_host() -> None:
    """Nothing stands there that Apache accepts at server scope alone."""
    pool = Pool("event", 25, 17, 425)
    text = render(Choices(inside_vhost=True, viewers=20, pool=pool))
    lines = directives(text)
    assert not any(
        re.match("ExtendedStatus|ServerLimit|MaxRequest|<IfModule mpm", line) for line in lines
    )
    assert "ExtendedStatus On" in prose(text)
    assert "ServerLimit 17" in prose(text)


def test_the_websocket_rule_comes_before_the_general_one() -> None:
    """In both ways that older servers have."""
    rewrite = directives(render(Choices(proxy="rewrite", inside_vhost=True, mount="/a.b/")))
    first = rewrite.index(r'RewriteRule "^/a\.b/ws$" "ws://127.0.0.1:8765/ws" [P,L]')
    assert first < rewrite.index("ProxyPass /a.b/ http://127.0.0.1:8765/")
    assert r'RedirectMatch 301 "^/a\.b$" "/a.b/"' in rewrite
    tunnel = directives(render(Choices(proxy="wstunnel", listen=SOCKET)))
    first = tunnel.index(f"ProxyPass /metrics/ws unix:{SOCKET.path}|ws://mod-wsgi-dashboard/ws")
    assert first < tunnel.index(f"ProxyPass /metrics/ unix:{SOCKET.path}|http://mod-wsgi-dashboard/")


def test_rewriting_outside_of_virtual_hosts() -> None:
    """Is handed down to those virtual hosts that rewrite."""
    outside, inside = (
        directives(render(Choices(proxy="rewrite", inside_vhost=x))) for x in (False, True)
    )
    assert "RewriteOptions InheritDownBefore" in outside
    assert "RewriteOptions InheritDownBefore" not in inside


def test_a_balancer() -> None:
    """Every member has its route, upgrades, and a URL of its own: two sockets would pass for one."""
    lines = directives(render(FLEET))
    assert [line for line in lines if line.startswith("BalancerMember")] == [
        "BalancerMember http://127.0.0.1:8765 route=1 retry=5 upgrade=websocket",
        "BalancerMember http://10.0.0.2:8765 route=2 retry=5 upgrade=websocket",
        "BalancerMember unix:/run/3.sock|http://mod-wsgi-dashboard route=3 retry=5 upgrade=websocket",
    ]
    sockets = dataclasses.replace(FLEET, listen=SOCKET, proxy="wstunnel")
    hosts = re.findall(r"BalancerMember unix:\S+\|(\S+)", render(sockets))
    assert len(hosts) == len(set(hosts)) == 4
    assert "ProxyPass /metrics/ws balancer://dashboard-ws/ws" in directives(render(sockets))


def test_the_cookie_of_a_balancer() -> None:
    """Holds for the mount alone, and where there is TLS, over TLS alone."""
    (cookie,) = [line for line in directives(render(FLEET)) if "Set-Cookie" in line]
    assert "; path=/metrics/; HttpOnly; SameSite=Strict" in cookie
    assert "Secure" not in cookie
    secure = dataclasses.replace(OWN, members=FLEET.members)
    (cookie,) = [line for line in directives(render(secure)) if "Set-Cookie" in line]
    assert "path=/; HttpOnly; SameSite=Strict; Secure" in cookie


def test_tls_to_a_back_end_is_its_own_affair() -> None:
    """Its checks hold for these back ends, and for no other that the server may have."""
    choices = Choices(listen=None, members=(Member("https://h2/metrics"),), backend_ca="/ca s.pem")
    lines = directives(render(choices))
    start, end = lines.index('<Proxy "https://h2/metrics/*">'), lines.index("</Proxy>")
    assert lines[start + 1 : end] == [
        "SSLProxyEngine On",
        "SSLProxyVerify require",
        'SSLProxyCACertificateFile "/ca s.pem"',
    ]
    assert "ProxyPass /metrics/ https://h2/metrics/ upgrade=websocket" in lines
    assert not any(line.startswith("WSGI") for line in lines)
    assert "wsgi" not in modules(choices)


@pytest.mark.parametrize("tls", [False, True])
def test_a_password_is_kept_from_the_dashboard(*, tls: bool) -> None:
    """And where it would travel in the clear, that is said."""
    access = Access("basic", ("/etc/pass words",))
    text = render(dataclasses.replace(OWN if tls else Choices(), access=access))
    lines = directives(text)
    assert "RequestHeader unset Authorization" in lines
    assert 'AuthUserFile "/etc/pass words"' in lines
    assert tls is ("in the clear" not in prose(text))


def test_settings_that_the_script_does_not_have_are_named() -> None:
    """Where no script is written with them."""
    variable = "MOD_WSGI_DASHBOARD_LISTEN=unix:/run/mod_wsgi-dashboard/dashboard.sock"
    assert variable in prose(render(Choices(listen=SOCKET)))
    assert variable not in prose(render(Choices(listen=SOCKET, script_kind="written")))


@pytest.mark.parametrize("choices", [Choices(), OWN, FLEET, *apache_files.FILES.values()])
def test_lines_are_short(choices: Choices) -> None:
    """A comment ends at column 100, and every block begins with one."""
    text = render(choices)
    assert [] == [line for line in text.splitlines() if "#" in line and len(line) > 100]
    assert not re.search(r"\n\n\n|[ \t]\n", text)
    assert text.endswith("\n")

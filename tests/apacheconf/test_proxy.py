"""The checks of the way to the dashboard: each finds its breach, and is quiet where there is none."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mod_wsgi_dashboard.apacheconf import doctor
from mod_wsgi_dashboard.apacheconf.checks import proxy
from mod_wsgi_dashboard.apacheconf.directives import Configuration
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.httpd import Httpd, read_httpd
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import APACHE_USER, REPOSITORY, SERVICE_SCRIPT
from tests.apache.site import SYSTEM_MODULES, VENV, executable
from tests.apacheconf.proxy_breaches import (
    BALANCERS,
    BREACHES,
    ENGINE,
    ERROR,
    LOAD,
    MOUNT,
    NOTE,
    PASSWORDS,
    PUBLIC,
    SET,
    WS_RULE,
    Breach,
    balancer,
    required,
    vhost,
)
from tests.apacheconf.sites import system_of, text_of_site
from tests.apacheconf.stock import stock_apache

pytestmark = pytest.mark.apache


def named(number: int) -> str:
    breach = BREACHES[number]
    return f"{number}-{breach.rule}"


def of_group(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if RULES[finding.check].group == "proxy"]


def line_number(text: str, line: str) -> int:
    """Return the number of the last line that begins so."""
    return max(n for n, one in enumerate(text.splitlines(), 1) if one.startswith(line))


@pytest.mark.parametrize("number", range(len(BREACHES)), ids=named)
def test_a_breach_is_found(number: int, site_root: Path) -> None:
    """A mistake is the one thing that is said, with its line, and what to write instead."""
    breach = BREACHES[number]
    text = breach.text(site_root)
    findings = doctor.examine(system_of(text, site_root))
    assert sorted((breach.rule, *breach.also)) == sorted(one.check for one in findings)
    finding = next(one for one in findings if one.check == breach.rule)
    assert breach.severity is finding.severity
    for word in breach.words:
        assert word in f"{finding.what}\n{finding.fix}"
    assert f"{site_root}/httpd.conf:{line_number(text, breach.line)}" == finding.evidence[0]


@pytest.mark.parametrize(
    "number", [n for n, breach in enumerate(BREACHES) if breach.fix != "none"], ids=named
)
def test_a_fix_makes_it_quiet(number: int, site_root: Path) -> None:
    """What is to be pasted mends the mistake, and Apache accepts it."""
    breach = BREACHES[number]
    text = breach.text(site_root)
    findings = doctor.examine(system_of(text, site_root))
    finding = next(one for one in findings if one.check == breach.rule)
    system = system_of(mended(text, breach, finding), site_root)
    assert system.httpd is not None
    assert system.httpd.syntax_ok, system.httpd.messages
    assert set(breach.also) >= {one.check for one in doctor.examine(system)}


def mended(text: str, breach: Breach, finding: Finding) -> str:
    """Return a configuration with a finding's fix in it."""
    lines = text.splitlines()
    fix = finding.fix.splitlines()
    place = re.fullmatch(r"# before .*:(\d+):", fix[0])
    if breach.fix == "append":
        return "\n".join([*lines, *fix])
    if breach.fix.startswith("replace"):
        seen = finding.evidence[1 if breach.fix.endswith("second") else 0]
        number = int(seen.rpartition(":")[2]) - 1
        return "\n".join([*lines[:number], *fix, *lines[number + 1 :]])
    assert place is not None, finding.fix
    number = int(place[1]) - 1
    while lines[number - 1].startswith("RewriteCond"):
        # The conditions belong to the rule.
        number -= 1
    return "\n".join([*lines[:number], *fix, *lines[number:]])


# The line that needs it, and whether Apache stumbles over another line before that one.
MISSING = {
    "proxy_http": ("ProxyPass ", False),
    "proxy": ("ProxyPass ", True),
    "headers": ("    RequestHeader", False),
    "alias": ("RedirectMatch", True),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_module(name: str, site_root: Path) -> None:
    """A module that isn't loaded is named with the line that needs it; loaded, all is well."""
    load = LOAD.format(name)
    text = text_of_site(site_root, edits={load: ""})
    line, stumbles = MISSING[name]
    finding, *more = doctor.examine(system_of(text, site_root))
    assert ["syntax"] * stumbles == [one.check for one in more]
    assert ("proxy-modules", ERROR) == (finding.check, finding.severity)
    assert f"mod_{name} isn't loaded" in finding.what
    assert f"{site_root}/httpd.conf:{line_number(text, line)}" == finding.evidence[0]
    fixed = finding.fix.replace(" modules/", f" {SYSTEM_MODULES}/") + "\n"
    assert [] == doctor.examine(system_of(text_of_site(site_root, edits={load: fixed}), site_root))


@pytest.mark.parametrize(
    ("edits", "name"),
    [
        ({MOUNT: "RewriteEngine On\n" + WS_RULE + MOUNT}, "rewrite"),
        (
            {MOUNT: balancer("http://127.0.0.1:8765 upgrade=websocket")[MOUNT].partition("\n")[2]},
            "slotmem_shm",
        ),
        ({MOUNT: MOUNT.replace("http:", "https:")}, "ssl"),
    ],
)
def test_a_module_of_another_form(edits: Mapping[str, str], name: str, site_root: Path) -> None:
    """The rewrite form, a balancer and TLS behind Apache need modules of their own."""
    system = system_of(text_of_site(site_root, edits=edits), site_root)
    found = [one.what for one in proxy.proxy_modules(system)]
    assert [name] == [re.sub(r"mod_(\w+) isn't.*", r"\1", what) for what in found]


def old(system: System) -> System:
    """Return the same configuration under an Apache from before upgrade=."""
    assert system.httpd is not None
    return dataclasses.replace(system, httpd=dataclasses.replace(system.httpd, version=(2, 4, 41)))


def test_an_old_apache(site_root: Path) -> None:
    """Before 2.4.47 upgrade= is unknown, and what is to be pasted works with the modules it needs."""
    text = text_of_site(site_root, before=LOAD.format("rewrite") + LOAD.format("proxy_wstunnel"))
    (finding,) = of_group(doctor.examine(old(system_of(text, site_root))))
    assert ("websocket-upgrade", ERROR) == (finding.check, finding.severity)
    assert "older than 2.4.47" in finding.what
    fixed = system_of(text.replace(MOUNT, finding.fix), site_root)
    assert [] == of_group(doctor.examine(old(fixed)))
    without = system_of(
        text.replace(MOUNT, finding.fix).replace(LOAD.format("proxy_wstunnel"), ""), site_root
    )
    assert ["proxy-modules"] == [one.check for one in of_group(doctor.examine(old(without)))]


@pytest.mark.parametrize("module", ["pypi", "debian"])
@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_a_right_configuration_is_quiet(mpm: str, listener: str, module: str, site_root: Path) -> None:
    """The site of the tests has nothing wrong with its proxy, whatever serves it."""
    text = text_of_site(site_root, mpm=mpm, listener=listener, module=module)
    assert [] == of_group(doctor.examine(system_of(text, site_root)))


QUIET: dict[str, dict[str, Any]] = {
    "general behind": {"after": "ProxyPass / http://127.0.0.1:9/"},
    "redirect to https": {"before": ENGINE + "RewriteRule ^/(.*)$ https://localhost/$1 [R=301,L]"},
    "a rule for another host": {
        "before": ENGINE
        + "RewriteCond %{HTTP_HOST} ^app\\.\nRewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P,L]"
    },
    "part of it first": {
        "edits": {MOUNT: f"ProxyPass /metrics/ws ws://127.0.0.1:8765/ws\n{MOUNT}"},
    },
    "prometheus alone": {"before": "ProxyPass /prometheus http://127.0.0.1:8765/metrics"},
    "prefix for all": {"edits": {SET: ""}, "before": SET.strip()},
    "prefix early": {"edits": {SET: ""}, "before": f"{SET.strip()} early"},
    "prefix of the environment": {"edits": {SET: SET.replace("/metrics", "%{MOUNT}e")}},
    "guard above": {"edits": required(""), "before": '<Location "/">\nRequire local\n</Location>'},
    "guard by back end": {
        "edits": {**required(""), **PUBLIC},
        "before": '<Proxy "http://127.0.0.1:8765/*">\nRequire local\n</Proxy>',
    },
    "guard of old": {
        "edits": {
            **required("Order deny,allow\nDeny from all\nAllow from 127.0.0.1\n"),
            **PUBLIC,
        },
        "before": LOAD.format("access_compat"),
    },
    "guard on a condition": {
        "edits": {**required("<If \"%{REMOTE_ADDR} != '::1'\">\nRequire all denied\n</If>\n"), **PUBLIC},
    },
    "certificate": {
        "edits": {**required("SSLVerifyClient require\n"), **PUBLIC},
        "before": LOAD.format("socache_shmcb") + LOAD.format("ssl"),
    },
    "a user from elsewhere": {
        "edits": required("AuthType None\nRequire env USER_IS_KNOWN\n"),
        "before": PASSWORDS,
    },
    "another websocket, room enough": {
        "before": "ProxyPass /chat/ http://127.0.0.1:9/ upgrade=websocket"
    },
    "another websocket, prefork": {
        "mpm": "prefork",
        "before": "ProxyPass /chat/ http://127.0.0.1:9/ upgrade=websocket",
    },
    "no Timeout": {"edits": {"Timeout 60\nKeep": "Keep"}},
    "Timeout in minutes": {"edits": {"Timeout 60\nKeep": "Timeout 1mi\nKeep"}},
}


@pytest.mark.parametrize("name", QUIET)
def test_nothing_is_said_for_nothing(name: str, site_root: Path) -> None:
    """Other ways to be right are right, and what can't be known is left alone."""
    system = system_of(text_of_site(site_root, **QUIET[name]), site_root)
    assert system.httpd is not None
    assert system.httpd.syntax_ok, system.httpd.messages
    assert [] == of_group(doctor.examine(system))


def test_no_dashboard_no_findings(site_root: Path) -> None:
    """A site without a dashboard has none of these findings, whatever it proxies."""
    text = text_of_site(site_root).partition("Define DASHBOARD_PYTHON_HOME")[0]
    mistakes = "ProxyPass /a http://127.0.0.1:9/\nProxyPass /b/ http://127.0.0.1:9/ upgrade=websocket\n"
    assert [] == of_group(doctor.examine(system_of(text + mistakes, site_root)))


def test_the_heartbeat_of_the_script_counts(site_root: Path) -> None:
    """A heartbeat that the script sets is what Timeout is compared with."""
    script = site_root / "dashboard.py"
    script.write_text("from mod_wsgi_dashboard.service import run\nrun(heartbeat=3)\n")
    text = text_of_site(site_root, edits={"Timeout 60": "Timeout 5", str(SERVICE_SCRIPT): str(script)})
    assert [] == list(proxy.timeout(system_of(text, site_root)))


WRITTEN = ("rewrite", "balancer", "basic-auth")


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("inside", [False, True])
def test_the_files_of_ours_are_quiet(name: str, *, inside: bool, site_root: Path) -> None:
    """The configurations that we hand out have nothing wrong with their proxy."""
    path = REPOSITORY / "apache" / f"dashboard-{name}.conf"
    modules = ENGINE.splitlines()[0] + "\n" + PASSWORDS + BALANCERS
    include = f"Include {path}\n"
    # A virtual host without a rewrite directive of its own inherits no rules (measured, 2.4.71).
    after = "" if inside else vhost("RewriteEngine On\n")
    if inside:
        include = "Define DASHBOARD_IN_VHOST\n" + vhost(include)
    text = text_of_site(site_root).partition("Define DASHBOARD_PYTHON_HOME")[0]
    system = system_of(text + modules + include + after, site_root)
    assert system.httpd is not None
    assert system.httpd.syntax_ok, system.httpd.messages
    assert 1 == len(system.sidecars)
    assert [] == of_group(doctor.examine(system))


@pytest.mark.parametrize("host", ["127.0.0.1", None])
def test_mod_wsgi_express(host: str | None, site_root: Path) -> None:
    """Of mod_wsgi-express's configuration only that its mount is open is said: an error in public."""
    command = [
        executable("mod_wsgi-express", "mod_wsgi (pip)", VENV / "bin"),
        *("setup-server", REPOSITORY / "examples" / "express" / "wsgi.py", "--port", "18080"),
        *("--user", APACHE_USER, "--group", APACHE_USER, "--server-root", site_root / "express"),
        *("--locale", "C.UTF-8", "--server-metrics", "--service-script", "dashboard", SERVICE_SCRIPT),
        *("--proxy-mount-point", "/metrics/", "http://127.0.0.1:8765/"),
        *(("--host", host) if host else ()),
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
    httpd, configuration = read_httpd(str(site_root / "express" / "apachectl"))
    assert configuration is not None
    system = System(configuration=configuration, httpd=httpd)
    assert ["/metrics/"] == [mount.path for mount in system.dashboard_mounts]
    (finding,) = of_group(doctor.examine(system))
    assert ("open-location", NOTE if host else ERROR) == (finding.check, finding.severity)
    assert "--include-file" in finding.fix


def test_debian_s_stock_configuration() -> None:
    """Debian's own configuration gives no finding."""
    stock = stock_apache()
    path = stock / "etc" / "apache2" / "apache2.conf"
    _, configuration = read_httpd(str(stock / "usr" / "sbin" / "apachectl"), path)
    assert configuration is not None
    assert [] == of_group(doctor.examine(System(configuration=configuration)))


HOSTILE = "".join(
    f"{line}\n"
    for line in (
        "ProxyPass",
        "ProxyPassMatch ( http://127.0.0.1:9/",
        "ProxyPass /x http://[::1:80/",
        "RewriteRule",
        "RewriteRule (",
        "RewriteCond %{REQUEST_URI}",
        "RewriteRule ( ) [P",
        "RewriteOptions",
        "RewriteEngine",
        "RequestHeader",
        "RequestHeader set",
        "RequestHeader set X-Forwarded-Prefix",
        "Timeout",
        "Timeout never",
        "Listen",
        "ProxySet",
        "BalancerMember",
        "<Location>\nRequire\nOrder\nAllow\nAuthMerging\nAuthType\n</Location>",
        "<LocationMatch (>\nProxyPass\n</LocationMatch>",
        '<Proxy "~">\nProxySet\n</Proxy>',
        "<VirtualHost>\n</VirtualHost>",
        "<VirtualHost :::>\n</VirtualHost>",
    )
)


def test_a_broken_configuration_stops_no_check(site_root: Path) -> None:
    """Directives without arguments, and patterns that aren't any, are no reason to fail."""
    text = text_of_site(site_root, before=HOSTILE, after=HOSTILE)
    system = system_of(text, site_root)
    assert {one.check for check in proxy.CHECKS.values() for one in check(system)} <= set(proxy.CHECKS)


def test_nothing_to_look_at_gives_nothing() -> None:
    """Each check is silent about an empty configuration, and there is one for each rule."""
    system = System(configuration=Configuration(), httpd=Httpd(command=("httpd",)))
    assert [] == [one for check in proxy.CHECKS.values() for one in check(system)]
    assert {name for name, rule in RULES.items() if rule.group == "proxy"} == set(proxy.CHECKS)

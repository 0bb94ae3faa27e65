"""What the checks of the proxy believe about Apache is what it does: order, workers, access, headers."""

from __future__ import annotations

import pytest

from mod_wsgi_dashboard.apacheconf.checks.proxy_access import access_to
from mod_wsgi_dashboard.apacheconf.checks.proxy_headers import header
from mod_wsgi_dashboard.apacheconf.checks.proxy_routing import Outcome, matched, route
from mod_wsgi_dashboard.apacheconf.checks.proxy_workers import carries
from mod_wsgi_dashboard.apacheconf.topology import address_of
from tests.apacheconf.proxied import HANDSHAKE, Proxied, proxied

pytestmark = pytest.mark.apache

OWN = "ProxyPass /metrics/ http://127.0.0.1:@D@/ upgrade=websocket\n"
PLAIN = "ProxyPass /metrics/ http://127.0.0.1:@D@/\n"
OTHER = "ProxyPass / http://127.0.0.1:@O@/\n"
BESIDE = "ProxyPass /a/ http://127.0.0.1:@D@/\n"
ENGINE = "RewriteEngine On\n"
IF_WEBSOCKET = "RewriteCond %{HTTP:Upgrade} =websocket [NC]\n"
ALL_TO_OTHER = "RewriteRule ^/(.*)$ http://127.0.0.1:@O@/$1 [P,L]\n"
WS_RULE = IF_WEBSOCKET + "RewriteRule ^/metrics/(.*)$ ws://127.0.0.1:@D@/$1 [P,L]\n"
WS_FORM = ENGINE + WS_RULE + PLAIN


def section(kind: str, where: str, inside: str) -> str:
    return f'<{kind} "{where}">\n{inside}</{kind}>\n'


def at(where: str, inside: str) -> str:
    return section("Location", where, inside)


LOCATION_D = at("/metrics/", "ProxyPass http://127.0.0.1:@D@/ upgrade=websocket\n")
LOCATION_O = at("/", "ProxyPass http://127.0.0.1:@O@/\n")
BALANCER = '<Proxy "balancer://{0}">\nBalancerMember http://127.0.0.1:@D@{1}\n</Proxy>\n'

WAYS = {
    "alone": OWN,
    "general first": OTHER + OWN,
    "general last": OWN + OTHER,
    "excluded first": "ProxyPass /metrics/ !\n" + OWN,
    "excluded and general": "ProxyPass /metrics/ !\n" + OTHER + OWN,
    "exact general": "ProxyPass /metrics http://127.0.0.1:@O@/x\n" + OWN,
    "another beginning": "ProxyPass /met http://127.0.0.1:@O@/x\n" + OWN,
    "match first": 'ProxyPassMatch "^/(.*)$" "http://127.0.0.1:@O@/$1"\n' + OWN,
    "match for others": 'ProxyPassMatch "^/(.*\\.php)$" "http://127.0.0.1:@O@/$1"\n' + OWN,
    "match alone": 'ProxyPassMatch "^/metrics/(.*)$" "http://127.0.0.1:@D@/$1" upgrade=websocket\n',
    "location wins": OTHER + LOCATION_D,
    "last location wins": LOCATION_D + LOCATION_O,
    "first location loses": LOCATION_O + LOCATION_D,
    "location before list": OWN + LOCATION_O,
    "location excludes": OWN + at("/", "ProxyPass !\n"),
    "location match": OWN
    + section("LocationMatch", "^/(.*)$", "ProxyPassMatch http://127.0.0.1:@O@/$1\n"),
    "rewritten all": ENGINE + OWN + ALL_TO_OTHER,
    "rewritten to a file": ENGINE + OWN + "RewriteRule ^ /index.php [L]\n",
    "rewritten to a path": ENGINE + OWN + "RewriteRule ^ /index.php [PT]\n",
    "rewritten if no file": ENGINE
    + OWN
    + "RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ /index.php [L]\n",
    "engine never on": OWN + ALL_TO_OTHER,
    "engine off": ENGINE + OWN + ALL_TO_OTHER + "RewriteEngine Off\n",
    "all websockets rewritten": ENGINE
    + IF_WEBSOCKET
    + "RewriteRule ^/(.*)$ ws://127.0.0.1:@O@/$1 [P,L]\n"
    + OWN,
    "rewrite form": WS_FORM,
    "rewrite form, rule last": ENGINE + PLAIN + WS_RULE,
    "rewrite form, late": ENGINE + ALL_TO_OTHER + WS_RULE + PLAIN,
    "rewrite form, upper case": ENGINE
    + "RewriteCond %{HTTP:Upgrade} WebSocket [NC]\nRewriteCond %{HTTP:Connection} upgrade [NC]\n"
    + "RewriteRule /metrics/(.*) ws://127.0.0.1:@D@/$1 [P]\n"
    + PLAIN,
    "excepted by a dash": ENGINE + OWN + "RewriteRule ^/metrics/ - [L]\n" + ALL_TO_OTHER,
    "excepted by the end": ENGINE + OWN + "RewriteRule ^/metrics/ - [END]\n" + ALL_TO_OTHER,
    "excepted by a condition": ENGINE + OWN + "RewriteCond %{REQUEST_URI} !^/metrics/\n" + ALL_TO_OTHER,
    "one of two conditions": ENGINE
    + OWN
    + "RewriteCond %{REQUEST_URI} ^/x/ [OR]\nRewriteCond %{REQUEST_URI} ^/metrics/\n"
    + ALL_TO_OTHER,
    "a negated pattern": ENGINE + OWN + "RewriteRule !^/metrics/ http://127.0.0.1:@O@/x [P,L]\n",
    "there and back": ENGINE
    + OWN
    + "RewriteRule ^/metrics/(.*)$ /x/$1\nRewriteRule ^/x/(.*)$ /metrics/$1 [PT]\n",
    "forbidden": ENGINE + OWN + "RewriteRule ^/metrics/ - [F]\n",
    "redirected": ENGINE + OWN + "RewriteRule ^/(.*)$ https://localhost/$1 [R,L]\n",
    "ws alone": "ProxyPass /metrics/ ws://127.0.0.1:@D@/\n",
    "ws last": PLAIN + "ProxyPass /metrics/ws ws://127.0.0.1:@D@/ws\n",
    "ws first": "ProxyPass /metrics/ws ws://127.0.0.1:@D@/ws\n" + PLAIN,
    "no upgrade": PLAIN,
    "upgrade=ANY": PLAIN.strip() + " upgrade=ANY\n",
    "upgrade=other": PLAIN.strip() + " upgrade=other\n",
    "worker made before": BESIDE + OWN,
    "worker made behind": OWN + BESIDE,
    "worker of a longer URL": "ProxyPass /a/ http://127.0.0.1:@D@/a/\n" + OWN,
    "worker of a shorter URL": "ProxyPass /a http://127.0.0.1:@D@\n" + OWN,
    "worker, other case": "ProxyPass /a/ HTTP://127.0.0.1:@D@/\n" + OWN,
    "worker of a pattern": 'ProxyPassMatch "^/a/(.*)$" "http://127.0.0.1:@D@/$1"\n' + OWN,
    "worker of a later pattern": OWN + 'ProxyPassMatch "^/a/(.*)$" "http://127.0.0.1:@D@/$1"\n',
    "worker of another pattern": 'ProxyPassMatch "^/a/(.*)$" "http://127.0.0.1:@D@/a/$1"\n' + OWN,
    "pattern after worker": BESIDE
    + 'ProxyPassMatch "^/metrics/(.*)$" "http://127.0.0.1:@D@/$1" upgrade=websocket\n',
    "worker in a location": at("/a/", "ProxyPass http://127.0.0.1:@D@/\n") + OWN,
    "worker by ProxySet": section("Proxy", "http://127.0.0.1:@D@/", "ProxySet timeout=9\n") + OWN,
    "upgrade by ProxySet": PLAIN + "ProxySet http://127.0.0.1:@D@/ upgrade=websocket\n",
    "upgrade by Proxy": section("Proxy", "http://127.0.0.1:@D@/", "ProxySet upgrade=websocket\n")
    + PLAIN,
    "upgrade of Proxy": '<Proxy "http://127.0.0.1:@D@/" upgrade=websocket>\n</Proxy>\n' + PLAIN,
    "upgrade of Proxy behind": PLAIN + '<Proxy "http://127.0.0.1:@D@/" upgrade=websocket>\n</Proxy>\n',
    "Proxy with another": '<Proxy "http://127.0.0.1:@D@/" timeout=9>\n</Proxy>\n' + OWN,
    "Proxy without parameters": section("Proxy", "http://127.0.0.1:@D@/", "SetEnv a b\n") + OWN,
    "rewritten, no worker": ENGINE + "RewriteRule ^/metrics/(.*)$ http://127.0.0.1:@D@/$1 [P,L]\n",
    "rewritten, worker": ENGINE + "RewriteRule ^/metrics/(.*)$ http://127.0.0.1:@D@/$1 [P,L]\n" + OWN,
    "balancer": BALANCER.format("a", " upgrade=websocket") + "ProxyPass /metrics/ balancer://a/\n",
    "balancer, no upgrade": BALANCER.format("b", "") + "ProxyPass /metrics/ balancer://b/\n",
    "balancer beside worker": BESIDE
    + BALANCER.format("c", " upgrade=websocket")
    + "ProxyPass /metrics/ balancer://c/\n",
}

# The main server's lines, and those of virtual hosts below it.
INHERITED = {
    "mount": (OWN, {"general": OTHER, "excluded": "ProxyPass /metrics/ !\n", "location": LOCATION_O}),
    "mount, rules": (OWN, {"rules": ENGINE + ALL_TO_OTHER, "worker": BESIDE}),
    "general": (OTHER, {"mount": OWN, "location": LOCATION_D}),
    "location": (LOCATION_D, {"location": LOCATION_O, "nothing": ""}),
    "worker": (BESIDE, {"mount": OWN}),
    "rules": (
        WS_FORM,
        {
            "nothing": "",
            "engine": ENGINE,
            "inherit": ENGINE + "RewriteOptions Inherit\n",
            "inherit, no engine": "RewriteOptions Inherit\n",
            "inherit last": ENGINE + "RewriteOptions Inherit\n" + ALL_TO_OTHER,
            "inherit first": ENGINE + "RewriteOptions InheritBefore\n" + ALL_TO_OTHER,
        },
    ),
    "rules go down": (
        "RewriteOptions InheritDown\n" + WS_FORM,
        {
            "nothing": "",
            "engine": ENGINE,
            "a rule": "RewriteRule ^/x /y\n",
            "ignored": "RewriteOptions IgnoreInherit\n",
        },
    ),
}


def believed(server: Proxied, case: str, path: str, *, websocket: bool) -> tuple[str, bool]:
    """Return which back end the model says, and whether the handshake gets through."""
    scope = server.scopes[case]
    way = route(server.system, scope, path, websocket=websocket)
    if way.outcome is not Outcome.PROXIED or way.mount is None:
        return "", False
    own = way.mount.leads_to(f"127.0.0.1:{server.dashboard}")
    assert own or address_of(way.mount.target)[1]
    return "dashboard" if own else "other", websocket and carries(server.system, scope, way)


def agree(server: Proxied) -> None:
    """Compare the model with the server, for the page and for the WebSocket of each case."""
    seen, told = {}, {}
    for case in server.scopes:
        for path, headers in (("/metrics/", {}), ("/metrics/ws", HANDSHAKE)):
            answer = server.ask(case, path, headers)
            seen[case, path] = answer.back_end, answer.status == 101
            told[case, path] = believed(server, case, path, websocket=bool(headers))
    assert seen == told


def test_which_line_a_request_meets() -> None:
    """The model of ProxyPass, RewriteRule, Location and workers agrees with Apache."""
    with proxied(WAYS) as server:
        agree(server)


@pytest.mark.parametrize("name", INHERITED)
def test_what_a_virtual_host_inherits(name: str) -> None:
    """The model agrees with Apache on the main server's lines in virtual hosts."""
    lines, cases = INHERITED[name]
    with proxied(cases, server=lines) as server:
        agree(server)


DENIED, GRANTED = "Require all denied\n", "Require all granted\n"
USER = "Require valid-user\n"
BASIC = 'AuthType Basic\nAuthName m\nAuthUserFile "@R@/htpasswd"\n'
OTHER_HOST = "Require ip 192.0.2.1\n"

GUARDS = {
    "nothing": "",
    "location": at("/metrics/", DENIED),
    "location without slash": at("/metrics", DENIED),
    "root": at("/", DENIED),
    "half a name": at("/met", DENIED),
    "below": at("/metrics/ws", DENIED),
    "expression": '<Location ~ "^/metr">\n' + DENIED + "</Location>\n",
    "wildcard": at("/m*/", DENIED),
    "wildcard, no slash": at("/m*", DENIED),
    "wildcard behind": at("/metrics/*", DENIED),
    "match": section("LocationMatch", "^/metrics/", DENIED),
    "match in the middle": section("LocationMatch", "rics", DENIED),
    "directory": section("Directory", "/", DENIED),
    "files": section("Files", "*", DENIED),
    "any proxy": section("Proxy", "*", DENIED),
    "proxy wildcard": section("Proxy", "http://127.0.0.1:@D@/*", DENIED),
    "proxy": section("Proxy", "http://127.0.0.1:@D@/", DENIED),
    "proxy, no slash": section("Proxy", "http://127.0.0.1:@D@", DENIED),
    "proxy, other": section("Proxy", "http://127.0.0.1:@O@", DENIED),
    "proxy match": section("ProxyMatch", "^http://127", DENIED),
    "granted, then denied": at("/metrics/", GRANTED) + at("/", DENIED),
    "denied, then granted": at("/", DENIED) + at("/metrics/", GRANTED),
    "merged by and": at("/", DENIED) + at("/metrics/", "AuthMerging And\n" + GRANTED),
    "merged by or": at("/", GRANTED) + at("/metrics/", "AuthMerging Or\n" + DENIED),
    "location after proxy": at("/metrics/", DENIED) + section("Proxy", "*", GRANTED),
    "proxy before location": section("Proxy", "*", DENIED) + at("/metrics/", GRANTED),
    "password": at("/metrics/", BASIC + USER),
    "password for nothing": at("/metrics/", BASIC),
    "any": at("/metrics/", BASIC + "<RequireAny>\n" + GRANTED + USER + "</RequireAny>\n"),
    "all": at("/metrics/", BASIC + "<RequireAll>\n" + GRANTED + USER + "</RequireAll>\n"),
    "either": at("/metrics/", BASIC + GRANTED + USER),
    "all but one": at(
        "/metrics/", "<RequireAll>\n" + GRANTED + "Require not ip 192.0.2.1\n</RequireAll>\n"
    ),
    "nested": at(
        "/metrics/", f"<RequireAny>\n<RequireAll>\n{OTHER_HOST}{GRANTED}</RequireAll>\n</RequireAny>\n"
    ),
    "address": at("/metrics/", OTHER_HOST),
    "method": at("/metrics/", "Require method GET\n"),
    "limit get": at("/metrics/", f"<Limit GET>\n{DENIED}</Limit>\n"),
    "limit post": at("/metrics/", f"<Limit POST>\n{DENIED}</Limit>\n"),
    "limit except get": at("/metrics/", f"<LimitExcept GET>\n{DENIED}</LimitExcept>\n"),
    "limit except post": at("/metrics/", f"<LimitExcept POST>\n{DENIED}</LimitExcept>\n"),
    "deny": at("/metrics/", "Deny from all\n"),
    "allow": at("/metrics/", "Allow from all\n"),
    "order": at("/metrics/", "Order allow,deny\n"),
    "other order": at("/metrics/", "Order deny,allow\n"),
    "deny but for one": at("/metrics/", "Order deny,allow\nDeny from all\nAllow from 192.0.2.\n"),
    "allow in order": at("/metrics/", "Order allow,deny\nAllow from all\n"),
    "denied above": at("/", "Deny from all\n") + at("/metrics/", "Allow from all\n"),
    "denied above, satisfy": at("/", "Deny from all\n") + at("/metrics/", "Satisfy All\n"),
    "denied above, granted": at("/", "Deny from all\n") + at("/metrics/", GRANTED),
    "deny and grant": at("/metrics/", "Deny from all\n" + GRANTED),
    "satisfy any": at("/metrics/", "Satisfy Any\nDeny from all\n" + GRANTED),
    "satisfy any host": at(
        "/metrics/", BASIC + "Satisfy Any\nOrder allow,deny\nAllow from all\n" + USER
    ),
    "satisfy any user": at("/metrics/", BASIC + "Satisfy Any\n" + USER),
    "satisfy neither": at("/metrics/", BASIC + "Satisfy Any\nDeny from all\n" + USER),
    "satisfy nothing": at("/metrics/", "Satisfy Any\nDeny from all\n"),
    "if": section("If", "true", DENIED),
    "if in location": at("/metrics/", f'<If "true">\n{DENIED}</If>\n'),
    "by rule": ENGINE + "RewriteCond %{REMOTE_ADDR} !^192\nRewriteRule ^/metrics/ - [F]\n",
}


def test_who_gets_in() -> None:
    """The model of Require, Order, Satisfy, AuthMerging and the sections agrees with Apache."""
    with proxied({name: text + OWN for name, text in GUARDS.items()}) as server:
        seen, told = {}, {}
        for case, scope in server.scopes.items():
            seen[case] = server.ask(case, "/metrics/").status == 200
            url = f"http://127.0.0.1:{server.dashboard}/"
            told[case] = access_to(server.system, scope, "/metrics/", url).everybody
        assert seen == told


def test_who_gets_in_by_inheritance() -> None:
    """Sections of the main server come before those of the virtual host, Proxy before Location."""
    cases = {
        "nothing": OWN,
        "location": OWN + at("/metrics/", GRANTED),
        "proxy": OWN + section("Proxy", "*", GRANTED),
    }
    for lines in (at("/", DENIED), section("Proxy", "*", DENIED)):
        with proxied(cases, server=lines) as server:
            url = f"http://127.0.0.1:{server.dashboard}/"
            seen = {case: server.ask(case, "/metrics/").status == 200 for case in cases}
            told = {
                case: access_to(server.system, scope, "/metrics/", url).everybody
                for case, scope in server.scopes.items()
            }
            assert seen == told


def prefix(words: str) -> str:
    action, _, rest = words.partition(" ")
    return f"RequestHeader {action} X-Forwarded-Prefix {rest}\n"


SET = prefix("set /metrics")

HEADERS = {
    "none": "",
    "location": at("/metrics/", SET),
    "virtual host": SET,
    "proxy": section("Proxy", "http://127.0.0.1:@D@/*", SET),
    "directory": section("Directory", "/", SET),
    "files": section("Files", "*", SET),
    "add": at("/metrics/", prefix("add /metrics")),
    "append": at("/metrics/", prefix("append /metrics")),
    "merge": at("/metrics/", prefix("merge /metrics")),
    "setifempty": at("/metrics/", prefix("setifempty /metrics")),
    "early": prefix("set /metrics early"),
    "early unset": prefix("unset early") + at("/metrics/", prefix("setifempty /metrics")),
    "location after host": prefix("set /x") + at("/metrics/", SET),
    "last location": at("/metrics/", SET) + at("/", prefix("set /x")),
    "location after proxy": at("/metrics/", SET) + section("Proxy", "*", prefix("set /x")),
    "condition": at("/metrics/", prefix("set /metrics env=NEVER_SET")),
    "unset before": prefix("unset") + at("/metrics/", prefix("append /metrics")),
    "appended": prefix("set /x") + at("/metrics/", prefix("append /metrics")),
    "per cent": at("/metrics/", prefix('set "/a%%b"')),
    "colon": at("/metrics/", "RequestHeader set X-Forwarded-Prefix: /metrics\n"),
    "unset": at("/metrics/", SET + prefix("unset")),
}


def test_which_prefix_arrives() -> None:
    """The model of RequestHeader agrees with Apache on the value, and on what a client may send."""
    with proxied({name: text + OWN for name, text in HEADERS.items()}) as server:
        seen, told = {}, {}
        for case, scope in server.scopes.items():
            ours = server.ask(case, "/metrics/").prefix
            theirs = server.ask(case, "/metrics/", {"X-Forwarded-Prefix": "/evil"}).prefix
            seen[case] = ours, "/evil" in theirs
            url = f"http://127.0.0.1:{server.dashboard}/"
            found = header(server.system, scope, "/metrics/", url, "x-forwarded-prefix")
            # What a condition adds isn't there when it doesn't hold.
            value = "" if case == "condition" else found.value or ""
            told[case] = value, found.from_client
        assert seen == told


@pytest.fixture
def hostile() -> str:
    """Return a text on which a pattern that repeats a repeat needs for ever."""
    return "/" + "a" * 60 + "!"


@pytest.mark.parametrize("pattern", [r"^/(a+)+$", r"(", "a" * 5000, r"^/(?P<a", "^/(a*)*$"])
def test_a_pattern_that_python_cannot_try(pattern: str, hostile: str) -> None:
    """A pattern of another dialect, without end or without limit matches nothing, at once."""
    assert matched(pattern, hostile) is None

"""Mistakes in the way to the dashboard, and what is to be said of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from mod_wsgi_dashboard.apacheconf.findings import Severity
from tests.apache.site import SYSTEM_MODULES
from tests.apacheconf.sites import text_of_site

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

LOAD = f"LoadModule {{0}}_module {SYSTEM_MODULES}/mod_{{0}}.so\n"
MOUNT = "ProxyPass        /metrics/ http://127.0.0.1:${DASHBOARD_PORT}/ upgrade=websocket"
REQUIRE = "whole server.\n    Require local\n"
SET = "    RequestHeader set X-Forwarded-Prefix /metrics\n"
PUBLIC = {"Listen 127.0.0.1:18080": "Listen 18080"}
ENGINE = LOAD.format("rewrite") + "RewriteEngine On\n"
IF_WEBSOCKET = "RewriteCond %{HTTP:Upgrade} =websocket [NC]\n"
WS_RULE = IF_WEBSOCKET + 'RewriteRule "^/metrics/ws$" "ws://127.0.0.1:${DASHBOARD_PORT}/ws" [P,L]\n'
BASIC = 'AuthType Basic\nAuthName "m"\nAuthUserFile /etc/hostname\nRequire valid-user\n'
PASSWORDS = "".join(
    LOAD.format(name) for name in ("authn_core", "authn_file", "auth_basic", "authz_user")
)
BALANCERS = "".join(
    LOAD.format(name) for name in ("slotmem_shm", "proxy_balancer", "lbmethod_byrequests")
)


def required(lines: str) -> dict[str, str]:
    return {REQUIRE: f"whole server.\n{lines}"}


def vhost(inside: str) -> str:
    return f"<VirtualHost *:18080>\nServerName localhost\n{inside}</VirtualHost>\n"


def balancer(member: str, target: str = "balancer://dash/") -> dict[str, str]:
    lines = f'<Proxy "balancer://dash">\n    BalancerMember {member}\n</Proxy>\nProxyPass /metrics/ '
    return {MOUNT: BALANCERS + lines + target}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Breach:
    """A mistake, and what is to be said of it.

    Args:
        rule: the one finding's.
        words: what must be in what or fix.
        line: how the line begins that the evidence names first.
        also: rules that the mistake breaks as well.
        fix: how the fix is put into the configuration: at its end ("append"), in the line's place
            ("replace"), or where it says itself ("there").
        site: of `text_of_site`.
    """

    rule: str
    words: tuple[str, ...]
    line: str
    severity: Severity = ERROR
    also: tuple[str, ...] = ()
    fix: str = "append"
    edits: Mapping[str, str] = dataclasses.field(default_factory=dict)
    before: str = ""
    after: str = ""
    listener: str = "tcp"

    def text(self, root: Path) -> str:
        return text_of_site(
            root, edits=self.edits, before=self.before, after=self.after, listener=self.listener
        )


ORDER = [
    Breach(
        rule="proxy-order",
        words=("requests of /metrics/", "ProxyPass / http://127.0.0.1:9/"),
        line="ProxyPass / ",
        before="ProxyPass / http://127.0.0.1:9/",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("ProxyPass /metrics ",),
        line="ProxyPass /metrics ",
        before="ProxyPass /metrics http://127.0.0.1:9",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("ProxyPass /metrics/ !",),
        line="ProxyPass /metrics/ !",
        before="ProxyPass /metrics/ !",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("ProxyPassMatch",),
        line="ProxyPassMatch",
        before='ProxyPassMatch "^/(.*)$" "http://127.0.0.1:9/$1"',
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=('<Location "/metrics/">',),
        line="    ProxyPass http://127.0.0.1:9/",
        after='<Location "/">\n    ProxyPass http://127.0.0.1:9/\n</Location>',
        fix="append",
    ),
    Breach(
        rule="proxy-order",
        words=("requests of /metrics/", 'RewriteRule "^/metrics/" - [L]'),
        line="RewriteRule",
        before=ENGINE + "RewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P,L]",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("RewriteRule ^ /index.php [L]",),
        also=("rewrite-pt",),
        line="RewriteRule",
        after=ENGINE + "RewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ /index.php [L]",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("WebSocket of /metrics/",),
        line="RewriteRule",
        before=ENGINE + IF_WEBSOCKET + "RewriteRule ^/(.*)$ ws://127.0.0.1:9/$1 [P,L]",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("WebSocket of /metrics/", "doesn't upgrade"),
        line="ProxyPass        /metrics/",
        edits={" upgrade=websocket": ""},
        after="ProxyPass /metrics/ws ws://127.0.0.1:${DASHBOARD_PORT}/ws",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("requests of /metrics/", "ws://"),
        line="RewriteRule ^/(.*)$",
        edits={MOUNT: WS_RULE + MOUNT.removesuffix(" upgrade=websocket")},
        before=ENGINE + "RewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P,L]",
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        words=("requests of /metrics/",),
        line="RewriteRule",
        after=LOAD.format("rewrite")
        + vhost("RewriteEngine On\nRewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P,L]\n"),
        fix="there",
    ),
    Breach(
        rule="proxy-order",
        severity=NOTE,
        words=("requests of /metrics/", "<VirtualHost *:18080>"),
        line="RewriteRule",
        after=LOAD.format("rewrite")
        + vhost("RewriteEngine On\nRewriteRule ^/(.*)$ http://127.0.0.1:9/$1 [P,L]\n")
        + vhost("").replace("localhost", "other.example"),
        fix="there",
    ),
]

UPGRADE = [
    Breach(
        rule="websocket-upgrade",
        words=("/metrics/", "400", "upgrade=websocket"),
        line="ProxyPass        /metrics/",
        edits={" upgrade=websocket": ""},
        fix="replace",
    ),
    Breach(
        rule="websocket-upgrade",
        words=("BalancerMember http://127.0.0.1:8765 upgrade=websocket",),
        line="    BalancerMember",
        edits=balancer("http://127.0.0.1:8765"),
        fix="replace",
    ),
    Breach(
        rule="websocket-upgrade",
        words=("RewriteEngine isn't On in the main server",),
        line="RewriteRule",
        edits={MOUNT: WS_RULE + MOUNT.removesuffix(" upgrade=websocket")},
        before=LOAD.format("rewrite"),
    ),
    Breach(
        rule="websocket-upgrade",
        words=("doesn't inherit", "upgrade=websocket"),
        line="RewriteRule",
        edits={MOUNT: WS_RULE + MOUNT.removesuffix(" upgrade=websocket")},
        before=ENGINE,
        after=vhost(""),
        fix="replace second",
    ),
    Breach(
        rule="websocket-upgrade",
        words=("ws://127.0.0.1:8765/$1",),
        line="RewriteRule",
        edits={MOUNT: 'RewriteRule "^/metrics/(.*)$" "http://127.0.0.1:8765/$1" [P,L]'},
        before=ENGINE,
        fix="replace",
    ),
]

WORKERS = [
    Breach(
        rule="shared-worker",
        words=("upgrade=websocket of /metrics/ is dropped",),
        line="ProxySet",
        before='<Proxy "http://127.0.0.1:8765/">\nProxySet timeout=9\n</Proxy>',
        fix="replace",
    ),
    Breach(
        rule="shared-worker",
        words=("upgrade=websocket of /metrics/ is dropped", "timeout=9 upgrade=websocket>"),
        line="<Proxy",
        before='<Proxy "http://127.0.0.1:8765/" timeout=9>\n</Proxy>',
        fix="replace",
    ),
    Breach(
        rule="shared-worker",
        words=("go to /run/app.sock", "http://mod-wsgi-dashboard/"),
        line="ProxyPass /app/",
        before="ProxyPass /app/ unix:/run/app.sock|http://localhost/",
        edits={"SOCKET}|http://mod-wsgi-dashboard/": "SOCKET}|http://localhost/"},
        listener="unix",
        fix="replace second",
    ),
]

SLASHES = [
    Breach(
        rule="trailing-slashes",
        words=("http://127.0.0.1:8765//ws", "ProxyPass /metrics/ http://127.0.0.1:8765/"),
        line="ProxyPass        /metrics ",
        edits={"/metrics/ http://127.0.0.1:${DASHBOARD_PORT}/ up": "/metrics http://127.0.0.1:8765/ up"},
        fix="replace",
    ),
    Breach(
        rule="trailing-slashes",
        words=("http://127.0.0.1:8765ws",),
        line="ProxyPass        /metrics/",
        edits={"http://127.0.0.1:${DASHBOARD_PORT}/ up": "http://127.0.0.1:8765 up"},
        fix="replace",
    ),
    Breach(
        rule="trailing-slashes",
        words=('<Location "/metrics/">',),
        line="    ProxyPass",
        edits={
            MOUNT: '<Location "/metrics">\n    ProxyPass http://127.0.0.1:8765/ upgrade=websocket\n'
            "</Location>"
        },
        fix="none",
    ),
    Breach(
        rule="trailing-slashes",
        words=("//metrics/ws", '"http://127.0.0.1:8765/$1"'),
        line="ProxyPassMatch",
        edits={MOUNT: 'ProxyPassMatch "^/metrics/" "http://127.0.0.1:8765/" upgrade=websocket'},
        fix="replace",
    ),
    Breach(
        rule="trailing-slashes",
        words=("member http://127.0.0.1:8765/",),
        line="    BalancerMember",
        edits=balancer("http://127.0.0.1:8765/ upgrade=websocket"),
        fix="replace",
    ),
    Breach(
        rule="trailing-slashes",
        words=("balancer://dashws",),
        line="ProxyPass /metrics/ balancer://dash",
        edits=balancer("http://127.0.0.1:8765 upgrade=websocket", "balancer://dash"),
        fix="replace",
    ),
]

PREFIXES = [
    Breach(
        rule="prefix-header",
        words=("No RequestHeader", "RequestHeader set X-Forwarded-Prefix /metrics"),
        line="ProxyPass        /metrics/",
        edits={SET: ""},
    ),
    Breach(
        rule="prefix-header",
        words=("'/dashboard'", "'/metrics'"),
        line="    RequestHeader",
        edits={SET: SET.replace("/metrics", "/dashboard")},
    ),
    Breach(
        rule="prefix-header",
        words=("is removed",),
        line="    RequestHeader",
        edits={SET: "    RequestHeader unset X-Forwarded-Prefix\n"},
    ),
    *(
        Breach(
            rule="prefix-header",
            severity=WARNING,
            words=("A client can send", action),
            line="    RequestHeader",
            edits={SET: SET.replace("set", action)},
        )
        for action in ("add", "append", "merge", "setifempty")
    ),
    Breach(
        rule="prefix-header",
        severity=WARNING,
        words=("A client can send", "env=VIA_PROXY"),
        line="    RequestHeader",
        edits={SET: SET.replace("/metrics", "/metrics env=VIA_PROXY")},
    ),
]

ACCESS = [
    Breach(
        rule="open-location",
        words=("no Require", "other machines", "Listen 18080", "Require local"),
        line="ProxyPass        /metrics/",
        edits={**required(""), **PUBLIC},
    ),
    Breach(
        rule="open-location",
        severity=NOTE,
        words=("no Require", "loopback", "Require local"),
        line="ProxyPass        /metrics/",
        edits=required(""),
    ),
    Breach(
        rule="open-location",
        words=("`Require all granted`",),
        line="Require all granted",
        edits={**required("Require all granted\n"), **PUBLIC},
    ),
    Breach(
        rule="open-location",
        words=("`Require all granted`",),
        line="  Require all granted",
        edits=PUBLIC,
        after='<LocationMatch "^/m">\n  Require all granted\n</LocationMatch>',
    ),
    Breach(
        rule="open-location",
        words=("/metrics/ is open",),
        line="ProxyPass        /metrics/",
        edits={**required("Allow from all\n"), **PUBLIC},
        before=LOAD.format("access_compat"),
    ),
    Breach(
        rule="open-location",
        words=("/metrics/ is open", "Satisfy All"),
        line="ProxyPass        /metrics/",
        edits={
            **required(BASIC + "RequestHeader unset Authorization\nSatisfy Any\n"),
            **PUBLIC,
        },
        before=LOAD.format("access_compat") + PASSWORDS,
    ),
    Breach(
        rule="authorization-passed",
        severity=WARNING,
        words=("/metrics/", "RequestHeader unset Authorization"),
        line="AuthType Basic",
        edits=required(BASIC),
        before=PASSWORDS,
    ),
    Breach(
        rule="authorization-passed",
        severity=WARNING,
        words=("/metrics/", "RequestHeader unset Authorization"),
        line="AuthType Basic",
        edits=required(""),
        before=PASSWORDS + f'<Location "/">\n{BASIC}</Location>',
    ),
]

TIMES = [
    Breach(
        rule="timeout",
        severity=NOTE,
        words=("Timeout 5", "heartbeat of 10 s", "Timeout 60"),
        line="Timeout 5",
        edits={"Timeout 60": "Timeout 5"},
    ),
    Breach(
        rule="timeout",
        severity=WARNING,
        words=("Timeout 1", "1006"),
        line="Timeout 1",
        edits={"Timeout 60": "Timeout 1000ms"},
    ),
    Breach(
        rule="timeout",
        severity=NOTE,
        words=("Timeout 8",),
        line="    Timeout 8",
        after=vhost("    Timeout 8\n"),
        fix="replace",
    ),
    Breach(
        rule="other-websockets",
        severity=WARNING,
        words=("/chat/", "127.0.0.1:9", "ServerLimit 8"),
        line="ProxyPass /chat/",
        edits={"ServerLimit 6": "ServerLimit 4"},
        before="ProxyPass /chat/ http://127.0.0.1:9/ upgrade=websocket",
    ),
]

BREACHES = [*ORDER, *UPGRADE, *WORKERS, *SLASHES, *PREFIXES, *ACCESS, *TIMES]

"""Choices into the text of an Apache configuration.

Owns the spelling: directives, their order, and the comments, whose reasons are those of rules.py. Pure:
no files, no server. It must not judge choices; a `Choices` is right already.

Invariants: every value stands quoted as Apache reads it; the same choices give the same text; the
modules that the text names are all that it needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mod_wsgi_dashboard.apacheconf.choices import Access, Choices, Member
from mod_wsgi_dashboard.apacheconf.defines import define_blocks, defined
from mod_wsgi_dashboard.apacheconf.lines import INDENT, comment, indented, quoted
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.state_directory import making
from mod_wsgi_dashboard.settings import TcpAddress, UnixAddress

GROUP = "dashboard"
# What a socket's URL says behind the path. It is not connected to, but mod_proxy knows workers by it:
# two sockets behind one host are one to it, whosever they are (2.4.71).
SOCKET_HOST = "mod-wsgi-dashboard"

BALANCER = "balancer://dashboard"

# What Debian enables when it installs apache2: no a2enmod for these.
DEBIAN_STOCK = frozenset(
    name
    for line in (
        "access_compat alias auth_basic authn_core authn_file authz_core authz_host authz_user",
        "autoindex deflate dir env filter mime negotiation reqtimeout setenvif status",
    )
    for name in line.split()
)


def render(choices: Choices) -> str:
    """Return the configuration file for these choices, with its closing newline."""
    body: list[list[str]] = [_head(choices)]
    body += define_blocks(choices)
    body += _at_server_scope(choices)
    mount = [*_process(choices), *_backends(choices), _proxy(choices), _location(choices)]
    if choices.server_name is None:
        body += mount
    else:
        body += [_virtual_host(choices, mount)]
    return "\n".join("\n".join(block) + "\n" for block in body if block)


def modules(choices: Choices) -> tuple[str, ...]:
    """Return the modules that the configuration needs, as in LoadModule without `_module`."""
    needed = {"authz_core", "headers", "proxy", "proxy_http"}
    if choices.prefix:
        needed |= {"alias"}
    if choices.listen is not None:
        needed |= {"wsgi"}
    if choices.access.kind in {"local", "ip"}:
        needed |= {"authz_host"}
    if choices.access.kind == "basic":
        needed |= {"auth_basic", "authn_core", "authn_file", "authz_user"}
    if choices.proxy != "upgrade":
        needed |= {"proxy_wstunnel"}
    if choices.proxy == "rewrite":
        needed |= {"rewrite"}
    if choices.tls or any(member.tls for member in choices.members):
        needed |= {"ssl"}
    if len(members(choices)) > 1:
        needed |= {"proxy_balancer", "lbmethod_byrequests", "slotmem_shm"}
    return tuple(sorted(needed))


def members(choices: Choices) -> tuple[Member, ...]:
    """Return all dashboards that the mount leads to, this server's own first."""
    return (*_own_member(choices), *choices.members)


def access_lines(access: Access) -> list[str]:
    """Return the directives that say who may look, for inside a Location."""
    if access.kind == "existing":
        return comment(
            "No Require here: a block of yours elsewhere must say who may look at this path. "
            "Without one everybody may."
        )
    shows = RULES["open-location"].why
    if access.kind == "ip":
        return [*comment(f"Who may look, by address. {shows}"), f"Require ip {' '.join(access.values)}"]
    if access.kind == "basic":
        return _basic(quoted(access.values[0]))
    return [*comment(f"Who may look: this machine alone. {shows}"), "Require local"]


def nokeepalive() -> list[str]:
    """Return the directives that free a polling page's worker at once, for inside a Location."""
    return [
        *comment(
            "A page that can't have a WebSocket asks every five seconds. On prefork and worker each of "
            "its connections would keep a worker for KeepAliveTimeout after the answer."
        ),
        "<IfModule env_module>",
        f"{INDENT}SetEnv nokeepalive 1",
        "</IfModule>",
    ]


def _own_member(choices: Choices) -> tuple[Member, ...]:
    if isinstance(choices.listen, UnixAddress):
        return (Member(f"http://{SOCKET_HOST}", defined(choices, "SOCKET", choices.listen.path)),)
    if isinstance(choices.listen, TcpAddress):
        host = str(choices.listen).rpartition(":")[0]
        return (Member(f"http://{host}:{defined(choices, 'PORT', str(choices.listen.port))}"),)
    return ()


# The head of the file


def _head(choices: Choices) -> list[str]:
    lines = comment(f"{_title(choices)}, for {_needs(choices)}.")
    lines += ["#", *comment(_where(choices)), "#"]
    needed = modules(choices)
    lacking = [name for name in needed if name not in DEBIAN_STOCK]
    lines += comment(
        f"Modules: {' '.join(needed)}. On Debian: `a2enmod {' '.join(lacking)}`. "
        "Elsewhere, unless loaded already:"
    )
    width = max(map(len, lacking)) + len("_module")
    lines += [f"#   LoadModule {name + '_module':{width}}  modules/mod_{name}.so" for name in lacking]
    return lines


def _title(choices: Choices) -> str:
    several = len(members(choices)) > 1
    what = "Several dashboards" if several else "The dashboard"
    if choices.server_name is None:
        over = " over a unix socket" if isinstance(choices.listen, UnixAddress) else ""
        return f"{what} at {choices.mount}{over}"
    if choices.in_place:
        return f"{what} in a virtual host of its own{', with TLS' if choices.tls else ''}"
    scheme = "https" if choices.tls else "http"
    usual = {"http": 80, "https": 443}[scheme]
    port = "" if choices.port == usual else f":{choices.port}"
    return f"{what} at {scheme}://{choices.server_name}{port}{choices.mount}"


def _needs(choices: Choices) -> str:
    oldest = {"upgrade": "2.4.47 or newer", "rewrite": "2.4.5 or newer", "wstunnel": "2.4.5 or newer"}
    if choices.proxy == "rewrite" and choices.at_server_scope:
        oldest["rewrite"] = "2.4.8 or newer"
        if choices.in_place:
            oldest["rewrite"] = "2.4.5 or newer, outside of virtual hosts 2.4.8,"
    wsgi = " with mod_wsgi 4.9.4 or newer" if choices.listen is not None else ""
    return f"Apache {oldest[choices.proxy]}{wsgi}"


def _where(choices: Choices) -> str:
    if choices.server_name is not None:
        return "Include this file once, outside of virtual hosts: it is one."
    if choices.inside_vhost:
        return (
            "Include this inside the one <VirtualHost> that shall have it, before its other ProxyPass."
            " Outside of it, at server scope, goes:  ExtendedStatus On"
        )
    if choices.in_place:
        return (
            f"Include this file once, outside of virtual hosts (every virtual host then has"
            f" {choices.mount}), or inside the one <VirtualHost> that shall have it, after"
            " `Define DASHBOARD_IN_VHOST`."
        )
    return (
        f"Include this file once, outside of virtual hosts: every virtual host then has {choices.mount},"
        " except one whose own ProxyPass or RewriteRule takes that path."
    )


# What stands at server scope


def _at_server_scope(choices: Choices) -> list[list[str]]:
    blocks = []
    if choices.pool is not None:
        blocks.append(_pool(choices))
    if choices.inside_vhost or choices.listen is None:
        return blocks
    lines = comment(f"{RULES['extended-status'].why} Apache accepts it in no virtual host.")
    if choices.in_place and choices.server_name is None:
        return [*blocks, [*lines, *_unless_in_vhost(_EXTENDED)]]
    return [*blocks, [*lines, _EXTENDED]]


_EXTENDED = "ExtendedStatus On"


def _unless_in_vhost(directive: str) -> list[str]:
    return ["<IfDefine !DASHBOARD_IN_VHOST>", f"{INDENT}{directive}", "</IfDefine>"]


def _pool(choices: Choices) -> list[str]:
    assert choices.pool is not None
    pool = choices.pool
    lines = [
        f"<IfModule mpm_{pool.mpm}_module>",
        f"{INDENT}ServerLimit {pool.server_limit}",
        f"{INDENT}MaxRequestWorkers {pool.max_request_workers}",
        "</IfModule>",
    ]
    words = (
        f"Room for {choices.viewers} viewers beside the site: each holds a worker while it looks. "
        "The last MaxRequestWorkers that Apache reads holds. A new ServerLimit needs a restart."
    )
    if not choices.inside_vhost:
        return [*comment(words), *lines]
    return [*comment(f"At server scope, too. {words}"), *(f"#   {line}" for line in lines)]


def _virtual_host(choices: Choices, mount: Sequence[list[str]]) -> list[str]:
    port = defined(choices, "HTTPS_PORT", str(choices.port))
    lines = []
    if choices.listens:
        everywhere = choices.address == "*"
        lines.append(f"Listen {port}" if everywhere else f"Listen {choices.address}:{port}")
    elif choices.port in (80, 443):
        lines += comment(
            f"Apache must listen on the port (`Listen {port}`); Debian and Red Hat let it"
            f"{', once mod_ssl is there' if choices.tls else ''}."
        )
    lines += [f"<VirtualHost {choices.address}:{port}>"]
    assert choices.server_name is not None
    lines += [f"{INDENT}ServerName {defined(choices, 'SERVER_NAME', choices.server_name)}"]
    if choices.tls is not None:
        lines += indented(
            [
                "",
                *comment("https:// and wss:// from the browser to here."),
                "SSLEngine On",
                f"SSLCertificateFile    {defined(choices, 'CERTIFICATE', choices.tls.certificate)}",
                f"SSLCertificateKeyFile {defined(choices, 'KEY', choices.tls.key)}",
            ]
        )
    for block in mount:
        lines += ["", *indented(block)]
    return [*lines, "</VirtualHost>"]


# The process, and the way to it


def _process(choices: Choices) -> list[list[str]]:
    if choices.listen is None:
        return []
    lines = comment(
        "A process of its own that serves no WSGI requests (threads=0) and may read the scoreboard. "
        "Never name this group in a WSGIProcessGroup: requests sent there would wait for ever."
    )
    account = [f"user={choices.user}"] if choices.user else []
    account += [f"group={choices.group}"] if choices.group else []
    if isinstance(choices.listen, UnixAddress):
        account.append("umask=0007")
        lines += comment(
            "Apache connects to the socket only if it may write to it: the process runs as Apache's"
            " User, or with group= of Apache's Group."
        )
    elsewhere = choices.script_kind != "written" and choices.target == "vhost" and not choices.in_place
    if choices.environment and elsewhere:
        lines += comment(
            f"Its settings are not in this file. In Apache's environment, or in the script:"
            f" {' '.join(choices.environment)}"
        )
    if choices.target == "vhost":
        lines += _recording(choices)
    home = defined(choices, "PYTHON_HOME", choices.python_home)
    account_text = "".join(f" {word}" for word in account)
    lines += [
        f"WSGIDaemonProcess {GROUP} threads=0 server-metrics=on"
        f" display-name=%{{GROUP}}{account_text} \\",
        f"{INDENT}locale=C.UTF-8 python-home={home}",
        f"WSGIImportScript {defined(choices, 'SCRIPT', choices.script)}"
        f" process-group={GROUP} application-group=%{{GLOBAL}}",
    ]
    return [lines]


def _recording(choices: Choices) -> list[str]:
    """Return what is said about the directory of the recording; other targets make it."""
    directory = choices.records_in
    if directory is None:
        return []
    others = ""
    if choices.state_dir is None:
        others = ", else below its user's home or in /var/tmp, which may end with Apache"
    # The user of Red Hat's Apache is another one.
    red_hat = "" if choices.user else " (Red Hat: -o apache)"
    words = f"It records in {directory}, where its user may write there{others}. To make it{red_hat}:"
    return [*comment(words), f"#   {making(choices.user or 'www-data', directory)}"]


def _backends(choices: Choices) -> list[list[str]]:
    """Return what must be said about the back ends before they are named in a ProxyPass."""
    blocks = []
    if choices.backend_ca is not None:
        blocks.append(_backend_tls(choices))
    if len(members(choices)) > 1:
        blocks.append(_balancer(choices, BALANCER, websocket=False))
        if choices.proxy != "upgrade":
            blocks.append(_balancer(choices, f"{BALANCER}-ws", websocket=True))
    return blocks


def _backend_tls(choices: Choices) -> list[str]:
    assert choices.backend_ca is not None
    lines = comment(
        "https:// to the others, checked against these certificates. On each of them let this machine's "
        "address in, and set MOD_WSGI_DASHBOARD_ALLOWED_HOSTS to the name that browsers use here."
    )
    directives = [
        "SSLProxyEngine On",
        "SSLProxyVerify require",
        f"SSLProxyCACertificateFile {quoted(choices.backend_ca)}",
    ]
    if choices.proxy != "upgrade":
        # Apache before 2.4.30 takes these for the whole server or virtual host alone.
        return [*lines, *directives]
    scope = f"{BALANCER}/*" if len(members(choices)) > 1 else f"{choices.members[0].url}/*"
    return [*lines, f'<Proxy "{scope}">', *indented(directives), "</Proxy>"]


def _balancer(choices: Choices, name: str, *, websocket: bool) -> list[str]:
    lines = []
    if websocket:
        lines += comment("The same for WebSockets, which mod_proxy_wstunnel takes by their scheme.")
    else:
        lines += comment(
            "Each of these knows its own server alone, so a browser stays with the one that it got"
            " first: page, API and WebSocket."
        )
    lines.append(f'<Proxy "{name}">')
    upgrade = " upgrade=websocket" if choices.proxy == "upgrade" else ""
    sockets = 0
    for number, member in enumerate(members(choices), 1):
        if member.socket is not None:
            sockets += 1
        host = SOCKET_HOST if sockets == 1 else f"{SOCKET_HOST}-{number}"
        target = _target(choices, member, number, websocket=websocket, host=host)
        lines.append(f"{INDENT}BalancerMember {target} route={number} retry=5{upgrade}")
    return [*lines, f"{INDENT}ProxySet stickysession=ROUTEID", "</Proxy>"]


def _target(
    choices: Choices, member: Member, number: int, *, websocket: bool = False, host: str = SOCKET_HOST
) -> str:
    """Return the URL of a member as mod_proxy wants it, without a closing slash."""
    if member.socket is not None:
        return f"unix:{member.socket}|{'ws' if websocket else 'http'}://{host}"
    url = member.url
    if choices.in_place and member in choices.members:
        # The scheme stays in the text, so that the value serves for http:// and ws:// alike.
        url = f"http://${{DASHBOARD_MEMBER_{number}}}"
    return re.sub(r"^http", "ws", url) if websocket else url


def _proxy(choices: Choices) -> list[str]:
    everyone = members(choices)
    if len(everyone) > 1:
        plain, websocket, parameters = BALANCER, f"{BALANCER}-ws", ""
    else:
        (member,) = everyone
        plain = _target(choices, member, 1)
        websocket = _target(choices, member, 1, websocket=True)
        parameters = " upgrade=websocket" if choices.proxy == "upgrade" else ""
    lines = _websocket(choices, websocket)
    words = "Both slashes at the ends matter."
    if choices.proxy == "upgrade":
        words += f" No other ProxyPass to this address may come before. {RULES['shared-worker'].why}"
    back = plain.partition("|")[2] or plain
    if back != plain:
        words += (
            " Behind the socket's path is a host of its own: mod_proxy takes two sockets behind one"
            " host for one."
        )
    lines += comment(words)
    lines += [
        f"ProxyPass        {choices.mount} {plain}/{parameters}",
        f"ProxyPassReverse {choices.mount} {back}/",
    ]
    if choices.prefix:
        bare = choices.prefix.replace(".", r"\.")
        lines.append(f'RedirectMatch 301 "^{bare}$" "{choices.mount}"')
    return lines


def _websocket(choices: Choices, target: str) -> list[str]:
    """Return what takes the WebSocket's handshake before the general rule does, if that doesn't."""
    if choices.proxy == "upgrade":
        return []
    why = "Before 2.4.47 the rule below doesn't upgrade to WebSocket; this one does, and is first."
    path = f"{choices.mount}ws"
    if choices.proxy == "wstunnel":
        return [*comment(why), f"ProxyPass        {path} {target}/ws", ""]
    lines = comment(why)
    inherit = []
    if choices.at_server_scope:
        lines += comment(
            "Rules outside of virtual hosts hold in those only that say `RewriteEngine On` themselves."
        )
        inherit = ["RewriteOptions InheritDownBefore"]
        if choices.in_place:
            inherit = _unless_in_vhost(inherit[0])
    pattern = path.replace(".", r"\.")
    return [
        *lines,
        "RewriteEngine On",
        *inherit,
        "RewriteCond %{HTTP:Upgrade} =websocket [NC]",
        f'RewriteRule "^{pattern}$" "{target}/ws" [P,L]',
        "",
    ]


def _location(choices: Choices) -> list[str]:
    lines = [
        *comment(RULES["prefix-header"].why),
        f"RequestHeader set X-Forwarded-Prefix {choices.prefix or '/'}",
    ]
    if choices.tls is not None:
        lines.append("RequestHeader set X-Forwarded-Proto https")
    if len(members(choices)) > 1:
        secure = "; Secure" if choices.tls is not None else ""
        lines += [
            "",
            *comment("Which of the dashboards this browser has."),
            'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e;'
            f' path={choices.mount}; HttpOnly; SameSite=Strict{secure}" env=BALANCER_ROUTE_CHANGED',
        ]
    lines += ["", *nokeepalive(), "", *_access(choices)]
    return [f'<Location "{choices.mount}">', *indented(lines), "</Location>"]


def _access(choices: Choices) -> list[str]:
    if choices.access.kind == "basic" and choices.in_place:
        return _basic("${DASHBOARD_PASSWORDS}")
    lines = access_lines(choices.access)
    if choices.access.kind == "basic" and choices.tls is None:
        lines = [*comment("Over http:// the password travels in the clear."), *lines]
    return lines


def _basic(path: str) -> list[str]:
    return [
        *comment(
            "Who may look: who has a password. The browser sends it with the WebSocket's handshake, too;"
            " the dashboard has no use for it, and doesn't get it."
        ),
        "AuthType Basic",
        'AuthName "mod_wsgi-dashboard"',
        f"AuthUserFile {path}",
        "Require valid-user",
        "RequestHeader unset Authorization",
    ]

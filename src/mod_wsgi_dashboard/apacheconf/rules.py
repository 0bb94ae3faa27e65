"""What is known about a dashboard behind Apache: one rule for each thing that can be wrong.

Owns the words: `config` explains the lines that it writes with them, `doctor` its findings, and
docs/troubleshooting.md is made of them. How to find a breach is the checks' business.

Each rule was reproduced on a real Apache 2.4.71 with mod_wsgi 4.9.4 and 6.1.1, unless its `why` says
otherwise. Where the documentation tells another story, the measurement stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

HTTPD = "https://httpd.apache.org/docs/2.4/"
MOD_WSGI = "https://modwsgi.readthedocs.io/en/latest/"
PROCESS = MOD_WSGI + "configuration-directives/WSGIDaemonProcess.html"
IMPORT = MOD_WSGI + "configuration-directives/WSGIImportScript.html"
ISSUES = MOD_WSGI + "user-guides/configuration-issues.html"

GROUPS = {
    "sidecar": "The dashboard's process",
    "proxy": "The way to it through Apache",
    "capacity": "Workers",
    "setup": "Apache and mod_wsgi in general",
    "url": "The address, tried from outside",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    Args:
        name: what `doctor --check` takes.
        group: a key of `GROUPS`.
        title: what is wrong, in a few words.
        symptom: what somebody sees who doesn't know yet.
        why: why it matters, in one or two sentences.
        fix: what to do, in general; a finding has the exact line.
        docs: the page that describes the directive.
    """

    name: str
    group: str
    title: str
    symptom: str
    why: str
    fix: str
    docs: str


_RULES = (
    # The dashboard's process
    Rule(
        "extended-status",
        "sidecar",
        "ExtendedStatus is off",
        "Workers with their letters, but no requests, clients, times or counts.",
        "With ExtendedStatus off Apache keeps nothing but a letter for each worker.",
        "`ExtendedStatus On` at server scope; Apache accepts it in no virtual host.",
        HTTPD + "mod/core.html#extendedstatus",
    ),
    Rule(
        "server-metrics",
        "sidecar",
        "server-metrics is off for the dashboard's group",
        "The page says that server metrics are off.",
        "mod_wsgi.server_metrics() returns None in a daemon process group without server-metrics=on.",
        "`server-metrics=on` on the dashboard's `WSGIDaemonProcess`, or `--server-metrics` for"
        " mod_wsgi-express.",
        PROCESS,
    ),
    Rule(
        "server-metrics-directive",
        "sidecar",
        "WSGIServerMetrics is taken for the group's option",
        "The page says that server metrics are off, though `WSGIServerMetrics On` is there.",
        "WSGIServerMetrics is for embedded mode; a daemon process group has its own option.",
        "`server-metrics=on` on the dashboard's `WSGIDaemonProcess`.",
        MOD_WSGI + "configuration-directives/WSGIServerMetrics.html",
    ),
    Rule(
        "threads-zero",
        "sidecar",
        "threads=0 is missing",
        "Each restart and reload holds up the site for 3 s, and viewers are cut off.",
        "Without threads=0 mod_wsgi prepares the group for requests that its main thread, busy with the"
        " script, never serves, and SIGTERM doesn't end it: Apache waits 3 s, then kills it.",
        "`threads=0` on the dashboard's `WSGIDaemonProcess`.",
        PROCESS,
    ),
    Rule(
        "application-group",
        "sidecar",
        "The dashboard runs in a sub-interpreter",
        "A stop takes longer; WSGI0090 in the error log.",
        "Only the main interpreter, %{GLOBAL}, may handle signals, and extension modules are at home"
        " there. The dashboard copes, other service scripts are killed after 3 s.",
        "`application-group=%{GLOBAL}` on the `WSGIImportScript`.",
        IMPORT,
    ),
    Rule(
        "requests-to-sidecar",
        "sidecar",
        "WSGI requests go to the dashboard's group",
        "These requests hang for ever, and so does a stop of Apache; configtest says OK.",
        "A group with threads=0 has no thread that would ever answer a request.",
        "Name another group in WSGIProcessGroup or process-group=.",
        PROCESS,
    ),
    Rule(
        "sidecar-processes",
        "sidecar",
        "The dashboard's group has several processes",
        "Address already in use, over and over; on a unix socket two dashboards take turns.",
        "Each process runs the script, and only one can have the address.",
        "Leave out processes=, or set it to 1.",
        PROCESS,
    ),
    Rule(
        "script-readable",
        "sidecar",
        "The daemon's user can't read the script, or its Python",
        "503 at the mount; WSGI0106 or PermissionError once a second in the error log.",
        "The script is read by the daemon's user, who needs search permission on every directory above"
        " it. Home directories often have mode 0700.",
        "Move it out of closed directories, or `chmod o+x` them.",
        ISSUES,
    ),
    Rule(
        "package-importable",
        "sidecar",
        "The dashboard can't be imported there",
        "503 at the mount; ModuleNotFoundError once a second in the error log.",
        "The daemon has the Python that mod_wsgi was built for, with the packages of its python-home.",
        "`python-home=` on the dashboard's `WSGIDaemonProcess`, naming the virtual environment that it"
        " is installed in.",
        MOD_WSGI + "user-guides/virtual-environments.html",
    ),
    Rule(
        "setting",
        "sidecar",
        "A setting is not accepted",
        "503 at the mount; the error log names the setting, and says that the dashboard stays down.",
        "A dashboard with a setting that it doesn't know, or a value that it doesn't accept, stays down"
        " until Apache is restarted, rather than do something else than it was told.",
        "The name and the accepted values that the finding has; then restart Apache.",
        PROCESS,
    ),
    Rule(
        "port-taken",
        "sidecar",
        "Something else has the dashboard's address",
        "503 or somebody else's page at the mount; 'address in use' in the error log.",
        "Only one process can listen there; after a kill -9 of Apache it may be an old service script.",
        "End what has it, or set `listen` to another address.",
        PROCESS,
    ),
    Rule(
        "public-listener",
        "sidecar",
        "The dashboard listens where other machines reach it",
        "The dashboard answers on its own port from elsewhere, without Apache's TLS and access rules.",
        "Apache's access rules guard the mount alone, not the port behind it.",
        "`listen` on 127.0.0.1, or on a unix socket.",
        HTTPD + "howto/access.html",
    ),
    Rule(
        "unix-socket",
        "sidecar",
        "Apache's user can't reach the unix socket",
        "503 at the mount; (13)Permission denied: AH02454, or (2)No such file or directory.",
        "Apache's children connect to it as Apache's User, who needs write permission on the socket and"
        " search permission on the directories above it; the dashboard's user needs to make it there.",
        "Let the group run as Apache's User, or with group= of Apache's Group and umask=0007.",
        HTTPD + "mod/mod_proxy.html#proxypass",
    ),
    Rule(
        "duplicate-group",
        "sidecar",
        "Two groups have one name",
        "Apache doesn't start: Name duplicates previous WSGI daemon definition.",
        "Names of daemon process groups are unique across the whole server, virtual hosts included.",
        "Rename one of them.",
        PROCESS,
    ),
    Rule(
        "not-running",
        "sidecar",
        "The dashboard doesn't answer",
        "503 at the mount.",
        "Apache runs, and the dashboard behind it doesn't, or hangs: what ends it is in the error log of"
        " the server or virtual host that defines its group.",
        "What the other findings or the log say; then `apachectl restart`.",
        IMPORT,
    ),
    Rule(
        "respawn-loop",
        "sidecar",
        "The dashboard ends, and Apache starts it again and again",
        "503 at the mount; starts about once a second in the error log, or nothing at all in it.",
        "Apache starts a daemon again once a second, with no back-off. A script that ends by sys.exit()"
        " leaves no line in the log at LogLevel warn.",
        "The log's last error says what ends it; `LogLevel wsgi:info` shows silent exits, too.",
        IMPORT,
    ),
    Rule(
        "recording",
        "sidecar",
        "The dashboard can't record, or not for long",
        "The page says that nothing is recorded; or its history is gone after a restart of Apache.",
        "It records in the first directory of several that its user may write to. Where there is no"
        " better one, that is in /var/tmp, which systemd is documented to empty when Apache stops, with"
        " PrivateTmp=, as distributions have it.",
        "`install -d -m 0700 -o www-data /var/lib/mod_wsgi-dashboard` (Red Hat: `-o apache`), or the"
        " setting `state_dir`; then `apachectl graceful`.",
        "https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#PrivateTmp=",
    ),
    # The way to it through Apache
    Rule(
        "proxy-modules",
        "proxy",
        "A module is missing",
        "Apache doesn't start (Invalid command 'ProxyPass'), or 500 and AH01144 at the mount.",
        "The way to the dashboard needs mod_proxy and mod_proxy_http, mod_headers for the prefix,"
        " mod_alias for the bare path, and for the rewrite form mod_rewrite and mod_proxy_wstunnel.",
        "`a2enmod proxy proxy_http headers` on Debian, LoadModule lines elsewhere.",
        HTTPD + "mod/mod_proxy.html",
    ),
    Rule(
        "websocket-upgrade",
        "proxy",
        "The proxy doesn't upgrade to WebSocket",
        "The page says that it polls, because the proxy doesn't upgrade; the WebSocket gets a 400.",
        "mod_proxy_http passes the handshake on as a plain request, unless ProxyPass says"
        " upgrade=websocket, which Apache knows from 2.4.47 on.",
        "`upgrade=websocket` on the ProxyPass; before 2.4.47 a RewriteRule to ws:// with [P,L].",
        HTTPD + "mod/mod_proxy.html#protoupgrade",
    ),
    Rule(
        "mount-address",
        "proxy",
        "No path of Apache leads to where the dashboard listens",
        "404 or 503 at the mount, though the dashboard runs.",
        "ProxyPass and the dashboard's setting `listen` name the address independently of each other.",
        "The same address in both.",
        HTTPD + "mod/mod_proxy.html#proxypass",
    ),
    Rule(
        "proxy-order",
        "proxy",
        "A more general rule comes first",
        "404 or 503 at the mount, or somebody else's page; HTTP works and the WebSocket doesn't.",
        "The first ProxyPass that matches wins, and a RewriteRule at server scope before all of them.",
        "Put the dashboard's lines before the general ones, or exclude the mount from those.",
        HTTPD + "mod/mod_proxy.html#proxypass",
    ),
    Rule(
        "shared-worker",
        "proxy",
        "Another ProxyPass to the same address drops upgrade=",
        "The WebSocket gets a 400; AH01146 'worker sharing' at configtest.",
        "Proxy workers are shared by their URL, which leaves a socket's path out: the parameters of the"
        " first ProxyPass hold for all.",
        "`upgrade=websocket` on the first ProxyPass to that address, or one ProxyPass less; for a unix"
        " socket a host of its own behind the `|`.",
        HTTPD + "mod/mod_proxy.html#workers",
    ),
    Rule(
        "trailing-slashes",
        "proxy",
        "The slashes at the ends don't match",
        "404 for '//', or 500 and AH00898 with a host like '127.0.0.1:8765ws'.",
        "mod_proxy replaces the one text by the other: both end in a slash, or neither does.",
        "`ProxyPass /metrics/ http://127.0.0.1:8765/ upgrade=websocket`",
        HTTPD + "mod/mod_proxy.html#proxypass",
    ),
    Rule(
        "prefix-header",
        "proxy",
        "X-Forwarded-Prefix is missing, or comes from the client",
        "The page is bare, without style, where the prefix is wrong; else nothing.",
        "The page is told its mount by this header. `set` overwrites what a client sent; without it, or"
        " by `add` and `append`, a client's own comes through, and names the links of the page.",
        '`RequestHeader set X-Forwarded-Prefix /metrics` in `<Location "/metrics/">`.',
        HTTPD + "mod/mod_headers.html#requestheader",
    ),
    Rule(
        "timeout",
        "proxy",
        "Timeout is below the heartbeat",
        "Viewers are cut off with 1006 when a tick is late.",
        "Apache ends a tunnel in which nothing moved for Timeout seconds; ProxyTimeout and timeout= of"
        " ProxyPass have no effect on it (2.4.71). What keeps it open is the dashboard's 1 s keepalive.",
        "`Timeout 60`, or the setting `heartbeat` below it.",
        HTTPD + "mod/core.html#timeout",
    ),
    Rule(
        "authorization-passed",
        "proxy",
        "The password is passed on to the dashboard",
        "Nothing: it just goes where nobody needs it.",
        "Apache hands the Authorization header on to the back end, which has no use for it.",
        '`RequestHeader unset Authorization` in `<Location "/metrics/">`.',
        HTTPD + "mod/mod_headers.html#requestheader",
    ),
    Rule(
        "other-websockets",
        "proxy",
        "Another WebSocket back end can fill the scoreboard",
        "After a few graceful restarts: AH03490: scoreboard is full, and the site is down.",
        "Tunnels to a back end that outlives a graceful restart keep their old Apache process, and its"
        " place among ServerLimit. The dashboard's own tunnels end, since it is restarted, too.",
        "A ServerLimit of several times MaxRequestWorkers / ThreadsPerChild.",
        HTTPD + "mod/mpm_common.html#serverlimit",
    ),
    Rule(
        "open-location",
        "proxy",
        "Everybody may look",
        "The dashboard opens without being asked who you are.",
        "It shows the requests, clients and virtual hosts of the whole server.",
        '`Require local` or `Require ip ...` in `<Location "/metrics/">`, or a password.',
        HTTPD + "howto/access.html",
    ),
    # Workers
    Rule(
        "prefork",
        "capacity",
        "WebSockets on the prefork MPM",
        "Few viewers, and the site slows down.",
        "Each WebSocket holds a worker for its life; with prefork that is a whole process.",
        "The event MPM: `a2dismod mpm_prefork && a2enmod mpm_event` (needs a thread-safe PHP, or none).",
        HTTPD + "mod/event.html",
    ),
    Rule(
        "viewers-against-workers",
        "capacity",
        "Viewers can take too many of the workers",
        "The site doesn't answer while many have the dashboard open.",
        "N WebSockets are N workers, on every MPM. The guard keeps a reserve, unless its settings leave"
        " none; and it must know MaxRequestWorkers, which mod_wsgi can't tell.",
        "A higher MaxRequestWorkers, or lower `max_viewers`; `max_request_workers` as in Apache.",
        HTTPD + "mod/mpm_common.html#maxrequestworkers",
    ),
    Rule(
        "threads-multiple",
        "capacity",
        "MaxRequestWorkers is no multiple of ThreadsPerChild",
        "AH00513 (event) or AH00316 (worker) at start, and fewer workers than were asked for.",
        "Processes have whole sets of threads: Apache rounds MaxRequestWorkers down.",
        "A multiple of ThreadsPerChild.",
        HTTPD + "mod/mpm_common.html#maxrequestworkers",
    ),
    Rule(
        "server-limit",
        "capacity",
        "ServerLimit is too low",
        "AH00515 (event), AH00318 (worker) or AH00180 (prefork) at start, and fewer workers than were"
        " asked for.",
        "Apache makes no more than ServerLimit processes of ThreadsPerChild threads, and old processes"
        " that drain after a graceful restart count among them.",
        "`ServerLimit` of at least MaxRequestWorkers / ThreadsPerChild, and a few more.",
        HTTPD + "mod/mpm_common.html#serverlimit",
    ),
    # Apache and mod_wsgi in general
    Rule(
        "syntax",
        "setup",
        "The configuration doesn't parse",
        "Apache doesn't start, or goes on with the old configuration.",
        "A reload with a broken configuration is refused; a restart of the machine then has no Apache.",
        "Mend the line that Apache names.",
        HTTPD + "programs/httpd.html",
    ),
    Rule(
        "reading",
        "setup",
        "A part of the configuration could not be read",
        "What is written there has no part in the other checks.",
        "An Include that leads nowhere stops Apache; a loop, too.",
        "Mend the Include, or run doctor as a user who may read the file.",
        HTTPD + "mod/core.html#include",
    ),
    Rule(
        "server-name",
        "setup",
        "No ServerName at server scope",
        "AH00558 at each start.",
        "Apache guesses its name by DNS then, and redirects and SERVER_NAME have the guess. A ServerName"
        " in virtual hosts alone doesn't help.",
        "`ServerName localhost` or the site's name, outside of virtual hosts.",
        HTTPD + "mod/core.html#servername",
    ),
    Rule(
        "file-permissions",
        "setup",
        "A WSGI script can't be read by who runs it",
        "500 and WSGI0106 or PermissionError, or 403 and AH00529; configtest says OK.",
        "In daemon mode the daemon's user reads the script; Apache's own user has to see that it is"
        " there. Both need search permission on every directory above it.",
        "Move the application out of closed directories, `chmod o+x` them, or run the group as their"
        " owner with user=.",
        ISSUES,
    ),
    Rule(
        "socket-prefix",
        "setup",
        "mod_wsgi's sockets are where Apache's user can't reach them, or where everybody can",
        "503 and WSGI0117, or WSGI0013 at start; configtest says OK.",
        "Apache's children connect to the sockets as Apache's User. In a directory that all may write"
        " to, such as /tmp, anybody can take their place.",
        "`WSGISocketPrefix /var/run/wsgi`, in a directory that only root writes to and all may search.",
        MOD_WSGI + "configuration-directives/WSGISocketPrefix.html",
    ),
    Rule(
        "selinux",
        "setup",
        "SELinux keeps Apache from something",
        "Permission denied in the error log, though the file permissions are right.",
        "In enforcing mode Apache may connect to no port, read no script and write no socket that the"
        " policy doesn't allow. Not reproduced here: checked against the output of its tools.",
        "`setsebool -P httpd_can_network_connect on`, `semanage fcontext` and `restorecon` for files.",
        ISSUES,
    ),
    Rule(
        "apparmor",
        "setup",
        "AppArmor confines Apache",
        "Permission denied in the error log, though the file permissions are right.",
        "A profile in enforce mode allows only the paths it names. Not reproduced here: checked against"
        " the output of its tools.",
        "Add the paths to the profile, or `aa-complain` it while you look.",
        ISSUES,
    ),
    Rule(
        "group-scope",
        "setup",
        "A group is used where it can't be reached",
        "500 and WSGI0152 or WSGI0150; or Apache doesn't start: WSGI process group not accessible.",
        "A group that is defined inside a virtual host serves virtual hosts of the same ServerName only;"
        " one that is defined nowhere serves nobody.",
        "Move the WSGIDaemonProcess to server scope, or name a group that is there.",
        ISSUES,
    ),
    Rule(
        "group-order",
        "setup",
        "A group is used before it is defined",
        "Apache doesn't start: WSGI process group not yet configured.",
        "process-group= of WSGIScriptAlias and WSGIImportScript is looked up at once, at server scope as"
        " well; only WSGIProcessGroup waits for the request.",
        "Put the WSGIDaemonProcess before the line that names it.",
        ISSUES,
    ),
    Rule(
        "group-log",
        "setup",
        "A group's messages are in the log of its virtual host",
        "Nothing in the main error log, though the group fails.",
        "What mod_wsgi says of a group goes to the error log of the virtual host that defines it.",
        "Look there, too; or define the group at server scope.",
        ISSUES,
    ),
    Rule(
        "c-extensions",
        "setup",
        "Extension modules in a sub-interpreter",
        "ImportError, wrong results or crashes of numpy, cryptography and others.",
        "Many extension modules support the main interpreter only, and mod_wsgi gives each application a"
        " sub-interpreter unless it is told %{GLOBAL}.",
        "`application-group=%{GLOBAL}` on the WSGIScriptAlias, or `WSGIApplicationGroup %{GLOBAL}`.",
        MOD_WSGI + "configuration-directives/WSGIApplicationGroup.html",
    ),
    Rule(
        "htaccess",
        "setup",
        "A directive that no .htaccess may hold",
        "500 for that directory, and 'not allowed here' in the error log; nothing at all under"
        " AllowOverride None.",
        "mod_wsgi's process and alias directives and ProxyPass belong into the server's configuration.",
        "Move it into the server's configuration.",
        HTTPD + "mod/core.html#allowoverride",
    ),
    Rule(
        "rewrite-pt",
        "setup",
        "A RewriteRule onto a WSGI application lacks [PT]",
        "404 where the application should answer.",
        "Without PT the result is taken for a file name, and the alias is never looked at.",
        "`[PT]` on the RewriteRule.",
        HTTPD + "rewrite/flags.html#flag_pt",
    ),
    Rule(
        "module-upgraded",
        "setup",
        "Apache runs with a module or Python that was replaced on disk",
        "Import errors or crashes in daemons that start anew after an upgrade.",
        "A reload keeps the parent process, with the modules and libpython that it has mapped.",
        "`apachectl stop`, then `start`: neither a reload nor a graceful restart is enough.",
        MOD_WSGI + "user-guides/reloading-source-code.html",
    ),
    Rule(
        "stale-sockets",
        "setup",
        "Apache's children look for sockets that are gone",
        "503 and '(2)No such file or directory: Unable to connect to WSGI daemon process'.",
        "mod_wsgi makes new sockets at each restart, named by pid and generation. Old children that"
        " drain, and whatever tidies run directories, lose them.",
        "Only for a moment after a graceful restart: nothing. Else `apachectl restart`, and except the"
        " directory from tidying.",
        MOD_WSGI + "configuration-directives/WSGISocketPrefix.html",
    ),
    Rule(
        "fallback-resource",
        "setup",
        "FallbackResource points at a WSGI application",
        "Documented as garbled answers with compression; not reproduced here in 60 requests.",
        "mod_dir redirects internally then, and the documentation advises against it.",
        "WSGIScriptAlias, or a RewriteRule with [PT].",
        HTTPD + "mod/mod_dir.html#fallbackresource",
    ),
    # The address, tried from outside
    Rule(
        "url-reachable",
        "url",
        "The address can't be reached",
        "A browser says so, too.",
        "The name, the port, the TLS certificate or what is between are wrong.",
        "What the finding names.",
        HTTPD + "bind.html",
    ),
    Rule(
        "url-page",
        "url",
        "The page doesn't come",
        "404, 403, 500, 502 or 503, or another page.",
        "Apache answered, but not with the dashboard.",
        "What the finding names; without --url doctor looks at the configuration.",
        HTTPD + "mod/mod_proxy.html#proxypass",
    ),
    Rule(
        "url-access",
        "url",
        "The page comes without credentials",
        "Anybody who reaches this address can look.",
        "It shows the requests, clients and virtual hosts of the whole server.",
        '`Require local` or `Require ip ...` in `<Location "/metrics/">`, or a password.',
        HTTPD + "howto/access.html",
    ),
    Rule(
        "url-prefix",
        "url",
        "The page doesn't know where it is mounted",
        "The page is bare, without style.",
        "The page is told its mount by X-Forwarded-Prefix, and a wrong one breaks all its links.",
        '`RequestHeader set X-Forwarded-Prefix /metrics` in `<Location "/metrics/">`.',
        HTTPD + "mod/mod_headers.html#requestheader",
    ),
    Rule(
        "url-websocket",
        "url",
        "The WebSocket doesn't open",
        "The page says that it polls.",
        "The handshake is a request of its own: rules for the page alone don't do.",
        "`upgrade=websocket` on the ProxyPass.",
        HTTPD + "mod/mod_proxy.html#protoupgrade",
    ),
    Rule(
        "url-frame",
        "url",
        "No samples come",
        "The page waits, or shows an error.",
        "The dashboard runs, and can't read the scoreboard; or something between holds messages back.",
        "What the finding names.",
        PROCESS,
    ),
)

RULES: dict[str, Rule] = {rule.name: rule for rule in _RULES}

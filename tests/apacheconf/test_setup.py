"""The checks of Apache and mod_wsgi in general, each on a real configuration that breaks its rule."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import doctor, logs, machine
from mod_wsgi_dashboard.apacheconf.checks import setup
from mod_wsgi_dashboard.apacheconf.directives import Configuration, Problem
from mod_wsgi_dashboard.apacheconf.files import read_files
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.httpd import Httpd, read_httpd
from mod_wsgi_dashboard.apacheconf.rules import RULES
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import APACHE_USER, SERVICE_SCRIPT, Apache, Case, Server, start
from tests.apache.site import SYSTEM_MODULES, VENV, wsgi_module
from tests.apacheconf.sites import APACHE, system_of, text_of_site
from tests.apacheconf.stock import stock_apache

pytestmark = pytest.mark.apache

APPLICATION = (
    "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"
)
LOAD = f"LoadModule {{0}}_module {SYSTEM_MODULES}/mod_{{0}}.so"
REWRITE = f"{LOAD.format('rewrite')}\nRewriteEngine On"
VHOST = "<VirtualHost 127.0.0.1:18080>\n{}\n</VirtualHost>"
GLOBAL = "application-group=%{GLOBAL}"


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that Apache's user may read, with an application; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="doctor-test-", dir="/var/tmp"))
    path.chmod(0o755)
    for name in ("app", "closed", "docs/deep", "site/lib/python3.11/site-packages/numpy", "public"):
        (path / name).mkdir(parents=True)
    for name in ("app", "closed", "owned"):
        (path / name).mkdir(exist_ok=True)
        (path / name / "app.py").write_text(APPLICATION, encoding="utf-8")
    (path / "app" / "private.py").write_text(APPLICATION, encoding="utf-8")
    (path / "app" / "private.py").chmod(0o600)
    (path / "closed").chmod(0o700)
    (path / "owned").chmod(0o700)
    shutil.chown(path / "owned", "daemon")
    (path / "public").chmod(0o777)
    yield path
    shutil.rmtree(path)


@dataclass(frozen=True)
class Breach:
    """A rule, what breaks it, and how that is told; "ROOT" in a text is the site's directory.

    Args:
        rule: what is found, and nothing else.
        site: changes of the test site (see `text_of_site`).
        line: the line of the configuration that is the evidence; None where it is none.
        words: what must be in the finding's sentence and its fix.
        severity: of the finding.
        htaccess: the text of a .htaccess file in docs/deep.
        cure: what to replace in the broken configuration, "FIX" being the finding's own fix; None where
            the fix is no directive.
    """

    rule: str
    line: str | None
    words: tuple[str, ...]
    before: str = ""
    after: str = ""
    edits: dict[str, str] = field(default_factory=dict)
    severity: str = "error"
    htaccess: str = ""
    cure: dict[str, str] | None = None


BREACHES = {
    "misspelled": Breach(
        "syntax",
        "KeepAliveTimout 2",
        ("refuses", "KeepAliveTimout", "configtest"),
        edits={"KeepAliveTimeout 2": "KeepAliveTimout 2"},
    ),
    "missing module": Breach(
        "syntax",
        "RewriteEngine On",
        ("RewriteEngine", "a2enmod rewrite", "LoadModule rewrite_module"),
        after="RewriteEngine On",
    ),
    "unclosed": Breach("syntax", '<Location "/x">', ("<Location",), after='<Location "/x">'),
    "include": Breach(
        "reading", "Include /nowhere.conf", ("/nowhere.conf",), after="Include /nowhere.conf"
    ),
    "wildcard": Breach(
        "reading",
        "Include ROOT/no*.conf",
        ("Nothing matches", "IncludeOptional"),
        after="Include ROOT/no*.conf",
        cure={"Include ROOT": "IncludeOptional ROOT"},
    ),
    "server name": Breach(
        "server-name",
        None,
        ("guesses", "ServerName localhost"),
        edits={"ServerName localhost": ""},
        severity="note",
        cure={"KeepAliveTimeout 2": "KeepAliveTimeout 2\nFIX"},
    ),
    "closed directory": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/closed/app.py process-group=app {GLOBAL}",
        (APACHE_USER, "ROOT/closed is not searchable", "chmod o+x ROOT/closed"),
        before=f"WSGIScriptAlias /x ROOT/closed/app.py process-group=app {GLOBAL}",
    ),
    "closed script": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/app/private.py process-group=app {GLOBAL}",
        ("can't read ROOT/app/private.py", "not readable", "chmod o+r ROOT/app/private.py"),
        before=f"WSGIScriptAlias /x ROOT/app/private.py process-group=app {GLOBAL}",
    ),
    "closed to embedded mode": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/app/private.py {GLOBAL}",
        (APACHE_USER, "not readable"),
        before=f"WSGIScriptAlias /x ROOT/app/private.py {GLOBAL}",
    ),
    "closed to Apache, not to the group": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/owned/app.py process-group=own {GLOBAL}",
        (f"{APACHE_USER} can't read ROOT/owned, where the WSGI script of /x is",),
        before="WSGIDaemonProcess own user=daemon\n"
        f"WSGIScriptAlias /x ROOT/owned/app.py process-group=own {GLOBAL}",
    ),
    "closed directory of scripts": Breach(
        "file-permissions",
        rf'WSGIScriptAliasMatch "^/x/(\w+)" ROOT/closed/$1.py process-group=app {GLOBAL}',
        ("ROOT/closed is not searchable",),
        before=rf'WSGIScriptAliasMatch "^/x/(\w+)" ROOT/closed/$1.py process-group=app {GLOBAL}',
    ),
    "closed Python": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=own {GLOBAL}",
        ("the Python of group own", "ROOT/closed is not searchable"),
        before="WSGIDaemonProcess own python-home=ROOT/closed\n"
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=own {GLOBAL}",
    ),
    "closed import script": Breach(
        "file-permissions",
        f"WSGIImportScript ROOT/app/private.py process-group=app {GLOBAL}",
        ("a script to import",),
        before=f"WSGIImportScript ROOT/app/private.py process-group=app {GLOBAL}",
    ),
    "no script": Breach(
        "file-permissions",
        f"WSGIScriptAlias /x ROOT/app/ap.py process-group=app {GLOBAL}",
        ("ROOT/app/ap.py is missing", "WSGIScriptAlias"),
        before=f"WSGIScriptAlias /x ROOT/app/ap.py process-group=app {GLOBAL}",
    ),
    "sockets under /tmp": Breach(
        "socket-prefix",
        "WSGISocketPrefix /tmp/wsgi",
        ("/tmp", "everybody", "WSGISocketPrefix /var/run/wsgi"),
        edits={"WSGISocketPrefix wsgi": "WSGISocketPrefix /tmp/wsgi"},
        severity="warning",
        cure={"WSGISocketPrefix /tmp/wsgi": "FIX"},
    ),
    "sockets in an open directory": Breach(
        "socket-prefix",
        "WSGISocketPrefix ROOT/public/wsgi",
        ("ROOT/public", "everybody"),
        edits={"WSGISocketPrefix wsgi": "WSGISocketPrefix ROOT/public/wsgi"},
        severity="warning",
        cure={"WSGISocketPrefix ROOT/public/wsgi": "FIX"},
    ),
    "sockets in a closed directory": Breach(
        "socket-prefix",
        "WSGISocketPrefix ROOT/closed/wsgi",
        (APACHE_USER, "ROOT/closed is not searchable"),
        edits={"WSGISocketPrefix wsgi": "WSGISocketPrefix ROOT/closed/wsgi"},
        cure={"WSGISocketPrefix ROOT/closed/wsgi": "FIX"},
    ),
    "sockets nowhere": Breach(
        "socket-prefix",
        "WSGISocketPrefix ROOT/run/wsgi",
        ("ROOT/run is missing", "mkdir -p ROOT/run"),
        edits={"WSGISocketPrefix wsgi": "WSGISocketPrefix ROOT/run/wsgi"},
    ),
    "undefined group": Breach(
        "group-scope",
        "WSGIProcessGroup nobody",
        ("nobody", "not defined", "app, dashboard", "500"),
        before="<Location /x>\nWSGIProcessGroup nobody\n</Location>",
        cure={"<Location /x>": "FIX\n<Location /x>"},
    ),
    "undefined group, looked up at once": Breach(
        "group-scope",
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=nobody {GLOBAL}",
        ("nobody", "not defined", "doesn't start"),
        before=f"WSGIScriptAlias /x ROOT/app/app.py process-group=nobody {GLOBAL}",
        cure={"WSGIScriptAlias /x": "FIX\nWSGIScriptAlias /x"},
    ),
    "another virtual host's group": Breach(
        "group-scope",
        "WSGIProcessGroup theirs",
        ("(b.example)", "(a.example)", "500"),
        before=VHOST.format("ServerName a.example\nWSGIDaemonProcess theirs threads=3")
        + VHOST.format("ServerName b.example\nWSGIProcessGroup theirs").join("\n\n"),
        cure={
            "WSGIDaemonProcess theirs threads=3": "",
            "WSGISocketPrefix wsgi": "WSGISocketPrefix wsgi\nFIX",
        },
    ),
    "another virtual host's group, looked up at once": Breach(
        "group-scope",
        f"WSGIScriptAlias / ROOT/app/app.py process-group=theirs {GLOBAL}",
        ("(b.example)", "(a.example)", "doesn't start"),
        before=VHOST.format("ServerName a.example\nWSGIDaemonProcess theirs")
        + VHOST.format(
            f"ServerName b.example\nWSGIScriptAlias / ROOT/app/app.py process-group=theirs {GLOBAL}"
        ).join("\n\n"),
        cure={"WSGIDaemonProcess theirs": "", "WSGISocketPrefix wsgi": "WSGISocketPrefix wsgi\nFIX"},
    ),
    "a group of a host that can't be matched": Breach(
        "group-scope",
        f"WSGIScriptAlias / ROOT/app/app.py process-group=theirs {GLOBAL}",
        ("(no ServerName)", "(a.example)", "doesn't start"),
        before=VHOST.format("ServerName a.example\nWSGIDaemonProcess theirs")
        + VHOST.format(f"WSGIScriptAlias / ROOT/app/app.py process-group=theirs {GLOBAL}").join("\n\n"),
    ),
    "a virtual host's group at server scope": Breach(
        "group-scope",
        "WSGIProcessGroup theirs",
        ("the main server", "(a.example)", "elsewhere"),
        before="WSGIProcessGroup theirs\n"
        + VHOST.format("ServerName a.example\nWSGIDaemonProcess theirs"),
        severity="warning",
    ),
    "group after its use": Breach(
        "group-order",
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=late {GLOBAL}",
        ("late", "before it is defined", "WSGIDaemonProcess late threads=2"),
        before=f"WSGIScriptAlias /x ROOT/app/app.py process-group=late {GLOBAL}\n"
        "WSGIDaemonProcess late threads=2",
        cure={
            "WSGIDaemonProcess late threads=2": "",
            "WSGIScriptAlias /x": "FIX\nWSGIScriptAlias /x",
        },
    ),
    "group after its import script": Breach(
        "group-order",
        f"WSGIImportScript ROOT/app/app.py process-group=late {GLOBAL}",
        ("WSGIImportScript", "late"),
        before=f"WSGIImportScript ROOT/app/app.py process-group=late {GLOBAL}\nWSGIDaemonProcess late",
    ),
    "numpy in a sub-interpreter": Breach(
        "c-extensions",
        "WSGIScriptAlias /x ROOT/app/app.py process-group=science",
        ("/x runs in a sub-interpreter", "numpy", GLOBAL),
        before="WSGIDaemonProcess science python-home=ROOT/site\n"
        "WSGIScriptAlias /x ROOT/app/app.py process-group=science",
        severity="warning",
        cure={"WSGIScriptAlias /x ROOT/app/app.py process-group=science": "FIX"},
    ),
    "numpy in a named interpreter": Breach(
        "c-extensions",
        "WSGIScriptAlias /x ROOT/app/app.py process-group=science application-group=mine",
        ("(mine)", "numpy", GLOBAL),
        before="WSGIDaemonProcess science python-home=ROOT/site\n"
        "WSGIScriptAlias /x ROOT/app/app.py process-group=science application-group=mine",
        severity="warning",
        cure={"WSGIScriptAlias /x ROOT/app/app.py process-group=science application-group=mine": "FIX"},
    ),
    "numpy in embedded mode": Breach(
        "c-extensions",
        "WSGIScriptAlias /x ROOT/app/app.py",
        ("numpy", GLOBAL),
        before="WSGIPythonHome ROOT/site\nWSGIScriptAlias /x ROOT/app/app.py",
        severity="warning",
        cure={"WSGIScriptAlias /x ROOT/app/app.py": "FIX"},
    ),
    "alias in .htaccess": Breach(
        "htaccess",
        "AllowOverride All",
        ("ROOT/docs/deep/.htaccess", "WSGIScriptAlias", "500"),
        after="<Directory ROOT/docs>\nAllowOverride All\n</Directory>",
        htaccess="# notes\nWSGIPassAuthorization On\nWSGIScriptAlias /x /x.py\n",
    ),
    "group in .htaccess": Breach(
        "htaccess",
        "AllowOverride All",
        ("WSGIApplicationGroup", "500"),
        after="<Directory ROOT/docs>\nAllowOverride All\n</Directory>",
        htaccess="<IfModule mod_wsgi.c>\n\n  WSGIApplicationGroup %{GLOBAL}\n</IfModule>\n",
    ),
    "proxy in a .htaccess that nobody reads": Breach(
        "htaccess",
        None,
        ("ProxyPass", "AllowOverride None"),
        after="DocumentRoot ROOT/docs",
        htaccess="RewriteCond x \\\nProxyPass\nProxyPass /x http://x/\n",
        severity="note",
    ),
    "rewrite": Breach(
        "rewrite-pt",
        "RewriteRule ^/legacy/(.*)$ /x/$1 [L]",
        ("/x/$1", "WSGIScriptAlias /x", "404", "[PT,L]"),
        before=f"{REWRITE}\nRewriteRule ^/legacy/(.*)$ /x/$1 [L]\n"
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=app {GLOBAL}",
        cure={"RewriteRule ^/legacy/(.*)$ /x/$1 [L]": "FIX"},
    ),
    "rewrite without flags": Breach(
        "rewrite-pt",
        'RewriteRule "^/old page" /x',
        ('RewriteRule "^/old page" /x [PT]',),
        before=f'{REWRITE}\nRewriteRule "^/old page" /x\n'
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=app {GLOBAL}",
        cure={'RewriteRule "^/old page" /x': "FIX"},
    ),
    "rewrite to the application at the root": Breach(
        "rewrite-pt",
        "RewriteRule ^/old$ /newly/made [L]",
        ("WSGIScriptAlias /,", "[PT,L]"),
        before=f"{REWRITE}\nRewriteRule ^/old$ /newly/made [L]",
        cure={"RewriteRule ^/old$ /newly/made [L]": "FIX"},
    ),
    "fallback": Breach(
        "fallback-resource",
        "FallbackResource /x/",
        ("/x", "RewriteRule ^ /x/ [PT,L]"),
        before=f"{REWRITE}\n{LOAD.format('dir')}\n"
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=app {GLOBAL}\n"
        "<Directory ROOT/docs>\nFallbackResource /x/\n</Directory>",
        severity="note",
        cure={"FallbackResource /x/": "FIX"},
    ),
}


def site(root: Path, breach: Breach) -> str:
    def rooted(text: str) -> str:
        return text.replace("ROOT", str(root))

    if breach.htaccess:
        (root / "docs" / "deep" / ".htaccess").write_text(breach.htaccess, encoding="utf-8")
    return text_of_site(
        root,
        edits={old: rooted(new) for old, new in breach.edits.items()},
        before=rooted(breach.before),
        after=rooted(breach.after),
    )


def line_of(text: str, line: str) -> int:
    lines = text.split("\n")
    assert 1 == lines.count(line), line
    return lines.index(line) + 1


@pytest.mark.parametrize("breach", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_is_found_and_nothing_else(root: Path, breach: Breach) -> None:
    """Each mistake gives the one finding that names it: the line, what to write, how bad it is."""
    text = site(root, breach)
    system = system_of(text, root)
    found = doctor.examine(system)
    assert [(breach.rule, breach.severity)] == [(one.check, one.severity.value) for one in found], found
    (finding,) = found
    for word in breach.words:
        assert word.replace("ROOT", str(root)) in f"{finding.what}\n{finding.fix}"
    if breach.line is not None:
        number = line_of(text, breach.line.replace("ROOT", str(root)))
        assert any(seen == f"{root}/httpd.conf:{number}" for seen in finding.evidence), finding.evidence


CURED = {name: breach for name, breach in BREACHES.items() if breach.cure is not None}


@pytest.mark.parametrize("breach", CURED.values(), ids=CURED.keys())
def test_the_fix_helps(root: Path, breach: Breach) -> None:
    """What the finding says to write, written, leaves nothing to find."""
    text = site(root, breach)
    (finding,) = doctor.examine(system_of(text, root))
    assert breach.cure is not None
    for old, new in breach.cure.items():
        old, new = (one.replace("ROOT", str(root)) for one in (old, new))
        assert 1 == text.count(old)
        text = text.replace(old, new.replace("FIX", finding.fix))
    system = system_of(text, root)
    assert system.httpd is not None
    assert [] == [line for line in system.httpd.messages if "Syntax error" in line]
    assert [] == doctor.examine(system)


QUIET = {
    "nothing changed": "",
    "a group of the same name's other virtual host": (
        VHOST.format("ServerName a.example\nWSGIDaemonProcess theirs")
        + VHOST.format(
            f"ServerName a.example\nWSGIScriptAlias / ROOT/app/app.py process-group=theirs {GLOBAL}"
        ).join("\n\n")
    ),
    "a group that is chosen by the request": "<Location /x>\nWSGIProcessGroup %{ENV:GROUP}\n</Location>",
    "embedded mode": f"WSGIScriptAlias /x ROOT/app/app.py process-group=%{{GLOBAL}} {GLOBAL}",
    "a group after WSGIProcessGroup": (
        "<Location /x>\nWSGIProcessGroup late\n</Location>\nWSGIDaemonProcess late"
    ),
    "a group after an alias that is loaded later": (
        "WSGIScriptAlias /x ROOT/app/app.py process-group=late\nWSGIDaemonProcess late"
    ),
    "a quoted option": (
        "WSGIDaemonProcess 'my group' display-name='x y'\n"
        f"WSGIScriptAlias /x ROOT/app/app.py process-group='my group' {GLOBAL}"
    ),
    "a redirect": f"{REWRITE}\nRewriteRule ^/old$ /newly [R=301,L]",
    "a rule that PT follows": f"{REWRITE}\nRewriteRule ^/old$ /newly\nRewriteRule ^/newly - [PT]",
    "a rule that is off": f"{LOAD.format('rewrite')}\nRewriteRule ^/old$ /newly [L]",
    "a rule to a file": (
        f"{REWRITE}\nDocumentRoot ROOT/docs\nRewriteRule ^/old$ /deep [L]\n"
        "RewriteRule ^/older$ ROOT/docs/deep [L]\nRewriteRule ^/(.*).html$ /$1 [L]"
    ),
    "a rule below a directory": (
        f"{REWRITE}\n<Directory ROOT/docs>\nRewriteEngine On\nRewriteRule ^old /newly [L]\n</Directory>"
    ),
    "fallback to a file": (
        f"{LOAD.format('dir')}\n" + VHOST.format("ServerName a.example\nFallbackResource disabled")
    ),
    "packages in the main interpreter": (
        "WSGIDaemonProcess science python-home=ROOT/site\n"
        f"WSGIScriptAlias /x ROOT/app/app.py process-group=science {GLOBAL}"
    ),
    ".htaccess files with what they may hold": (
        "DocumentRoot ROOT/docs\n<Directory ROOT/docs>\nAllowOverride FileInfo\n</Directory>"
    ),
}


@pytest.mark.parametrize("before", QUIET.values(), ids=QUIET.keys())
def test_what_is_right_is_no_finding(root: Path, before: str) -> None:
    """Nothing is found where Apache and mod_wsgi do what is meant."""
    (root / "docs" / "deep" / ".htaccess").write_text(
        "# WSGIScriptAlias /x\nWSGIPassAuthorization On\nErrorDocument 404 \\\nWSGIScriptAlias\n",
        encoding="utf-8",
    )
    system = system_of(text_of_site(root, before=before.replace("ROOT", str(root))), root)
    assert system.httpd is not None
    assert system.httpd.syntax_ok, system.httpd.messages
    assert [] == doctor.examine(system)


@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("module", ["pypi", "debian"])
@pytest.mark.parametrize("mpm", ["event", "worker", "prefork"])
def test_the_site_is_clean(root: Path, mpm: str, module: str, listener: str) -> None:
    """The test site has none of the issues, on any MPM, with any mod_wsgi and listener."""
    text = text_of_site(root, mpm=mpm, module=module, listener=listener)
    assert [] == found_by_setup(system_of(text, root))


def found_by_setup(system: System) -> list[Finding]:
    return [finding for check in setup.CHECKS.values() for finding in check(system)]


def test_debians_stock_configuration_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no ServerName, and Apache says so; without an application that is no finding."""
    stock = stock_apache()
    monkeypatch.setenv("APACHE_CONFDIR", str(stock / "etc" / "apache2"))
    httpd, configuration = read_httpd(str(stock / "usr" / "sbin" / "apachectl"))
    assert httpd is not None
    assert configuration is not None
    system = System(
        configuration=configuration,
        httpd=httpd,
        live=True,
        logs=logs.error_logs(configuration, httpd),
    )
    assert [] == found_by_setup(system)


def test_express_is_clean(root: Path) -> None:
    """mod_wsgi-express's configuration is clean: a group with a virtual host and a log of its own."""
    server = root / "express"
    command: list[object] = [VENV / "bin" / "mod_wsgi-express", "setup-server", root / "app" / "app.py"]
    command += [
        "--port",
        "18099",
        "--server-root",
        server,
        "--user",
        APACHE_USER,
        "--group",
        APACHE_USER,
    ]
    command += [
        "--locale",
        "C.UTF-8",
        "--server-metrics",
        "--service-script",
        "dashboard",
        SERVICE_SCRIPT,
    ]
    command += ["--proxy-mount-point", "/metrics/", "http://127.0.0.1:8765/"]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=60)
    server.chmod(0o755)
    httpd, configuration = read_httpd(str(server / "apachectl"))
    assert configuration is not None
    assert "WSGIDaemonProcess" in {directive.name for directive in configuration.directives}
    for live in (False, True):
        assert [] == found_by_setup(System(configuration=configuration, httpd=httpd, live=live))


def test_each_rule_of_the_group_has_a_check() -> None:
    """The table has all rules of the group, in their order, and no other."""
    assert [rule.name for rule in RULES.values() if rule.group == "setup"] == list(setup.CHECKS)


def test_what_explains_a_refusal_is_a_rule() -> None:
    """The table of explanations names rules that there are."""
    assert {name for _, names in setup.EXPLAINED for name in names} <= RULES.keys()


def test_a_refusal_that_another_check_explains_is_told_once(root: Path) -> None:
    """Apache refuses a name that is there twice; the check of names says so, and `syntax` is silent."""
    system = system_of(text_of_site(root, before="WSGIDaemonProcess app"), root)
    assert system.httpd is not None
    assert system.httpd.syntax_error is not None
    assert ["duplicate-group"] == [finding.check for finding in doctor.examine(system)]


def test_a_refusal_for_want_of_rights_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user, who may not read the server's keys, can't test the configuration: a note."""
    refused = Httpd(
        command=("apachectl",),
        syntax_error=Problem("SSLCertificateKeyFile: file '/k' does not exist or is empty"),
    )
    system = System(configuration=Configuration(), httpd=refused)
    for uid, severity in ((0, "error"), (1000, "note")):
        account = machine.Account("jane", uid, frozenset())
        monkeypatch.setattr(machine, "current_account", lambda account=account: account)
        assert [("syntax", severity)] == [
            (one.check, one.severity.value) for one in found_by_setup(system)
        ]


def test_a_loop_of_includes_is_a_finding(root: Path) -> None:
    """A file that includes itself is named once, by the line that does."""
    text = text_of_site(root, after=f"Include {root}/httpd.conf")
    found = doctor.examine(system_of(text, root), ("syntax", "reading"))
    assert {"reading"} == {finding.check for finding in found}
    assert any("includes itself" in finding.what for finding in found)


def test_without_an_apache_the_files_tell(root: Path) -> None:
    """What can be seen in the files alone is found without an Apache."""
    text = text_of_site(root, edits={"ServerName localhost": ""}, after="Include /nowhere.conf")
    (root / "httpd.conf").write_text(text, encoding="utf-8")
    configuration = read_files(root / "httpd.conf", version=(2, 4, 65))
    found = found_by_setup(System(configuration=configuration))
    assert ["reading", "server-name"] == [finding.check for finding in found]


def test_what_is_missing_elsewhere_is_no_finding(root: Path) -> None:
    """A configuration file of another machine may name directories that this one doesn't have."""
    text = text_of_site(
        root,
        before=f"WSGIScriptAlias /x /srv/nowhere/at/all.py process-group=app {GLOBAL}",
        edits={"WSGISocketPrefix wsgi": "WSGISocketPrefix /nowhere/run/wsgi"},
    )
    assert [] == found_by_setup(system_of(text, root))
    live = found_by_setup(system_of(text, root, live=True))
    assert ["file-permissions", "socket-prefix"] == [one.check for one in live]


# What the logs tell

START = datetime(2026, 11, 21, 20, 0, 0)


def stamped(seconds: float, level: str, text: str) -> str:
    at = START + timedelta(seconds=seconds)
    return f"[Sat Nov {at:%d %H:%M:%S}.123456 {at:%Y}] [{level}] [pid 7:tid 7] {text}"


STARTED = stamped(
    0, "mpm_event:notice", "AH00489: Apache/2.4.71 configured -- resuming normal operations"
)
GONE = (
    "(2)No such file or directory: [remote ::1:1] WSGI0117: Unable to connect to WSGI daemon process"
    " 'app' on '/run/wsgi.1.0.1.sock' as user with uid=33. GET /?token=c0ffee"
)
REFUSED = (
    "(13)Permission denied: [remote ::1:1] mod_wsgi (pid=7): Unable to connect to WSGI daemon process"
    " 'app' on '/run/wsgi.1.0.1.sock' as user with uid=33."
)


def with_log(root: Path, *lines: str, before: str = "", live: bool = True) -> System:
    log = root / "error.log"
    log.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return system_of(text_of_site(root, before=before), root, live=live, logs=(machine.tail(log),))


@pytest.mark.parametrize(
    ("lines", "severity"),
    [
        ([STARTED, stamped(3, "wsgi:error", GONE)], "note"),
        ([STARTED, stamped(3600, "wsgi:error", GONE), stamped(3, "wsgi:error", GONE)], "warning"),
        ([stamped(-9, "wsgi:error", GONE), STARTED], None),
        ([stamped(-9, "wsgi:error", GONE)], "warning"),
        ([STARTED, stamped(99, "wsgi:error", GONE.replace("(2)No such file", "(111)Refused"))], None),
    ],
    ids=["right after", "later", "before", "no start", "another error"],
)
def test_sockets_that_are_gone(root: Path, lines: list[str], severity: str | None) -> None:
    """Right after a restart old children look for old sockets; later something has removed them."""
    found = list(setup.CHECKS["stale-sockets"](with_log(root, *lines)))
    assert [severity] * (severity is not None) == [finding.severity.value for finding in found]
    assert "c0ffee" not in repr(found)
    assert [] == list(setup.CHECKS["stale-sockets"](with_log(root, *lines, live=False)))


def test_sockets_that_refuse(root: Path) -> None:
    """A refusal in the log is an error, even if the permissions look right: the line is the evidence."""
    system = with_log(root, STARTED, stamped(9, "wsgi:error", REFUSED))
    (finding,) = setup.CHECKS["socket-prefix"](system)
    assert "error" == finding.severity.value
    assert "(13)Permission denied" in finding.evidence[-1]
    assert [] == list(setup.CHECKS["socket-prefix"](with_log(root, REFUSED, STARTED)))


COMPLAINT = "ImportError: PyO3 modules do not yet support subinterpreters, see https://x/?token=c0ffee"


def test_extension_modules_that_complain(root: Path) -> None:
    """What an extension module says in the log makes it an error, whatever packages there are."""
    alias = f"WSGIScriptAlias /x {root}/app/app.py process-group=app"
    system = with_log(root, STARTED, stamped(5, "wsgi:error", COMPLAINT), before=alias)
    (finding,) = setup.CHECKS["c-extensions"](system)
    assert "error" == finding.severity.value
    assert any("PyO3" in line for line in finding.evidence)
    assert "c0ffee" not in repr(finding)
    assert [] == list(setup.CHECKS["c-extensions"](with_log(root, COMPLAINT, STARTED, before=alias)))


OWN_LOG = VHOST.format("ServerName a.example\nErrorLog own.log\nWSGIDaemonProcess theirs")
FAILURES = [
    "WSGI0106: Could not read or compile WSGI script '/x.py' for process group 'theirs'.",
    "mod_wsgi (pid=7): Target WSGI script '/x.py' cannot be loaded as Python module.",
]


@pytest.mark.parametrize("failure", FAILURES, ids=["6.1.1", "4.9.4"])
def test_failures_in_a_log_of_its_own(root: Path, failure: str) -> None:
    """A group that fails in its virtual host's log is worth a note; one that only prints is not."""
    own = root / "own.log"
    (root / "error.log").write_text(f"{STARTED}\n", encoding="utf-8")
    for text, expected in ((failure, ["note"]), ("Traceback, or anything that is printed", [])):
        own.write_text(stamped(4, "wsgi:error", text) + "\n", encoding="utf-8")
        system = system_of(text_of_site(root, before=OWN_LOG), root)
        tails = logs.error_logs(system.configuration, system.httpd)
        assert [root / "error.log", own] == [log.path for log in tails]
        live = System(configuration=system.configuration, httpd=system.httpd, live=True, logs=tails)
        found = list(setup.CHECKS["group-log"](live))
        assert expected == [finding.severity.value for finding in found]
        assert all(str(own) in finding.what for finding in found)


# What a running server tells


class WithModule(Apache):
    """The test's Apache, with a mod_wsgi of its own that the test may replace."""

    module: Path

    def _site(self) -> str:
        return super()._site().replace(str(wsgi_module(self.case.module)), str(self.module))


def live(server: Server) -> System:
    """Return what doctor sees of a running server."""
    httpd, configuration = read_httpd(APACHE, server.root / "httpd.conf")
    assert configuration is not None
    tails = logs.error_logs(configuration, httpd)
    assert [server.error_log_path] == [log.path for log in tails]
    return System(configuration=configuration, httpd=httpd, live=True, logs=tails)


def test_a_module_that_was_replaced(root: Path) -> None:
    """An upgrade under a running Apache is found by what is mapped; a stop and a start mend it."""
    module = root / "mod_wsgi.so"
    shutil.copy(wsgi_module("debian"), module)
    upgraded = WithModule(Case(module="debian"), dashboard=False)
    upgraded.module = module
    with upgraded as server:
        assert [] == list(setup.CHECKS["module-upgraded"](live(server)))
        shutil.copy(module, root / "new.so")
        (root / "new.so").replace(module)
        (finding,) = setup.CHECKS["module-upgraded"](live(server))
        assert "mod_wsgi.so" in finding.what
        assert f"pid {server.pid}" in finding.evidence[0]
        assert "apachectl stop\napachectl start" == finding.fix
        server.stop()
        server.start()
        assert [] == list(setup.CHECKS["module-upgraded"](live(server)))


@pytest.mark.parametrize("module", ["pypi", "debian"])
def test_sockets_of_a_running_server(module: str) -> None:
    """Sockets that are removed, or closed off, are found by what Apache then writes to its log."""
    with start(Case(module=module), dashboard=False) as server:
        assert [] == found_by_setup(live(server))
        server.root.chmod(0o700)
        try:
            assert 503 == server.get("/").status
            (finding,) = setup.CHECKS["socket-prefix"](live(server))
        finally:
            server.root.chmod(0o755)
        assert f"{server.root} is not searchable" in finding.what
        assert f"drwx------ root {server.root}" in finding.evidence
        assert any("(13)Permission denied" in line for line in finding.evidence)
        for socket in server.root.glob("wsgi.*.sock"):
            socket.unlink()
        assert 503 == server.get("/").status
        (finding,) = setup.CHECKS["stale-sockets"](live(server))
        assert "(2)No such file or directory" in finding.evidence[0]

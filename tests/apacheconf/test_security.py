"""The checks of SELinux and AppArmor, on outputs as their documentation and bug reports have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf.checks import security
from mod_wsgi_dashboard.apacheconf.findings import Finding
from mod_wsgi_dashboard.apacheconf.system import System
from tests.apache.server import REPOSITORY, SERVICE_SCRIPT
from tests.apacheconf.sites import system_of, text_of_site

pytestmark = pytest.mark.apache

APPLICATION = REPOSITORY / "examples" / "express" / "wsgi.py"

# getsebool -a, of a fresh RHEL 9; all else of its 300 lines is of the same shape.
BOOLEANS = """\
abrt_anon_write --> off
httpd_anon_write --> off
httpd_builtin_scripting --> on
httpd_can_network_connect --> off
httpd_can_network_connect_cobbler --> off
httpd_can_network_connect_db --> off
httpd_can_network_memcache --> off
httpd_can_network_relay --> off
httpd_enable_cgi --> on
httpd_enable_homedirs --> off
httpd_graceful_shutdown --> off
httpd_read_user_content --> off
httpd_unified --> off
httpd_use_nfs --> off
nis_enabled --> off
"""

# semanage port -l
PORTS = """\
SELinux Port Type              Proto    Port Number

afs3_callback_port_t           tcp      7001
http_cache_port_t              udp      3130
http_cache_port_t              tcp      8080, 8118, 8123, 10001-10010
http_port_t                    tcp      80, 81, 443, 488, 8008, 8009, 8443, 9000
pegasus_http_port_t            tcp      5988
reserved_port_t                tcp      1-511
unreserved_port_t              tcp      61001-65535, 1024-32767
unreserved_port_t              udp      61001-65535, 1024-32767
"""

AVC = (
    "type=AVC msg=audit(1764706{n:03}.412:1187): avc:  denied  {{ {permissions} }} for  pid=2244"
    ' comm="{comm}" {subject} scontext=system_u:system_r:httpd_t:s0 tcontext={target}:s0'
    " tclass={kind} permissive=0\n"
)

CONNECT = AVC.format(
    n=1,
    permissions="name_connect",
    comm="httpd",
    subject="dest=8765",
    target="system_u:object_r:unreserved_port_t",
    kind="tcp_socket",
)

BIND = AVC.format(
    n=2,
    permissions="name_bind",
    comm="httpd",
    subject="src=8765",
    target="system_u:object_r:unreserved_port_t",
    kind="tcp_socket",
)

# What ausearch prints around each event.
TIME = (
    "----\ntime->Tue Dec  2 20:00:01 2025\n"
    "type=SYSCALL msg=audit(1764706001.412:1187): arch=c000003e syscall=42 success=no exit=-13\n"
)


def labels(**types: str) -> str:
    """Return what `ls -dZ` prints; the names are those of the paths below."""
    paths = {
        "app": APPLICATION,
        "script": SERVICE_SCRIPT,
        "socket": "/run/wsgi/dashboard.sock",
        "directory": "/run/wsgi",
    }
    lines = [f"unconfined_u:object_r:{kind}:s0 {paths[name]}" for name, kind in types.items()]
    return "\n".join(lines) + "\n"


TOOLS = {
    "getenforce": "Enforcing\n",
    "getsebool": BOOLEANS.replace("network_connect --> off", "network_connect --> on"),
    "semanage": PORTS.replace("8443, 9000", "8443, 8765, 9000"),
    "ls -Z": labels(app="httpd_sys_content_t", script="usr_t", directory="httpd_var_run_t"),
}


def selinux(root: Path, listener: str = "tcp", **tools: str) -> list[Finding]:
    edits = {}
    if listener == "unix":
        edits = {
            f"DASHBOARD_SOCKET {root}/socket/dashboard.sock": "DASHBOARD_SOCKET /run/wsgi/dashboard.sock"
        }
    text = text_of_site(root, listener=listener, edits=edits)
    environ = (
        {"MOD_WSGI_DASHBOARD_LISTEN": "unix:/run/wsgi/dashboard.sock"} if listener == "unix" else {}
    )
    given = {name.replace("ls_Z", "ls -Z"): text for name, text in tools.items()}
    system = system_of(text, root, tools={**TOOLS, **given}, live=True, environ=environ)
    return list(security.selinux(system))


@pytest.mark.parametrize("listener", ["tcp", "unix"])
@pytest.mark.parametrize("mode", ["Enforcing\n", "Permissive\n", "Disabled\n", ""])
def test_a_machine_that_is_set_up_is_clean(tmp_path: Path, mode: str, listener: str) -> None:
    """With port, boolean and labels as they should be there is no finding, in any mode."""
    assert [] == selinux(tmp_path, listener, getenforce=mode)


@pytest.mark.parametrize("mode", ["Disabled\n", "", "getenforce: SELinux is disabled\n"])
def test_a_disabled_selinux_keeps_nothing_from_apache(tmp_path: Path, mode: str) -> None:
    """What would be a fault in enforcing mode is none where SELinux is disabled or not there."""
    found = selinux(tmp_path, getenforce=mode, getsebool=BOOLEANS, semanage=PORTS, ausearch=CONNECT)
    assert [] == found


def test_a_fresh_machine_lets_neither_listen_nor_connect(tmp_path: Path) -> None:
    """On a fresh RHEL the dashboard can't have its port, nor Apache reach it: one finding with both."""
    (finding,) = selinux(tmp_path, getsebool=BOOLEANS, semanage=PORTS)
    assert "error" == finding.severity.value
    assert "listen on 127.0.0.1:8765" in finding.what
    assert "connect to 127.0.0.1:8765" in finding.what
    assert "port 8765: unreserved_port_t" in finding.evidence
    off = "getsebool: httpd_can_network_connect --> off, httpd_can_network_relay --> off"
    assert off in finding.evidence
    assert "semanage port -a -t http_port_t -p tcp 8765" in finding.fix
    assert "setsebool -P httpd_can_network_relay on" in finding.fix
    assert 2 == sum(f"{tmp_path}/httpd.conf:" in line for line in finding.evidence)


@pytest.mark.parametrize(
    ("boolean", "port", "expected"),
    [
        ("httpd_can_network_connect", "8765", ["listen on"]),
        ("httpd_can_network_relay", "8765", ["listen on", "connect to"]),
        ("httpd_can_network_relay", "9000", []),
        ("httpd_graceful_shutdown", "9000", []),
        ("httpd_graceful_shutdown", "8080", ["connect to"]),
        ("httpd_can_network_relay", "10007", []),
        ("httpd_can_network_connect", "7001", ["listen on"]),
        ("httpd_enable_cgi", "9000", ["connect to"]),
    ],
)
def test_ports_by_label(tmp_path: Path, boolean: str, port: str, expected: list[str]) -> None:
    """Which boolean lets Apache connect depends on the port's label, and so does who may listen."""
    text = text_of_site(tmp_path).replace("DASHBOARD_PORT 8765", f"DASHBOARD_PORT {port}")
    booleans = BOOLEANS.replace(f"{boolean} --> off", f"{boolean} --> on")
    system = system_of(
        text,
        tmp_path,
        tools={**TOOLS, "getsebool": booleans, "semanage": PORTS},
        environ={"MOD_WSGI_DASHBOARD_LISTEN": f"127.0.0.1:{port}"},
        live=True,
    )
    found = list(security.selinux(system))
    assert bool(expected) == len(found)
    for text in ("listen on", "connect to"):
        assert (text in expected) == any(text in finding.what for finding in found)
    if port == "7001":  # it has a label of its own, which is changed
        assert "semanage port -m -t http_port_t -p tcp 7001" in found[0].fix


def test_the_fix_is_enough(tmp_path: Path) -> None:
    """With the port labelled and the boolean on, as the finding says, nothing is left to find."""
    (finding,) = selinux(tmp_path, getsebool=BOOLEANS, semanage=PORTS)
    assert "http_port_t -p tcp 8765" in finding.fix
    ports = PORTS.replace("8443, 9000", "8765, 8443, 9000")
    booleans = BOOLEANS.replace("network_relay --> off", "network_relay --> on")
    assert [] == selinux(tmp_path, getsebool=booleans, semanage=ports)


def test_other_back_ends(tmp_path: Path) -> None:
    """Any back end may be out of reach; other ports than web servers' need the wide boolean."""
    text = text_of_site(tmp_path, after="ProxyPass /other/ http://127.0.0.1:5432/")
    tools = {**TOOLS, "getsebool": BOOLEANS.replace("network_relay --> off", "network_relay --> on")}
    (finding,) = security.selinux(system_of(text, tmp_path, live=True, tools=tools))
    assert "connect to 127.0.0.1:5432" in finding.what
    assert "setsebool -P httpd_can_network_connect on" == finding.fix


def test_ports_that_only_root_may_list(tmp_path: Path) -> None:
    """Without semanage the policy's defaults are assumed: a warning, unless a denial confirms it."""
    (finding,) = selinux(tmp_path, getsebool=BOOLEANS, semanage="")
    assert "warning" == finding.severity.value
    assert any("`semanage port -l` needs root" in line for line in finding.evidence)
    (finding,) = selinux(tmp_path, getsebool=BOOLEANS, semanage="", ausearch=TIME + CONNECT)
    assert "error" == finding.severity.value
    assert any("name_connect" in line for line in finding.evidence)


def test_permissive_mode_is_a_note(tmp_path: Path) -> None:
    """In permissive mode nothing fails; what would is worth knowing, and has no exit status."""
    (finding,) = selinux(tmp_path, getenforce="Permissive\n", getsebool=BOOLEANS, semanage=PORTS)
    assert "note" == finding.severity.value
    assert "getenforce: Permissive" in finding.evidence[0]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ({"directory": "var_run_t"}, None),
        ({"directory": "tmp_t"}, None),
        ({"socket": "httpd_var_run_t", "directory": "default_t"}, None),
        ({"directory": "default_t"}, "/run/wsgi is default_t"),
        ({"socket": "var_run_t", "directory": "var_run_t"}, "/run/wsgi/dashboard.sock is var_run_t"),
        ({"socket": "user_tmp_t"}, "/run/wsgi/dashboard.sock is user_tmp_t"),
        ({}, None),
    ],
)
def test_sockets_by_label(tmp_path: Path, types: dict[str, str], expected: str | None) -> None:
    """Apache may use a unix socket of its own types; one that isn't there yet gets its directory's."""
    found = selinux(tmp_path, "unix", ls_Z=labels(**types))
    assert (expected is not None) == len(found)
    for finding in found:
        assert "error" == finding.severity.value
        assert expected is not None
        assert expected in finding.what
        assert "semanage fcontext -a -t httpd_var_run_t '/run/wsgi(/.*)?'" in finding.fix
        assert "restorecon -R /run/wsgi" in finding.fix


@pytest.mark.parametrize(
    ("kind", "boolean", "severity"),
    [
        ("httpd_sys_content_t", "none", None),
        ("httpd_sys_script_exec_t", "none", None),
        ("public_content_t", "none", None),
        ("usr_t", "none", None),
        ("user_home_t", "none", "error"),
        ("user_home_t", "httpd_read_user_content", None),
        ("admin_home_t", "none", "error"),
        ("var_t", "none", "error"),
        ("nfs_t", "httpd_use_nfs", None),
        ("our_own_t", "none", "note"),
    ],
)
def test_scripts_by_label(tmp_path: Path, kind: str, boolean: str, severity: str | None) -> None:
    """A script needs a label that Apache may read; of a label that nobody knows there is a note."""
    booleans = TOOLS["getsebool"].replace(f"{boolean} --> off", f"{boolean} --> on")
    found = selinux(tmp_path, ls_Z=labels(app=kind), getsebool=booleans)
    assert [severity] * (severity is not None) == [finding.severity.value for finding in found]
    for finding in found:
        assert kind in finding.what
        assert f"ls -Z: {kind} {APPLICATION}" in finding.evidence
        assert f"semanage fcontext -a -t httpd_sys_content_t '{APPLICATION.parent}(/.*)?'" in finding.fix


DENIALS = {
    "another port": (
        ("name_connect", "dest=5432", "system_u:object_r:postgresql_port_t", "tcp_socket"),
        ("port 5432", "setsebool -P httpd_can_network_connect on"),
    ),
    "Listen": (
        ("name_bind", "src=8888", "system_u:object_r:unreserved_port_t", "tcp_socket"),
        ("port 8888", "semanage port -a -t http_port_t -p tcp 8888"),
    ),
    "writing": (
        ("write", 'path="/srv/app/cache/x" dev="vda2" ino=7', "unconfined_u:object_r:var_t", "file"),
        ("/srv/app/cache/x", "httpd_sys_rw_content_t '/srv/app/cache(/.*)?'"),
    ),
    "reading": (
        ("read open", 'path="/srv/app/a.py" dev="vda2" ino=7', "unconfined_u:object_r:var_t", "file"),
        ("read open", "httpd_sys_content_t '/srv/app(/.*)?'"),
    ),
    "a socket": (
        (
            "write",
            'name="wsgi.1.0.1.sock" dev="tmpfs" ino=7',
            "system_u:object_r:var_run_t",
            "sock_file",
        ),
        ("wsgi.1.0.1.sock", "httpd_var_run_t"),
    ),
    "memory": (
        ("execmem", "", "system_u:system_r:httpd_t", "process"),
        ("execmem", "setsebool -P httpd_execmem on"),
    ),
    "anything": (
        ("connectto", 'path="/run/x.sock"', "system_u:system_r:initrc_t", "unix_stream_socket"),
        ("/run/x.sock", "audit2allow -M mywsgi"),
    ),
}


@pytest.mark.parametrize(("denied", "words"), DENIALS.values(), ids=DENIALS.keys())
def test_recent_denials(
    tmp_path: Path, denied: tuple[str, str, str, str], words: tuple[str, ...]
) -> None:
    """Whatever SELinux denied Apache lately is a finding, once, with what would allow it."""
    permissions, subject, target, kind = denied
    lines = [
        AVC.format(n=n, permissions=permissions, comm="httpd", subject=subject, target=target, kind=kind)
        for n in range(3)
    ]
    (finding,) = selinux(tmp_path, ausearch=TIME + TIME.join(lines))
    assert "error" == finding.severity.value
    for word in words:
        assert word in f"{finding.what}\n{finding.fix}"


def test_denials_of_others_are_none_of_our_business(tmp_path: Path) -> None:
    """Denials of other programs, grants, and lines that are no denials give no finding."""
    text = CONNECT.replace("httpd_t", "sshd_t").replace('"httpd"', '"sshd"')
    text += CONNECT.replace("denied", "granted") + "<no matches>\n\x00\xff avc:  denied  { \n"
    assert [] == selinux(tmp_path, ausearch=text)


def test_denials_of_what_is_found_are_its_evidence(tmp_path: Path) -> None:
    """A denial of a port that is found anyhow makes no finding of its own."""
    (finding,) = selinux(tmp_path, getsebool=BOOLEANS, semanage=PORTS, ausearch=BIND + CONNECT)
    assert 2 == sum("ausearch: avc: denied" in line for line in finding.evidence)


# aa-status of AppArmor 3.0, with the profile of libapache2-mod-apparmor put into enforce mode.
STATUS = """\
apparmor module is loaded.
11 profiles are loaded.
{enforced} profiles are in enforce mode.
   /usr/bin/man
{enforce}   lsb_release
   /usr/sbin/lighttpd
{complaining} profiles are in complain mode.
   /usr/sbin/dnsmasq
{complain}0 profiles are in kill mode.
0 profiles are in unconfined mode.
2 processes have profiles defined.
1 processes are in enforce mode.
   /usr/sbin/apache2 (812) apache2
0 processes are in complain mode.
0 processes are unconfined but have a profile defined.
0 processes are in mixed mode.
0 processes are in kill mode.
"""

DENIED = (
    'type=AVC msg=audit(1764706001.412:1187): apparmor="{verdict}" operation="open" profile="{profile}"'
    ' name="/srv/app/wsgi.py" pid=812 comm="apache2" requested_mask="r" denied_mask="r" fsuid=33 ouid=0'
    '\x1dFSUID="www-data" OUID="root"\n'
)


def apparmor(root: Path, status: str, ausearch: str = "") -> list[Finding]:
    tools = {"aa-status": status, "ausearch": ausearch}
    return list(security.apparmor(system_of(text_of_site(root), root, live=True, tools=tools)))


@pytest.mark.parametrize(
    ("profile", "mode", "expected"),
    [
        ("apache2", "enforce", "apache2"),
        ("/usr/sbin/httpd", "enforce", "/usr/sbin/httpd"),
        ("/usr/sbin/apache2//HANDLING_UNTRUSTED_INPUT", "enforce", "/usr/sbin/apache2//HAND"),
        ("apache2", "complain", None),
        ("/usr/sbin/lighttpd2", "enforce", None),
    ],
)
def test_profiles_by_mode(tmp_path: Path, profile: str, mode: str, expected: str | None) -> None:
    """A profile of Apache in enforce mode is worth a note; in complain mode, or another's, it isn't."""
    given = {name: f"   {profile}\n" if name == mode else "" for name in ("enforce", "complain")}
    found = apparmor(tmp_path, STATUS.format(**given, enforced=4, complaining=1))
    assert ["note"] * (expected is not None) == [finding.severity.value for finding in found]
    for finding in found:
        assert expected is not None
        assert expected in finding.what


@pytest.mark.parametrize("profile", ["apache2", "/usr/sbin/apache2", "/usr/sbin/apache2//DEFAULT_URI"])
def test_what_a_profile_denied(tmp_path: Path, profile: str) -> None:
    """A denial by Apache's profile is an error, with the rule that would allow it."""
    status = STATUS.format(enforce=f"   {profile}\n", complain="", enforced=4, complaining=1)
    (finding,) = apparmor(tmp_path, status, DENIED.format(verdict="DENIED", profile=profile))
    assert "error" == finding.severity.value
    assert profile in finding.what
    assert "/srv/app/wsgi.py r," in finding.fix


def test_what_was_allowed_or_denied_to_others(tmp_path: Path) -> None:
    """Complain mode logs ALLOWED; and other programs have profiles, too."""
    lines = DENIED.format(verdict="ALLOWED", profile="apache2")
    lines += DENIED.format(verdict="DENIED", profile="/usr/sbin/lighttpd")
    assert [] == apparmor(tmp_path, "apparmor not present.\n", lines)
    assert [] == apparmor(tmp_path, "You do not have enough privilege to read the profile set.\n")


def test_without_the_tools_nothing_is_known(tmp_path: Path) -> None:
    """A machine without either has no finding."""
    system = system_of(text_of_site(tmp_path), tmp_path, live=True)
    assert [] == [*security.selinux(system), *security.apparmor(system)]


@pytest.mark.parametrize(
    "text", ["\x00\xff" * 9999, "{}" * 50_000, "1 profiles are in enforce mode\n" * 9999]
)
def test_outputs_may_be_anything(tmp_path: Path, text: str) -> None:
    """An output that nobody expects gives no traceback."""
    names = ("getsebool", "semanage", "ls -Z", "ausearch", "aa-status")
    tools = {"getenforce": "Enforcing\n", **dict.fromkeys(names, text)}
    system: System = system_of(text_of_site(tmp_path), tmp_path, live=True, tools=tools)
    assert [] == list(security.apparmor(system))
    assert {"selinux"} == {finding.check for finding in security.selinux(system)}

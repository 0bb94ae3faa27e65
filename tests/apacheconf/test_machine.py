"""apacheconf.machine: accounts, permissions, processes, sockets and logs of this very machine."""

from __future__ import annotations

import mmap
import os
import pwd
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mod_wsgi_dashboard.apacheconf import machine
from mod_wsgi_dashboard.apacheconf.machine import Account, Block, Listener, Log

# Nobody of this machine: the real accounts' rights don't matter.
STRANGER = Account("stranger", 65533, frozenset({65533}))
ROOT = Account("root", 0, frozenset({0}))


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that other users can reach, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="dashboard-test-", dir="/var/tmp")).resolve()
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


# Accounts


def test_an_account_has_the_groups_that_a_process_of_it_would_have() -> None:
    """As `id` says, for root, who exists everywhere."""
    printed = subprocess.run(["id", "-G", "root"], capture_output=True, text=True, check=True)
    expected = Account("root", 0, frozenset(int(gid) for gid in printed.stdout.split()))
    assert expected == machine.account("root")
    assert expected == machine.account("#0")


def test_the_group_of_the_server_takes_the_place_of_the_users() -> None:
    """As Apache's initgroups() with Group does."""
    assert Account("root", 0, frozenset({54321})) == machine.account("root", "#54321")


@pytest.mark.parametrize(
    ("user", "group"), [("no-such-user", None), ("root", "no-such-group"), ("#x", None), ("#-1", None)]
)
def test_an_unknown_name_is_no_account(user: str, group: str | None) -> None:
    """Neither is an error."""
    assert None is machine.account(user, group)


def test_a_number_without_an_entry_is_an_account() -> None:
    """Apache's `User #54321` needs no entry in passwd."""
    assert Account("#54321", 54321, frozenset()) == machine.account("#54321")


def test_the_current_account() -> None:
    """Is that of this process."""
    seen = machine.current_account()
    assert (os.geteuid(), me()) == (seen.uid, seen.name)
    assert os.getegid() in seen.gids


# Permissions


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("mode", "want", "reason"),
    [
        (0o644, "r", None),
        (0o640, "r", "not readable"),
        (0o602, "w", None),
        (0o644, "w", "not writable"),
        (0o701, "x", None),
        (0o644, "x", "not executable"),
    ],
)
def test_others_bits_decide_for_a_stranger(
    directory: Path, mode: int, want: str, reason: str | None
) -> None:
    """The last component must grant what is wanted, and only that."""
    file = directory / "file"
    file.touch()
    file.chmod(mode)
    expected = Block(str(file), mode, me(), reason) if reason else None
    assert expected == machine.blocked_at(str(file), STRANGER, want=want)
    assert None is machine.blocked_at(str(file), ROOT, want=want)


def test_the_first_closed_directory_is_named(directory: Path) -> None:
    """Not the file below it, though its mode is open to all."""
    closed = directory / "home"
    (closed / "app").mkdir(parents=True)
    (closed / "app" / "wsgi.py").touch()
    closed.chmod(0o744)
    expected = Block(str(closed), 0o744, me(), "not searchable")
    assert expected == machine.blocked_at(str(closed / "app" / "wsgi.py"), STRANGER)
    assert expected == machine.blocked_at(str(closed), STRANGER, want="x")
    assert None is machine.blocked_at(str(closed), STRANGER, want="r")


@pytest.mark.parametrize(
    "target", ["{}/closed/python", "closed/python", "../{name}/closed/../closed/python"]
)
def test_a_link_into_a_closed_directory_is_blocked_there(directory: Path, target: str) -> None:
    """What matters is where the link leads, be it relative or absolute."""
    closed = directory / "closed"
    closed.mkdir()
    (closed / "python").touch(0o755)
    (directory / "link").symlink_to(target.format(directory, name=directory.name))
    closed.chmod(0o700)
    expected = Block(str(closed), 0o700, me(), "not searchable")
    assert expected == machine.blocked_at(str(directory / "link"), STRANGER)
    closed.chmod(0o711)
    assert None is machine.blocked_at(str(directory / "link"), STRANGER)


def test_owner_and_group_bits(directory: Path) -> None:
    """The first that fits decides, even if a later one would grant more."""
    file = directory / "file"
    file.touch()
    file.chmod(0o407)
    status = file.stat()
    owner = Account("owner", status.st_uid or 65533, frozenset({status.st_gid}))
    if status.st_uid == 0:
        os.chown(file, owner.uid, status.st_gid)
    member = Account("member", 65532, frozenset({7, status.st_gid}))
    seen = [machine.blocked_at(str(file), who, want="w") is None for who in (owner, member)]
    assert [False, False] == seen
    assert None is machine.blocked_at(str(file), Account("other", 65531, frozenset()), want="w")
    assert None is machine.blocked_at(str(file), owner, want="r")


@pytest.mark.parametrize(
    ("path", "blocked", "reason"),
    [
        ("nothing/below", "nothing", "missing"),
        ("file/below", "file", "not a directory"),
        ("dangling", "nothing", "missing"),
        ("loop", "loop", "missing"),
    ],
)
def test_what_is_not_there_blocks_root_as_well(
    directory: Path, path: str, blocked: str, reason: str
) -> None:
    """Named is the component, not the whole path."""
    (directory / "file").touch()
    (directory / "dangling").symlink_to("nothing")
    (directory / "loop").symlink_to("loop")
    for who in (STRANGER, ROOT):
        block = machine.blocked_at(str(directory / path), who)
        assert block is not None
        assert (str(directory / blocked), reason) == (block.path, block.reason)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return the attribute for (tag, permissions, id)."""
    return b"\x02\0\0\0" + b"".join(struct.pack("<HHI", *entry) for entry in entries)


OWNER, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32
NONE = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("entries", "who", "expected"),
    [
        ([(OWNER, 4, NONE), (OTHER, 0, NONE)], Account("owner", 10, frozenset()), True),
        ([(OWNER, 0, NONE), (OTHER, 4, NONE)], Account("owner", 10, frozenset()), False),
        ([(USER, 4, 33), (MASK, 4, NONE)], Account("w", 33, frozenset()), True),
        ([(USER, 4, 33), (MASK, 0, NONE)], Account("w", 33, frozenset()), False),
        ([(USER, 0, 33), (MASK, 7, NONE), (OTHER, 4, NONE)], Account("w", 33, frozenset()), False),
        ([(GROUP_OBJ, 4, NONE), (MASK, 7, NONE)], Account("w", 33, frozenset({20})), True),
        (
            [(GROUP, 4, 44), (GROUP_OBJ, 0, NONE), (MASK, 7, NONE)],
            Account("w", 33, frozenset({20, 44})),
            True,
        ),
        ([(GROUP, 0, 44), (MASK, 7, NONE), (OTHER, 4, NONE)], Account("w", 33, frozenset({44})), False),
        ([(GROUP, 4, 44), (OTHER, 4, NONE)], Account("w", 33, frozenset()), True),
        ([(GROUP, 4, 44), (OTHER, 0, NONE)], Account("w", 33, frozenset()), False),
    ],
)
def test_access_lists(entries: list[tuple[int, int, int]], who: Account, expected: bool) -> None:
    """The algorithm of acl(5), for a file of user 10 and group 20."""
    assert expected is machine.acl_permits(acl(*entries), 10, 20, who, 4)


@pytest.mark.parametrize("data", [b"", b"\x02\0\0\0\1", b"\x09\0\0\0", b"garbage"])
def test_an_access_list_that_is_not_understood_permits(data: bytes) -> None:
    """Better no finding than a wrong one."""
    assert machine.acl_permits(data, 10, 20, STRANGER, 4)


@pytest.mark.parametrize(("permissions", "reason"), [(4, None), (0, "not readable")])
def test_an_access_list_of_a_real_file(directory: Path, permissions: int, reason: str | None) -> None:
    """A list that grants is no block, and the mode's group bits are then only its mask."""
    file = directory / "file"
    file.touch()
    entries = [(OWNER, 6, NONE), (USER, permissions, STRANGER.uid), (GROUP_OBJ, 0, NONE)]
    try:
        os.setxattr(file, "system.posix_acl_access", acl(*entries, (MASK, 4, NONE), (OTHER, 0, NONE)))
    except OSError as error:
        pytest.fail(f"the file system of /var/tmp has no access lists: {error}")
    block = machine.blocked_at(str(file), STRANGER)
    assert reason == (block.reason if block else None)


# Processes


def test_a_process_is_seen_with_title_parent_user_and_start() -> None:
    """A child of this one, whose name has brackets and blanks."""
    began = time.time()
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, "a) (b"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"NAME": "v=1"}
    ) as child:
        assert child.stdout is not None
        assert "ready\n" == child.stdout.readline()
        seen = {process.pid: process for process in machine.processes()}[child.pid]
        assert (os.getpid(), os.geteuid()) == (seen.parent, seen.uid)
        assert " ".join(command) == seen.title
        # The kernel counts in hundredths of a second from a boot that is known to the second.
        assert abs(seen.started_at - began) < 3
        assert "v=1" == machine.environment(child.pid)["NAME"]
        assert os.path.realpath(sys.executable) in machine.mapped_files(child.pid)
        assert child.stdin is not None
        child.stdin.close()


def test_a_mapped_file_that_was_removed_says_so(directory: Path) -> None:
    """So does one that an update replaced."""
    file = directory / "library"
    file.write_bytes(b"x" * 4096)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ):
        assert str(file) in machine.mapped_files(os.getpid())
        file.unlink()
        assert f"{file} (deleted)" in machine.mapped_files(os.getpid())


def test_a_process_that_is_not_there_has_nothing() -> None:
    """Between two looks, any process may end."""
    pid = 2**22 + 1  # above the kernel's largest
    assert ((), {}) == (machine.mapped_files(pid), machine.environment(pid))
    assert () == machine.open_files(pid)


def test_open_files_are_seen(directory: Path) -> None:
    """By their paths, each once; sockets and pipes are none."""
    file = directory / "a file"
    file.touch()
    with file.open("rb"), file.open("rb"), socket.socket():
        seen = machine.open_files(os.getpid())
    assert 1 == seen.count(str(file))
    assert [] == [path for path in seen if not path.startswith("/")]
    assert str(file) not in machine.open_files(os.getpid())


# Sockets


def test_listeners_have_address_and_process(directory: Path) -> None:
    """TCP over IPv4 and IPv6, and a unix socket; not a connection, nor a socket that isn't listening."""
    path = str(directory / "a socket")
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket() as bound,
    ):
        unix.bind(path)
        unix.listen()
        bound.bind(("127.0.0.1", 0))
        ports = (four.getsockname()[1], six.getsockname()[1])
        with socket.create_connection(four.getsockname()):
            seen = {listener.address: listener for listener in machine.listeners()}
        expected = {
            f"127.0.0.1:{ports[0]}": four,
            f"[::1]:{ports[1]}": six,
            f"unix:{path}": unix,
        }
        for address, one in expected.items():
            inode = os.fstat(one.fileno()).st_ino
            assert Listener(address, inode, os.getpid()) == seen[address]
        assert f"127.0.0.1:{bound.getsockname()[1]}" not in seen


@pytest.mark.skipif(sys.byteorder == "big", reason="the text is that of a little-endian machine")
@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F:1F90", "127.0.0.1:8080"),
        ("00000000:0050", "0.0.0.0:80"),
        ("00000000000000000000000000000000:01BB", "[::]:443"),
        ("B80D0120000000000000000001000000:0050", "[2001:db8::1]:80"),
    ],
)
def test_addresses_of_the_kernels_table(text: str, address: str) -> None:
    """As proc(5) has them."""
    assert address == machine.tcp_address(text)


# Files


def test_the_tail_of_a_log_is_whole_lines(tmp_path: Path) -> None:
    """A long log is cut at a line; bytes that aren't UTF-8 are shown as such."""
    log = tmp_path / "error.log"
    log.write_bytes(b"first\nsecond \xff\x1b[31m\nthird\n")
    assert Log(log, ("first", "second \\xff\x1b[31m", "third")) == machine.tail(log)
    assert Log(log, ("third",)) == machine.tail(log, 12)
    log.write_bytes(b"")
    assert Log(log) == machine.tail(log)
    log.write_bytes(b"\0" * 4096 + b"after a copytruncate\n")
    assert Log(log, ("after a copytruncate",)) == machine.tail(log)


def test_a_log_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """Missing, binary, a pipe that nobody writes to, a directory."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\x7fELF\0\0\0")
    os.mkfifo(tmp_path / "pipe")
    names = ("none", "binary", "pipe", ".")
    problems = [machine.tail(tmp_path / name).problem for name in names]
    missing = "can't be read: No such file or directory"
    not_regular = "is not a regular file"
    assert [missing, "is binary", not_regular, "can't be read: Is a directory"] == problems


def test_text_of_a_file(tmp_path: Path) -> None:
    """The beginning, as far as the limit; None for what is no text."""
    file = tmp_path / "file"
    file.write_bytes(b"text \xff\n")
    assert ["text \\xff\n", "te"] == [machine.text_of(file, limit) for limit in (100, 2)]
    (tmp_path / "binary").write_bytes(b"a\0b")
    assert [None, None] == [machine.text_of(tmp_path / name, 9) for name in ("binary", "none")]


def test_an_ordinary_user_sees_less_but_no_error() -> None:
    """Of processes of others: no environment, no maps, no sockets."""
    program = (
        "from mod_wsgi_dashboard.apacheconf import machine as m\n"
        "others = [p for p in m.processes() if p.uid == 0]\n"
        "looks = (m.environment, m.mapped_files, m.open_files)\n"
        "print(any(look(p.pid) for p in others for look in looks),"
        " bool(m.listeners() or True), m.tail(__import__('pathlib').Path('/etc/shadow')).problem,"
        " m.blocked_at('/root/x/y', m.account('root')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        user=65534 if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("False True can't be read: Permission denied None\n", "") == (done.stdout, done.stderr)

"""Which recording a command takes, and what it says when there is none, or more than one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mod_wsgi_dashboard import local_recordings
from mod_wsgi_dashboard.incident import IncidentError
from mod_wsgi_dashboard.local_recordings import find_recording, look_for_recordings
from mod_wsgi_dashboard.recorder import file_name
from mod_wsgi_dashboard.settings import Settings
from tests.recordings import AT, play, record

NOBODY = 65534


def make(folder: Path, name: str = "recording-127.0.0.1-8765.sqlite3") -> Path:
    """Make a file by the name of a recording."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).touch(mode=0o600)
    return folder / name


def test_the_one_in_the_state_directory(tmp_path: Path) -> None:
    """The one recording in state_dir is it, whatever address it is of; files beside don't count."""
    settings = Settings(state_dir=str(tmp_path), listen="unix:/run/other.sock")
    path = make(tmp_path, file_name(Settings(listen="127.0.0.1:99")))
    for name in (f"{path.name}-wal", f"{path.name}.damaged", "other.sqlite3", "recording-x.gz"):
        make(tmp_path, name)
    (tmp_path / "recording-folder.sqlite3").mkdir()
    os.mkfifo(tmp_path / "recording-fifo.sqlite3")
    (tmp_path / "recording-link.sqlite3").symlink_to("/etc/hostname")
    assert path == find_recording(settings)


def test_several_are_named(tmp_path: Path) -> None:
    """Of two nobody knows which is meant: both are named, with when they were written."""
    paths = [make(tmp_path, f"recording-{port}.sqlite3") for port in (1, 2)]
    os.utime(paths[0], (0, 86_400))
    with pytest.raises(IncidentError, match="--recording") as raised:
        find_recording(Settings(state_dir=str(tmp_path)))
    for path in paths:
        assert str(path) in str(raised.value)
    assert "(of 1970-01-0" in str(raised.value)


def test_none_says_where_was_looked(tmp_path: Path) -> None:
    """Without any, the directories are named, and what to do."""
    with pytest.raises(IncidentError) as raised:
        find_recording(Settings(state_dir=str(tmp_path / "none")))
    assert f"No recording is in {tmp_path / 'none'}:" in str(raised.value)
    assert "MOD_WSGI_DASHBOARD_STATE_DIR" in str(raised.value)


def test_those_of_other_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where users share a directory, each one's own is looked into, below systemd's private ones too;
    not one that somebody made in the name of another."""
    monkeypatch.setattr(local_recordings, "SHARED", (tmp_path,))
    me = os.geteuid()
    make(tmp_path / f"mod_wsgi-dashboard-{me}")
    private = tmp_path / "systemd-private-0f-apache2.service-Xy" / "tmp" / f"mod_wsgi-dashboard-{me}"
    make(private)
    make(tmp_path / f"mod_wsgi-dashboard-{me + 1}")
    make(tmp_path / "mod_wsgi-dashboard-x")
    (tmp_path / "elsewhere").mkdir()
    make(tmp_path / "elsewhere")
    found = look_for_recordings(Settings())
    assert [tmp_path / f"mod_wsgi-dashboard-{me}", private] == found.directories[-2:]
    assert {tmp_path / f"mod_wsgi-dashboard-{me}", private} <= {path.parent for path in found.files}
    # Whoever names a directory means that one.
    assert [tmp_path] == look_for_recordings(Settings(state_dir=str(tmp_path))).directories


SCRIPT = """
import os, sys
if os.geteuid() == 0:
    os.setgid({nobody}), os.setuid({nobody})
from mod_wsgi_dashboard.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("closed", ["directory", "file"])
def test_what_may_not_be_read_takes_sudo(tmp_path: Path, closed: str) -> None:
    """A recording of Apache's user is said to be theirs, and that it takes sudo, in one line."""
    folder = tmp_path / "state"
    path = make(folder)
    for part in (tmp_path, *tmp_path.parents[:2]):
        part.chmod(0o755)
    folder.chmod(0o000 if closed == "directory" else 0o755)
    path.chmod(0o000)
    script = SCRIPT.format(nobody=NOBODY)
    for command in (["what-if"], ["export", "--from", "-1h"], ["what-if", "--recording", str(path)]):
        ended = subprocess.run(
            [sys.executable, "-c", script, *command],
            env={**os.environ, "MOD_WSGI_DASHBOARD_STATE_DIR": str(folder)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        (line,) = ended.stderr.splitlines()
        assert (1, "") == (ended.returncode, ended.stdout)
        assert f"{folder if closed == 'directory' else path} can't be read" in line or str(path) in line
        assert "sudo" in line
    folder.chmod(0o755)


def test_a_recording_that_nobody_may_write_beside_is_read(tmp_path: Path) -> None:
    """A copy in somebody else's directory, or on a read-only disk, is read, though SQLite would make a
    log beside it."""
    folder = tmp_path / "copy"
    folder.mkdir()
    path = folder / "recording.sqlite3"
    record(path, play(range(5), slots=2))
    for part in (tmp_path, *tmp_path.parents[:2], folder):
        part.chmod(0o555 if part == folder else 0o755)
    path.chmod(0o444)
    ended = subprocess.run(
        [
            *(sys.executable, "-c", SCRIPT.format(nobody=NOBODY)),
            *("export", "--recording", str(path), "--from", str(AT), "-o", "-"),
        ],
        capture_output=True,
        timeout=30,
    )
    assert (0, b"5 samples") == (ended.returncode, ended.stderr[:9])
    assert [path] == list(folder.iterdir())
    folder.chmod(0o755)

"""The recorder where the disk is full, the directory is not its own, or the file is not what it was."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mod_wsgi_dashboard import recorder as recorder_module
from mod_wsgi_dashboard import tape as tape_module
from mod_wsgi_dashboard.core.events import Event
from mod_wsgi_dashboard.recorder import RETRY_SECONDS, choose_path
from mod_wsgi_dashboard.recording import KEY
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.tape import TapeError
from tests.tapes import (
    AT,
    LEAST,
    Deck,
    blank,
    decoded,
    disk_bytes,
    frames,
    is_intact,
    query,
    simulated,
    taping,
)

ROOT = Path(__file__).parent.parent
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "r.sqlite3"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that any user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


class Log(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    """Give what the recorder logs, in a process without pytest."""
    log, handler = logging.getLogger("mod_wsgi_dashboard"), Log()
    log.addHandler(handler)
    yield handler.messages
    log.removeHandler(handler)


def run(name: str, *arguments: object, before: tuple[str, ...] = ()) -> Any:
    """Run a function of this module in a process of its own, and return what it returns."""
    call = f"import sys, json, {__name__} as m; print(json.dumps(m.{name}(*sys.argv[1:])))"
    command = [*before, sys.executable, "-c", call, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert "" == done.stderr
    return json.loads(done.stdout)


def small_disk(folder: Path, megabytes: int) -> tuple[str, ...]:
    """Return what runs a command with a small disk of its own at `folder`; nothing where none may.

    The disk goes with the command.
    """
    script = f'mount -t tmpfs -o size={megabytes}M,mode=0777 tmpfs "$0" && exec "$@"'
    for share in (("unshare", "-m"), ("unshare", "-rm")):
        command = (*share, "sh", "-c", script, str(folder))
        with contextlib.suppress(FileNotFoundError):
            if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
                return command
    return ()


def fill_disk(folder: str, kind: str) -> dict[str, Any]:
    """Record until there is no room, and then make some. In a process of its own."""
    path, filler = Path(folder) / "r.sqlite3", Path(folder) / "filler"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    samples = simulated(1000, scenario="burst", slots=400)
    with heard() as messages, Deck(path, record_bytes=512 << 20) as deck:
        deck.play(next(samples) for _ in range(20))
        if kind == "disk":
            filler.write_bytes(bytes(shutil.disk_usage(folder).free - (2 << 20)))
        else:
            # The same to a program: what it adds to a file is refused.
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        given = 20
        while deck.play([next(samples)]).state == "recording":
            given += 1
        failed = deck.play(next(samples) for _ in range(100))
        said = list(messages)
        filler.unlink(missing_ok=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        deck.clock.now += RETRY_SECONDS
        again = deck.play(next(samples) for _ in range(50))
    told = decoded(text for _, _, text in frames(path))
    return {
        "recorded": given,
        "failed": failed.problem,
        "said": said,
        "again": [again.state, again.problem, messages[len(said) :]],
        "intact": is_intact(path),
        "ticks": [latest.tick for latest in told],
    }


def test_full_disk_stops_the_recording_until_there_is_room(folder: Path) -> None:
    """On a full disk one sentence says so; what was recorded stays, and with room it goes on."""
    before = small_disk(folder, 12)
    found = run("fill_disk", folder, "disk" if before else "limit", before=before)
    assert [found["failed"]] == found["said"]
    reason = f"the disk of {folder} is full" if before else "I/O error"
    assert reason in found["failed"]
    assert ["recording", None, [f"recording again, to {folder}/r.sqlite3"]] == found["again"]
    assert found["intact"]
    assert list(range(1, found["recorded"] + 1)) == found["ticks"][: found["recorded"]]
    # A key frame is needed first: the tick after is the first that is recorded again.
    assert 48 <= len(found["ticks"]) - found["recorded"] <= 50


def keep_in_bounds(folder: str) -> dict[str, Any]:
    """Record three times the bound, on a disk hardly larger than that."""
    path = Path(folder) / "r.sqlite3"
    most = 0
    with taping(path) as tape:
        for n in range(1000):
            at_ms = int(1000 * AT) + 1000 * n
            tape.append(tape_module.Tick(at_ms, KEY, 1, 1, bytes(24_000), b"_", [], []))
            most = max(most, disk_bytes(path))
    return {"most": most, "intact": is_intact(path), "newest": query(path, "SELECT max(id) FROM frame")}


def test_bound_is_reached_before_the_disk(folder: Path) -> None:
    """A recording within its bound never fills a disk that has room for the bound."""
    found = run("keep_in_bounds", folder, before=small_disk(folder, 9))
    assert (True, [[1000]]) == (found["intact"], found["newest"])
    assert LEAST // 2 < found["most"] <= LEAST


def become_nobody() -> None:
    """Give up root, to whom permissions mean nothing; its other users keep theirs."""
    if os.geteuid() == 0:
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


def record_as_nobody(where: str) -> dict[str, Any]:
    """Record some ticks as somebody else, twice with 20 seconds between."""
    become_nobody()
    with heard() as messages, Deck(Path(where)) as deck:
        first = deck.play(blank(tick, AT + tick) for tick in range(1, 6))
        deck.clock.now += RETRY_SECONDS
        status = deck.play(blank(tick, AT + tick) for tick in range(6, 11))
    return {"states": [first.state, status.state], "problem": status.problem, "said": messages}


def _not_ours(path: Path) -> None:
    path.parent.chmod(0o555)


def _file_of_root(path: Path) -> None:
    path.parent.chmod(0o777)
    with Deck(path) as deck:
        deck.play([blank(1, AT)])


def _link(path: Path) -> None:
    path.parent.chmod(0o777)
    target = path.with_name("target")
    target.write_bytes(b"precious")
    target.chmod(0o666)
    path.symlink_to(target)


def _pipe(path: Path) -> None:
    path.parent.chmod(0o777)
    os.mkfifo(path)


def _directory(path: Path) -> None:
    path.parent.chmod(0o777)
    path.mkdir()


def _no_directory(path: Path) -> None:
    path.parent.rmdir()
    path.parent.parent.chmod(0o555)


def _file_for_directory(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_not_ours, "can't be written"),
        # Only root can make one.
        *([(_file_of_root, "belongs to another user")] if os.geteuid() == 0 else []),
        (_link, "belongs to another user, or is no file"),
        (_pipe, "belongs to another user, or is no file"),
        (_directory, "belongs to another user, or is no file"),
        (_no_directory, "can't be written"),
        (_file_for_directory, "can't be written"),
    ],
)
def test_place_that_is_not_ours_stops_the_recording(
    folder: Path, make: Callable[[Path], None], reason: str
) -> None:
    """One sentence says what is wrong with the place, and the setting; and nothing there is touched."""
    state = folder / "state"
    state.mkdir()
    make(state / "r.sqlite3")
    before = sorted(str(each) for each in folder.rglob("*"))
    found = run("record_as_nobody", state / "r.sqlite3")
    assert ["failed", "failed"] == found["states"]
    assert [found["problem"]] == found["said"]
    assert reason in found["problem"]
    assert "state_dir" in found["problem"]
    assert before == sorted(str(each) for each in folder.rglob("*"))
    if make is _link:
        assert b"precious" == (state / "target").read_bytes()


@pytest.mark.parametrize("make", [_link, _pipe, _directory])
def test_what_is_no_file_is_left_alone(path: Path, make: Callable[[Path], None]) -> None:
    """Even where it is our own, a link is not followed, and a pipe not opened, which might hang."""
    make(path)
    before = sorted(path.parent.iterdir())
    with Deck(path) as deck:
        status = deck.play(blank(tick, AT + tick) for tick in range(1, 6))
    assert "failed" == status.state
    assert "is no file" in str(status.problem)
    assert before == sorted(path.parent.iterdir())


def find_no_place(*names: str) -> str:
    """Choose among directories of which none can be used."""
    become_nobody()
    recorder_module.state_directories = lambda settings: iter(map(Path, names))  # type: ignore[assignment]
    try:
        return str(choose_path(Settings.load()))
    except TapeError as error:
        return str(error)


def test_all_places_are_named_where_none_can_be_used(folder: Path) -> None:
    """With no directory to record in, the sentence names each with its reason, and the setting."""
    (folder / "root's").mkdir(mode=0o555)
    (folder / "file").write_text("")
    names = [folder / "root's", folder / "missing" / "deep", folder / "file"]
    if os.geteuid() != 0:
        folder.chmod(0o555)
    said = run("find_no_place", *names)
    folder.chmod(0o755)
    listed = f"{names[0]} (not writable), {names[1]} (Permission denied), {names[2]} (File exists)"
    assert said.startswith(f"No directory to record in: {listed}. ")
    assert "state_dir" in said


def test_directory_that_was_cleaned_away_is_made_again(tmp_path: Path) -> None:
    """When the directory vanishes while it records, a new recording begins in a new one."""
    path = tmp_path / "state" / "r.sqlite3"
    path.parent.mkdir()
    with heard() as messages, Deck(path) as deck:
        deck.play(blank(tick, AT + tick) for tick in range(1, 6))
        shutil.rmtree(path.parent)
        rest = (blank(tick, AT + tick) for tick in range(6, 12))
        assert "recording" == deck.play(rest, at_once=1).state
    assert 0o700 == path.parent.stat().st_mode & 0o777
    # The tick that found nothing to be added to is lost.
    assert [7, 8, 9, 10, 11] == [latest.tick for latest in decoded(text for _, _, text in frames(path))]
    assert [
        f"Nothing is recorded. {path} was removed or replaced: a new recording begins.",
        f"recording again, to {path}",
    ] == messages


def recorded(path: Path, count: int = 300) -> None:
    """Make a recording."""
    with Deck(path) as deck:
        deck.play(simulated(count, scenario="burst", slots=64))


def _header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(random.Random(1).randbytes(100))


def _text(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)


def _other_program(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (value TEXT)")
        connection.execute("PRAGMA application_id = 4711")


def _newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _older(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")


def _cut(path: Path) -> None:
    os.truncate(path, 3 * 4096 + 100)


@pytest.mark.parametrize(
    ("spoil", "ending"),
    [
        (_header, "damaged"),
        (_text, "damaged"),
        (_other_program, "damaged"),
        (_newer, "schema-99"),
        (_older, "schema-0"),
        (_cut, "damaged"),
    ],
)
def test_file_that_can_not_be_used_is_set_aside(
    path: Path, spoil: Callable[[Path], None], ending: str
) -> None:
    """What is no recording of this version gets another name, untouched, and a new one begins."""
    aside = path.with_name(f"{path.name}.{ending}")
    for _ in range(2):
        recorded(path, 40)
        spoil(path)
        content = path.read_bytes()
        with heard() as messages, Deck(path) as deck:
            assert "recording" == deck.play(blank(tick, AT + tick) for tick in range(1, 40)).state
        assert content == aside.read_bytes()
        assert 1 == len(messages)
        assert f"it was set aside as {aside}, and a new recording begins" in messages[0]
        assert is_intact(path)
        assert {path} == {each for each in path.parent.iterdir() if not each.name.startswith(aside.name)}
        path.unlink()


def test_empty_file_becomes_a_recording(path: Path) -> None:
    """A file with nothing in it is as good as none."""
    path.touch()
    with heard() as messages, Deck(path) as deck:
        assert "recording" == deck.play([blank(1, AT)]).state
    assert [] == messages
    assert [path] == list(path.parent.iterdir())


def test_damage_that_shows_while_it_records(path: Path) -> None:
    """Pages of noise that the recorder comes upon make it begin anew, beside the damaged file."""
    recorded(path)
    pages = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(1, pages):
            if page % 2:
                file.seek(4096 * page)
                file.write(random.Random(page).randbytes(4096))
    with heard() as messages, Deck(path) as deck:
        status = deck.play(simulated(200, scenario="burst", slots=64, start=AT + 1000.0))
        assert ("recording", None) == (status.state, status.problem)
    aside = path.with_name(f"{path.name}.damaged")
    assert aside.exists()
    assert is_intact(path)
    assert 190 <= len(frames(path))
    assert len(messages) <= 3


def test_damage_in_use_costs_some_ticks(path: Path) -> None:
    """A page that goes bad under the recorder's hands costs a few ticks, and the live view nothing."""
    with heard() as messages, Deck(path) as deck:
        samples = simulated(400, scenario="burst", slots=64)
        deck.play(next(samples) for _ in range(100))
        deck.ask(lambda tape: tape._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        with path.open("r+b") as file:
            for page in range(1, path.stat().st_size // 4096):
                file.seek(4096 * page)
                file.write(bytes(4096))
        # Until now it was in memory.
        deck.ask(lambda tape: tape._connection.execute("PRAGMA shrink_memory").fetchall())
        status = deck.play(samples)
        assert ("recording", None) == (status.state, status.problem)
    assert f"The recording {path} is damaged: a new one begins." in messages
    assert is_intact(path)
    # Ticks that came before the damage was met went into the old file.
    assert 250 <= len(frames(path))
    assert len(messages) <= 3


def test_disk_that_damages_everything_is_left_in_peace(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each new file is damaged at once, there is one set aside, and four tries a minute."""
    recorded(path, 10)

    class Bad(tape_module.Tape):
        def append(self, tick: tape_module.Tick) -> None:
            raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(recorder_module, "Tape", Bad)
    monkeypatch.setattr(recorder_module, "is_sound", lambda path: False)
    with heard() as messages, Deck(path) as deck:
        status = deck.play((blank(tick, AT + tick) for tick in range(1, 121)), at_once=1)
        assert "failed" == status.state
    assert len([each for each in messages if "set aside" in each]) <= 120 / RETRY_SECONDS + 1
    assert {path.name, f"{path.name}.damaged"} == {
        each.name for each in path.parent.iterdir() if not each.name.endswith(("-wal", "-shm"))
    }


def test_two_recorders_survive_a_file_that_is_set_aside(path: Path) -> None:
    """Where one of two sets the file aside that both write, both go on in the new one."""
    with Deck(path) as old:
        old.play(blank(tick, AT + tick) for tick in range(1, 40))
        # Another version, say: the schema it finds is not its own.
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
        with Deck(path) as new:
            assert "recording" == new.play([blank(1, AT + 100.0)]).state
            rest = (blank(tick, AT + tick) for tick in range(40, 50))
            assert "recording" == old.play(rest, at_once=1).state
            new.play([blank(2, AT + 101.0)])
            old.recorder.close()
            old.recorder._thread.join(30)
            assert "recording" == new.play([blank(3, AT + 102.0)]).state
    aside = path.with_name(f"{path.name}.schema-99")
    assert list(range(1, 40)) == [s.tick for s in decoded(text for _, _, text in frames(aside))]
    by_run: dict[int, list[int]] = {}
    for run_number, at_ms, _ in frames(path):
        by_run.setdefault(run_number, []).append(at_ms // 1000 - int(AT))
    assert [[100, 101, 102], list(range(41, 50))] == list(by_run.values())
    assert is_intact(path)


def test_lock_of_another_process_is_said_and_waited_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds the file locked, a sentence says so; then it goes on."""
    monkeypatch.setattr(tape_module, "_BUSY_SECONDS", 0.0)
    with Deck(path) as deck:
        deck.play([blank(1, AT)])
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            status = deck.play(blank(tick, AT + tick) for tick in range(2, 40))
            assert "failed" == status.state
            assert f"another process keeps {path.name} in {path.parent} locked" in str(status.problem)
            with pytest.raises(TapeError, match="locked"):
                deck.ask(lambda tape: tape.add_bookmark(Event("bookmark", 1)))
        deck.clock.now += RETRY_SECONDS
        assert "recording" == deck.play(blank(tick, AT + tick) for tick in range(40, 50)).state
    assert query(path, "SELECT count(*) FROM frame")[0][0] >= 9


def test_long_reader_is_said_and_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that keeps the file from its bound costs ticks, not room; it is said, and taken back."""
    monkeypatch.setattr(tape_module, "_BUSY_SECONDS", 0.0)
    samples = simulated(500, scenario="burst", slots=200)
    with heard() as messages, Deck(path) as deck:
        deck.play(next(samples) for _ in range(100))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM frame").fetchall()
            for latest in [next(samples) for _ in range(200)]:
                status = deck.play([latest])
                assert disk_bytes(path) <= LEAST
            assert "failed" == status.state
            assert "is read for so long that nothing can be added" in str(status.problem)
        deck.clock.now += RETRY_SECONDS
        status = deck.play(samples)
        assert ("recording", None) == (status.state, status.problem)
    assert 2 == len(messages)
    assert is_intact(path)

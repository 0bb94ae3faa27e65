"""The commands export and replay: what they write, what they say, and the page on an incident file."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import msgspec
import pytest

from mod_wsgi_dashboard.app import create_replay
from mod_wsgi_dashboard.cli import main
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.core.decoder import Decoder
from mod_wsgi_dashboard.instants import shown
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.service import make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.unpacking import unpack
from tests.recordings import AT, Run, play, record

COMMAND = [sys.executable, "-m", "mod_wsgi_dashboard.cli"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of five minutes, with a minute between its two runs."""
    path = tmp_path_factory.mktemp("state") / "recording-127.0.0.1-8765.sqlite3"
    record(path, play(range(120), slots=16))
    record(path, play(range(180, 300), slots=16))
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty directory, with the recording where the dashboard's settings say."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MOD_WSGI_DASHBOARD_STATE_DIR", str(source.parent))
    return folder


def instant(second: float) -> str:
    return datetime.fromtimestamp(AT + second).strftime("%Y-%m-%dT%H:%M:%S")


def extent(file: Path, tmp_path: Path) -> tuple[float | None, float | None]:
    """Return from when to when an incident file has samples."""
    folder = tmp_path / "into"
    folder.mkdir()
    recording = Recording(unpack(file, folder), still=True)
    since, until, *_ = recording.extent()
    recording.close()
    return since, until


def test_export_writes_a_file_and_says_which(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recording is found by itself; the file is named by its beginning, and its checksum is told."""
    assert 0 == main(["export", "--from", instant(60), "--to", instant(90)])
    (file,) = here.iterdir()
    assert datetime.fromtimestamp(AT + 60).strftime("incident-%Y%m%d-%H%M.gz") == file.name
    told, checksum = capsys.readouterr().out.splitlines()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"{digest}  {file.name}" == checksum
    assert told.startswith(f"31 samples from {shown(AT + 60)} to {shown(AT + 90)}, ")
    assert (AT + 60, AT + 90) == extent(file, tmp_path)


def test_sha256sum_takes_the_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of the output is what sha256sum --check reads."""
    assert 0 == main(["export", "--from", instant(60), "-o", "a file.gz"])
    line = capsys.readouterr().out.splitlines()[-1]
    checked = subprocess.run(["sha256sum", "--check"], input=line + "\n", text=True, capture_output=True)
    assert (0, "a file.gz: OK\n") == (checked.returncode, checked.stdout)


def test_nothing_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is there stays as it is, unless --force is given."""
    target = here / "kept.gz"
    target.write_text("kept")
    for more in ([], ["--csv"]):
        arguments = ["export", "--from", instant(60), "-o", "kept.gz", *more]
        assert 1 == main(arguments)
        assert "--force" in capsys.readouterr().err
        assert "kept" == target.read_text()
    assert 0 == main([*arguments[:-1], "--force"])
    assert b"\x1f\x8b" == target.read_bytes()[:2]


def test_stdout_is_the_file_alone(tmp_path: Path, source: Path) -> None:
    """With -o - stdout has the file's bytes, and what is said of it goes to stderr."""
    ended = subprocess.run(
        [*COMMAND, "export", "--from", instant(60), "-o", "-"], capture_output=True, timeout=30
    )
    assert 0 == ended.returncode
    (tmp_path / "file").write_bytes(ended.stdout)
    assert (AT + 60, AT + 299) == extent(tmp_path / "file", tmp_path)
    _, checksum = ended.stderr.decode().splitlines()
    assert f"{hashlib.sha256(ended.stdout).hexdigest()}  -" == checksum


def test_an_instant_that_begins_with_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    """`--from -20m` is understood, though argparse takes -20m for an option of its own."""
    assert 2 == main(["export", "--from", "-20m"])
    assert "the range begins at" in capsys.readouterr().err
    assert 1 == main(["export", "--from", "-20m", "--to", "-10m"])
    assert "No sample was recorded from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--from", "x"], 2, "is no instant"),
        (["--from", "12:00", "--to", "12:60"], 2, "is no instant"),
        (["--from", str(AT + 20), "--to", str(AT + 10)], 2, "ends before that"),
        (["--from", str(AT), "--step", "10"], 2, "--step goes with --csv"),
        (["--from", str(AT), "--recording", "missing"], 1, "missing can't be read: No such file"),
        (["--from", str(AT + 130), "--to", str(AT + 170)], 1, "No sample was recorded from"),
        (["--from", str(AT + 900), "--to", str(AT + 901), "--csv"], 1, "Nothing was recorded from"),
        (["--from", str(AT), "-o", "no/such/file.gz"], 1, "can't be written: No such file"),
        (["--from", str(AT), "--csv", "-o", "no/such/file"], 1, "can't be written: No such file"),
    ],
)
def test_what_goes_wrong_is_one_line(
    arguments: list[str], status: int, words: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage is 2 and failure 1, each with one line on stderr, and no file is left."""
    assert status == main(["export", *arguments])
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("mod_wsgi-dashboard: ")
    assert words in line
    assert "" == captured.out
    assert [] == list(here.iterdir())


@pytest.mark.parametrize(
    "arguments", [[], ["--to", "now"], ["--from"], ["--from", "now", "--step", "0"]]
)
def test_bad_usage_is_2(arguments: list[str]) -> None:
    """What argparse refuses ends with 2."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *arguments])
    assert 2 == ended.value.code


def test_other_files_are_refused_by_every_command(
    here: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither command takes what is no recording, or one with more in it than a recording has."""
    (here / "text").write_text("no recording at all, but text")
    recording = sqlite3.connect(source)
    with contextlib.closing(recording), contextlib.closing(sqlite3.connect("more")) as more:
        recording.backup(more)
        more.execute("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM run; END")
    for name in ("text", "more"):
        for command in (
            ["export", "--from", "-1d", "--recording", name],
            ["what-if", "--recording", name],
            ["replay", "--port", "0", name],
        ):
            assert 1 == main(command)
            (line,) = capsys.readouterr().err.splitlines()
            assert f"mod_wsgi-dashboard: {name}: " in line


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_for_each_second(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers are those of the recording, a row for each second in which something was recorded."""
    assert 0 == main(["export", "--from", instant(100), "--to", instant(200), "--csv"])
    rows = rows_of(capsys.readouterr().out)
    assert [int(AT) + s for s in (*range(100, 120), *range(180, 200))] == [int(r["at"]) for r in rows]
    recording = Recording(source)
    for row in (rows[0], rows[-1]):
        sample = recording.sample_at(int(row["at"]) * 1000)
        assert isinstance(sample, wire.Sample)
        assert sample.rates.busy == int(row["busy_max"]) == int(row["busy_min"])
        assert float(sample.rates.busy) == float(row["busy_mean"])
    recording.close()
    assert 1 + 3 * len(history.SERIES) == len(rows[0])


def test_csv_of_a_step_goes_to_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --step each row is so many seconds, and with -o it goes to the file."""
    arguments = ["export", "--from", str(AT), "--csv", "--step", "60", "-o", "numbers.csv"]
    assert 0 == main(arguments)
    rows = rows_of((here / "numbers.csv").read_text())
    assert [int(AT) + s for s in (0, 60, 180, 240)] == [int(row["at"]) for row in rows]
    assert ("", "") == tuple(capsys.readouterr())


def test_csv_says_where_seconds_are_no_longer_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where rows of a second are gone, all rows are of the finest step that there is, and it is said."""
    path = tmp_path / "old.sqlite3"
    record(path, play(range(300), slots=4))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM aggregate WHERE tier = 1 AND at < ?", (AT + 200,))
        connection.execute("DELETE FROM aggregate WHERE tier = 10 AND at < ?", (AT + 150,))
    assert 0 == main(["export", "--recording", str(path), "--from", str(AT), "--csv"])
    captured = capsys.readouterr()
    assert "rows of 60 s" in captured.err
    assert [int(AT) + s for s in range(0, 300, 60)] == [int(r["at"]) for r in rows_of(captured.out)]


def test_csv_of_all_there_is(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A range that begins long before the recording has its rows, as fine as those are."""
    assert 0 == main(["export", "--from", "2001-01-01", "--to", "2038-01-01", "--csv"])
    captured = capsys.readouterr()
    assert 240 == len(rows_of(captured.out))
    assert "" == captured.err


def test_long_csv_comes_in_pieces(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many rows are made at once, they are the same."""
    outputs = []
    for rows in (1000, 7):
        monkeypatch.setattr("mod_wsgi_dashboard.incident_command.ROWS_AT_ONCE", rows)
        assert 0 == main(["export", "--from", str(AT + 3), "--csv", "--step", "2"])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert 119 == len(rows_of(outputs[0]))


def test_a_reader_that_leaves_is_no_error(source: Path) -> None:
    """`export --csv | head -1` ends without a word on stderr."""
    command = " ".join([*COMMAND, "export", "--from", str(AT), "--csv"])
    ended = subprocess.run(
        ["bash", "-c", f"{command} | head -1"], capture_output=True, text=True, timeout=30
    )
    assert "" == ended.stderr
    assert ended.stdout.startswith("at,busy_mean,")


def test_a_live_recording_is_exported_by_another_process(tmp_path: Path) -> None:
    """While a dashboard writes, the command in its own process exports what there is until then."""
    path = tmp_path / "live.sqlite3"
    run = Run(path)
    latest = list(play(range(400), slots=16))
    for each in latest[:50]:
        run.add(each)
    process = subprocess.Popen(
        [*COMMAND, "export", "--recording", str(path), "--from", str(AT), "--to", "now", "-o", "out.gz"],
        stdout=subprocess.PIPE,
        text=True,
    )
    written = 50
    with process:
        while process.poll() is None and written < len(latest):
            run.add(latest[written])
            written += 1
        output, _ = process.communicate(timeout=30)
    for each in latest[written:]:
        run.add(each)
    run.tape.close()
    assert 0 == process.returncode
    samples = int(output.split()[0])
    assert 50 <= samples <= written
    assert (AT, AT + samples - 1) == extent(Path("out.gz"), tmp_path)


@contextlib.contextmanager
def replaying(file: Path) -> Iterator[tuple[str, subprocess.Popen[str], str]]:
    """Run `replay` on a free port; gives its address, the process, and the line it printed."""
    process = subprocess.Popen(
        [*COMMAND, "replay", str(file), "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield next(word for word in line.split() if word.startswith("http://")), process, line
        finally:
            process.kill()


def get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_replay_serves_until_it_is_stopped(
    number: signal.Signals, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`replay` prints its address with the range, ends with 0 at Ctrl-C, and leaves nothing behind."""
    assert 0 == main(["export", "--from", instant(60), "-o", "incident.gz"])
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with replaying(here / "incident.gz") as (url, process, line):
        assert line.startswith(f"incident.gz, {shown(AT + 60)} to {shown(AT + 299)}: http://127.0.0.1:")
        (folder,) = temporary.iterdir()
        assert 0o700 == folder.stat().st_mode & 0o777
        assert "incident.gz" == get(url + "api/v1/recording")["file"]
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert (0, "", "") == (process.returncode, output, errors)
    assert [] == list(temporary.iterdir())


def test_a_taken_port_is_one_line(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Like the demo, replay says that --port 0 picks a free one, and leaves nothing behind."""
    assert 0 == main(["export", "--from", instant(60), "-o", "incident.gz"])
    capsys.readouterr()
    with socket.create_server(("127.0.0.1", 0)) as holder:
        assert 1 == main(["replay", "incident.gz", "--port", str(holder.getsockname()[1])])
    assert "--port 0" in capsys.readouterr().err
    assert 1 == main(["replay", "incident.gz", "--host", "0.0.0.0"])
    assert "allow_public" in capsys.readouterr().err


@contextlib.asynccontextmanager
async def _replayed(path: Path) -> Any:
    runner = make_runner(create_replay(Settings(), path, "incident.gz"))
    await runner.setup()
    await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as client:
            yield client
    finally:
        await runner.cleanup()


@pytest.fixture
def replayed(here: Path, tmp_path: Path) -> Path:
    """Return what `replay` serves of a minute before the gap to one behind it."""
    assert 0 == main(["export", "--from", instant(70), "--to", instant(240), "-o", "incident.gz"])
    folder = tmp_path / "replayed"
    folder.mkdir()
    return unpack(here / "incident.gz", folder)


async def test_a_replay_answers_as_the_recording(replayed: Path, source: Path) -> None:
    """State, samples, frames, numbers and events of a replay are those that were recorded."""
    recording = Recording(source)
    async with _replayed(replayed) as client:
        state = await (await client.get("/api/v1/recording")).json()
        assert ("replay", AT + 60, AT + 240, "incident.gz", None) == (
            *(state[name] for name in ("state", "since", "until", "file", "problem")),
        )
        for second in (70, 100, 150, 240):
            answer = await client.get("/api/v1/grid", params={"at": AT + second})
            expected = recording.sample_at(int((AT + second) * 1000))
            assert expected is not None
            assert wire.encode(expected) == await answer.read()
        answer = await client.get("/api/v1/frames", params={"from": AT + 70, "to": AT + 240})
        decoder, ticks = Decoder(), []
        for line in (await answer.read()).splitlines():
            found = decoder.decode(line)
            assert found is not None
            ticks.append(found.at - AT)
        assert [*range(60, 120), *range(180, 241)] == ticks
        # By default up to the end of the recording, not up to now.
        numbers = await (await client.get("/api/v1/history", params={"series": "busy"})).json()
        assert AT + 240 == numbers["to"]
        assert numbers["at"][-1] <= AT + 240 <= numbers["at"][-1] + numbers["step"]
        events = (await (await client.get("/api/v1/events")).json())["events"]
        assert "dashboard-start" in [event["kind"] for event in events]
        marked = await client.post("/api/v1/bookmarks", json={"text": "x"})
        assert 403 == marked.status
    recording.close()


async def test_a_replay_s_socket_gives_the_last_sample(replayed: Path, source: Path) -> None:
    """/ws gives the last recorded sample, and after that nothing but keepalives."""
    recording = Recording(source)
    expected = recording.sample_at(int((AT + 240) * 1000))
    recording.close()
    assert isinstance(expected, wire.Sample)
    async with _replayed(replayed) as client:
        async with client.ws_connect("/ws", protocols=[wire.SUBPROTOCOL]) as viewer:
            latest = Decoder().decode((await viewer.receive(timeout=10)).data)
        snapshot = await (await client.get("/api/v1/snapshot")).read()
    assert isinstance(latest, wire.Sample)
    assert (expected.snapshot, expected.at) == (latest.snapshot, latest.at)
    assert expected.snapshot == msgspec.json.decode(snapshot, type=wire.Sample).snapshot


def test_a_replay_needs_no_apache_s_settings(here: Path) -> None:
    """What the environment says of the recording has no say in a replay, and it records nothing."""
    assert 0 == main(["export", "--from", instant(60), "-o", "incident.gz"])
    with replaying(here / "incident.gz") as (url, _, _):
        request = Request(
            url + "api/v1/bookmarks", b'{"text": "x"}', {"Content-Type": "application/json"}
        )
        with pytest.raises(HTTPError) as refused:
            urlopen(request, timeout=10)
        assert 403 == refused.value.code
        refused.value.close()
    assert ["incident.gz"] == [path.name for path in here.iterdir()]


def test_an_interrupted_export_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends an export with the status that shells know, without a word and without a file."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mod_wsgi_dashboard.incident._pack", interrupt)
    assert 130 == main(["export", "--from", instant(60)])
    assert ("", "") == tuple(capsys.readouterr())
    assert [] == list(here.iterdir())
    assert threading.active_count() < 10

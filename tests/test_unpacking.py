"""Files that come from anybody: opened if they are what `export` wrote, and else refused in one line."""

from __future__ import annotations

import contextlib
import gzip
import random
import re
import shutil
import sqlite3
import stat
import struct
import zlib
from pathlib import Path

import pytest

from mod_wsgi_dashboard import incident, unpacking
from mod_wsgi_dashboard.core import history
from mod_wsgi_dashboard.core.errors import DashboardError
from mod_wsgi_dashboard.incident import IncidentError
from mod_wsgi_dashboard.recording import NotARecording, OtherSchema, Recording, RecordingError
from mod_wsgi_dashboard.unpacking import unpack
from tests.recordings import AT, Run, play, record


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording and an incident file of all of it."""
    folder = tmp_path_factory.mktemp("made")
    record(folder / "plain", play(range(40), slots=4))
    incident.write(folder / "plain", 0, int(AT + 100) * 1000, folder / "packed", most_bytes=1 << 30)
    (folder / "unpacked").write_bytes(gzip.decompress((folder / "packed").read_bytes()))
    return folder


def into(tmp_path: Path) -> Path:
    """Return a new empty folder."""
    folder = tmp_path / "into"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def changed(made: Path, tmp_path: Path, *statements: str) -> Path:
    """Return an incident file in whose database somebody has done this."""
    plain = tmp_path / "changed"
    shutil.copy(made / "unpacked", plain)
    with contextlib.closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    packed = tmp_path / "changed.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    return packed


def test_it_is_what_was_packed(made: Path, tmp_path: Path) -> None:
    """What is unpacked is, byte for byte, what was packed, and is its owner's alone."""
    path = unpack(made / "packed", into(tmp_path))
    assert (made / "unpacked").read_bytes() == path.read_bytes()
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_other_gzip_programs_are_fine(made: Path, tmp_path: Path) -> None:
    """A file that was unpacked and packed by gzip itself, with its name in the header, is opened."""
    with gzip.GzipFile(tmp_path / "named.gz", "wb") as file:
        file.write((made / "unpacked").read_bytes())
    assert unpack(tmp_path / "named.gz", into(tmp_path)).is_file()


SCHEMA_CHANGES = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON frame BEGIN DELETE FROM frame; END",
    "view": "CREATE VIEW v AS SELECT 1",
    "table": "CREATE TABLE t (a)",
    "virtual table": "CREATE VIRTUAL TABLE t USING fts5(a)",
    "column": "ALTER TABLE frame ADD COLUMN more TEXT",
    "generated column": "ALTER TABLE frame ADD COLUMN more AS (zeroblob(1000000000))",
    "index": "CREATE INDEX i ON frame (hex(body))",
    "no index": "DROP INDEX frame_key",
    "no table": "DROP TABLE event",
    "renamed": "ALTER TABLE frame RENAME COLUMN body TO content",
    "statistics": "ANALYZE",
}


@pytest.mark.parametrize("statement", SCHEMA_CHANGES.values(), ids=SCHEMA_CHANGES)
def test_other_tables_are_refused(statement: str, made: Path, tmp_path: Path) -> None:
    """Triggers, views, virtual tables, further or missing tables, columns and indices: not ours."""
    with pytest.raises(NotARecording, match=r"^changed\.gz: the file has other tables"):
        unpack(changed(made, tmp_path, statement), into(tmp_path))


def test_a_view_in_place_of_a_table_is_refused(made: Path, tmp_path: Path) -> None:
    """A view by the name of a table, which would run whatever it says at each reading, is refused."""
    packed = changed(
        made,
        tmp_path,
        "DROP TABLE run",
        "CREATE VIEW run AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x FROM c)"
        " SELECT x AS id, 1 AS began_ms, 2 AS ended_ms, 1.0 AS interval, '' AS detail, '' AS version"
        " FROM c",
    )
    with pytest.raises(NotARecording, match="other tables"):
        unpack(packed, into(tmp_path))
    with pytest.raises(RecordingError, match="other tables"):
        unpacking.check_tables(tmp_path / "changed")


ROW_CHANGES = {
    "text in an integer": "UPDATE frame SET at_ms = 'x' WHERE id = 3",
    "blob in an integer": "UPDATE run SET began_ms = x'00'",
    "float in an integer": "UPDATE frame SET size = 1.5",
    "text in a blob": "UPDATE frame SET body = 'x' WHERE id = 3",
    "unknown kind": "UPDATE frame SET kind = 3",
    "before all time": "UPDATE frame SET at_ms = -1 WHERE id = 3",
    "after all time": "UPDATE frame SET at_ms = 9e17 WHERE id = 3",
    "negative size": "UPDATE frame SET size = -1",
    "a huge size": "UPDATE frame SET size = 1 << 40",
    "a size no stream can have": "UPDATE frame SET size = 60000000 WHERE id = 3",
    "letters of text": "UPDATE frame SET letters = 'x'",
    "a run backwards": "UPDATE run SET ended_ms = began_ms - 1",
    "no interval": "UPDATE run SET interval = 0",
    "an infinite interval": "UPDATE run SET interval = 9e999",
    "unknown detail": "UPDATE run SET detail = 'more'",
    "a long version": "UPDATE run SET version = hex(zeroblob(1000))",
    "a short bucket": "UPDATE aggregate SET body = x'00'",
    "an unknown tier": "INSERT INTO aggregate VALUES (7, 0, zeroblob(300), NULL)",
    "a bucket off its grid": "UPDATE aggregate SET at = at + 1 WHERE tier = 10",
    "levels that are none": "UPDATE aggregate SET levels = '[1]'",
    "levels of text": "UPDATE aggregate SET levels = '{\"a\": 1}'",
    "negative levels": "UPDATE aggregate SET levels = '{\"1\": -1}'",
    "text in a bucket": "UPDATE aggregate SET body = replace(hex(body), 'x', '')",
    "event data that is none": "UPDATE event SET data = '[]'",
    "event data of no end": "UPDATE event SET data = '{\"a\": \"' || hex(zeroblob(50000)) || '\"}'",
    "event data of no text": "UPDATE event SET data = CAST(x'7b22ff223a317d' AS TEXT)",
    "an event's kind of no text": "UPDATE event SET kind = CAST(x'ff' AS TEXT)",
    "an event of no kind": "UPDATE event SET kind = ''",
    "too many runs": "INSERT INTO run SELECT NULL, 1, 2, 1.0, 'full', ''"
    " FROM frame AS a, frame AS b, frame AS c",
    "too many buckets": "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 400000)"
    f" INSERT INTO aggregate SELECT 1, i, zeroblob({4 * len(history.SERIES)}), NULL FROM n",
    "no frame": "DELETE FROM frame",
    "deltas alone": "DELETE FROM frame WHERE kind > 0",
}


# Those that are no matter of one row and its table.
WORDS = {
    "levels that are none": "text that",
    "levels of text": "text that",
    "negative levels": "text that",
    "event data that is none": "text that",
    "event data of no text": "text that",
    "an event's kind of no text": "text that",
    "too many buckets": "too many rows in the table aggregate",
    "no frame": "no sample",
    "deltas alone": "no sample",
}


@pytest.mark.parametrize("name", ROW_CHANGES)
def test_other_rows_are_refused(name: str, made: Path, tmp_path: Path) -> None:
    """Values of other types, or beyond what the recorder writes, are refused in one line."""
    statement = ROW_CHANGES[name]
    table = re.search(r"(?:UPDATE|INSERT INTO|DELETE FROM) (\w+)", statement)
    assert table is not None
    with pytest.raises(NotARecording) as raised:
        unpack(changed(made, tmp_path, statement), into(tmp_path))
    (line,) = str(raised.value).splitlines()
    assert line.startswith("changed.gz: ")
    assert WORDS.get(name, f"table {table[1]}") in line


def test_infinite_numbers_are_refused(made: Path, tmp_path: Path) -> None:
    """Infinity, which no series can have and JSON can't say, is refused."""
    body = struct.pack(f"<{len(history.SERIES)}f", *[float("inf")] * len(history.SERIES)).hex()
    packed = changed(made, tmp_path, f"UPDATE aggregate SET body = x'{body}' WHERE tier = 1")
    with pytest.raises(NotARecording, match="numbers"):
        unpack(packed, into(tmp_path))


@pytest.mark.parametrize("schema", [0, 2, 77])
def test_another_schema_is_named(schema: int, made: Path, tmp_path: Path) -> None:
    """A file of another version says which, and what to use for it."""
    packed = changed(made, tmp_path, f"PRAGMA user_version = {schema}")
    with pytest.raises(OtherSchema, match=f"schema {schema}"):
        unpack(packed, into(tmp_path))


def test_another_application_s_database_is_refused(made: Path, tmp_path: Path) -> None:
    """An SQLite file of another program is none of ours, whatever its tables."""
    with pytest.raises(NotARecording, match="no recording of mod_wsgi-dashboard"):
        unpack(changed(made, tmp_path, "PRAGMA application_id = 1"), into(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<html>404</html>", "neither"),
        (b"PK\x03\x04", "neither"),
        (b"\x1f\x8b", "cut off"),
        (gzip.compress(b""), "nothing is in"),
        (gzip.compress(b"text"), "damaged, or no recording"),
        (gzip.compress(b"SQLite format 3\0"), "damaged, or no recording"),
        (gzip.compress(b"SQLite format 3\0" + bytes(10_000)), "damaged, or no recording"),
        (b"SQLite format 3\0" + bytes(10_000), "damaged, or no recording"),
        (zlib.compress(b"text"), "neither"),
    ],
)
def test_something_else_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    """What is no incident file is refused in one line that says what is wrong with it."""
    file = tmp_path / "some.gz"
    file.write_bytes(content)
    with pytest.raises(NotARecording, match=words) as raised:
        unpack(file, into(tmp_path))
    assert str(raised.value).startswith("some.gz: ")


def test_what_cant_be_read_is_one_line(tmp_path: Path) -> None:
    """A file that isn't there, or a directory, is one line with its name."""
    with pytest.raises(IncidentError, match=r"^missing: No such file"):
        unpack(tmp_path / "missing", into(tmp_path))
    with pytest.raises(IncidentError, match=r"^into: Is a directory"):
        unpack(into(tmp_path), into(tmp_path))


def test_a_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file never becomes a hundred times its size, nor any more than the most there is."""
    bomb = tmp_path / "bomb.gz"
    # 256 MB in 256 kB.
    bomb.write_bytes(gzip.compress(bytes(256 << 20), 9))
    folder = into(tmp_path)
    with pytest.raises(NotARecording, match="would unpack to more than"):
        unpack(bomb, folder)
    (written,) = folder.iterdir()
    assert written.stat().st_size <= unpacking.MOST_RATIO * bomb.stat().st_size + incident.CHUNK
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 1 << 20)
    with pytest.raises(NotARecording, match=r"more than 1\.05 MB"):
        unpack(bomb, into(tmp_path))


def test_the_bound_leaves_room_for_what_compresses_best(tmp_path: Path) -> None:
    """90 days of nothing but equal buckets, the most that gzip can make of a recording, is opened."""
    path = tmp_path / "recording.sqlite3"
    record(path, play(range(3), slots=2))
    values = struct.pack(f"<{len(history.SERIES)}f", *[1.0] * len(history.SERIES))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for tier in history.TIERS:
            body = values if tier.seconds == 1 else 3 * values
            connection.executemany(
                "INSERT OR REPLACE INTO aggregate VALUES (?, ?, ?, ?)",
                (
                    (tier.seconds, int(AT) - back * tier.seconds, body, None)
                    for back in range(tier.keep // tier.seconds)
                ),
            )
    summary = incident.write(path, 0, int(AT + 3) * 1000, tmp_path / "file.gz", most_bytes=1 << 30)
    size = unpack(tmp_path / "file.gz", into(tmp_path)).stat().st_size
    assert unpacking.MOST_RATIO / 4 < size / summary.bytes < unpacking.MOST_RATIO / 1.5


def test_a_cut_file_is_an_error_wherever_it_is_cut(made: Path, tmp_path: Path) -> None:
    """Cut at every hundredth byte, the file is said to be cut off; with more behind it, that."""
    content = (made / "packed").read_bytes()
    file = tmp_path / "cut.gz"
    for length in (*range(2, len(content), 100), *range(len(content) - 9, len(content))):
        file.write_bytes(content[:length])
        with pytest.raises(NotARecording, match=r"^cut\.gz: the file is cut off"):
            unpack(file, into(tmp_path))
    for more in (b"\0", content):
        file.write_bytes(content + more)
        with pytest.raises(NotARecording, match="something behind the end"):
            unpack(file, into(tmp_path))


def test_flipped_bits_are_noticed(made: Path, tmp_path: Path) -> None:
    """A flipped bit anywhere in an incident file is an error, or changes nothing of what is in it."""
    content = (made / "packed").read_bytes()
    expected = (made / "unpacked").read_bytes()
    dice = random.Random(6)
    file = tmp_path / "flipped.gz"
    places = [*range(8 * 12), *(dice.randrange(8 * len(content)) for _ in range(600))]
    same = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        try:
            found = unpack(file, into(tmp_path)).read_bytes()
        except NotARecording:
            continue
        assert expected == found, place
        same += 1
    # Four bytes of the time and one of the system in the header, at least.
    assert same >= 40


def test_damage_behind_a_right_checksum_never_crashes(made: Path, tmp_path: Path) -> None:
    """A database that was damaged before it was packed is refused, or read without any other error."""
    content = (made / "unpacked").read_bytes()
    dice = random.Random(7)
    file = tmp_path / "damaged.gz"
    refused: list[str] = []
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(dice.choice([1, 10, 1000])):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        file.write_bytes(gzip.compress(damaged, 1))
        try:
            recording = Recording(unpack(file, into(tmp_path)), still=True)
        except DashboardError as error:
            refused.append(str(error))
            continue
        for second in (5, 39):
            with contextlib.suppress(RecordingError):
                recording.sample_at(int(AT + second) * 1000)
        with contextlib.suppress(RecordingError):
            recording.states(int(AT) * 1000, int(AT + 40) * 1000, points=40, most_bytes=1 << 20)
        recording.aggregates(AT, AT + 40, 1)
        recording.events(0, int(AT + 100) * 1000, most=100)
        recording.close()
    assert 100 < len(refused) < 300
    assert [] == [text for text in refused if len(text.splitlines()) != 1]


def test_a_live_recording_is_opened(tmp_path: Path) -> None:
    """A recording that is being written is copied with what is in its log, and then its own."""
    path = tmp_path / "live.sqlite3"
    run = Run(path)
    latest = list(play(range(20), slots=4))
    for each in latest[:10]:
        run.add(each)
    assert Path(f"{path}-wal").stat().st_size > 0
    copy = Recording(unpack(path, into(tmp_path)), still=True)
    run.add(latest[10])
    assert AT + 9 == copy.extent().until
    copy.close()
    run.tape.close()


def test_what_a_crash_left_is_opened(tmp_path: Path) -> None:
    """Of a dashboard that was killed, all that was in the log is there."""
    path = tmp_path / "live.sqlite3"
    run = Run(path)
    for each in play(range(20), slots=4):
        run.add(each)
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for ending in ("", "-wal"):
        shutil.copy(f"{path}{ending}", crashed / f"live.sqlite3{ending}")
    run.tape.close()
    copy = Recording(unpack(crashed / "live.sqlite3", into(tmp_path)), still=True)
    assert AT + 19 == copy.extent().until
    copy.close()


def test_a_recording_alone_is_opened(made: Path, tmp_path: Path) -> None:
    """A recording that was copied without a log, and is still marked as one with a log, is opened."""
    shutil.copy(made / "plain", tmp_path / "alone")
    path = unpack(tmp_path / "alone", into(tmp_path))
    copy = Recording(path, still=True)
    assert AT + 39 == copy.extent().until
    copy.close()


def test_only_a_file_of_bounded_size_is_copied(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain file larger than any recording is refused before it is copied."""
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 10_000)
    folder = into(tmp_path)
    with pytest.raises(NotARecording, match="more than 10 kB"):
        unpack(made / "plain", folder)
    assert [] == list(folder.iterdir())

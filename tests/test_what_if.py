"""What a pool of another size would have come to: the answer, and where nobody can know it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mod_wsgi_dashboard.cli import main
from mod_wsgi_dashboard.core import history, wire
from mod_wsgi_dashboard.recording import Recording
from mod_wsgi_dashboard.what_if import Answer, answer, worth_a_look
from tests.recordings import AT, play, record

# A day: seconds by held workers.
DAY = {0: 43_200.0, 10: 36_000.0, 30: 6_000.0, 63: 1_000.0, 64: 200.0}


@pytest.mark.parametrize(
    ("limit", "workers", "expected"),
    [
        (64, 1, 43_200.0),
        (64, 10, 43_200.0),
        (64, 11, 7_200.0),
        (64, 64, 200.0),
        # All 64 were busy: whoever waited then would have taken a 65th.
        (64, 65, None),
        (64, 1000, None),
        # They were never all busy: nobody waited.
        (65, 66, 0.0),
        (65, 1000, 0.0),
        (None, 64, 200.0),
        (None, 65, 0.0),
    ],
)
def test_answers(limit: int | None, workers: int, expected: float | None) -> None:
    """A pool is full while as many workers as it has were held; of a larger one than there was nothing
    is known once that was full."""
    found = answer(DAY, limit, workers)
    assert Answer(workers, expected if expected is None else pytest.approx(expected)) == found


def test_sizes_that_are_worth_a_look() -> None:
    """Without a wish: what suffices for 50, 90, 99 and 99.9 % of the time, for all, and as it is."""
    assert [1, 11, 64] == worth_a_look(DAY, 64)
    assert [1, 11, 64, 65] == worth_a_look(DAY, None)
    assert [1, 11, 64, 65, 100] == worth_a_look(DAY, 100)
    assert [1, 5] == worth_a_look({0: 10.0}, 5)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recording of ten minutes' parts in which a pool of 16 fills up."""
    path = tmp_path_factory.mktemp("recordings") / "full.sqlite3"
    record(path, play([*range(200), *range(300, 400)], scenario="saturation", slots=16, limit=16))
    return path


def held_at_least(path: Path, workers: int) -> int:
    """Return in how many samples so many were held, by the samples themselves."""
    recording = Recording(path)
    count = 0
    for second in [*range(200), *range(300, 400)]:
        sample = recording.sample_at(int((AT + second) * 1000))
        assert isinstance(sample, wire.Sample)
        letters = history.letters(sample.snapshot)
        count += sum(letter not in "_.SI" for letter in letters) >= workers
    recording.close()
    return count


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert 0 == main(["what-if", *arguments])
    captured = capsys.readouterr()
    assert "" == captured.err
    return captured.out


def test_it_says_what_the_samples_say(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The seconds are those of the samples in which so many workers were held."""
    wanted = ["--workers", "4", "--workers", "16", "--workers", "17"]
    data = msgspec.json.decode(run(capsys, "--recording", str(full), *wanted, "--format", "json"))
    assert (300.0, 16, 16) == (data["seconds"], data["workers"], data["held"])
    four, sixteen = held_at_least(full, 4), held_at_least(full, 16)
    assert 0 < sixteen < four < 300
    assert [
        {"workers": 4, "full_seconds": four, "share": pytest.approx(four / 300)},
        {"workers": 16, "full_seconds": sixteen, "share": pytest.approx(sixteen / 300)},
        {"workers": 17, "full_seconds": None, "share": None},
    ] == data["answers"]


def test_it_is_said_in_sentences(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each size is a sentence, and a last one says what nobody can know."""
    lines = run(capsys, "--recording", str(full), "--workers", "17", "--workers", "16").splitlines()
    sixteen = held_at_least(full, 16)
    share = f"{100 * sixteen / 300:.1f} %"
    length = f"{sixteen // 60} m {sixteen % 60} s"
    assert [
        f"With MaxRequestWorkers 16 all would have been busy {share} of the 5 m 0 s recorded"
        f" ({length}).",
        "With MaxRequestWorkers 17 it is not known how often all would have been busy in the 5 m 0 s"
        " recorded.",
        f"All 16 workers of that time were busy for {length}: how many requests waited meanwhile is not"
        " known, and so nothing of larger pools.",
    ] == lines


def test_a_pool_that_was_never_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where workers were always free, larger pools are known never to be full."""
    path = tmp_path / "calm.sqlite3"
    record(path, play(range(60), scenario="calm", slots=64, limit=64))
    assert [
        "With MaxRequestWorkers 100 they would never all have been busy in the 1 m 0 s recorded.",
        "The 64 workers of that time were never all busy: nothing had to wait.",
    ] == run(capsys, "--recording", str(path), "--workers", "100").splitlines()


def test_without_a_wish_it_is_a_table(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has the size that there is, marked, and smaller ones."""
    head, names, *rows, _ = run(capsys, "--recording", str(full)).splitlines()
    assert "5 m 0 s of it recorded" in head
    assert names.split() == ["MaxRequestWorkers", "all", "busy", "for"]
    assert rows[-1].split()[0] == "16"
    assert rows[-1].endswith("(as it was)")
    sizes = [int(row.split()[0]) for row in rows]
    assert sizes == sorted(set(sizes))


def test_the_range_counts(full: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A range is widened to whole ten minutes, and only what is in it counts."""
    asked = ["--recording", str(full), "--workers", "4", "--format", "json"]
    data = msgspec.json.decode(run(capsys, *asked, "--from", str(AT + 10), "--to", str(AT + 20)))
    assert (AT, AT + 600, 300.0) == (data["from"], data["to"], data["seconds"])
    assert 1 == main(["what-if", *asked, "--from", str(AT + 700), "--to", str(AT + 800)])
    assert "Nothing was recorded from" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "-1", "x", "1000001", "1.5", ""])
def test_sizes_that_are_none(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no number of workers is a matter of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(["what-if", f"--workers={workers}"])
    assert 2 == ended.value.code
    assert "whole number from 1 to 1000000" in capsys.readouterr().err

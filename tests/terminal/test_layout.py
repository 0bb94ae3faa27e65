"""The whole picture in terminals of several sizes."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from mod_wsgi_dashboard.core.alerts import Alert
from mod_wsgi_dashboard.core.groups import GROUP_KEYS
from mod_wsgi_dashboard.core.wire import Failure, Sample, ViewerCount
from mod_wsgi_dashboard.simulator import SCENARIOS
from mod_wsgi_dashboard.terminal import keys
from mod_wsgi_dashboard.terminal.layout import PANELS, help_lines, picture
from mod_wsgi_dashboard.terminal.moment import Choice
from mod_wsgi_dashboard.terminal.text import Line, line_width, plain
from tests.conftest import build_metrics
from tests.terminal.scenes import HOSTILE, sample_of, scene, simulated

SIZES = [(80, 24), (200, 60), (120, 40), (40, 12), (10, 3)]

ALERTS = [
    Alert("saturated", "busy", "critical", 1_700_000_010.0, 1.0, 1.0),
    Alert("stuck-workers", "stuck", "warning", 1_700_000_020.0, 70.0, 1.0, "GET /report/*", 3),
]


def text_of(lines: list[Line]) -> str:
    return "\n".join(map(plain, lines))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "metrics-off"])
def test_the_picture_has_the_size_of_the_terminal(scenario: str, size: tuple[int, int]) -> None:
    """Whatever is shown, and however, there are as many lines as the terminal has, and none is wider."""
    cells, rows = size
    sample = msgspec.structs.replace(simulated(scenario, slots=400), alerts=ALERTS, notices=["Note."])
    for panel, group in itertools.product(PANELS, (None, *GROUP_KEYS)):
        choice = Choice(filter="age>1 nokey:x", group=group)
        lines = picture(scene(sample, choice=choice, panel=panel), cells, rows)
        assert len(lines) == rows
        assert cells >= max(map(line_width, lines))


def test_80_by_24_has_all_that_is_essential() -> None:
    """Sentence, advice, alerts, numbers, all letters, the oldest requests and the keys fit."""
    sample = msgspec.structs.replace(
        simulated("saturation", slots=64), alerts=ALERTS, viewers=ViewerCount(3, 4, holding=2)
    )
    text = text_of(picture(scene(sample), 80, 24))
    letters = [process for process in sample.snapshot.processes if process.pid]
    for words in (
        "Full: 64 of 64 workers busy",
        "MaxRequestWorkers",
        "saturated: all workers busy for 30 s",
        "3 workers stuck on GET /report/*",
        "64 / 64",
        *(str(process.pid) for process in letters),
        "W sending 64",
        "In flight 64",
        "dashboard holds 2 of 64 workers",
        "more: ↓, filter or group",
        "/ filter",
        "? help",
        "q end",
    ):
        assert words in text
    ages = [line for line in text.splitlines() if " W  " in line]
    assert 4 <= len(ages)


def test_alerts_that_do_not_fit_are_counted() -> None:
    """Of many alerts the first stand there, the rest as a number."""
    many = [msgspec.structs.replace(ALERTS[1], path=f"GET /{n}") for n in range(9)]
    sample = msgspec.structs.replace(simulated(), alerts=[ALERTS[0], *many])
    text = text_of(picture(scene(sample), 80, 24))
    assert "GET /0" in text
    assert "! 8 more alerts" in text


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_hostile_strings_stay_text(size: tuple[int, int]) -> None:
    """No character of a request, a client, a host, an alert or a notice reaches the terminal raw."""
    for bad in HOSTILE:
        sample = sample_of(build_metrics("W" * 8, request="GET / HTTP/1.1"))
        (process,) = sample.snapshot.processes
        # A recording may hold what a dashboard would have redacted.
        workers = [
            msgspec.structs.replace(worker, request=bad, client=bad, vhost=bad)
            for worker in process.workers
        ]
        board = msgspec.structs.replace(
            sample.snapshot, processes=[msgspec.structs.replace(process, workers=workers)]
        )
        alerts = [Alert("stuck", "stuck", "warning", 0.0, 1.0, 1.0, bad, 2)]
        sample = msgspec.structs.replace(sample, snapshot=board, alerts=alerts, notices=[bad])
        for group in (None, *GROUP_KEYS):
            made = scene(sample, choice=Choice(filter=f"-{bad}x", group=group), name=bad, why=bad)
            made = scene(
                sample,
                choice=Choice(group=group),
                name=bad,
                why=bad,
                message=bad,
                story=None if made.moment is None else next(iter(made.moment.every), None),
            )
            for line in picture(made, *size):
                assert plain(line).isprintable()


def test_a_failure_is_shown_above_the_last_sample() -> None:
    """Why there is no scoreboard stands at the top, and of when the numbers below are."""
    failure = Failure(2, 2001.0, 1.0, "Set server-metrics=on.", ViewerCount(1, 4), [])
    alone = text_of(picture(scene(None, failure=failure), 80, 24))
    above = text_of(picture(scene(simulated(), failure=failure, below="03:12:00"), 80, 24))
    assert "No scoreboard: Set server-metrics=on." in alone
    assert "Waiting" not in alone
    assert "No scoreboard: Set server-metrics=on." in above
    assert "the sample before, of 03:12:00" in above
    assert "64 / 64" in above


def test_the_connection_is_told() -> None:
    """A connection that isn't live is named, with its reason, and so is a viewer who stopped."""
    lost = text_of(picture(scene(simulated(), standing="Reconnecting", why="it closed"), 80, 24))
    stopped = text_of(picture(scene(simulated(), stopped="Paused at 03:12:00"), 80, 24))
    assert "Reconnecting" in lost.splitlines()[0]
    assert lost.splitlines()[1] == "it closed"
    assert stopped.splitlines()[0].endswith("Paused at 03:12:00")


def states_only(sample: Sample) -> Sample:
    """Return a sample as it is recorded with `record = states`."""
    processes = [
        msgspec.structs.replace(
            process,
            workers=[
                msgspec.structs.replace(
                    worker,
                    access_count=0,
                    start_time=0.0,
                    stop_time=0.0,
                    request="",
                    client="",
                    vhost="",
                )
                for worker in process.workers
            ],
        )
        for process in sample.snapshot.processes
    ]
    board = msgspec.structs.replace(sample.snapshot, processes=processes)
    return msgspec.structs.replace(sample, snapshot=board)


@pytest.mark.parametrize(
    ("sample", "choice", "words"),
    [
        (sample_of(build_metrics("____", counts=1)), Choice(), "every worker waits for one"),
        (simulated(), Choice(filter="nowhere"), "None of 64 requests in flight matches"),
        (simulated(), Choice(filter="nowhere", group="path"), "None of 64 requests in flight matches"),
    ],
)
def test_an_empty_list_says_why(sample: Sample, choice: Choice, words: str) -> None:
    """Where no request is listed, the reason stands in their place."""
    assert words in text_of(picture(scene(sample, choice=choice), 80, 24))


def test_a_sample_of_letters_lists_letters() -> None:
    """Where only states were recorded, requests are told as not available, not as none."""
    text = text_of(picture(scene(states_only(simulated("burst"))), 80, 24))
    assert "not available" in text


def test_the_chosen_row_is_always_in_sight() -> None:
    """The list goes along with the chosen request, and marks it."""
    sample = simulated(slots=64)
    for chosen in (0, 20, 63):
        lines = picture(scene(sample, chosen=chosen), 80, 24)
        marked = [line for line in lines if line and line[0].look == "chosen"]
        assert len(marked) == 1


def test_a_story_has_everything_that_the_list_cuts() -> None:
    """The story of a request has the whole line, client, host, pid, slot and generation."""
    request = "GET /" + "long/" * 11
    metrics = build_metrics("W_", request=request)
    metrics["processes"][0]["workers"][0]["client"] = "2001:db8:1234:5678:9abc:def0:11"
    sample = sample_of(metrics)
    made = scene(sample)
    assert made.moment is not None
    text = text_of(picture(scene(sample, story=made.moment.every[0]), 80, 24)).replace("\n", "")
    for words in (request, "2001:db8:1234:5678:9abc:def0:11", "pid 100", "slot 0.0", "generation 0"):
        assert words in text


def test_draining_processes_are_named_beside_another_cause() -> None:
    """What blocks a graceful restart is told even when something else is the verdict's cause."""
    metrics = build_metrics(
        "WWWW", "G...", pids=[100, 101], generations=[1, 0], running_generation=1, quiescing=(1,)
    )
    text = text_of(picture(scene(sample_of(metrics)), 100, 24))
    assert "1 process drains; pid 101 is held by GET /, 10 s" in text


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_help_has_the_size_of_the_terminal(size: tuple[int, int]) -> None:
    """Help fills the terminal, and can be scrolled where that is small."""
    assert len(help_lines(*size)) == size[1]


def test_help_tells_every_key_and_term_at_80_by_24() -> None:
    """Nothing of help is cut at 80 columns."""
    text = text_of(help_lines(80, 24))
    for shown, does in (*keys.HELP, *keys.FILTER_HELP):
        assert shown in text
        assert does in text
    assert max(map(line_width, help_lines(80, 24))) <= 80
    for hints in (keys.HINTS, keys.STOPPED_HINTS, keys.REPLAY_HINTS):
        assert len("   ".join(hints)) < 80

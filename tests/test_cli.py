"""The command line: output, exit status, and errors in one line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

import mod_wsgi_dashboard
from mod_wsgi_dashboard.cli import main
from mod_wsgi_dashboard.simulator import SCENARIOS


def test_service_script_prints_a_path_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The path stands alone on stdout, so that "$(...)" can take it."""
    assert main(["service-script"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert Path(line).is_absolute()
    assert "run()" in Path(line).read_text(encoding="utf-8")


def test_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """Each scenario has a line with its name and what happens in it."""
    assert main(["demo", "--list-scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert list(SCENARIOS) == [line.split()[0] for line in lines]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the package's version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mod_wsgi-dashboard {mod_wsgi_dashboard.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["demo"],
        ["service-script"],
        ["config"],
        ["doctor"],
        ["export"],
        ["replay"],
        ["what-if"],
        ["top"],
        ["export-assets"],
    ],
)
def test_help_has_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Every command's --help ends with an example."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    assert "example:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["nothing"], ["demo", "--scenario", "x"], ["demo", "--port", "x"]]
)
def test_bad_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What isn't understood ends with status 2 and says so on stderr alone."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--slots", "0"], "slots"),
        (["demo", "--host", "0.0.0.0", "--port", "0"], "allow_public"),
        (["demo", "--port", "99999"], "PORT"),
    ],
)
def test_a_failure_is_one_line_that_says_what_to_change(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad value ends with status 1 and one line on stderr."""
    assert main(arguments) == 1
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("mod_wsgi-dashboard: ")
    assert words in line
    assert captured.out == ""


def test_a_taken_port_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The demo doesn't wait for a port: it says that --port 0 picks a free one."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        assert main(["demo", "--port", str(holder.getsockname()[1])]) == 1
    assert "--port 0" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_until_it_is_stopped(number: signal.Signals) -> None:
    """`demo --port 0` prints its URL, serves samples there, and ends with 0 at Ctrl-C."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mod_wsgi_dashboard.cli", "demo", "--port", "0", "--slots", "16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = process.stdout.readline()
        (url,) = [word for word in line.split() if word.startswith("http://")]
        with urlopen(url + "api/v1/snapshot", timeout=10) as answer:
            assert json.load(answer)["capacity"]["slots"] == 16
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert (0, "", "") == (process.returncode, output, errors)

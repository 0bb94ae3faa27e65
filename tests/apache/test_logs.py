"""JSON lines in a real error log, through mod_wsgi's own handler and without it."""

from __future__ import annotations

import json

import pytest

from tests.apache.processes import wait_until
from tests.apache.server import Case, start

pytestmark = pytest.mark.apache

# mod_wsgi 4.9.4 has no handler: all that comes from there has the level error.
LEVELS = {"info": "[wsgi:info]", "warning": "[wsgi:warn]"}
CASES = [
    (Case("event", "pypi", "tcp"), LEVELS),
    (Case("prefork", "debian", "tcp"), dict.fromkeys(LEVELS, "[wsgi:error]")),
]


@pytest.mark.parametrize(("case", "levels"), CASES, ids=str)
def test_a_json_line_comes_through(case: Case, levels: dict[str, str]) -> None:
    """With quotes, backslashes and line breaks in it a record is one line: a prefix and an object.

    Apache doubles backslashes. Who undoes that has the very text.
    """
    server = start(case, settings={"log_format": "json"})
    directory = str(server.state_directory / 'a "b"\\c\n{d}')
    server.environment["MOD_WSGI_DASHBOARD_STATE_DIR"] = directory
    with server:
        wait_until(lambda: "recording to" in server.error_log, 10, "it records")
        lines = [line for line in server.error_log.splitlines() if "mod_wsgi_dashboard." in line]
    found = [json.loads(line[line.index('{"at"') :]) for line in lines]
    assert all(levels[each["level"]] in line for each, line in zip(found, lines, strict=True))
    assert {"listening on", "recording to"} <= {" ".join(each["message"].split()[:2]) for each in found}
    (line,) = (line for line in lines if "recording to" in line)
    exact = json.loads(line[line.index('{"at"') :].replace("\\\\", "\\"))
    assert exact["path"].startswith(f"{directory}/recording-")
    assert f"recording to {exact['path']}" == exact["message"]

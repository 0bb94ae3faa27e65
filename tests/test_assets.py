"""What the package brings along for Prometheus and Grafana, on the real Prometheus; and its command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from grafana_foundation_sdk.cog import encoder as grafana_encoder
from grafana_foundation_sdk.cog import plugins, runtime
from grafana_foundation_sdk.models import dashboard as grafana
from grafana_foundation_sdk.models import units
from hatchling.builders.wheel import WheelBuilder

from mod_wsgi_dashboard import assets_command
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.cli import main
from mod_wsgi_dashboard.core.metrics import FAMILIES
from mod_wsgi_dashboard.service import listening, make_runner
from mod_wsgi_dashboard.settings import Settings
from mod_wsgi_dashboard.simulator import Simulator
from mod_wsgi_dashboard.sources import SimulatorSource
from tests.ports import free_port
from tests.prometheus import Prometheus, configuration, promtool

ROOT = Path(__file__).parent.parent
RULE_TESTS = Path(__file__).parent / "data" / "rules"
JOB = "mod_wsgi-dashboard"

ALERTS = re.findall(r"- alert: (\w+)", assets_command.text("alert-rules.yml"))
RECORDED = re.findall(r"- record: (\S+)", assets_command.text("recording-rules.yml"))
DASHBOARD: dict[str, Any] = json.loads(assets_command.text("grafana-dashboard.json"))

# What stands for each of Grafana's variables: one that Grafana would put there.
VARIABLES = {"$job": ".+", "$instance": ".*", "$__rate_interval": "5s"}


def members(value: object, name: str) -> Iterator[Any]:
    """Yield all members of that name, at any depth."""
    if isinstance(value, dict):
        if name in value:
            yield value[name]
        for each in value.values():
            yield from members(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from members(each, name)


def panels(of: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the panels of a dashboard, those of folded rows included, without the rows."""
    for panel in of["panels"]:
        if panel["type"] == "row":
            yield from panels(panel)
        else:
            yield panel


def filled_in(expression: str) -> str:
    """Return an expression with values for Grafana's variables."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


EXPRESSIONS = sorted({filled_in(expression) for expression in members(DASHBOARD, "expr")})


@pytest.fixture
def exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a directory with the assets as the command writes them."""
    folder = tmp_path / "exported"
    assert 0 == main(["export-assets", str(folder)])
    capsys.readouterr()
    return folder


def test_the_command_writes_all_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A directory that isn't there is made; each file is told, with what it is for."""
    folder = tmp_path / "new" / "folder"
    assert 0 == main(["export-assets", str(folder)])
    output, errors = capsys.readouterr()
    told = [line.split("  ", 1) for line in output.splitlines()]
    assert [str(folder / name) for name in assets_command.ASSETS] == [path.strip() for path, _ in told]
    assert list(assets_command.ASSETS.values()) == [what.strip() for _, what in told]
    assert "" == errors
    assert set(assets_command.ASSETS) == {path.name for path in folder.iterdir()}
    assert {0o644} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    """The command's --help ends with an example."""
    with pytest.raises(SystemExit) as ended:
        main(["export-assets", "--help"])
    assert 0 == ended.value.code
    assert "example: mod_wsgi-dashboard export-assets" in capsys.readouterr().out


def test_the_command_overwrites_nobody_s_work(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one file differs none is touched, and the error says what to do; --force overwrites it."""
    own = exported / "targets.json"
    own.write_text("[]\n")
    (exported / "alert-rules.yml").unlink()
    assert 1 == main(["export-assets", str(exported)])
    output, errors = capsys.readouterr()
    assert ("", 1) == (output, errors.count("\n"))
    assert f"{own} is there and differs" in errors
    assert "--force" in errors
    assert ("[]\n", False) == (own.read_text(), (exported / "alert-rules.yml").exists())

    assert 0 == main(["export-assets", str(exported), "--dry-run"])
    assert f"--- {own}\n" in capsys.readouterr().out
    assert ("[]\n", False) == (own.read_text(), (exported / "alert-rules.yml").exists())

    assert 0 == main(["export-assets", str(exported), "--force"])
    assert 4 == capsys.readouterr().out.count("(was there already)")
    assert assets_command.text("targets.json") == own.read_text()


def test_the_command_writes_the_same_again(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A second time is no failure, and writes nothing."""
    before = {path: path.stat().st_mtime_ns for path in exported.iterdir()}
    assert 0 == main(["export-assets", str(exported)])
    assert len(before) == capsys.readouterr().out.count("(was there already)")
    assert before == {path: path.stat().st_mtime_ns for path in exported.iterdir()}


def test_a_place_that_is_no_directory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file where the directory should be is a failure that names it."""
    place = tmp_path / "file"
    place.write_text("")
    assert 1 == main(["export-assets", str(place)])
    output, errors = capsys.readouterr()
    assert ("", 1) == (output, errors.count("\n"))
    assert str(place) in errors


def test_the_wheel_takes_the_assets_along() -> None:
    """What the command writes is in the wheel."""
    inside = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {f"mod_wsgi_dashboard/assets/{name}" for name in assets_command.ASSETS} == {
        path for path in inside if path.startswith("mod_wsgi_dashboard/assets/")
    }


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus-fleet.yml"])
def test_promtool_takes_the_configurations(exported: Path, name: str) -> None:
    """`promtool check config` finds nothing wrong, with the rules and the targets beside it."""
    done = promtool("check", "config", exported / name)
    told = (done.stdout + done.stderr).decode()
    assert (0, 2) == (done.returncode, len(re.findall(r"SUCCESS: \d+ rules found", told))), told
    assert "WARN" not in told.upper(), told


def test_promtool_takes_what_is_commented_out(exported: Path) -> None:
    """The way through Apache, a host's name and an Alertmanager are right once their # is gone."""
    file = exported / "prometheus.yml"
    text = file.read_text()
    start, end = text.index("  - job_name:"), text.index("  # Through Apache")
    own_port, through_apache = text[start:end], text[end:]
    assert 1 == own_port.count("# labels:")
    others = text[:start].replace("# alerting:", "alerting:").replace("\n#  ", "\n  ")
    for job in (own_port.replace("# labels:", "labels:"), re.sub("(?m)^  # ", "  ", through_apache)):
        file.write_text(others + re.sub("(?m)^  [A-Zf].*\n", "", job))
        done = promtool("check", "config", file)
        assert 0 == done.returncode, (done.stdout + done.stderr).decode() + file.read_text()


def test_the_fleet_is_found(exported: Path) -> None:
    """Each host of targets.json is scraped through its Apache, with its cluster's label; or by DNS."""
    file = exported / "prometheus-fleet.yml"
    text = file.read_text()
    by_file, comment, by_dns = text.partition("    # SRV records")
    assert "\n    dns_sd_configs:\n      - names: [_mod_wsgi-dashboard._tcp." in comment + by_dns
    # Nothing is asked outside of this machine.
    file.write_text(by_file)
    done = promtool("check", "service-discovery", "--timeout=1s", file, JOB)
    found = [target["labels"] for target in json.loads(done.stdout)]
    assert {
        ("www1.example.com:443", "www"),
        ("www2.example.com:443", "www"),
        ("api1.example.com:443", "api"),
    } == {(labels["instance"], labels["cluster"]) for labels in found}
    assert {("https", "/metrics/metrics", JOB)} == {
        (labels["__scheme__"], labels["__metrics_path__"], labels["job"]) for labels in found
    }


def test_the_job_s_name_is_the_same_everywhere() -> None:
    """Alerts go by the job's name: it is that of both configurations."""
    for name in ("prometheus.yml", "prometheus-fleet.yml"):
        assert {JOB} == set(re.findall(r"job_name: (\S+)", assets_command.text(name)))
    assert {JOB} == set(re.findall(r'job="([^"]+)"', assets_command.text("alert-rules.yml")))


@pytest.mark.parametrize("name", ["alert-rules", "recording-rules"])
def test_promtool_passes_the_rules(exported: Path, name: str) -> None:
    """Each alert fires when it should, not before, and not just below; recorded values are right."""
    shutil.copy(RULE_TESTS / f"{name}.test.yml", exported)
    done = promtool("test", "rules", exported / f"{name}.test.yml")
    assert 0 == done.returncode, (done.stdout + done.stderr).decode()


def test_no_rule_is_left_out_of_promtool_s_tests() -> None:
    """Each alert is pending and then fires in promtool's tests; each recorded series is compared."""
    alerts = (RULE_TESTS / "alert-rules.test.yml").read_text()
    recorded = (RULE_TESTS / "recording-rules.test.yml").read_text()
    for alert in ALERTS:
        cases = [case for case in re.split(r"- (?=expr|\{expr)", alerts) if f'"{alert}"' in case]
        assert any('alertstate="firing"' in case for case in cases), alert
        # One that fires at once is never pending; its first case is that it doesn't.
        assert any('alertstate="pending"' in case or "exp_samples: []" in case for case in cases), alert
    assert [] == [name for name in RECORDED if f"labels: '{name}{{" not in recorded]


def test_each_alert_says_what_to_do() -> None:
    """Each has a severity, a summary that names the host, a description, and its place in the docs."""
    docs = (ROOT / "docs" / "prometheus.md").read_text(encoding="utf-8")
    rules = assets_command.text("alert-rules.yml").split("- alert: ")[1:]
    for name, rule in zip(ALERTS, rules, strict=True):
        assert re.search(r"severity: (warning|critical)\n", rule), name
        summary = re.search(r"summary: (.+)", rule)
        assert summary is not None, name
        assert ("$labels.instance" in summary[1]) == (name != "ModWsgiDashboardAbsent"), name
        assert "description: >-" in rule, name
        assert f"runbook: docs/prometheus.md#{name.lower()}\n" in rule, name
        assert f"\n### {name}\n" in docs, name


def test_the_assets_use_metrics_that_there_are() -> None:
    """Every metric that a rule or a panel names is exposed by that name."""
    used: set[str] = set()
    for name in ("alert-rules.yml", "recording-rules.yml", "grafana-dashboard.json"):
        text = assets_command.text(name)
        used |= set(re.findall(r"(?<![\w:])(?:apache|modwsgi|process)_\w+(?![\w:])", text))
    assert set() == used - set(FAMILIES)
    # What is ours is shown, too.
    assert set() == {name for name in FAMILIES if name.startswith("modwsgi_")} - used


def lost(ours: object, theirs: object, path: str = "") -> list[str]:
    """Return where of ours isn't in theirs, or is another value there."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        found = [f"{path}/{key}" for key in ours if key not in theirs]
        common = [key for key in ours if key in theirs]
        return found + [one for key in common for one in lost(ours[key], theirs[key], f"{path}/{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [one for n, (a, b) in pairs for one in lost(a, b, f"{path}/{n}")]
    return [] if ours == theirs else [path]


def encoded(value: object) -> Any:
    return json.loads(grafana_encoder.JSONEncoder().encode(value))


def test_the_dashboard_survives_grafana_s_own_types() -> None:
    """Read into Grafana's types and written again, every member is there: no word of it is misspelt."""
    plugins.register_default_plugins()
    assert [] == lost(DASHBOARD, encoded(grafana.Dashboard.from_json(DASHBOARD)))


def test_a_misspelt_member_does_not_survive() -> None:
    """The round trip does find a wrong word, in a panel as in the options of its kind."""
    plugins.register_default_plugins()
    wrong = json.loads(assets_command.text("grafana-dashboard.json"))
    panel = next(panel for panel in panels(wrong) if panel["type"] == "timeseries")
    panel["titel"] = panel["options"]["legend"]["placment"] = "x"
    found = lost(wrong, encoded(grafana.Dashboard.from_json(wrong)))
    assert ["titel", "placment"] == [path.rpartition("/")[2] for path in found]


def test_overrides_and_units_are_grafana_s() -> None:
    """What panels override by name are fields of their kind; each unit is one of Grafana's."""
    plugins.register_default_plugins()
    known = {value for value in vars(units).values() if isinstance(value, str)}
    for panel in panels(DASHBOARD):
        config = runtime.panelcfg_config(panel["type"])
        assert config is not None, panel["type"]
        for override in panel["fieldConfig"]["overrides"]:
            for one in override["properties"]:
                name, value = one["id"], one["value"]
                if name.startswith("custom."):
                    assert config.field_config_from_json_hook is not None
                    field = {name.removeprefix("custom."): value}
                    there = encoded(config.field_config_from_json_hook(field))
                else:
                    field = {name: value}
                    there = encoded(grafana.FieldConfig.from_json(field))
                assert [] == lost(field, there), (panel["title"], one)
        shown = list(members(panel["fieldConfig"]["defaults"], "unit")) + [
            one["value"]
            for override in panel["fieldConfig"]["overrides"]
            for one in override["properties"]
            if one["id"] == "unit"
        ]
        assert set() == set(shown) - known, panel["title"]
        assert shown or panel["title"] == "Alerts of Prometheus", panel["title"]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It asks for a data source and names none; each panel explains itself; none covers another."""
    sources = list(members(DASHBOARD, "datasource"))
    assert {("prometheus", "${datasource}")} == {(each["type"], each["uid"]) for each in sources}
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert ["datasource", "job", "instance"] == names
    assert "id" not in DASHBOARD
    found = list(panels(DASHBOARD))
    rows = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert len(found) + len(rows) == len({panel["id"] for panel in found + rows})
    cells: set[tuple[int, int]] = set()
    for panel in found:
        assert panel["description"].endswith("."), panel["title"]
        x, y, w, h = (panel["gridPos"][name] for name in "xywh")
        taken = {(column, line) for column in range(x, x + w) for line in range(y, y + h)}
        assert x + w <= 24, panel["title"]
        assert set() == cells & taken, panel["title"]
        cells |= taken
    for panel in found:
        opt_in = re.search(r"modwsgi_(process|vhost)_", json.dumps(panel["targets"]))
        assert (opt_in is None) == ("Only with the setting" not in panel["description"]), panel["title"]


class Scraped(NamedTuple):
    """A Prometheus with all rules, which has scraped three dashboards.

    At `full_at` one of them was full, at `restarted_at` another had restarted: instants to ask for,
    since a slow machine may come too late for either.
    """

    prometheus: Prometheus
    full_at: float
    restarted_at: float

    def misses(self, expressions: list[str], at: float) -> list[str]:
        """Return those of the expressions that give no series."""
        return [one for one in expressions if not self.prometheus.query(one, at=at)]


# Each with the age and the slots of its Apache: one restarts soon, one has been full for a moment, one
# can't be read.
SCENARIOS = {"graceful-restart": (39.0, 64), "saturation": (30.0, 32), "metrics-off": (0.0, 16)}


@contextlib.contextmanager
def dashboards(ports: list[int], folder: Path) -> Iterator[None]:
    """Serve a dashboard of each scenario."""
    ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stopped = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            for port, (scenario, (age, slots)) in zip(ports, SCENARIOS.items(), strict=True):
                settings = Settings(
                    listen=f"127.0.0.1:{port}",
                    state_dir=folder / scenario,
                    max_request_workers=slots if scenario == "saturation" else None,
                    metrics_processes=True,
                    metrics_vhosts=5,
                )
                begun = time.time() - age
                simulator = Simulator(scenario=scenario, slots=slots, start_at=begun)
                runner = make_runner(create_app(settings, SimulatorSource(simulator)))
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await stack.enter_async_context(listening(runner, settings))
            ready.set_result((asyncio.get_running_loop(), stopped))
            await stopped.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        loop, stopped = ready.result(20)
        try:
            yield
        finally:
            loop.call_soon_threadsafe(stopped.set)
    finally:
        thread.join(20)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Have a Prometheus scrape until the restart was seen and the alerts of the others are under way."""
    folder = tmp_path_factory.mktemp("prometheus")
    assert 0 == main(["export-assets", str(folder / "assets")])
    ports = [free_port() for _ in SCENARIOS]
    text = configuration(
        {JOB: {"targets": [f"127.0.0.1:{port}" for port in ports]}},
        rule_files=[str(folder / "assets" / f"{kind}-rules.yml") for kind in ("alert", "recording")],
    )
    with Prometheus(folder / "data", text) as prometheus, dashboards(ports, folder):
        prometheus.wait('ALERTS{alertname="ModWsgiSaturated"}')
        prometheus.wait("count(rate(apache_accesses_total[5s]))")
        prometheus.wait("count(apache_up == 0)")
        prometheus.wait("count(instance:apache_workers_busy_per_capacity:ratio) == 2")
        full_at = time.time()
        prometheus.wait_scraped(scrapes=4)
        prometheus.wait('sum(changes(apache_generation{type="mpm"}[2m]))')
        prometheus.wait('ALERTS{alertname="ModWsgiMetricsOff"}')
        prometheus.wait("max(modwsgi_alert_active)")
        prometheus.wait(f"count({RECORDED[-1]})")
        yield Scraped(prometheus, full_at, time.time())


def test_every_expression_of_the_dashboard_gives_data(scraped: Scraped) -> None:
    """Each panel, annotation and recorded series has data of what a running dashboard exposes."""
    assert len(EXPRESSIONS) > 50
    assert [] == scraped.misses([*EXPRESSIONS, *RECORDED], scraped.restarted_at)


def test_the_variables_of_the_dashboard_have_values(scraped: Scraped) -> None:
    """Job and host can be chosen: the three that are scraped."""
    counts = []
    for variable in DASHBOARD["templating"]["list"][1:]:
        selector, label = re.fullmatch(
            r"label_values\((.+), (\w+)\)", variable["query"]["query"]
        ).groups()
        query = f"count by ({label}) ({filled_in(selector)})"
        counts.append(len(scraped.prometheus.query(query, at=scraped.restarted_at)))
    assert [1, 3] == counts


def test_shares_are_of_each_host_s_own_limit(scraped: Scraped) -> None:
    """A busy share is of the limit where one is set, else of the workers that the host has."""

    def by_host(name: str) -> dict[str, float]:
        found = scraped.prometheus.query(name, at=scraped.full_at)
        return {labels["instance"]: value for labels, value in found}

    (full,) = by_host("modwsgi_max_request_workers")
    limits = by_host("instance:modwsgi_capacity_workers:sum")
    shares = by_host("instance:apache_workers_busy_per_capacity:ratio")
    assert (32.0, 1.0) == (limits.pop(full), shares[full])
    # A rule sees the scrape before, when there may have been others: one restarts.
    ((other, limit),) = limits.items()
    least, most = (by_host(f"{name}_over_time(modwsgi_serving_workers[10s])") for name in ("min", "max"))
    assert 32.0 < least[other] <= limit <= most[other]


def test_the_rules_run_on_what_is_exposed(scraped: Scraped) -> None:
    """Prometheus evaluates each without an error; what goes on tells its host in whole sentences."""
    found = [rule for group in scraped.prometheus.api("rules")["groups"] for rule in group["rules"]]
    assert sorted(ALERTS + RECORDED) == sorted(rule["name"] for rule in found)
    assert [] == [(rule["name"], rule.get("lastError")) for rule in found if rule["health"] != "ok"]
    under_way = scraped.prometheus.alerts()
    assert "ModWsgiMetricsOff" in {alert["labels"]["alertname"] for alert in under_way}
    for alert in under_way:
        text = json.dumps(alert["annotations"])
        assert not re.search("[{}$<>]", text[1:-1]), text
        assert alert["labels"]["instance"] in alert["annotations"]["summary"]


# Of grafana/jsonnet-libs' apache-http-mixin, awesome-prometheus-alerts and Grafana's dashboard 3894, but
# for those on what the scoreboard has not: apache_duration_ms_total, apache_cpuload, apache_connections.
OTHERS = [
    "apache_up == 0",
    "apache_uptime_seconds_total / 60 < 1",
    '(sum by (instance)(apache_workers{state="busy"}) / sum by (instance)(apache_scoreboard))*100 > 80',
    "rate(apache_accesses_total[5s])",
    "rate(apache_sent_kilobytes_total[5s])*1000",
    "rate(apache_sent_kilobytes_total[5s])*1024",
    "apache_scoreboard",
    'apache_workers{state=~"busy|idle"}',
    "apache_load",
    'apache_generation{type="mpm"}',
    'apache_processes{state="all"}',
]


def test_the_rules_and_dashboards_of_others_have_data(scraped: Scraped) -> None:
    """What stands in widespread rules and dashboards for apache_exporter gives data here, unchanged."""
    assert [] == scraped.misses(OTHERS, scraped.full_at)

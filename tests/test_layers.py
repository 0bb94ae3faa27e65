"""The direction of imports, and what no module may hold."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mod_wsgi_dashboard

PACKAGE = Path(mod_wsgi_dashboard.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
NAME = "mod_wsgi_dashboard"

# Each module, and what of the package it may import, the lowest first.
LAYERS = [
    "core.errors", "core.redaction", "core.scoreboard", "core.rates", "core.guard",
    "core.pattern", "core.durations", "core.alerts", "core.wire",
    "core.encoder", "core.decoder", "core.events", "core.history",
    "core.requests", "core.filters", "core.groups", "core.verdict", "core.sentences",
    "core.metrics", "client",
    "settings", "logs", "traffic", "simulator", "sources", "supervisor", "hub", "poller",
    "recording", "tape", "recorder", "archive",
    "instants", "incident", "unpacking", "local_recordings", "what_if",
    "apacheconf.directives", "apacheconf.findings", "apacheconf.rules", "apacheconf.report",
    "apacheconf.state_directory",
    "apacheconf.keywords", "apacheconf.topology",
    "apacheconf.machine", "apacheconf.directories", "apacheconf.files", "apacheconf.httpd",
    "apacheconf.logs", "apacheconf.security_tools", "apacheconf.running",
    "apacheconf.system", "apacheconf.checks",
    *(f"apacheconf.checks.{name}" for name in (
        "sidecar_fixes", "sidecar_settings", "sidecar_setting", "sidecar_answer", "sidecar_log",
        "sidecar_python", "sidecar_recording",
        "sidecar_running", "sidecar", "proxy_routing", "proxy_workers", "proxy_entrances",
        "proxy_access", "proxy_headers",
        "proxy_address", "proxy", "capacity", "security", "setup_files", "setup_groups",
        "setup_running", "setup",
    )),
    "apacheconf.doctor", "apacheconf.visitor", "apacheconf.probe", "apacheconf.doctor_command",
    "apacheconf.choices", "apacheconf.lines", "apacheconf.defines", "apacheconf.render",
    "apacheconf.targets", "apacheconf.writer", "apacheconf.config_command",
    "selfcheck", "doctor_page", "middlewares", "webhook", "exposition", "fields",
    "history_api", "export_api", "drain", "answers", "openapi", "app",
    "service", "service_script", "incident_command", "assets_command",
    *(f"terminal.{name}" for name in (
        "text", "keys", "moment", "report", "archive", "chart", "travel", "grid", "table", "layout",
        "palette", "screen", "command",
    )),
    "terminal", "cli",
]  # fmt: skip

PURE = {"asyncio", "aiohttp", "mod_wsgi", "time", "random", "os", "socket", "threading", "pathlib"}

# Parts of apacheconf that see texts and values alone.
PURE_APACHE = [
    "defines", "directives", "findings", "keywords", "lines", "render", "report", "rules",
    "state_directory", "targets", "topology",
]  # fmt: skip
ASYNCIO_ONLY = {"hub", "supervisor"}


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def layer(found: str) -> int:
    """Return where the imported name stands among the layers."""
    return next(n for n, known in enumerate(LAYERS) if f"{found}.".startswith(f"{known}."))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path: Path) -> None:
    """A module imports only what stands below it, so that no cycle can come about."""
    own = [found.removeprefix(f"{NAME}.") for found in imports(path) if found.startswith(f"{NAME}.")]
    above = len(LAYERS) if path.name == "__init__.py" else LAYERS.index(module_name(path))
    assert [] == [found for found in own if found != "__version__" and layer(found) >= above]


@pytest.mark.parametrize(
    "path",
    [
        *sorted((PACKAGE / "core").glob("*.py")),
        *(p for name in PURE_APACHE for p in sorted((PACKAGE / "apacheconf").glob(f"{name}*.py"))),
    ],
    ids=module_name,
)
def test_the_core_is_pure(path: Path) -> None:
    """Core, and what apacheconf knows, do no I/O and know no clock, no loop and no framework."""
    assert set() == PURE & {found.partition(".")[0] for found in imports(path)}


@pytest.mark.parametrize("name", sorted(ASYNCIO_ONLY))
def test_the_hub_knows_no_framework(name: str) -> None:
    """Fan-out and supervision are asyncio's alone."""
    roots = {found.partition(".")[0] for found in imports(PACKAGE / f"{name}.py")}
    assert "aiohttp" not in roots

"""The command `mod_wsgi-dashboard`.

Owns arguments, exit status and what is printed: data and results on stdout, a failure as one line on
stderr; 0 done, 1 failure, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from mod_wsgi_dashboard import __version__
from mod_wsgi_dashboard.core.errors import DashboardError, UsageError

if TYPE_CHECKING:
    from mod_wsgi_dashboard.incident_command import Make
    from mod_wsgi_dashboard.settings import Settings

DEMO_UPTIME = 120.0

# What a shell says of a command that a signal has ended: SIGINT, SIGPIPE.
INTERRUPTED, NOBODY_READS = 128 + 2, 128 + 13


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parser = _parser()
    options = parser.parse_args(list(_joined(sys.argv[1:] if arguments is None else arguments)))
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except (DashboardError, ValueError) as error:
        print(f"mod_wsgi-dashboard: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS
    return status


def _joined(arguments: Sequence[str]) -> Iterator[str]:
    """Yield arguments; an instant such as -20m as a part of its option, or argparse takes it for one."""
    left = iter(arguments)
    for argument in left:
        if argument not in ("--from", "--to"):
            yield argument
            continue
        value = next(left, None)
        if value is not None and re.match(r"-\d", value):
            yield f"{argument}={value}"
        else:
            yield from (argument,) if value is None else (argument, value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mod_wsgi-dashboard",
        description="The live dashboard for Apache httpd + mod_wsgi.",
        epilog="example: mod_wsgi-express start-server wsgi.py --server-metrics"
        ' --service-script dashboard "$(mod_wsgi-dashboard service-script)"'
        " --proxy-mount-point /metrics/ http://127.0.0.1:8765/",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_demo(commands)
    script = commands.add_parser(
        "service-script",
        help="print the path of the packaged service script",
        description="Print the path of the script for mod_wsgi-express --service-script, or for"
        " WSGIImportScript.",
        epilog='example: --service-script dashboard "$(mod_wsgi-dashboard service-script)"',
    )
    script.set_defaults(run=_service_script)
    _add_apacheconf(commands)
    _add_recordings(commands)
    _add_top(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mod_wsgi_dashboard.simulator import MPMS, SCENARIOS

    demo = commands.add_parser(
        "demo",
        help="show the dashboard on a simulated Apache",
        description="Serve the dashboard on a simulated scoreboard, without Apache.",
        epilog="example: mod_wsgi-dashboard demo --scenario saturation --slots 400",
    )
    demo.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    demo.add_argument("--port", type=int, default=8765, help="port, 0 picks a free one (%(default)s)")
    demo.add_argument(
        "--scenario", default="calm", choices=list(SCENARIOS), metavar="NAME", help="what happens"
    )
    demo.add_argument("--slots", type=int, default=64, help="workers to simulate (%(default)s)")
    demo.add_argument("--mpm", default="event", choices=MPMS, help="Apache's MPM (%(default)s)")
    demo.add_argument("--seed", type=int, default=1, help="same seed, same traffic (%(default)s)")
    demo.add_argument("--list-scenarios", action="store_true", help="name the scenarios, and end")
    demo.add_argument("-v", "--verbose", action="store_true", help="log what happens")
    demo.set_defaults(run=_demo)


def _add_apacheconf(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mod_wsgi_dashboard.apacheconf import config_command, doctor_command

    config_command.add_to(commands)
    doctor_command.add_to(commands)


def _add_recordings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mod_wsgi_dashboard import assets_command, incident_command, what_if

    incident_command.add_to(commands, _serve)
    what_if.add_to(commands)
    assets_command.add_to(commands)


def _add_top(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from mod_wsgi_dashboard.terminal import command

    command.add_to(commands)


def _service_script(_options: argparse.Namespace) -> int:
    print(resources.files("mod_wsgi_dashboard") / "service_script.py")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from mod_wsgi_dashboard.simulator import SCENARIOS

    if options.list_scenarios:
        width = max(map(len, SCENARIOS))
        for name, description in SCENARIOS.items():
            print(f"{name:{width}}  {description}")
        return 0
    return _serve_demo(options)


def _serve_demo(options: argparse.Namespace) -> int:
    import time

    from mod_wsgi_dashboard.app import create_app
    from mod_wsgi_dashboard.settings import Settings, TcpAddress
    from mod_wsgi_dashboard.simulator import Simulator
    from mod_wsgi_dashboard.sources import SimulatorSource

    simulator = Simulator(
        scenario=options.scenario,
        slots=options.slots,
        mpm=options.mpm,
        seed=options.seed,
        # A server that has run for a while has more to show than one that just started.
        start_at=time.time() - DEMO_UPTIME,
    )
    settings = Settings.load(listen=str(TcpAddress(options.host, options.port)))
    with contextlib.ExitStack() as stack:
        if settings.record != "off" and settings.state_dir is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mod_wsgi-dashboard-"))
            settings = dataclasses.replace(settings, state_dir=folder)
        return _serve(
            lambda: create_app(settings, SimulatorSource(simulator)),
            settings,
            f"Simulated Apache ({options.scenario})",
            verbose=options.verbose,
        )


def _serve(make: Make, settings: Settings, title: str, *, verbose: bool) -> int:
    """Serve an application until Ctrl-C or SIGTERM comes."""
    from mod_wsgi_dashboard import logs

    handler = logging.StreamHandler()
    handler.setFormatter(logs.formatter(settings.log_format, with_time=True))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logs.quieten()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_until_stopped(make, settings, title))
    return 0


async def _serve_until_stopped(make: Make, settings: Settings, title: str) -> None:
    from mod_wsgi_dashboard.service import listening, make_runner

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    runner = make_runner(make())
    await runner.setup()
    try:
        async with listening(runner, settings) as address:
            print(f"{title}: {address}  (Ctrl-C ends it)", flush=True)
            await stop.wait()
    except OSError as error:
        raise DashboardError(
            f"can't listen on {settings.listen}: {error.strerror}; --port 0 picks a free port"
        ) from None
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())

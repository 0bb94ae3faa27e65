"""Processes of a benchmark: compiling the C ones, starting, placing, measuring and ending all of them.

Owns every process that a benchmark starts; none outlives its context. It must not know what is measured.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent

START_SECONDS = 20.0
STOP_SECONDS = 5.0

# With --pin: the server on one core, the generator on the other.
SERVER_CORE, GENERATOR_CORE = 0, 1


class BenchmarkError(Exception):
    """A benchmark can't be run, or gave no figures."""


def compile_c(name: str, directory: Path) -> Path:
    """Compile `name`.c of this directory into another one, and return the program.

    Raises:
        BenchmarkError: there is no C compiler, or it failed.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchmarkError("a C compiler is needed: apt install gcc libc6-dev")
    program = directory / name
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(HERE / f"{name}.c")]
    if subprocess.run(command, timeout=60, check=False).returncode:
        raise BenchmarkError(f"{name}.c doesn't compile")
    return program


def prepare() -> int:
    """Make this process fit to run benchmarks: return how many files it, and its children, may open.

    A SIGTERM is an exit like any other from here on, so that it ends the children, too.
    """
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        most = int(Path("/proc/sys/fs/nr_open").read_text())
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return most
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], *, core: int | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the length of the context, on one core if one is given.

    It ends with this process, even if that is killed.
    """
    placed = ["setpriv", "--pdeathsig", "KILL", *command]
    if core is not None:
        placed = ["taskset", "-c", str(core), *placed]
    with log.open("wb") as output:
        process = subprocess.Popen(
            placed, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def python(module: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def wait_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until something listens on a port.

    Raises:
        BenchmarkError: the process has ended, or takes too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise BenchmarkError(f"{process.args!r} does not listen on {port}:\n{tail}")


def resident_kb(pid: int) -> int:
    """Return how much memory of a process is resident, in kB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0])
    return 0


def describe_host() -> dict[str, object]:
    """Return what figures depend on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "",
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
    }

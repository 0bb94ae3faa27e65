"""The dashboard as a mod_wsgi service script: listen, run, and go quickly when Apache says so.

Owns the life of the process. What Apache demands of it (measured on mod_wsgi 4.9.4 and 6.1.1):

- at a graceful restart Apache sends SIGTERM and waits for the daemon, up to 3 s, and the whole site
  with it: the service is gone within half a second, its viewers closed with 1001;
- a script that ends is started again once a second, for ever: an address in use, a bad setting or a
  missing directory is logged and waited out, never an exit;
- exits are silent: what ends the process is logged first;
- when Apache's parent is killed, the daemon is left behind with a dead scoreboard and the port: it
  watches its parent and goes;
- in a sub-interpreter Python installs no signal handlers: a thread waits for SIGTERM there.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType

from aiohttp import web

from mod_wsgi_dashboard import logs
from mod_wsgi_dashboard.app import create_app
from mod_wsgi_dashboard.core.errors import DashboardError, NotInsideApache
from mod_wsgi_dashboard.settings import Settings, TcpAddress, UnixAddress
from mod_wsgi_dashboard.sources import ModWsgiSource, Source, inside_apache

log = logging.getLogger(__name__)

# How soon an orphaned service notices: getppid() is all that tells.
PARENT_SECONDS = 0.5

# Back-off of a listener that can't be opened.
RETRY_FIRST, RETRY_LAST = 0.25, 30.0

# What requests other than WebSockets have to end in, at a stop.
SHUTDOWN_SECONDS = 0.1

# Objects between two garbage collections: twice those of a reading of 20,000 slots.
GARBAGE = 50_000

# Twice what Apache lets through. aiohttp refuses a longer header by quoting its beginning; a hostile
# one should come as far as our own refusal, which quotes nothing.
FIELD_BYTES = 16 * 1024


def run(**keywords: object) -> None:
    """Run the dashboard in this process until Apache stops it: the body of a service script.

    Args:
        keywords: settings (see `Settings`), which win over environment and file.

    A failure never ends the process while Apache is there to start it again in a loop: it is logged,
    and waited out.
    """
    try:
        module = inside_apache()
    except NotInsideApache as error:
        print(f"mod_wsgi-dashboard: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    handler = _log_to_apache(module)
    try:
        asyncio.run(_run(keywords, handler))
    except SystemExit:
        # mod_wsgi's own SIGTERM handler, before ours stood.
        log.info("stopped while starting")
    except BaseException:
        log.critical("the dashboard ends; Apache will start it again", exc_info=True)
        raise


async def _run(keywords: dict[str, object], handler: logging.Handler) -> None:
    try:
        settings = Settings.load(**keywords)
    except DashboardError as error:
        async with _life() as stop:
            log.critical("%s. The dashboard stays down until Apache is restarted.", error)
            await stop.wait()
        return
    handler.setFormatter(logs.formatter(settings.log_format))
    logging.getLogger("mod_wsgi_dashboard").setLevel(settings.log_level.upper())
    await serve(settings)


async def serve(settings: Settings, source: Source | None = None) -> None:
    """Serve the dashboard until SIGTERM comes or the parent process is gone.

    Args:
        settings: where to listen, and all else.
        source: where scoreboards come from; the Apache around this process unless given.

    Raises:
        NotInsideApache: no source was given, and this process was not started by Apache.
    """
    await serve_app(create_app(settings, source or ModWsgiSource()), settings)


async def serve_app(app: web.Application, settings: Settings) -> None:
    """Serve an application of your own, with the dashboard inside, as `serve` does its own.

    Args:
        app: an application that `create_app`'s was added to.
        settings: where to listen.
    """
    # Each reading makes a dict for each slot, and frees it: no cycles to look for. By Python's own
    # threshold of 700 that is up to nine collections a reading; what is here now stays.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    async with _life() as stop:
        runner = make_runner(app)
        await runner.setup()
        try:
            async with contextlib.AsyncExitStack() as stack:
                if await _listen_at_last(runner, settings, stack, stop):
                    await stop.wait()
        finally:
            await runner.cleanup()


def make_runner(app: web.Application) -> web.AppRunner:
    """Return the runner of an application: no access log, and quick to end."""
    return web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_field_size=FIELD_BYTES,
    )


@contextlib.asynccontextmanager
async def listening(runner: web.AppRunner, settings: Settings) -> AsyncIterator[str]:
    """Listen where the settings say, for the length of the context; gives the address.

    Raises:
        OSError: the address is in use, or can't be bound.
    """
    address = settings.listen
    if isinstance(address, UnixAddress):
        with _unix_socket(address.path, settings.socket_mode) as listener:
            await web.SockSite(runner, listener).start()
            yield str(address)
        return
    listener = _tcp_socket(address)
    await web.SockSite(runner, listener).start()
    host, port = listener.getsockname()[:2]
    yield f"http://{TcpAddress(host, port)}/"


async def _listen_at_last(
    runner: web.AppRunner,
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    stop: asyncio.Event,
) -> bool:
    """Open the listener, trying for as long as it takes; return False if stopped meanwhile."""
    delay = RETRY_FIRST
    reported: str | None = None
    while not stop.is_set():
        try:
            address = await stack.enter_async_context(listening(runner, settings))
        except OSError as error:
            reason = error.strerror or str(error)
            if reason != reported:
                extra = {"address": str(settings.listen), "pid": os.getpid()}
                log.error("can't listen on %s: %s; trying again", settings.listen, reason, extra=extra)
                reported = reason
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)
            delay = min(2 * delay, RETRY_LAST)
        else:
            _log_listening(address, settings)
            return True
    return False


def _log_listening(address: str, settings: Settings) -> None:
    extra = {"address": address, "pid": os.getpid()}
    log.info("listening on %s, process %d", address, os.getpid(), extra=extra)
    if isinstance(settings.listen, TcpAddress) and not settings.listen.loopback:
        log.warning("%s is open to other machines, past Apache's access rules", address, extra=extra)


def _tcp_socket(address: TcpAddress) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _unix_socket(path: str, mode: int) -> Iterator[socket.socket]:
    """Bind a unix socket with exactly `mode`, in place of a dead one; remove it in the end."""
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode must hold from the first moment, and bind() applies the umask.
    umask = os.umask(0o777 & ~mode)
    try:
        listener.bind(path)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    bound = os.stat(path).st_ino
    try:
        yield listener
    finally:
        # Whoever removed it and bound the path anew keeps it.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == bound:
                os.unlink(path)


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens on; leave a live one, and whatever is no socket.

    Raises:
        OSError: the path is taken.
    """
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(0, "there is a file that is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


@contextlib.asynccontextmanager
async def _life() -> AsyncIterator[asyncio.Event]:
    """Give an event that is set when this process should end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(reason: str, *, level: int = logging.INFO) -> None:
        if not stop.is_set():
            log.log(level, "stopping: %s", reason, extra={"pid": os.getpid()})
            stop.set()

    watch = asyncio.create_task(_watch_parent(end))
    with _on_sigterm(loop, lambda: end("SIGTERM")):
        try:
            yield stop
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch


async def _watch_parent(end: Callable[..., None]) -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  # no event tells of it, only getppid() does
        await asyncio.sleep(PARENT_SECONDS)
    # Nobody starts it again.
    end(f"Apache is gone, its parent process was {parent}", level=logging.WARNING)


@contextlib.contextmanager
def _on_sigterm(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> Iterator[None]:
    try:
        loop.add_signal_handler(signal.SIGTERM, act)
    except (RuntimeError, ValueError):
        with _on_sigterm_by_thread(loop, act):
            yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


@contextlib.contextmanager
def _on_sigterm_by_thread(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> Iterator[None]:
    """Wait for SIGTERM in a thread: a sub-interpreter may install no handlers."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    over = threading.Event()

    def wait() -> None:
        while not over.is_set():
            if signal.sigtimedwait({signal.SIGTERM}, 0.1):
                loop.call_soon_threadsafe(act)
                return

    thread = threading.Thread(target=wait, name="sigterm")
    thread.start()
    try:
        yield
    finally:
        # A thread that outlives its interpreter crashes the process.
        over.set()
        thread.join()


def _log_to_apache(module: ModuleType) -> logging.Handler:
    """Send log records to Apache's error log, as text; mod_wsgi 6 passes their levels on, too."""
    handler_class = getattr(module, "LogHandler", logging.StreamHandler)
    handler: logging.Handler = handler_class()
    handler.setFormatter(logs.formatter("text"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("mod_wsgi_dashboard").setLevel(logging.INFO)
    logs.quieten()
    return handler

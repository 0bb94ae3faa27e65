"""A bounded load on a server: requests of every kind that the dashboard has to show.

Counts what it sent and what came back. Errors are counted, too: a server that restarts refuses some.
"""

import asyncio
import itertools
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType

import aiohttp
from yarl import URL

# In the order of a round: most requests are quick, as on a site.
PATHS = (
    "/",
    "/bytes?n=20000",
    "/",
    "/static/hello.txt",
    "/?page=2&token=secret",
    "/slow?s=0.2",
    "/",
    "/nothing/here",
    "/bytes?n=300",
    "/caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "/static/nothing.txt",
)

# Far more than a test on two processors gets through; a bound all the same.
MOST_REQUESTS = 50_000


class Load:
    """Sends requests from several clients at once, from entry to exit.

    Args:
        url: the server, without a path.
        clients: how many requests are under way at once.
    """

    def __init__(self, url: str, *, clients: int = 4) -> None:
        self.url = url
        self.sent: Counter[str] = Counter()
        self.answered: Counter[int] = Counter()
        self.errors = 0
        self._clients = clients
        self._rounds = itertools.islice(itertools.cycle(PATHS), MOST_REQUESTS)
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Load":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._clients)]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Let the requests under way end, then close every connection."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
        if self._session is not None:
            await self._session.close()

    async def _client(self) -> None:
        assert self._session is not None
        for path in self._rounds:
            if self._stopping:
                return
            self.sent[path] += 1
            try:
                # Encoded already: raw bytes beyond ASCII shall reach Apache as such.
                async with self._session.get(URL(self.url + path, encoded=True)) as response:
                    await response.read()
                    self.answered[response.status] += 1
            except (aiohttp.ClientError, asyncio.TimeoutError):
                self.errors += 1


@asynccontextmanager
async def holding(url: str, count: int, *, seconds: float) -> AsyncIterator[None]:
    """Hold `count` workers busy with slow requests; returns when the requests have ended.

    A worker stays busy until its answer is there, whatever the client does: so they are waited for.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:

        async def hold() -> None:
            async with session.get(f"{url}/slow?s={seconds:g}") as response:
                await response.read()

        holds = [asyncio.create_task(hold()) for _ in range(count)]
        try:
            yield
        finally:
            await asyncio.gather(*holds)


@contextmanager
def in_flight(port: int, path: str) -> Iterator[None]:
    """Hold a request in flight: Apache's proxy waits for its body before it passes anything on."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        yield

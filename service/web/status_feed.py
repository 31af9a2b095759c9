"""Reads the state of the work for all open pages at once, while there are any.

One task reads; each page waits for news. Reading takes time where the inbox is large, so the task
rests nine times as long as it read, and at least a second.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from service.config.loader import Config
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.monitoring.status import Status
from service.monitoring.status_reader import read_status
from worker.errors import PhotochromError

SHORTEST_REST = 1.0  # seconds
REST = 9.0  # times as long as it read
LOCK_TIMEOUT = 0.5  # seconds, for a locked ledger
_SLIGHT = 100_000_000  # bytes of free space that are no news
_WHILE = 10.0  # seconds of work that are no news


@dataclass(frozen=True)
class News:
    """The state of the work.

    Attributes:
        status: None if the ledger is damaged.
        problem: then what is wrong, or "".
        held: results that wait for approval.
        photographs: changes when results or decisions do, so that pages ask for them.
    """

    status: Status | None
    problem: str = ""
    held: int = 0
    photographs: tuple[float, ...] = ()


def read_news(config: Config) -> News:
    """Read the state of the work; not on the event loop."""
    try:
        status = read_status(config)
    except (PhotochromError, OSError) as error:
        return News(None, str(error))
    held = 0
    photographs: tuple[float, ...] = ()
    if (config.state / LEDGER_FILE).exists() and not status.ledger_fault:
        try:
            with LedgerQueries.open(config.state / LEDGER_FILE, wait=LOCK_TIMEOUT) as ledger:
                held = ledger.gallery.held_count()
                photographs = ledger.gallery.news()
        except PhotochromError as error:
            return News(status, str(error))
    return News(status, "", held, photographs)


class StatusFeed:
    """News for any number of pages.

    Args:
        config: the folders.
        rest: the least seconds between two reads.
    """

    def __init__(self, config: Config, rest: float = SHORTEST_REST) -> None:
        """Read nothing until somebody follows."""
        self._config, self._rest = config, rest
        self._followers = 0
        self._task: asyncio.Task[None] | None = None
        self._news: News | None = None
        self._number = 0  # of the present news
        self._arrived = asyncio.Condition()

    @property
    def latest(self) -> News | None:
        """The present news, if somebody follows."""
        return self._news if self._task is not None else None

    async def follow(self) -> AsyncIterator[News]:
        """Yield the present state, then each that differs from the one before."""
        self._followers += 1
        if self._task is None:
            self._news = None
            self._task = asyncio.create_task(self._read_on())
        seen = 0
        try:
            while True:
                async with self._arrived:
                    while self._news is None or self._number == seen:
                        await self._arrived.wait()
                    seen, news = self._number, self._news
                yield news
        finally:
            self._followers -= 1
            if not self._followers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _read_on(self) -> None:
        while True:
            began = time.monotonic()
            news = await run_in_threadpool(read_news, self._config)
            if self._news is None or _essence(news) != _essence(self._news):
                async with self._arrived:
                    self._news, self._number = news, self._number + 1
                    self._arrived.notify_all()
            await asyncio.sleep(max(self._rest, REST * (time.monotonic() - began)))


def _essence(news: News) -> tuple[Any, ...]:
    """Return what is worth telling: a heartbeat, a second or a megabyte is not."""
    if news.status is None:
        return (news.problem,)
    status = news.status
    steady = status.model_copy(
        update={
            "health": status.health.model_copy(update={"at": None}),
            "free": {key: size // _SLIGHT for key, size in status.free.items()},
            "in_work": tuple((one.job, one.seconds // _WHILE) for one in status.in_work),
            "arriving": tuple((one.path, one.seconds // _WHILE) for one in status.arriving.files),
            "workers": tuple((one.name, one.state, one.done // 100) for one in status.workers),
            "rate_per_hour": status.rate_per_hour and round(status.rate_per_hour),
            "eta_seconds": status.eta_seconds and status.eta_seconds // 60,
        }
    )
    return (steady, status.arriving.count, news.held, news.photographs, news.problem)

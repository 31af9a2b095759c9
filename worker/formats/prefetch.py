"""Ordered prefetching in threads, with bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = min(8, len(os.sched_getaffinity(0)))


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], most: int = WORKERS
) -> Iterator[Result]:
    """Yield work(item) for each item, in order.

    Args:
        work: runs in threads; should release the GIL.
        items: taken in the caller's thread, as needed.
        most: results that may be pending while one is used.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(min(WORKERS, most)) as threads:
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) > most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

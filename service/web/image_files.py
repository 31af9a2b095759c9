"""Serves scans and results as pictures: pyramids (IIIF, level 0), thumbnails and fitting views.

They are made when they are first looked at, by a child process under limits, and then cached. A URL
names the job and the digest of the file, never a path, so it may be cached for ever.
"""

import asyncio
import io
import json
import re
from collections import OrderedDict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.picture_cache import FOLDER, PictureCache
from service.maintenance.pyramid_maker import PyramidMaker, ViewError
from service.storage.viewed import Side, digest_of_side, open_side
from service.terminal import printable
from service.web.pages import Refusal, error_answer, ledger, told
from worker.errors import ScanError

PATH = "/images/{job:job}/{side}/{page:int}/{key}/{name:path}"
INFO, FIT = "info.json", "fit.jpg"
THUMBNAILS = {"thumbnail.jpg": 240, "thumbnail-480.jpg": 480}  # pixels of the long side
LARGEST = "full/max/0/default.jpg"  # in a pyramid
MAKERS = 2  # pictures that are made at the same time
MOST_WAITING = 300  # requests that wait for them; a gallery sends a hundred
KEY = 16  # digits of a file's digest in a URL
MOST_PAGES = 1_000_000
MOST_FAILURES = 1000  # that are remembered
GIGABYTE = 1e9
FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
GONE_AWAY = 499  # as nginx has it: nobody waits for the answer
_TILE = re.compile(r"(full|[0-9]{1,9}(,[0-9]{1,9}){3})/(max|[0-9]{1,9},[0-9]{1,9})/0/default\.jpg")
_SIDES: dict[str, Side] = {"scan": "scan", "colored": "colored"}


class _Picture(NamedTuple):
    """A page of a job's scan or result, with the digest of its file."""

    job: Job
    side: Side
    digest: str
    page: int


class ImageFiles:
    """What one server holds for pictures: the cache, the child that makes them, who waits.

    Args:
        config: the folders, `web.cache` and `limits.megapixels`.
    """

    def __init__(self, config: Config) -> None:
        """Start nothing yet."""
        self._config = config
        self._cache = PictureCache(config.state / FOLDER, config.web.cache * GIGABYTE)
        self._maker = PyramidMaker(config.limits.megapixels)
        self._turn = asyncio.Semaphore(MAKERS)
        self._threads = CapacityLimiter(MAKERS)
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self._failures: OrderedDict[tuple[str, int], ViewError] = OrderedDict()
        self._waiting = 0

    async def __aenter__(self) -> Self:
        """Clear what earlier servers left behind."""
        await to_thread.run_sync(self._cache.empty)
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Let the child end."""
        await to_thread.run_sync(self._maker.close)

    def find(self, picture: _Picture, name: str) -> Path | None:
        """Return the file of a picture by its name in a URL; None if it has yet to be made.

        Raises:
            Refusal: there will never be such a file.
        """
        pyramid = self._cache.pyramid(picture.digest, picture.page)
        if side := THUMBNAILS.get(name):
            small = self._cache.thumbnail(picture.digest, picture.page, side)
            return self._sound(small, small) if self._cache.has(small) else None
        if not self._cache.has(pyramid):
            return None
        info = self._sound(pyramid / INFO, pyramid)
        if info is None or name == INFO:
            return info
        return self._sound(pyramid / (LARGEST if name == FIT else name), pyramid)

    def _sound(self, file: Path, entry: Path) -> Path | None:
        """Return a file, or None and discard all with it if a power cut left it empty."""
        try:
            size = file.stat().st_size
        except FileNotFoundError as error:
            if self._cache.has(entry):
                raise Refusal(404, "error.404") from error
            return None  # removed just now
        if size:
            return file
        self._cache.discard(entry)
        return None

    async def make(self, picture: _Picture, name: str, request: Request) -> Response | None:
        """Make a picture, unless another request does; None when that is done.

        Returns:
            What to answer if it was not made: too many wait already, or nobody waits any more.

        Raises:
            Refusal: it cannot be made; says why.
        """
        side = THUMBNAILS.get(name)
        target = (
            self._cache.thumbnail(picture.digest, picture.page, side)
            if side
            else self._cache.pyramid(picture.digest, picture.page)
        )
        if self._waiting >= MOST_WAITING:
            answer = error_answer(request, 503, told(request)("images.busy"))
            answer.headers["Retry-After"] = "5"
            return answer
        self._waiting += 1
        try:
            async with self._locks.setdefault(target, asyncio.Lock()), self._turn:
                if await request.is_disconnected():
                    return Response(status_code=GONE_AWAY)
                make = partial(self._make, picture, target, side)
                await to_thread.run_sync(make, limiter=self._threads)
        finally:
            self._waiting -= 1
        return None

    def _make(self, picture: _Picture, target: Path, side: int | None) -> None:
        """Make a pyramid or thumbnail, if it is not there; cannot be interrupted."""
        page = (picture.digest, picture.page)
        if self._cache.has(target):
            return
        try:
            if failure := self._failures.get(page):
                raise failure
            size = self._made(picture, target, side)
        except ViewError as error:
            if error.fault == "machine":
                raise
            self._remember(page, error)
            status, key = (404, "no_page") if error.fault == "page" else (422, "undecodable")
            raise Refusal(status, f"images.{key}", reason=printable(str(error))) from error
        except ScanError as error:
            raise Refusal(404, "images.gone", reason=printable(str(error))) from error
        self._cache.added(size)

    def _made(self, picture: _Picture, target: Path, side: int | None) -> int:
        """Make a pyramid or thumbnail; return the bytes that it takes on disk."""
        with self._open(picture) as file:
            path = Path(str(file.name))
            self._cache.make_room(target)
            if side:
                made = self._maker.thumbnail(file, path, target, picture.page, side=side)
            else:
                made = self._maker.pyramid(file, path, target, "images", picture.page)
        return made.bytes

    def _open(self, picture: _Picture) -> io.FileIO:
        with LedgerQueries.open(self._config.state / LEDGER_FILE) as queries:
            return open_side(picture.job, picture.side, self._config, queries.rejected_of)

    def _remember(self, page: tuple[str, int], error: ViewError) -> None:
        """Keep why a page cannot be shown: its content stays the same under its digest."""
        self._failures[page] = error
        while len(self._failures) > MOST_FAILURES:
            self._failures.popitem(last=False)


async def show(request: Request) -> Response:
    """Answer with a file of a picture: info.json, a tile, its thumbnail, or a fitting view."""
    name = request.path_params["name"]
    picture = await run_in_threadpool(_wanted, request)
    found = await _found(request, picture, name)
    return await run_in_threadpool(_answer, request, found) if isinstance(found, Path) else found


async def view_of_scan(request: Request, job: Job, page: int) -> Path:
    """Return the fitting view of a page of a job's scan, a JPEG in the cache; makes it if need be.

    Raises:
        Refusal: it cannot be made; says why.
    """
    return await _view(request, _Picture(job, "scan", job.digest, page))


async def view_of_result(request: Request, job: Job) -> Path:
    """Return the fitting view of the first page of a job's result; as `view_of_scan`."""
    if job.output_digest is None:
        raise Refusal(404, "photograph.no_result")
    return await _view(request, _Picture(job, "colored", job.output_digest, 0))


async def _view(request: Request, picture: _Picture) -> Path:
    found = await _found(request, picture, FIT)
    if not isinstance(found, Path):
        raise Refusal(503, "images.busy")
    return found


async def _found(request: Request, picture: _Picture, name: str) -> Path | Response:
    """Return a file of a picture, made if need be, or what to answer instead of it."""
    images: ImageFiles = request.app.state.images
    for _ in range(3):  # once to find it, once when it was made, once if it is removed at once
        path = await run_in_threadpool(images.find, picture, name)
        if path is not None:
            return path
        if answer := await images.make(picture, name, request):
            return answer
    raise Refusal(503, "images.busy")


def _wanted(request: Request) -> _Picture:
    """Return which picture a URL means.

    Raises:
        Refusal: there is none, or the file has another digest by now.
    """
    asked = request.path_params
    side = _SIDES.get(asked["side"])
    known = asked["name"] in {INFO, FIT, *THUMBNAILS} or _TILE.fullmatch(asked["name"])
    if side is None or not known or asked["page"] >= MOST_PAGES:
        raise Refusal(404, "error.404")
    with ledger(request) as queries:
        job = None if queries is None else queries.job(asked["job"])
    digest = None if job is None else digest_of_side(job, side)
    if job is None or digest is None or asked["key"] != digest[:KEY]:
        raise Refusal(404, "images.other")
    return _Picture(job, side, digest, asked["page"])


def _answer(request: Request, path: Path) -> Response:
    if path.name != INFO:
        return FileResponse(path, headers=FOR_EVER, media_type="image/jpeg")
    said = json.loads(path.read_bytes())
    # A path suffices our viewer, and is right behind any proxy.
    said["id"] = request.url.path.removesuffix(f"/{INFO}")
    return JSONResponse(said, headers=FOR_EVER)

"""Downloads: the scan, the result and the sidecar of a job, byte for byte.

What is sent is found by the job's number in the ledger; nothing in a request becomes a path.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.config.loader import Config
from service.filesystem.safe_open import open_beneath
from service.ledger.jobs import Job
from service.storage.held import home
from service.storage.originals import find_original
from service.storage.sidecar import sidecar_name
from service.web.pages import Refusal, ledger, site
from worker.errors import ScanError
from worker.formats.registry import format_of

Kind = Literal["scan", "colored", "sidecar"]
CHUNK = 1 << 18  # bytes


def chosen_job(request: Request) -> Job:
    """Return the job that a request's path names.

    Raises:
        Refusal: there is no such job.
    """
    with ledger(request) as queries:
        job = queries.job(request.path_params["job"]) if queries else None
    if job is None:
        raise Refusal(404, "photograph.not_found")
    return job


def open_result(job: Job, config: Config) -> io.FileIO:
    """Open a job's result.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    return open_beneath(home(job, config), job.output)


def open_sidecar(job: Job, config: Config) -> io.FileIO:
    """Open the sidecar of a job's result; errors as for `open_result`."""
    return open_beneath(home(job, config), sidecar_name(job.output))


OPENERS: dict[Kind, tuple[Callable[[Job, Config], io.FileIO], Callable[[Job], PurePath]]] = {
    "scan": (find_original, lambda job: job.path),
    "colored": (open_result, lambda job: job.output),
    "sidecar": (open_sidecar, lambda job: sidecar_name(job.output)),
}


def download(request: Request) -> Response:
    """Send one of a job's files.

    Raises:
        Refusal: there is no such job or kind of file, or the file cannot be read.
    """
    job = chosen_job(request)
    known = OPENERS.get(request.path_params["kind"])
    if known is None:
        raise Refusal(404, "error.404")
    opener, name_of = known
    try:
        file = opener(job, site(request).config)
    except (ScanError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refusal(404, "photograph.file_gone", reason=reason) from error
    return FileDownload(file, name_of(job))


class FileDownload(StreamingResponse):
    """An open file, sent in pieces and closed; browsers keep it under a name.

    Args:
        file: open for reading; of its bytes those are sent that it has now.
        name: the file's; only the last part of it is told.
    """

    def __init__(self, file: io.FileIO, name: PurePath) -> None:
        """Tell the file's size, kind and name."""
        self._file = file
        size = os.fstat(file.fileno()).st_size
        image = format_of(name)
        super().__init__(
            _pieces(file, size),
            media_type=image.mime if image else "application/octet-stream",
            headers={
                "Content-Length": str(size),
                "Content-Disposition": attachment(name.name),
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox",
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, and close it even if nobody takes it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


def attachment(name: str) -> str:
    """Return a Content-Disposition that saves under a name, whatever characters it has (RFC 6266).

    Old programs get it in ASCII with `_` for what they cannot read, others in UTF-8 (RFC 8187).
    """
    valid = os.fsencode(name).decode("utf-8", "replace")
    plain = re.sub(r"[^\w .()-]", "_", valid, flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(valid, safe='')}"


def _pieces(file: io.FileIO, size: int) -> Iterator[bytes]:
    left = size
    while left and (piece := file.read(min(CHUNK, left))):
        left -= len(piece)
        yield piece

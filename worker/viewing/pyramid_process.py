"""Makes pyramids and thumbnails in processes of their own: `python -m` this module.

Standard input is a Unix socket of packets; each is a list of requests, JSON with descriptors: of a
pipe for the answers, each a line of JSON, and of the image files. Every list is served by a fork,
which costs milliseconds where starting Python costs half a second, under limits, without a network;
if a file ends it, another fork goes on with the next. It ends when the socket is closed.
"""

import gc
import io
import json
import mmap
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import cv2

from worker.errors import DeviceError, ScanError
from worker.formats.open_image import opened
from worker.settings import ReadSettings
from worker.viewing import confinement
from worker.viewing.pyramid import Size, thumbnail, write_pyramid

LONGEST_REQUESTS = 1 << 16  # bytes
MOST_REQUESTS = 16
BLOCK = 4096  # bytes by which a file system counts
DIED = {  # by signal, of the process that decodes
    signal.SIGXCPU: "decoding it takes longer than a page of its size may take",
    signal.SIGALRM: "decoding it takes longer than a page may take",
    signal.SIGKILL: "the system ran out of memory while it was decoded",
}


class NoSuchPageError(ScanError):
    """The file has fewer pages."""


def main() -> None:
    """Serve requests until the other side closes the socket."""
    confinement.cut_off_network()
    cv2.setNumThreads(1)
    gc.freeze()  # forks then share, and need not look through, what is here now
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that no ended process stays as a zombie
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as requests:
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - for its descriptor
            os.dup2(nothing.fileno(), sys.stdin.fileno())
        while True:
            most = MOST_REQUESTS + 1
            message, descriptors, _flags, _address = socket.recv_fds(
                requests, LONGEST_REQUESTS, most
            )
            if not message:
                return
            if os.fork() == 0:
                requests.close()
                _watch(message, *descriptors)
                os._exit(0)
            for descriptor in descriptors:
                os.close(descriptor)


def _watch(message: bytes, answers: int, *files: int) -> None:
    """Serve requests in a process, and answer for it where it dies; then in another."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    requests = json.loads(message)
    done = mmap.mmap(-1, mmap.PAGESIZE)  # its first byte: how many were answered; shared
    while done[0] < len(requests):
        child = os.fork()
        if child == 0:
            for request, file in list(zip(requests, files, strict=True))[done[0] :]:
                _answer(answers, _serve(request, file))
                done[0] += 1
            os._exit(0)
        _child, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return
        died = signal.Signals(os.WTERMSIG(status))
        words = DIED.get(died, f"its decoder crashed ({died.name})")
        _answer(answers, {"kind": "limit", "error": words})
        done[0] += 1


def _answer(pipe: int, said: dict[str, Any]) -> None:
    os.write(pipe, json.dumps(said).encode() + b"\n")


def _serve(request: dict[str, Any], file: int) -> dict[str, Any]:
    """Do what a request asks for; return the answer."""
    try:
        size, used = _make(request, file)
    except NoSuchPageError as error:
        return {"kind": "page", "error": str(error)}
    except ScanError as error:
        return {"kind": "file", "error": str(error)}
    except MemoryError:
        words = "decoding it needs more memory than a page of its size may take"
        return {"kind": "limit", "error": words}
    except (DeviceError, OSError) as error:
        return {"kind": "machine", "error": str(error)}
    except Exception as error:  # noqa: BLE001 - a decoder's, unforeseen; the next file is another
        traceback.print_exc()
        return {"kind": "file", "error": f"it cannot be decoded ({type(error).__name__})"}
    return {"width": size.width, "height": size.height, "bytes": used}


def _make(request: dict[str, Any], file: int) -> tuple[Size, int]:
    """Make what is asked for; return the upright page's size and the bytes on disk.

    The request has: `name` of the file, of which the suffix counts; `page`; `target`, an empty
    folder for a pyramid with the `id` given, or the path of a thumbnail to write, if `id` is None,
    with a long side of `side` pixels; `widths` as for `write_pyramid`; `megapixels` that a file may
    have; `seconds` that it may take in all.
    """
    memory = confinement.address_space()
    signal.alarm(request["seconds"])
    confinement.limit_resources(memory)
    settings = ReadSettings(megapixels=request["megapixels"])
    target, page = Path(request["target"]), int(request["page"])
    with io.FileIO(file) as scan, opened(Path(request["name"]), settings, scan) as (_, images):
        if not 0 <= page < len(images):
            pages = f"{len(images)} page{'s' * (len(images) != 1)}"
            raise NoSuchPageError(f"the file has {pages}, and none of number {page + 1}")
        image = images[page]
        pixels = image.height * image.width
        samples = pixels * (image.samples + image.alpha)
        confinement.limit_resources(memory, pixels=pixels, samples=samples)
        if request["id"] is None:
            size, coded = thumbnail(image, request["side"])
            target.write_bytes(coded)
        else:
            size = write_pyramid(image, target, request["id"], request["widths"])
    return size, _used(target)


def _used(made: Path) -> int:
    files = [made] if made.is_file() else [path for path in made.rglob("*") if path.is_file()]
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in files)


if __name__ == "__main__":
    main()

"""Finds the jobs a person means by a job number, a name, or the path of a file or folder.

A path may be absolute or relative to the current folder, into the inbox, the outbox, the held
results, the originals or the rejected scans; or one that photochrom prints, such as
`album/0042.tif`.
"""

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.queries import LedgerQueries
from service.storage.moves import REASON_SUFFIX
from service.storage.rejected import RejectedScans, unnumbered
from service.storage.sidecar import SUFFIX, sidecar_name

_LONG = 200  # bytes; only longer names may be shortened to make room for a suffix
_DIGITS = re.compile(r"\.[0-9a-f]{8}$")  # of `outbox.alternative_name`
_ESCAPED = re.compile(
    r"\\udc([89a-f][0-9a-f])"
)  # a byte that is not UTF-8, as `printable` shows it


class Lookup:
    """Finds jobs for a person.

    Args:
        config: the folders.
        ledger: the jobs.
    """

    def __init__(self, config: Config, ledger: LedgerQueries) -> None:
        """Nothing is looked up yet."""
        self._ledger = ledger
        self._roots = {
            "inbox": config.inbox,
            "outbox": config.outbox,
            "held": config.review.folder,
            "originals": config.originals.folder,
            "rejected": config.rejected,
        }
        self.rejected = RejectedScans(config, ledger.rejected_of)

    def exactly(self, text: str) -> list[int]:
        """Find jobs by a job number, or by the path of a file or folder.

        If a job has the number, a folder of that name needs a trailing slash.

        Args:
            text: as typed.

        Returns:
            The jobs' ids, sorted; for a folder, all jobs in it, however deep.

        Raises:
            DeviceError: the ledger cannot be read now.
            OSError: the folder of the rejected scans cannot be read.
        """
        if is_number(text) and self._ledger.job(int(text)):
            return [int(text)]
        found: set[int] = set()
        for root, name in self.places(text):
            found |= set(self._ledger.ids_within(name))
            found |= set(self.at(root, name) if name.parts else ())
        return sorted(found)

    def by_name(self, text: str) -> list[int]:
        """Find as `exactly`, and also by parts of names, unless given a number or absolute path.

        Arguments, return value and errors are those of `exactly`.
        """
        found = self.exactly(text)
        if (is_number(text) and found == [int(text)]) or Path(text).is_absolute() or not text:
            return found
        return sorted({*found, *self._ledger.ids_named(typed(text))})

    def places(self, text: str) -> Iterator[tuple[str, PurePosixPath]]:
        """Yield the folders, by name, that a path may be in, each with the path in it."""
        path = Path(typed(text))
        full = Path(os.path.normpath(Path.cwd() / path))
        for key, root in self._roots.items():
            inside = next((one for one in (root, _real(root)) if full.is_relative_to(one)), None)
            if inside is not None:
                yield key, PurePosixPath(full.relative_to(inside))
            if not path.is_absolute() and ".." not in path.parts and text:
                yield key, PurePosixPath(path)

    def at(self, root: str, name: PurePosixPath) -> Iterator[int]:
        """Yield the jobs of a file; `root` is a folder's name, as in `places`."""
        if root == "inbox":
            yield from self._ledger.ids_of_path(name)
        elif root in {"outbox", "held"}:
            yield from self._ledger.ids_of_output(name)
            if name.suffix == SUFFIX:
                yield from self._ledger.ids_of_output(name.with_suffix(""))
                jobs = self._if_long(name)
                yield from (job.id for job in jobs if sidecar_name(job.output) == name)
        else:
            note = root == "rejected" and name.name.endswith(REASON_SUFFIX)
            name = name.with_name(name.name.removesuffix(REASON_SUFFIX)) if note else name
            plain = unnumbered(name)
            names = {name, plain, plain.with_name(_DIGITS.sub("", plain.stem) + plain.suffix)}
            numbers = {number for one in names for number in self._ledger.ids_of_path(one)}
            jobs = itertools.chain(self._ledger.by_ids(sorted(numbers)), self._if_long(name))
            belongs = self._was_archived if root == "originals" else self._was_rejected
            yield from (job.id for job in jobs if belongs(job, name))

    def _if_long(self, name: PurePosixPath) -> Iterator[Job]:
        """Yield the jobs of a folder if a name is long enough to have been shortened."""
        if len(os.fsencode(name.name)) > _LONG:
            yield from self._ledger.by_ids(self._ledger.ids_within(name.parent))

    @staticmethod
    def _was_archived(job: Job, name: PurePosixPath) -> bool:
        return name == (job.original or job.path)

    def _was_rejected(self, job: Job, name: PurePosixPath) -> bool:
        if job.status != "failed" or job.recolor:
            return False
        place = self.rejected.place_of(job)
        return place is not None and place.path == self._roots["rejected"] / name


def is_number(text: str) -> bool:
    """Tell whether a text is a job number; with a leading zero, it is a name."""
    return text.isascii() and text.isdecimal() and not text.startswith("0") and len(text) < 19


def typed(text: str) -> str:
    r"""Return a name as it is on disk, undoing the `\udcXX` that photochrom prints."""
    return _ESCAPED.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))

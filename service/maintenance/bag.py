"""The command `photochrom bag`: copies finished photos and their sidecars into a BagIt bag.

Each file is hashed while it is copied, and must match what was delivered; the bag appears complete
or not at all. The Library of Congress's `bagit` writes the manifests (BagIt 0.97).
"""

import hashlib
import logging
import os
import shutil
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import bagit
from rich.console import Console

from service.config.loader import Config
from service.filesystem.durable import make_folder, part_path
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import as_text, check_sidecar, is_delivered
from service.storage.sidecar import sidecar_name
from service.terminal import Report, printable
from worker.atomic import sync_folder
from worker.errors import DeviceError

CHUNK = 1 << 20  # bytes copied at a time
ALGORITHMS = ["sha256", "sha512"]


class BagResult(NamedTuple):
    """What was packed.

    Attributes:
        folder: the bag.
        photos: the number in it.
        without_digest: how many of them an earlier photochrom delivered without recording a digest.
        without_sidecar: how many of them it delivered without a sidecar.
        in_work: photos left out because they are queued to be recolored.
    """

    folder: Path
    photos: int
    without_digest: int
    without_sidecar: int
    in_work: int


def make_bag(
    config: Config,
    folder: Path,
    report: Report,
    *,
    within: PurePosixPath | None = None,
    organization: str = "",
) -> BagResult:
    """Pack the photos of finished jobs.

    Args:
        config: the folders.
        folder: the bag; it must not exist, or be empty.
        report: called after each photo.
        within: only photos in this sub-folder of the inbox.
        organization: the sender, or "".

    Raises:
        DeviceError: a photo or sidecar is not what was delivered, a bag cannot have a file's name,
            the folder is unsuitable, or there is nothing to pack.
        OSError: the disk is full or failed. No bag is left.
    """
    folder = folder.absolute()
    _refuse_folder(folder, config)
    jobs = _jobs(config, within)
    photos = [job for job in jobs if is_delivered(job)]
    if not photos:
        raise DeviceError("there are no finished photographs to pack")
    make_folder(folder.parent)
    part = part_path(folder.parent)
    part.mkdir()
    digests: dict[str, str] = {}
    without_digest = without_sidecar = 0
    try:
        for done, job in enumerate(photos, 1):
            copied, was_known = _copy_photo(job, config, part)
            digests |= copied
            without_digest += not was_known
            without_sidecar += len(copied) == 1
            report(done, len(photos), "")
        _write_manifests(part, _info(len(photos), organization), digests)
        _sync(part)
        os.rename(part, folder)  # noqa: PTH104 - beside os.fsync
    except BaseException:  # even Ctrl-C must not leave half a bag
        shutil.rmtree(part)
        raise
    sync_folder(folder.parent)
    return BagResult(folder, len(photos), without_digest, without_sidecar, len(jobs) - len(photos))


def print_bag_result(made: BagResult, console: Console) -> None:
    """Print what was packed, and what could not be verified."""
    lines = [f"{made.folder}: {made.photos} photograph{'s' * (made.photos != 1)}"]
    for count, words in (
        (made.without_sidecar, "without a sidecar (delivered by an early photochrom)"),
        (made.without_digest, "not verified, because no digest was recorded"),
        (made.in_work, "left out because they are queued to be recolored"),
    ):
        if count:
            lines.append(f"{count} {words}")
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _in_bag(name: PurePosixPath) -> str:
    """Return the name of a file in a bag: UTF-8, without line breaks."""
    return printable(str(name))


def _refuse_folder(folder: Path, config: Config) -> None:
    """Raise if the folder cannot be a bag, or is in one that photochrom uses."""
    real = Path(os.path.realpath(folder))
    for name, used in config.folders.items():
        if real.is_relative_to(os.path.realpath(used)):
            raise DeviceError(
                f"{folder} is inside the folder `{name}`; choose another place for the bag"
            )
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise DeviceError(f"{folder} exists and is not an empty folder")


def _jobs(config: Config, within: PurePosixPath | None) -> list[Job]:
    path = config.state / LEDGER_FILE
    if not path.exists():
        return []
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(
                f"the ledger {path} is from an older photochrom; start this one to upgrade it"
            )
        jobs = ledger.colored()
    return [job for job in jobs if within is None or job.path.is_relative_to(within)]


def _copy_photo(job: Job, config: Config, part: Path) -> tuple[dict[str, str], bool]:
    """Copy a photo and its sidecar; return their digests by name, and whether the first was known.

    Names in a bag are UTF-8; the sidecar has the original bytes.
    """
    sidecar, wrong = check_sidecar(job, config)
    if wrong:
        raise DeviceError(f"{wrong.path}: {wrong.words}; try `photochrom verify --repair`")
    names = [job.output, sidecar_name(job.output)] if sidecar else [job.output]
    digests = {_in_bag(name): _copy(config.outbox / name, part / _in_bag(name)) for name in names}
    expected = job.output_digest or (sidecar.output.sha256 if sidecar else None)
    if expected not in {None, digests[_in_bag(job.output)]}:
        raise DeviceError(
            f"{as_text(job.output)} is not what was delivered; try `photochrom verify --repair`"
        )
    return digests, expected is not None


def _copy(source: Path, target: Path) -> str:
    """Copy a file with its times; return the SHA-256 of what was read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as file, target.open("xb") as copy:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    shutil.copystat(source, target)
    return digest.hexdigest()


def _info(photos: int, organization: str) -> dict[str, str]:
    """Return the contents of bag-info.txt; `bagit` adds date and sizes."""
    about = (
        f"{photos} photographs colored by a machine: black-and-white scans whose colors a neural"
        " network chose. The colors are believable guesses and no record. The scans are not in"
        " this bag; the JSON file beside each photograph names its scan by SHA-256."
    )
    agent = f"photochrom {version('photochrom')}, bagit.py {version('bagit')}"
    info = {"External-Description": about, "Bag-Software-Agent": agent}
    return {"Source-Organization": organization, **info} if organization else info


def _write_manifests(part: Path, info: dict[str, str], digests: dict[str, str]) -> None:
    """Turn a folder into a bag; its manifests, computed from the copies, must match the digests."""
    bagit.LOGGER.setLevel(logging.CRITICAL + 1)  # it raises whatever it logs
    try:
        bag = bagit.make_bag(str(part), info, checksums=ALGORITHMS)
        bag.validate(completeness_only=True)
    except bagit.BagError as error:
        raise DeviceError(f"a bag cannot contain this file name: {error}") from error
    for name, digest in digests.items():
        if bag.entries[f"data/{name}"]["sha256"] != digest:
            raise DeviceError(f"the copy of {name} differs from what was read; check the disk")


def _sync(folder: Path) -> None:
    """Make a folder with all its contents durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))

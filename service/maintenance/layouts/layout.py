"""What all layouts share: a photograph to pack, and the copying of its files.

To add a layout, write a module with a subclass of Layout and name it in `service.maintenance.bag`.
"""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import NamedTuple

from service.config.loader import Config
from service.filesystem.safe_open import open_beneath
from service.ledger.jobs import DecisionRecord, Job
from service.maintenance import premis
from service.maintenance.packing import Package, Packed
from service.storage.originals import find_original
from service.storage.sidecar import Sidecar, sidecar_name
from service.terminal import printable
from worker.errors import DeviceError, ScanError

DESCRIPTION = (
    "{count} photographs colored by a machine: black-and-white scans whose colors a neural network"
    " chose. The colors are believable guesses and no record."
)


class Photograph(NamedTuple):
    """A photograph to pack.

    Attributes:
        job: finished, with its result in the outbox.
        sidecar: of the result; None for what an early photochrom delivered without one.
        decisions: of reviewers on this result, oldest first.
    """

    job: Job
    sidecar: Sidecar | None
    decisions: tuple[DecisionRecord, ...] = ()

    @property
    def digest(self) -> str | None:
        """SHA-256 of the result as it was delivered; None if nobody recorded it."""
        return self.job.output_digest or (self.sidecar.output.sha256 if self.sidecar else None)


class Layout(ABC):
    """Fills a package with photographs.

    Args:
        package: to be filled.
        config: the folders.
        organization: the sender, or "".

    Attributes:
        package, organization: as given.
        photos: packed so far.
        temporary_files: that a layout needs until it is finished.
    """

    def __init__(self, package: Package, config: Config, organization: str) -> None:
        """Nothing is packed yet."""
        self.package = package
        self.organization = organization
        self.photos = 0
        self.temporary_files = ExitStack()
        self._config = config

    @abstractmethod
    def add(self, photo: Photograph) -> None:
        """Pack a photograph.

        Raises:
            DeviceError: a file is not what was delivered or colored, or cannot be packed.
            OSError: the disk is full or failed.
        """

    @abstractmethod
    def finish(self) -> None:
        """Write what describes the whole package, and check the copies; errors as for `add`."""

    def copy_result(self, photo: Photograph, name: PurePosixPath) -> Packed:
        """Copy the result; errors as for `add`."""
        output = photo.job.output
        try:
            packed = self.package.copy(open_beneath(self._config.outbox, output), name)
        except FileNotFoundError as error:
            raise DeviceError(
                f"{printable(str(output))} is not in the outbox. If it was carried away, run:"
                " photochrom mark-fetched --missing; otherwise: photochrom verify --repair"
            ) from error
        if photo.digest not in {None, packed.sha256}:
            raise DeviceError(
                f"{printable(str(output))} is not what was delivered; try `photochrom verify"
                " --repair`"
            )
        self.photos += 1
        return packed

    def copy_scan(self, photo: Photograph, name: PurePosixPath) -> Packed:
        """Copy the original; errors as for `add`."""
        try:
            packed = self.package.copy(find_original(photo.job, self._config), name)
        except ScanError as error:
            raise DeviceError(f"{printable(str(photo.job.path))}: {error}") from error
        if packed.sha256 != photo.job.digest:
            raise DeviceError(f"{printable(str(photo.job.path))} was changed while it was copied")
        return packed

    def copy_papers(self, photo: Photograph, beside: PurePosixPath, *, scan: str) -> list[Packed]:
        """Copy the sidecar, and write its PREMIS form; nothing for a result without a sidecar.

        Args:
            photo: the photograph.
            beside: the result's name; the two are named after it, in its folder.
            scan: the scan's name, for PREMIS.
        """
        if photo.sidecar is None:
            return []
        inside = sidecar_name(photo.job.output)
        copied = self.package.copy(
            open_beneath(self._config.outbox, inside), self.package.free(sidecar_name(beside))
        )
        described = premis.describe(
            photo.sidecar, scan=scan, result=str(beside), decisions=photo.decisions
        )
        name = self.package.free(beside.with_name(beside.name + premis.SUFFIX))
        return [copied, self.package.write(name, premis.document(described))]

    def close(self) -> None:
        """Close `temporary_files`, whether or not the package was finished."""
        self.temporary_files.close()

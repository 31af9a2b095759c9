"""The plain layout: a BagIt bag of results, sidecars and PREMIS, without the scans.

The Library of Congress's `bagit` writes the manifests (BagIt 0.97).
"""

import logging
from importlib.metadata import version

import bagit

from service.maintenance.layouts.layout import DESCRIPTION, Layout, Photograph
from worker.errors import DeviceError

ALGORITHMS = ["sha256", "sha512"]


class PlainLayout(Layout):
    """Packs the results under their own names."""

    def add(self, photo: Photograph) -> None:
        """Pack a photograph."""
        packed = self.copy_result(photo, self.package.free(photo.job.output))
        self.copy_papers(photo, packed.name, scan=str(photo.job.path))

    def finish(self) -> None:
        """Turn the folder into a bag; its manifests, computed from the copies, must match."""
        bagit.LOGGER.setLevel(logging.CRITICAL + 1)  # it raises whatever it logs
        try:
            bag = bagit.make_bag(str(self.package.root), self._info(), checksums=ALGORITHMS)
            bag.validate(completeness_only=True)
        except bagit.BagError as error:
            raise DeviceError(f"a bag cannot contain this file name: {error}") from error
        for packed in self.package.files.values():
            if bag.entries[f"data/{packed.name}"]["sha256"] != packed.sha256:
                raise DeviceError(
                    f"the copy of {packed.name} differs from what was read; check the disk"
                )

    def _info(self) -> dict[str, str]:
        """Return the contents of bag-info.txt; `bagit` adds date and sizes."""
        about = DESCRIPTION.format(count=self.photos) + (
            " The scans are not in this bag; the JSON and XML files beside each photograph name"
            " its scan by SHA-256."
        )
        agent = f"photochrom {version('photochrom')}, bagit.py {version('bagit')}"
        info = {"External-Description": about, "Bag-Software-Agent": agent}
        sender = {"Source-Organization": self.organization} if self.organization else {}
        return sender | info

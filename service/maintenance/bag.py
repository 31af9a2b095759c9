"""The command `photochrom bag`: packs finished photographs for another system.

Each file is hashed while it is copied, and must match what was delivered or colored; the package
appears complete or not at all. `service.maintenance.layouts` says how each system wants it.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.loader import Config
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import check_sidecar, is_delivered, is_fetched
from service.maintenance.layouts.archivematica import ArchivematicaLayout
from service.maintenance.layouts.islandora import IslandoraLayout
from service.maintenance.layouts.layout import Layout, Photograph
from service.maintenance.layouts.layout_name import LayoutName
from service.maintenance.layouts.preservica import PreservicaLayout
from service.maintenance.layouts.rosetta import RosettaLayout
from service.maintenance.packing import new_package, refuse_folder
from service.terminal import Report, printable
from worker.errors import DeviceError

LAYOUTS: dict[LayoutName, type[Layout]] = {  # but the plain one, which needs an extra
    LayoutName.ARCHIVEMATICA: ArchivematicaLayout,
    LayoutName.ROSETTA: RosettaLayout,
    LayoutName.PRESERVICA: PreservicaLayout,
    LayoutName.ISLANDORA: IslandoraLayout,
}


class BagResult(NamedTuple):
    """What was packed.

    Attributes:
        folder: the package.
        photos: the number in it.
        without_digest: how many of them an earlier photochrom delivered without recording a digest.
        without_sidecar: how many of them it delivered without a sidecar.
        left_out: the number of others, by reason.
    """

    folder: Path
    photos: int
    without_digest: int
    without_sidecar: int
    left_out: dict[str, int]


def make_bag(
    config: Config,
    folder: Path,
    report: Report,
    *,
    layout: LayoutName = LayoutName.PLAIN,
    within: PurePosixPath | None = None,
    approved: bool = False,
    organization: str = "",
) -> BagResult:
    """Pack the photos of finished jobs.

    Args:
        config: the folders.
        folder: the package; it must not exist, or be empty.
        report: called after each photo.
        layout: whose form it takes.
        within: only photos in this sub-folder of the inbox.
        approved: only photos that a reviewer approved.
        organization: the sender, or "".

    Raises:
        DeviceError: a file is not what was delivered or colored, a package cannot have its name,
            the folder is unsuitable, or there is nothing to pack.
        OSError: the disk is full or failed. Nothing is left.
    """
    folder = folder.absolute()
    refuse_folder(folder, config)
    left_out: Counter[str] = Counter()
    photos: list[tuple[Job, tuple[DecisionRecord, ...]]] = []
    for job, decisions in _jobs(config, within):
        if why := _reason_to_leave_out(job, config, approved=approved):
            left_out[why] += 1
        else:
            photos.append((job, decisions))
    if not photos:
        others = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise DeviceError(
            "there are no finished photographs to pack" + (f" ({others})" if others else "")
        )
    without_digest = without_sidecar = 0
    make = _layout(layout)
    with (
        new_package(folder, config) as package,
        closing(make(package, config, organization)) as form,
    ):
        for done, (job, decisions) in enumerate(photos, 1):
            photo = _photograph(job, decisions, config)
            form.add(photo)
            without_digest += photo.digest is None
            without_sidecar += photo.sidecar is None
            report(done, len(photos), "")
        form.finish()
    return BagResult(folder, len(photos), without_digest, without_sidecar, dict(left_out))


def print_bag_result(made: BagResult, console: Console) -> None:
    """Print what was packed, and what could not be verified."""
    lines = [f"{made.folder}: {made.photos} photograph{'s' * (made.photos != 1)}"]
    for count, words in (
        (made.without_sidecar, "without a sidecar (delivered by an early photochrom)"),
        (made.without_digest, "not verified, because no digest was recorded"),
    ):
        if count:
            lines.append(f"{count} {words}")
    lines += [f"{count} left out ({why})" for why, count in made.left_out.items()]
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _layout(name: LayoutName) -> type[Layout]:
    """Return a layout; only one needs an extra."""
    if name is LayoutName.PLAIN and find_spec("bagit") is None:
        raise DeviceError("bags need the package bagit: pip install 'photochrom[bag]'")
    if name is LayoutName.PLAIN:
        from service.maintenance.layouts.plain import PlainLayout

        return PlainLayout
    return LAYOUTS[name]


def _jobs(
    config: Config, within: PurePosixPath | None
) -> Iterator[tuple[Job, tuple[DecisionRecord, ...]]]:
    """Yield the colored photos with the decisions that stand on their present results."""
    path = config.state / LEDGER_FILE
    if not path.exists():
        return
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(
                f"the ledger {path} is from an older photochrom; start this one to upgrade it"
            )
        for job in ledger.colored():
            if within is None or job.path.is_relative_to(within):
                records = ledger.gallery.decisions_of(job.id) if job.event else []
                stand = (one for one in records if one.undone_at is None)
                yield job, tuple(one for one in stand if one.event == job.event)


def _reason_to_leave_out(job: Job, config: Config, *, approved: bool) -> str:
    """Say why a photo is not packed, or return ""."""
    if not is_delivered(job):
        return "queued to be recolored"
    if job.held:
        return "held for approval"
    if job.decision is Decision.REJECTED:
        return "rejected by a reviewer"
    if approved and job.decision is not Decision.APPROVED:
        return "not approved"
    if is_fetched(job, config):
        return "fetched from the outbox before"
    return ""


def _photograph(job: Job, decisions: tuple[DecisionRecord, ...], config: Config) -> Photograph:
    sidecar, wrong = check_sidecar(job, config)
    if wrong:
        raise DeviceError(f"{wrong.path}: {wrong.words}; try `photochrom verify --repair`")
    return Photograph(job, sidecar, decisions)

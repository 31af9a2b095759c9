"""A file of several pages that grew after its result was delivered: the same photograph, longer.

A scanner that writes page by page may pause for longer than anybody waits. What it has added is no
other photograph: the new result takes the place of the earlier one, under the same name.
"""

from service.config.loader import Config
from service.filesystem.safe_open import open_dir_beneath
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.storage.sidecar import SidecarError, read_sidecar, sidecar_name
from worker.metadata.provenance import Record


def supersede_shorter(job: Job, record: Record, config: Config, ledger: Ledger) -> Job:
    """Let a job take over the result of an earlier one, if its scan begins with that one's pages.

    Args:
        job: started, with a scan of its own path and other content than before.
        record: of its new result, which is not published yet.
        config: where the earlier result's sidecar is, which has the digest of each page.
        ledger: knows the earlier job.

    Returns:
        The job, by its new name if it took one over.

    Raises:
        DeviceError: the ledger cannot be used now.
    """
    if job.recolor or len(record.pages) < 2:
        return job
    earlier = ledger.queries.latest_finished(job.path)
    if earlier is None or earlier.id == job.id or not _continues(record, earlier, config):
        return job
    return ledger.supersede(job.id, earlier)


def _continues(record: Record, earlier: Job, config: Config) -> bool:
    name = sidecar_name(earlier.output)
    try:
        with open_dir_beneath(config.outbox, name.parent) as folder:
            said = read_sidecar(folder / name.name)
    except (SidecarError, OSError):  # carried away, say: then nobody can tell
        return False
    before = [page.scan_pixels_sha256 for page in said.pages]
    now = [page.scan_pixels_sha256 for page in record.pages]
    return said.source.sha256 == earlier.digest and now[: len(before)] == before != now

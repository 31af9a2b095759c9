"""A multi-page file that grew after its result was delivered: the longer result replaces it.

A scanner that writes page by page may pause for longer than the settle time.
"""

from service.config.loader import Config
from service.filesystem.safe_open import open_dir_beneath
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.storage.held import home
from service.storage.sidecar import SidecarError, read_sidecar, sidecar_name
from worker.metadata.provenance import Record


def supersede_shorter(job: Job, record: Record, config: Config, ledger: Ledger) -> Job:
    """Let a job replace the result of an earlier one, if its scan begins with that one's pages.

    Args:
        job: started; its path may have had another content before.
        record: of its new result, which is not published yet.
        config: the folders; the earlier one's sidecar has the digest of each page.
        ledger: of the jobs.

    Returns:
        The job, with the earlier one's output name if it replaces that.

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
        with open_dir_beneath(home(earlier, config), name.parent) as folder:
            said = read_sidecar(folder / name.name)
    except (SidecarError, OSError):  # moved away by somebody, say
        return False
    before = [page.scan_pixels_sha256 for page in said.pages]
    now = [page.scan_pixels_sha256 for page in record.pages]
    return said.source.sha256 == earlier.digest and now[: len(before)] == before != now

"""Promises of service.pipeline.cluster_parts: workers elsewhere open the very files of a task."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from service.filesystem.ownership import MARKER
from service.ledger.jobs import Job
from service.pipeline.cluster_parts import PARTS, words_of
from service.pipeline.engines import cluster_settings
from service.pipeline.tasks import task_of
from tests.support.stepped_pipeline import Line
from worker.errors import DeviceError, SourceChanged
from worker.inference.engine import Task
from worker.inference.lean_imports import NOT_NEEDED
from worker.inference.task_files import TaskFiles

LOADS = f"""
import sys
from service.pipeline.cluster_parts import PARTS
from worker.models.store import built_in
print(PARTS.load(sys.argv[1], built_in()).model, sorted(set({NOT_NEEDED}) & set(sys.modules)))
"""


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """Make folders with markers, and a ledger."""
    made = Line(tmp_path)
    made.pipeline.places.refresh()
    return made


def task_and_files(line: Line, name: str = "a/1.png") -> tuple[Job, Task, TaskFiles]:
    """Queue a scan; return its task, and the files of another machine."""
    line.drop(name)
    (job,) = line.ledger.claim(1, line.now, in_flight=0)
    return (
        job,
        task_of(job, line.config, line.now),
        PARTS.node_files(words_of(line.config, line.pipeline.places.owner)),
    )


def test_a_scan_is_known_by_its_content(line: Line) -> None:
    """Another machine may see other inodes and times."""
    _job, task, files = task_and_files(line)
    source = replace(task.source, mtime_ns=5, inode=6, device=7)
    with files.open_source(replace(task, source=source)) as (path, file, xmp_files):
        assert file
        assert (line.config.inbox / "a/1.png", ()) == (path, xmp_files)
        file.seek(0)
        assert (line.config.inbox / "a/1.png").read_bytes() == file.readall()


@pytest.mark.parametrize("what", ["changed", "taken away", "unreadable"])
def test_a_scan_that_is_not_seen_as_it_was_counts_as_changed(line: Line, what: str) -> None:
    """Then the daemon looks for itself; nothing is rejected because of another machine."""
    _job, task, files = task_and_files(line)
    path = line.config.inbox / "a/1.png"
    if what == "changed":
        path.write_bytes(path.read_bytes() + b"more")
    elif what == "taken away":
        path.unlink()
    else:
        path.unlink()
        path.symlink_to(os.devnull)
    with pytest.raises(SourceChanged), files.open_source(task):
        pytest.fail("it was opened")


def test_an_unmounted_inbox_is_a_fault_of_that_machine(line: Line) -> None:
    """Its scans were not taken away."""
    _job, task, files = task_and_files(line)
    (line.config.inbox / MARKER).unlink()
    (line.config.inbox / "a/1.png").unlink()
    with pytest.raises(DeviceError, match="not that of the daemon"), files.open_source(task):
        pytest.fail("it was opened")


def test_a_staging_file_lies_where_the_task_says(line: Line) -> None:
    """It can be measured and removed; in a folder that is not the daemon's none is made."""
    _job, task, files = task_and_files(line)
    with files.open_staging(task) as file:
        file.write(b"12345")

    assert b"12345" == Path(task.staging).read_bytes()
    assert 5 == files.staged(task)

    files.discard(task)
    files.discard(task)

    assert not Path(task.staging).exists()

    (line.config.outbox / MARKER).unlink()
    with pytest.raises(DeviceError, match="not that of the daemon"), files.open_staging(task):
        pytest.fail("it was made")


def test_the_settings_of_the_cluster_are_those_of_the_configuration(line: Line) -> None:
    """`auto` is as many as fit."""
    engine = line.config.engine.model_copy(update={"cpus": 4, "token": Path("/etc/token")})
    settings = cluster_settings(line.config.model_copy(update={"engine": engine}), "words")

    assert (0, 4, "/etc/token", True, "words") == (
        settings.workers,
        settings.cpus,
        settings.token,
        settings.shared,
        settings.parts,
    )
    assert line.config.retry.first_wait == settings.first_wait


@pytest.mark.slow
def test_a_generator_is_loaded_without_what_coloring_does_not_need(line: Line) -> None:
    """In the process of a worker, which has imported nothing of it before."""
    words = words_of(line.config, line.pipeline.places.owner)
    command = [sys.executable, "-c", LOADS, words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "builtin []" == done.stdout.strip()

"""Promises of service.web.preview_process, with a real child and small generators."""

import os
import shutil
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Model
from service.web.preview_process import PreviewError, PreviewProcess
from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import gray_scene
from tests.support.waiting import wait_until
from worker.models import store
from worker.models.promotions import Promotion, write_promotions
from worker.settings import ColorWishes


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Make a place with two versions, of which the first serves."""
    folder = tmp_path_factory.mktemp("place")
    config = Config(model=Model(render_size=64)).beside(folder)
    config.models_folder.mkdir(parents=True)
    for number in (1, 2):
        store.save_version(tiny_generator(1 + number), {}, config.models_folder / f"{number:04}")
    promote(config, "1")
    return config


def promote(config: Config, *versions: str) -> None:
    """Have a version serve."""
    now = datetime.now(UTC).isoformat()
    write_promotions(config.models_folder, [Promotion(one, now, "a test") for one in versions])


@pytest.fixture(scope="module")
def process(config: Config) -> Iterator[PreviewProcess]:
    """Keep a child for the tests of this module."""
    with PreviewProcess(config) as process:
        yield process


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a view of a scan."""
    path = tmp_path_factory.mktemp("view") / "default.jpg"
    path.write_bytes(cv2.imencode(".jpg", gray_scene(120, 160))[1].tobytes())
    return path


def pid_of(process: PreviewProcess) -> int:
    """Return the child's process id."""
    assert process._child
    return process._child._process.pid


def test_wishes_are_shown(process: PreviewProcess, view: Path) -> None:
    """Pictures, swatches, variants and doubt come from one child; its memory is limited."""
    usual = process.preview(view, "a", ColorWishes())
    vivid = process.preview(view, "a", ColorWishes(vividness=90))
    first = pid_of(process)

    assert usual.content.startswith(b"\xff\xd8")
    assert usual.content != vivid.content
    assert vivid.milliseconds > 0
    assert process.swatches(view, "a", 0.5, 0.5)[0]["color"].startswith("#")
    assert 1 == process.variants(view, "a")[0]
    assert process.doubt(view, "a").content.startswith(b"\x89PNG")
    assert first == pid_of(process)
    limits = Path(f"/proc/{first}/limits").read_text().splitlines()
    (data,) = [line.split() for line in limits if line.startswith("Max data size")]
    assert str(3 << 30) == data[3]


def test_it_is_started_before_it_is_asked(config: Config, view: Path) -> None:
    """Once: whoever asks next has the same child, which has looked at the page already."""
    mine = view.with_name("mine.jpg")
    shutil.copy(view, mine)
    with PreviewProcess(config) as process:
        process.look(mine, "mine")
        assert process.is_running
        pid = pid_of(process)
        process.look(mine, "mine")
        mine.unlink()
        process.swatches(mine, "mine", 0.5, 0.5)

        assert pid == pid_of(process)


def test_what_cannot_be_shown_is_told(process: PreviewProcess, view: Path) -> None:
    """In words; the child goes on."""
    process.variants(view, "a")
    first = pid_of(process)
    with pytest.raises(PreviewError, match="the place is not on the page"):
        process.swatches(view, "a", 2, 2)
    with pytest.raises(PreviewError, match="No such file"):
        process.variants(view.with_name("gone.jpg"), "gone")

    assert first == pid_of(process)


def test_after_a_crash_there_is_a_fresh_child(process: PreviewProcess, view: Path) -> None:
    """The question that met it is answered in words, and the log has it; the next one is well."""
    process.variants(view, "a")
    first = pid_of(process)
    os.kill(first, signal.SIGKILL)
    with capture_logs() as logs, pytest.raises(PreviewError, match="starts anew with the next"):
        process.variants(view, "a")

    assert ["preview.ended"] == [entry["event"] for entry in logs]
    assert process.variants(view, "a")
    assert first != pid_of(process)


def test_another_version_is_another_child(
    config: Config, process: PreviewProcess, view: Path
) -> None:
    """As soon as it serves; one that hangs is stopped, and one that is idle ends."""
    before, first = process.preview(view, "a", ColorWishes()), pid_of(process)
    promote(config, "1", "2")
    after, second = process.preview(view, "a", ColorWishes()), pid_of(process)

    assert before.content != after.content
    assert first != second
    os.kill(second, signal.SIGSTOP)
    process._longest, longest = 0.1, process._longest
    with pytest.raises(PreviewError, match=r"took more than 0\.1 s and was stopped"):
        process.variants(view, "a")
    process._longest = longest
    assert not process.is_running
    assert not Path(f"/proc/{second}").exists()

    process._idle = 0.1
    assert process.variants(view, "a")
    wait_until(lambda: not process.is_running)
    process._idle = 600


def test_a_version_that_cannot_be_loaded_is_told(config: Config, view: Path) -> None:
    """With why."""
    broken = config.model_copy(update={"model": Model(version=9, render_size=64)})
    with PreviewProcess(broken) as process, pytest.raises(PreviewError, match="version 9"):
        process.variants(view, "a")

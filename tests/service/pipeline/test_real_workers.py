"""The real generator in three workers of a cluster gives the very bytes that this process gives."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.config.engine_section import Engine
from service.config.loader import Config
from service.config.sections import Model
from service.filesystem.availability import FolderMonitor
from service.pipeline.engines import local_engine, make_engine
from service.pipeline.tasks import task_of
from tests.support.ray_cluster import RayCluster
from tests.support.stepped_pipeline import Line
from tests.support.synthetic_photos import gray_scene, sepia
from tests.support.waiting import wait_until
from worker.inference.colorizer import Colorizer
from worker.inference.device import set_up_device
from worker.inference.engine import Colored, Task
from worker.models.store import built_in
from worker.settings import ColorPoint, ColorWishes

pytest.importorskip("ray", reason="needs the extra ray")

WITHIN = 300.0  # seconds; TensorFlow is loaded three times on a machine that may do much else
WISHES = ColorWishes(vividness=70, points=(ColorPoint(0.5, 0.5, "#7a1f2b"),))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Start a cluster with room for four workers."""
    with RayCluster(cpus=4) as started:
        yield started


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """Load the built-in generator."""
    config = Config(model=Model(render_size=64))
    return Colorizer(built_in(), config.color_settings, set_up_device())


def tasks_of(line: Line) -> list[Task]:
    """Queue photographs of several kinds; the last with wishes."""
    for number in range(6):
        gray = gray_scene(90 + number, 120, 16 if number % 2 else 8, seed=number)
        line.drop(f"{number}.tif", gray)
    line.drop("sepia.png", sepia(gray_scene(80, 90)))
    jobs = line.ledger.claim(10, line.now, in_flight=0)
    tasks = [task_of(job, line.config, line.now) for job in jobs]
    return [*tasks[:-1], replace(tasks[-1], wishes=WISHES)]


@pytest.mark.parametrize("shared", [True, False])
def test_workers_give_the_same_bytes(
    cluster: RayCluster,
    colorizer: Colorizer,
    tmp_path: Path,
    shared: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Whichever of them, on shared storage and without; the scans stay as they are."""
    line = Line(tmp_path, model=Model(render_size=64))
    workers = 3 if shared else 1
    engine = Engine(kind="ray", address=cluster.address, cpus=1, shared=shared, workers=workers)
    config = line.config.model_copy(update={"engine": engine})
    places = FolderMonitor(config.folders)
    places.refresh()
    here, there = local_engine(config, colorizer, places), make_engine(config, colorizer, places)
    wait_until(lambda: sum(one.state == "ready" for one in there.workers) == workers, WITHIN)
    for task in tasks_of(line):
        elsewhere = replace(task, staging=f"{task.staging.removesuffix('.part')}-b.part")
        mine = here.submit(task).result(WITHIN)
        theirs = there.submit(elsewhere).result(WITHIN)

        assert isinstance(mine, Colored), mine
        assert mine == theirs
        assert Path(task.staging).read_bytes() == Path(elsewhere.staging).read_bytes()
    here.close()
    there.close()
    line.pipeline.close()
    line.ledger.close()

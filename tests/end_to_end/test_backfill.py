"""`photochrom backfill` as a process that is killed, and started again."""

import signal
import sys
from pathlib import Path

from tests.support.command import HASTY, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until

PROGRAM = (sys.executable, "-m", "tests.support.fake_device_command")
PHOTOS = 60


def test_a_killed_backfill_continues_and_doubles_nothing(tmp_path: Path) -> None:
    """Whatever was in hand is colored by the next run; the collection is as it was."""
    home = Home(tmp_path, HASTY + "log: {format: json}\n")
    source = tmp_path / "collection"
    for number in range(PHOTOS):
        path = source / str(number % 4) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, gray_scene(24 + number, 32, seed=number))
    before = {path: path.read_bytes() for path in source.rglob("*.png")}
    target = tmp_path / "colored"
    with home.start("backfill", str(source), str(target), program=PROGRAM) as first:
        wait_until(lambda: len(first.events("photo.delivered")) > 5, 60)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        done = {entry["path"] for entry in first.events("photo.delivered")}
    with home.start("backfill", str(source), str(target), program=PROGRAM) as second:
        assert 0 == second.exit_code()
        again = {entry["path"] for entry in second.events("photo.delivered")}

    assert not done & again  # one may be in neither: delivered, and killed before it said so
    assert PHOTOS == len(files(target))
    assert not list(target.rglob(".photochrom-*"))
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def test_a_stopped_backfill_says_that_work_is_left(tmp_path: Path) -> None:
    """Exit code 75; wrong use is told at once."""
    home = Home(tmp_path, HASTY)
    source = tmp_path / "collection"
    source.mkdir()
    for number in range(PHOTOS):
        save(source / f"{number}.png", gray_scene(24, 32, seed=number))
    with home.start("backfill", str(source), "colored", program=PROGRAM) as work:
        wait_until(lambda: len(work.events("photo.delivered")) > 3, 60)
        work.process.send_signal(signal.SIGTERM)

        assert 75 == work.exit_code()

    with home.start("backfill", str(source), str(source / "in"), program=PROGRAM) as nested:
        assert 78 == nested.exit_code()
    with home.start("backfill", str(source), "colored", "--shard", "3/2", program=PROGRAM) as wrong:
        assert 2 == wrong.exit_code()

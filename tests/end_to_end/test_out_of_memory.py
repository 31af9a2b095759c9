"""A photo whose decoder takes all memory, so that the kernel kills the daemon: it ends rejected."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_device_daemon import config_of
from tests.support.folder_listing import files
from tests.support.memory_hungry_daemon import ATTEMPTS
from tests.support.synthetic_photos import gray_scene, save

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LIMITS = {  # where control groups of memory are made, and the file that limits one
    Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes",
    Path("/sys/fs/cgroup"): "memory.max",
}
MEMORY = 512 << 20  # bytes; the daemon itself takes half


@pytest.fixture(params=["kernel", "itself"])
def limit(request: pytest.FixtureRequest) -> Iterator[str]:
    """Make a control group that limits memory; or none, and the decoder kills its process."""
    if request.param == "itself":
        yield ""
        return
    for root, knob in LIMITS.items():
        group = root / f"photochrom-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / knob).write_text(str(MEMORY))
            yield str(group)
        except OSError:
            continue
        else:
            return
        finally:
            group.rmdir()
    pytest.skip("no control group can be made here")


def test_a_photo_that_has_the_daemon_killed_is_rejected_and_the_others_are_delivered(
    tmp_path: Path, limit: str
) -> None:
    """After as many lives as it may have, with the reason; no other photo is rejected with it."""
    config = config_of(tmp_path)
    names = ["a.png", "hungry.png", "sub/b.png", "sub/c.png"]
    for n, name in enumerate(names):
        (config.inbox / name).parent.mkdir(parents=True, exist_ok=True)
        save(config.inbox / name, gray_scene(40, 50, seed=n))
    codes = []
    for _ in range(ATTEMPTS + 1):
        life = subprocess.run(
            [sys.executable, "-m", "tests.support.memory_hungry_daemon", str(tmp_path), limit],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        codes.append(life.returncode)
    names.remove("hungry.png")

    assert [-signal.SIGKILL] * ATTEMPTS + [0] == codes
    assert names == files(config.outbox) == files(config.originals.folder)
    assert ["hungry.png", "hungry.png.reason.txt"] == files(config.rejected)
    assert [] == files(config.inbox)
    reason = (config.rejected / "hungry.png.reason.txt").read_text()
    assert f"photochrom was killed {ATTEMPTS} times while it worked on this photo" in reason
    assert "the system ran out of memory" in reason

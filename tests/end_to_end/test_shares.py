"""Folders as shares have them: whose they are, and who may do what; the real command on them."""

import json
from pathlib import Path

from service.ownership import MARKER
from tests.end_to_end.command import HASTY, Home
from tests.folders import files
from tests.namespaces import WITH_FAKE


def test_a_second_daemon_on_one_outbox_is_refused_until_it_takes_over(tmp_path: Path) -> None:
    """With the owner's name; the first one's results stay what they were."""
    first = Home(tmp_path / "first")
    second = Home(tmp_path / "second", f"{HASTY}outbox: {first.outbox}\n")
    first.drop("a.png")
    with first.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("photo.moved")
        mine = (first.outbox / "a.png").read_bytes()
        second.drop("a.png")
        for option in ((), ("--take-over",)):
            with second.start("run", "--once", *option, program=WITH_FAKE) as refused:
                assert 1 == refused.exit_code()
                assert f"the state folder {first.folder / 'state'} on " in refused.said
                assert f"stop that one (process {daemon.process.pid} on " in refused.said
    with second.start("run", "--once", program=WITH_FAKE) as refused:
        assert 1 == refused.exit_code()
        assert "run `photochrom run --take-over` once" in refused.said
    assert ["a.png"] == files(first.outbox)

    with second.start("run", "--once", "--take-over", program=WITH_FAKE) as taken:
        assert 0 == taken.exit_code(), taken.said
        assert 1 == len(taken.events("folder.taken_over", state=str(first.folder / "state")))
    assert 2 == len(files(first.outbox))
    assert mine == (first.outbox / "a.png").read_bytes()
    assert str(second.folder / "state") == json.loads((first.outbox / MARKER).read_text())["state"]
    with first.start("run", "--once", program=WITH_FAKE) as refused:
        assert 1 == refused.exit_code()

"""Two daemons on one share, each with a shard of the folders and a ledger of its own."""

import json
from pathlib import Path

from tests.support.command import HASTY, Home
from tests.support.folder_listing import files
from tests.support.mount_namespaces import WITH_FAKE
from tests.support.synthetic_photos import gray_scene

SHARDS = ("1900-1945", "1946-1999")
PHOTOGRAPHS = 12  # in each shard


def host(folder: Path, share: Path, shard: str) -> Home:
    """Configure a host: its state is its own, all else is its shard's part of the share."""
    folders = ("inbox", "outbox", "originals", "rejected")
    places = [f"{name}: {share / name / shard}" for name in ("inbox", "outbox", "rejected")]
    places.append(f"originals: {{folder: {share / 'originals' / shard}}}")
    home = Home(folder, HASTY + "\n".join(places) + "\n")
    home.inbox.rmdir()
    home.inbox, home.outbox, home.originals, home.rejected = (
        share / name / shard for name in folders
    )
    home.inbox.mkdir(parents=True)
    return home


def test_two_hosts_share_the_work_and_neither_touches_what_is_the_others(tmp_path: Path) -> None:
    """Every photograph is colored once, where it belongs; one command tells of both."""
    share = tmp_path / "share"
    hosts = [host(tmp_path / f"host {number}", share, shard) for number, shard in enumerate(SHARDS)]
    names = sorted(f"box {number % 3}/{number:02}.png" for number in range(PHOTOGRAPHS))
    for number, home in enumerate(hosts):
        for seed, name in enumerate(names):
            home.drop(name, gray_scene(24, 32, seed=100 * number + seed))
    configs = [str(home.folder / "config.yaml") for home in hosts]
    with (
        hosts[0].start("run", program=WITH_FAKE) as east,
        hosts[1].start("run", program=WITH_FAKE) as west,
    ):
        for daemon in (east, west):
            daemon.wait_for("photo.moved", times=PHOTOGRAPHS)
        with hosts[0].start("status", "--json", *configs) as both:
            assert 0 == both.exit_code(), both.said
            said = json.loads(both.printed)
    with hosts[0].start("run", "--once", program=WITH_FAKE) as again:
        assert 0 == again.exit_code(), again.said

    assert ["well", "well"] == [one["status"]["health"]["level"] for one in said["daemons"]]
    assert 2 * PHOTOGRAPHS == said["together"]["finished"]
    for home, daemon in zip(hosts, (east, west), strict=True):
        assert names == sorted(files(home.outbox)) == sorted(files(home.originals))
        assert [] == files(home.inbox)
        assert PHOTOGRAPHS == len(daemon.events("photo.delivered"))


def test_a_host_that_takes_anothers_shard_is_refused(tmp_path: Path) -> None:
    """The marker in the shard names its owner, wherever the second host keeps its state."""
    share = tmp_path / "share"
    first = host(tmp_path / "first", share, SHARDS[0])
    second = host(tmp_path / "second", share, SHARDS[1])
    text = (second.folder / "config.yaml").read_text()
    (second.folder / "config.yaml").write_text(text.replace(SHARDS[1], SHARDS[0]))
    first.drop("a.png")
    with first.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("photo.moved")
        with second.start("run", "--once", program=WITH_FAKE) as refused:
            assert 1 == refused.exit_code()
            assert "belongs to another photochrom" in refused.said

    assert ["a.png"] == files(first.outbox)

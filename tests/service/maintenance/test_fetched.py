"""Results that were carried away: marked, never missed, never colored again by themselves."""

import io
from pathlib import Path, PurePosixPath

import pytest
from rich.console import Console

from service.config.loader import Config
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.fetched import (
    Fetched,
    find_missing,
    find_named,
    mark,
    print_fetched,
    refuse_an_accident,
)
from service.maintenance.recolor import queue_again
from service.maintenance.verify import Verification, print_verification, verify
from tests.support.delivered_results import color, place, queue
from worker.errors import DeviceError

NAMES = ("1931/a.tif", "1931/b.tif", "c.tif")
NOON = 1_800_000_000.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photos were colored, and one waits."""
    config = place(tmp_path / "home")
    for name in NAMES:
        color(config, name)
    queue(config, "new.tif")
    return config


def carry_away(config: Config, *names: str) -> None:
    """Move results and sidecars out of the outbox."""
    for name in names:
        (config.outbox / name).unlink()
        (config.outbox / f"{name}.json").unlink()


def fetched_at(config: Config) -> dict[str, float | None]:
    """Return when each colored photo was fetched."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        return {str(job.path): job.fetched_at for job in ledger.colored()}


def verified(config: Config, *, repair: bool = False) -> Verification:
    """Verify without a progress bar."""
    return verify(config, lambda *_: None, repair=repair)


def printed(found: Fetched) -> list[str]:
    """Return what is printed."""
    page = io.StringIO()
    print_fetched(found, Console(file=page, width=40))
    return page.getvalue().splitlines()


def test_what_is_missing_is_found_and_marked(config: Config) -> None:
    """The result and the sidecar, both; the others are left."""
    carry_away(config, "1931/a.tif")
    found = find_missing(config)

    assert ([1], {PurePosixPath("1931"): 1}, 2) == (found.jobs, found.folders, found.others)
    assert 1 == mark(config, found, NOON)
    assert {"1931/a.tif": NOON, "1931/b.tif": None, "c.tif": None} == fetched_at(config)
    assert ([], 1) == (find_missing(config).jobs, find_missing(config).already)


@pytest.mark.parametrize("ending", ["", ".json"])
def test_half_of_a_delivery_is_no_fetching(config: Config, ending: str) -> None:
    """Whoever carries results away takes both; one alone may have been lost."""
    (config.outbox / f"c.tif{ending}").unlink()
    found = find_missing(config)

    assert ([], 1) == (found.jobs, found.halves)
    assert "1 left: only the result or only the sidecar is missing; see verify" in printed(found)


def test_a_folder_is_marked_before_or_after_it_is_carried_away(config: Config) -> None:
    """By its name in inbox or outbox; what is still there is said."""
    carry_away(config, "1931/a.tif")
    found = find_named(config, [str(config.outbox / "1931")], undo=False)

    assert ["2 results", "  in 1931/: 2", "1 of them still in the outbox"] == printed(found)
    assert 2 == mark(config, found, NOON)
    assert "2 marked before" in printed(find_named(config, ["1931/"], undo=False))


def test_a_mark_can_be_removed(config: Config) -> None:
    """It was a mistake; then the result counts as lost."""
    carry_away(config, "c.tif")
    mark(config, find_missing(config), NOON)

    assert 1 == mark(config, find_named(config, ["c.tif"], undo=True), None)
    assert not any(fetched_at(config).values())
    assert 2 == len(verified(config).findings)


def test_a_name_that_means_no_photograph_is_refused(config: Config) -> None:
    """Nothing is marked."""
    with pytest.raises(ValueError, match=r"no photograph has this number or path: zzz"):
        find_named(config, ["c.tif", "zzz"], undo=False)


def test_an_unmounted_outbox_was_not_fetched(config: Config) -> None:
    """A share that is away, or a folder that is gone."""
    config.outbox.rename(config.outbox.with_name("away"))

    with pytest.raises(DeviceError, match="outbox"):
        find_missing(config)


def test_an_empty_outbox_needs_another_word(config: Config) -> None:
    """Some left, or some fetched before, and it is the usual end of the work."""
    carry_away(config, "1931/a.tif", "1931/b.tif")
    refuse_an_accident(find_missing(config))
    carry_away(config, "c.tif")

    with pytest.raises(DeviceError, match=r"all 3 results are missing.*give --yes"):
        refuse_an_accident(find_missing(config))
    mark(config, find_named(config, ["1931/"], undo=False), NOON)
    refuse_an_accident(find_missing(config))


def test_the_folders_are_shown_the_fullest_first(tmp_path: Path) -> None:
    """The first ten of them."""
    folders = {PurePosixPath(f"{n}"): n for n in range(1, 13)} | {PurePosixPath(): 40}
    lines = printed(Fetched(list(range(118)), folders))

    assert ["118 results", "  in the outbox itself: 40", "  in 12/: 12"] == lines[:3]
    assert "  and 3 more folders" == lines[-1]
    assert 12 == len(lines)
    assert [] == find_missing(place(tmp_path / "empty")).jobs


def test_verify_does_not_miss_what_was_fetched_and_repairs_nothing(config: Config) -> None:
    """Its original is still checked; the text says how many there are."""
    carry_away(config, "1931/a.tif", "c.tif")
    mark(config, find_missing(config), NOON)
    found = verified(config, repair=True)
    page = io.StringIO()
    print_verification(found, Console(file=page, width=40))

    assert (3, [], 0, 2) == (found.checked, found.findings, found.queued, found.fetched)
    assert "results fetched from the outbox, so only their originals: 2" in page.getvalue()
    (config.originals.folder / "c.tif").unlink()
    assert ["original"] == [one.kind for one in verified(config).findings]


def test_verify_says_how_to_mark_what_is_missing(config: Config) -> None:
    """Only where a result is missing."""
    carry_away(config, "c.tif")
    page = io.StringIO()
    print_verification(verified(config), Console(file=page, width=40))

    assert "run: photochrom mark-fetched --missing" in page.getvalue()


def test_a_fetched_result_that_is_there_again_is_checked(config: Config) -> None:
    """A copy was put back; if it differs, that is a finding as ever."""
    mark(config, find_named(config, ["c.tif"], undo=False), NOON)
    assert (0, []) == (verified(config).fetched, verified(config).findings)
    (config.outbox / "c.tif").write_bytes(b"touched up")

    assert ["altered"] == [one.fault for one in verified(config).findings]


def test_recoloring_all_leaves_out_what_was_fetched(config: Config) -> None:
    """A promotion must not fill the outbox again; whoever names a photograph gets it anew."""
    carry_away(config, "1931/a.tif")
    mark(config, find_missing(config), NOON)
    everything = queue_again(config, older_than="8", dry_run=True)

    assert 2 == everything.queued
    assert 1 == everything.skipped["its result was fetched; to recolor it, name it or its folder"]
    assert 1 == queue_again(config, chosen=["1931/a.tif"]).queued


def test_a_fetched_photograph_that_is_recolored_is_delivered_anew(config: Config) -> None:
    """Then it is in the outbox, and no longer fetched."""
    carry_away(config, "c.tif")
    mark(config, find_missing(config), NOON)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([3], 1.0)
        ledger.claim(9, 1.0, in_flight=0)
        ledger.finish(3, model="8", now=2.0)

    assert not any(fetched_at(config).values())

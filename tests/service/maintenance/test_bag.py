"""A bag validates, holds what was delivered, and is there whole or not."""

import errno
import hashlib
import io
import os
import re
import unicodedata
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import bagit
import pytest
from rich.console import Console

from service.config.loader import Config
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.bag import BagResult, make_bag, print_bag_result
from service.maintenance.layouts.layout_name import LayoutName
from service.storage.sidecar import read_sidecar
from tests.support.delivered_results import color, place, queue
from tests.support.packages import found, premis_of
from worker.errors import DeviceError

NAMES = ("1931/a.tif", "1931/may/b.tif", "data/c.tif")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photos were colored, and one waits."""
    config = place(tmp_path / "home")
    for name in NAMES:
        color(config, name)
    queue(config, "new.tif")
    return config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Name a bag in a folder that does not exist yet."""
    return tmp_path / "bags" / "delivery"


def pack(config: Config, folder: Path, **options: Any) -> BagResult:
    """Make a bag without a progress bar."""
    return make_bag(config, folder, lambda _done, _all, _words: None, **options)


def files(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_bag_validates_and_holds_the_outbox(config: Config, folder: Path) -> None:
    """By the Library of Congress' own reading; results and sidecars, byte by byte."""
    made = pack(config, folder)
    bag = bagit.Bag(str(folder))

    packed = files(folder / "data")
    papers = {name for name in packed if name.endswith(".premis.xml")}

    assert bag.validate()
    assert (folder, 3, 0, 0, {}) == made
    assert {f"{name}.premis.xml" for name in NAMES} == papers
    assert files(config.outbox) == {name: packed[name] for name in packed.keys() - papers}
    assert {"sha256", "sha512"} == set(bag.algorithms)
    assert [folder] == list(folder.parent.iterdir())


def test_a_flipped_bit_in_a_bag_is_found(config: Config, folder: Path) -> None:
    """In each file of it, tag files too."""
    pack(config, folder)
    for name, content in files(folder).items():
        (folder / name).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(bagit.BagError):
            bagit.Bag(str(folder)).validate()
        (folder / name).write_bytes(content)

    assert bagit.Bag(str(folder)).validate()


def test_a_bag_says_what_it_is(config: Config, folder: Path) -> None:
    """Who sends it, by what it was made, and that a machine chose the colors."""
    pack(config, folder, organization="Stadtarchiv Köln")
    info = bagit.Bag(str(folder)).info
    size = sum(map(len, files(folder / "data").values()))

    assert "Stadtarchiv Köln" == info["Source-Organization"]
    assert f"{size}.9" == info["Payload-Oxum"]
    assert f"photochrom {version('photochrom')}" in info["Bag-Software-Agent"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", info["Bagging-Date"])
    assert info["External-Description"].startswith("3 photographs colored by a machine")


def test_without_an_organization_none_is_named(config: Config, folder: Path) -> None:
    """An empty tag would be a lie of its own."""
    pack(config, folder)

    assert "Source-Organization" not in bagit.Bag(str(folder)).info


def test_only_a_sub_folder_is_packed(config: Config, folder: Path) -> None:
    """With those in it."""
    pack(config, folder, within=PurePosixPath("1931"))

    assert [
        "1931/a.tif",
        "1931/a.tif.json",
        "1931/a.tif.premis.xml",
        "1931/may/b.tif",
        "1931/may/b.tif.json",
        "1931/may/b.tif.premis.xml",
    ] == list(files(folder / "data"))


def test_a_name_that_is_not_utf8_is_written_out(config: Config, folder: Path) -> None:
    """Bags know UTF-8 only; the sidecar has the bytes of the name."""
    color(config, "m\udce4rz/caf\udce9.tif")
    pack(config, folder)
    photo = folder / r"data/m\udce4rz/caf\udce9.tif"
    sidecar = read_sidecar(photo.with_name(photo.name + ".json"))

    assert bagit.Bag(str(folder)).validate()
    assert b"color caf\xe9.tif" == photo.read_bytes()
    assert PurePosixPath("m\udce4rz/caf\udce9.tif") == sidecar.output.name


@pytest.mark.parametrize("name", ["Käthe [1]'\"\\.tif", "a  b .tif", "%41.tif", "~.tif", "日.tif"])
def test_odd_names_are_packed(config: Config, folder: Path, name: str) -> None:
    """Whatever stands in them."""
    color(config, name)
    pack(config, folder)

    assert bagit.Bag(str(folder)).validate()
    assert (folder / "data" / name).exists()


@pytest.mark.parametrize("name", ["line\u2028s.tif", "new\nline.tif", "\x1b[2J.tif", "\x85.tif"])
def test_a_name_that_would_be_two_lines_is_written_out(
    config: Config, folder: Path, name: str
) -> None:
    """A manifest has a line for each; and no name paints the terminal that shows it."""
    color(config, name)
    pack(config, folder)

    assert bagit.Bag(str(folder)).validate()
    assert (folder / "data" / ascii(name)[1:-1]).exists()


def test_a_name_that_no_manifest_can_hold_is_refused(config: Config, folder: Path) -> None:
    """In words, and not by a bag that does not validate."""
    color(config, "%0A.tif")

    with pytest.raises(DeviceError, match="a bag cannot contain this file name"):
        pack(config, folder)
    assert [] == list(folder.parent.iterdir())


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("a.tif is not what was delivered", "a.tif"),
        ("a.tif.json: is not a photochrom sidecar", "a.tif.json"),
    ],
)
def test_a_photo_that_was_altered_is_not_packed(
    config: Config, folder: Path, words: str, name: str
) -> None:
    """Nor are the others: a bag is whole. The reason says what may help."""
    path = config.outbox / "1931" / name
    path.write_bytes(path.read_bytes().replace(b"o", b"0", 1))

    with pytest.raises(DeviceError, match=f"{words}.*verify --repair"):
        pack(config, folder)
    assert [] == list(folder.parent.iterdir())


def test_a_copy_that_differs_is_noticed(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As bad memory or a bad disk makes it: the manifests are read from the copies."""
    whole = bagit.make_bag

    def with_a_bad_disk(part: str, *rest: object, **options: object) -> bagit.Bag:
        (Path(part) / "1931/a.tif").write_bytes(b"Color a.tif")
        return whole(part, *rest, **options)

    monkeypatch.setattr(bagit, "make_bag", with_a_bad_disk)

    with pytest.raises(DeviceError, match=r"the copy of 1931/a\.tif differs"):
        pack(config, folder)
    assert [] == list(folder.parent.iterdir())


def test_a_full_disk_leaves_no_bag(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a bag would look like one."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copystat", full)

    with pytest.raises(OSError, match="No space left"):
        pack(config, folder)
    assert [] == list(folder.parent.iterdir())


def test_a_folder_with_something_in_it_is_refused(config: Config, folder: Path) -> None:
    """And stays as it is; an empty one is taken."""
    folder.mkdir(parents=True)
    pack(config, folder)
    before = files(folder)

    with pytest.raises(DeviceError, match="not an empty folder"):
        pack(config, folder)
    assert before == files(folder)


@pytest.mark.parametrize("key", ["inbox", "outbox", "originals", "state", "rejected"])
def test_a_bag_is_not_made_where_photochrom_works(config: Config, key: str) -> None:
    """In the inbox its photos would be taken for new scans. By a link's way neither."""
    link = config.inbox.parent / "link"
    link.symlink_to(config.inbox.parent / key)
    for target in (config.inbox.parent / key / "bag", link / "bag"):
        with pytest.raises(DeviceError, match="choose another place"):
            pack(config, target)


def test_what_an_earlier_photochrom_delivered_is_packed_and_told(
    config: Config, folder: Path
) -> None:
    """It has no sidecar, and nobody knows whether it is what was delivered."""
    color(config, "old.tif", sidecar=False, digest=False)

    assert (4, 1, 1, {}) == pack(config, folder)[1:]
    assert bagit.Bag(str(folder)).validate()


def test_what_is_to_be_colored_again_is_left_out_and_told(config: Config, folder: Path) -> None:
    """It may be replaced at any moment."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([1], 1.0)
    made = pack(config, folder)
    page = io.StringIO()
    print_bag_result(made, Console(file=page, width=40))

    assert (2, 0, 0, {"queued to be recolored": 1}) == made[1:]
    assert [
        f"{folder}: 2 photographs",
        "1 left out (queued to be recolored)",
    ] == page.getvalue().splitlines()


def decide(config: Config, name: str, decision: Decision) -> None:
    """Decide on a result, as a reviewer."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        numbers = ledger.queries.ids_of_path(PurePosixPath(name))
        ledger.reviews.decide(numbers, decision, who="Käthe", now=0.0, note="seen")


def test_only_what_was_approved_is_packed_on_demand(config: Config, folder: Path) -> None:
    """Its PREMIS names the reviewer; what a reviewer rejected is never packed."""
    decide(config, "1931/a.tif", Decision.APPROVED)
    decide(config, "1931/may/b.tif", Decision.REJECTED)
    made = pack(config, folder, approved=True)
    document = premis_of(folder / "data/1931/a.tif.premis.xml")

    assert (1, {"rejected by a reviewer": 1, "not approved": 1}) == (made.photos, made.left_out)
    assert ["success", "approved"] == found(document, "//premis:eventOutcome")
    assert "Käthe" in found(document, "//premis:agentName")
    assert 2 == pack(config, folder.with_name("all")).photos


def test_a_decision_on_an_earlier_coloring_is_not_packed(config: Config, folder: Path) -> None:
    """Nor one that was undone: PREMIS tells of this result alone."""
    decide(config, "1931/a.tif", Decision.APPROVED)
    decide(config, "data/c.tif", Decision.APPROVED)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.undo("Käthe", 1.0)
        ledger.recolor([1], 1.0)
        ledger.claim(1, 1.0, in_flight=0)
        ledger.unclaim(4, 1.0)
    pack(config, folder)

    document = premis_of(folder / "data/data/c.tif.premis.xml")
    assert ["success"] == found(document, "//premis:eventOutcome")


def test_what_is_held_or_was_fetched_is_left_out_and_told(config: Config, folder: Path) -> None:
    """It is not in the outbox."""
    job = queue(config, "held.tif")
    (config.outbox / "1931/a.tif").unlink()
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.claim(9, 0.0, in_flight=0)
        ledger.finish(job.id, model="7", now=1.0, held=True)
        ledger.reviews.mark_fetched([1], 1.0)

    assert {"held for approval": 1, "fetched from the outbox before": 1} == pack(
        config, folder
    ).left_out


def test_a_missing_result_says_what_may_be_the_matter(config: Config, folder: Path) -> None:
    """It was carried away, or lost."""
    (config.outbox / "1931/a.tif").unlink()

    with pytest.raises(DeviceError, match="mark-fetched --missing; otherwise: photochrom verify"):
        pack(config, folder)


def test_if_all_is_left_out_it_is_said_why(config: Config, folder: Path) -> None:
    """Nothing is made."""
    with pytest.raises(DeviceError, match=r"no finished photographs to pack \(3 not approved\)"):
        pack(config, folder, approved=True)


@pytest.mark.parametrize("layout", [one for one in LayoutName if one is not LayoutName.PLAIN])
def test_a_scan_that_is_missing_or_changed_leaves_no_package(
    config: Config, folder: Path, layout: LayoutName
) -> None:
    """Whichever layout: it is whole or not there."""
    scan = config.originals.folder / "1931/may/b.tif"
    scan.write_bytes(b"gray, retouched")
    with pytest.raises(DeviceError, match=r"1931/may/b\.tif: the original was changed"):
        pack(config, folder, layout=layout)
    scan.unlink()

    with pytest.raises(DeviceError, match=r"1931/may/b\.tif: the original is gone"):
        pack(config, folder, layout=layout)
    assert [] == list(folder.parent.iterdir())


@pytest.mark.parametrize("layout", [one for one in LayoutName if one is not LayoutName.PLAIN])
def test_every_layout_reads_its_copies_back(
    config: Config, folder: Path, layout: LayoutName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad disk is noticed before the package is there."""
    monkeypatch.setattr("service.maintenance.packing.digest", lambda _path: "0" * 64)

    with pytest.raises(DeviceError, match="differs from what was read"):
        pack(config, folder, layout=layout)
    assert [] == list(folder.parent.iterdir())


@pytest.mark.parametrize("layout", LayoutName)
def test_names_that_are_one_on_other_systems_are_numbered(
    tmp_path: Path, folder: Path, layout: LayoutName
) -> None:
    """By case, or by the form of an accent; and no name leaves its folder."""
    config = place(tmp_path / "odd")
    accents = ("K\u00e4.tif", "Ka\u0308.tif")
    for name in ("A.tif", "a.tif", *accents, "x\udce9\n.tif", "l" * 250 + ".tif"):
        color(config, name)

    assert 6 == pack(config, folder, layout=layout).photos
    keys = [
        unicodedata.normalize("NFC", str(one.relative_to(folder))).casefold()
        for one in folder.rglob("*")
    ]
    assert len(keys) == len(set(keys))
    assert all(str(one).isprintable() for one in folder.rglob("*"))


def test_where_nothing_is_finished_no_bag_is_made(tmp_path: Path, folder: Path) -> None:
    """Neither without a ledger."""
    with pytest.raises(DeviceError, match="no finished photograph"):
        pack(Config().beside(tmp_path), folder)
    assert not folder.parent.exists()


def test_the_times_of_the_files_are_kept(config: Config, folder: Path) -> None:
    """A copy is not newer than its photo; and it is a file of its own."""
    os.utime(config.outbox / "1931/a.tif", ns=(10**18, 10**18))
    pack(config, folder)
    copy = (folder / "data/1931/a.tif").stat()

    assert (10**18, 1) == (copy.st_mtime_ns, copy.st_nlink)


def test_the_manifest_has_the_ledgers_digests(config: Config, folder: Path) -> None:
    """So a chain leads from the bag back to the delivery."""
    pack(config, folder)
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        expected = {f"data/{job.output}": job.output_digest for job in ledger.colored()}
    entries = bagit.Bag(str(folder)).entries

    assert expected == {name: entries[name]["sha256"] for name in expected}
    assert hashlib.sha256(b"color a.tif").hexdigest() == expected["data/1931/a.tif"]

"""Given files, straight away, and nothing is moved or overwritten."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.config.pixel_points import PixelPoint
from service.config.sections import Color, Output
from service.maintenance.wishing import Asked
from service.pipeline.one_shot import Wanted, colorize_files
from service.storage.reference_files import read_reference
from service.storage.sidecar import read_sidecar
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files as listed
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker import scan
from worker.color import cielab
from worker.errors import DeviceError
from worker.inference.wishes import ab_of
from worker.settings import ReadSettings


def silent(_done: float, _all: float, _words: str) -> None:
    """Report to nobody."""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Make five scans of different sizes."""
    folder = tmp_path / "scans"
    folder.mkdir()
    return [save(folder / f"{n}.png", gray_scene(24 + n, 32, seed=n)) for n in range(5)]


def test_files_are_colored_into_the_folder(files: list[Path], tmp_path: Path) -> None:
    """More than a batch holds; same names and sizes; the scans stay as they were."""
    before = [path.read_bytes() for path in files]
    out = tmp_path / "new" / "out"
    told: list[tuple[float, float, str]] = []
    refused = colorize_files(
        files, out, Config(), FakeColorist(batch_size=2), lambda *words: told.append(words)
    )

    assert 0 == refused
    assert [path.name for path in files] == listed(out)
    sizes = [scan.read_color(out / path.name, ReadSettings()).shape[0] for path in files]
    assert [24, 25, 26, 27, 28] == sizes
    assert before == [path.read_bytes() for path in files]
    assert [(n, 5, "") for n in range(1, 6)] == told


def test_what_a_result_does_not_carry_is_named(files: list[Path], tmp_path: Path) -> None:
    """In the log, as the daemon does it, and only of the scan that has it."""
    files[1].write_bytes(files[1].read_bytes() + b"left over")
    with capture_logs() as logs:
        colorize_files(files, tmp_path / "out", Config(), FakeColorist(), silent)

    assert [(files[1], ("9 bytes behind the picture's end",))] == [
        (entry["path"], entry["what"]) for entry in logs if entry["event"] == "photo.left_behind"
    ]


def test_a_file_that_cannot_be_colored_is_counted_and_named(
    files: list[Path], tmp_path: Path
) -> None:
    """Whether it cannot be read or the generator refuses it; the others are colored."""
    color = save(tmp_path / "color.png", color_scene(64, 64))
    colorist = FakeColorist(batch_size=3)
    colorist.refuses = lambda photo: photo.gray.shape[0] == 26
    out = tmp_path / "out"
    with capture_logs() as logs:
        refused = colorize_files([files[0], color, *files[1:]], out, Config(), colorist, silent)

    assert 2 == refused
    assert ["0.png", "1.png", "3.png", "4.png"] == listed(out)
    said = [entry for entry in logs if "photo.refused" == entry["event"]]
    assert [color, files[2]] == [entry["path"] for entry in said]
    assert "in color already" in said[0]["reason"]
    assert said[0]["reason"].endswith("color it all the same with --even-if-colored")


def test_what_is_in_color_is_colored_if_it_was_asked_for(tmp_path: Path) -> None:
    """And where it had color is told."""
    color = save(tmp_path / "color.png", color_scene(64, 64))
    how = Wanted(FolderSettings(even_if_colored=True))
    with capture_logs() as logs:
        refused = colorize_files([color], tmp_path / "out", Config(), FakeColorist(), silent, how)
    events = [entry["event"] for entry in logs]

    assert 0 == refused
    assert ["photo.color_replaced", "photo.delivered"] == events


def test_wishes_are_granted_and_kept(files: list[Path], tmp_path: Path) -> None:
    """A pixel of each scan becomes its place; the sidecar says who said what."""
    config = Config(color=Color(warmth=5))
    points = (PixelPoint(0, 16, 12, "#7a1f2b"),)
    settings = FolderSettings(color=Color(vividness=70))
    wanted = Wanted(settings, points, "Ada", "the coat itself")
    colorize_files(files[:2], tmp_path / "out", config, FakeColorist(), silent, wanted)
    wishes = [read_sidecar(tmp_path / f"out/{name}.png.json").wishes for name in (0, 1)]

    for wish, height in zip(wishes, (24, 25), strict=True):
        assert wish is not None
        asked = wish.asked
        assert (70, 5, 0) == (asked.vividness, asked.warmth, asked.variant)
        (point,) = asked.points
        assert (16.5 / 32, 12.5 / height) == (point.x, point.y)
        assert ("#7a1f2b", "Ada", "the coat itself") == (point.color, point.who, point.source)
    colored = cielab.lab_of_rgb(scan.read_color(tmp_path / "out/0.png", ReadSettings()))
    assert ab_of("#7a1f2b") == pytest.approx(colored[12, 16, 1:], abs=3)
    packet = (tmp_path / "out/0.png").read_bytes()
    assert b"as a person wished: color known at 1 place (said by Ada), vividness 70" in packet


def test_what_it_is_to_be_like_is_kept(files: list[Path], tmp_path: Path) -> None:
    """With its colors, so that they count when its file is gone."""
    like = save(tmp_path / "like.png", color_scene(60, 80))
    asked = Asked(reference=read_reference(like, 10), who="Ada", source="an autochrome")
    like.unlink()
    how = Wanted(asked.settings(None))
    colorize_files(files[:1], tmp_path / "out", Config(), FakeColorist(), silent, how)
    wishes = read_sidecar(tmp_path / "out/0.png.json").wishes

    assert wishes is not None
    reference = wishes.asked.reference
    assert reference is not None
    assert ("like.png", "Ada", "an autochrome") == (
        reference.name,
        reference.who,
        reference.source,
    )
    assert len(reference.colors) > 1
    assert b"colors like those of like.png" in (tmp_path / "out/0.png").read_bytes()


def test_a_point_beside_a_photograph_colors_nothing(files: list[Path], tmp_path: Path) -> None:
    """It is told of which file, before any is colored."""
    wanted = Wanted(points=(PixelPoint(0, 16, 24, "#7a1f2b"),))
    with pytest.raises(ValueError, match=r"0\.png: the point 16,24 lies outside .* 32 x 24"):
        colorize_files(files[::-1], tmp_path / "out", Config(), FakeColorist(), silent, wanted)

    assert not (tmp_path / "out").exists()


def test_variants_have_numbers(files: list[Path], tmp_path: Path) -> None:
    """Each is a result of its own; those that a photograph does not have are not made."""
    out = tmp_path / "out"
    with capture_logs() as logs:
        colorize_files(files[:2], out, Config(), FakeColorist(), silent, Wanted(variants=3))

    assert ["0.1.png", "0.2.png", "1.1.png", "1.2.png"] == listed(out)
    assert (out / "0.1.png").read_bytes() != (out / "0.2.png").read_bytes()
    assert read_sidecar(out / "0.1.png.json").wishes is None
    events = [entry["event"] for entry in logs]
    assert (4, 2) == (events.count("photo.delivered"), events.count("photo.no_more_variants"))


def test_a_name_that_is_taken_gets_a_number(files: list[Path], tmp_path: Path) -> None:
    """Two scans of one name from different folders, and what lies there already."""
    other = tmp_path / "other"
    other.mkdir()
    twin = save(other / "0.png", gray_scene(40, 40))
    out = tmp_path / "out"
    out.mkdir()
    (out / "1.png").write_text("not ours")
    colorize_files([files[0], twin, files[1]], out, Config(), FakeColorist(), silent)

    assert ["0 (2).png", "0.png", "1 (2).png", "1.png"] == listed(out)
    assert "not ours" == (out / "1.png").read_text()


def test_coloring_again_and_again_overwrites_nothing(files: list[Path], tmp_path: Path) -> None:
    """Each time there is one more; the photos of before stay as they were."""
    out = tmp_path / "out"
    for times in (1, 2, 3):
        before = {path: path.stat().st_ino for path in out.iterdir()} if out.exists() else {}
        colorize_files(files[:1], out, Config(), FakeColorist(), silent)

        assert times == len(listed(out))
        assert before == {path: path.stat().st_ino for path in before}


def test_another_container_is_in_the_name(files: list[Path], tmp_path: Path) -> None:
    """As in the outbox."""
    config = Config(output=Output(format="tiff"))
    colorize_files(files[:1], tmp_path / "out", config, FakeColorist(), silent)

    assert ["0.png.tif"] == listed(tmp_path / "out")


def test_no_files_are_no_fault(tmp_path: Path) -> None:
    """Nothing is done."""
    assert 0 == colorize_files([], tmp_path / "out", Config(), FakeColorist(), silent)


def test_a_failing_device_ends_it(files: list[Path], tmp_path: Path) -> None:
    """There is no queue in which the rest could wait."""
    colorist = FakeColorist()
    colorist.faults.append(DeviceError("the card fell off the bus"))
    with pytest.raises(DeviceError):
        colorize_files(files, tmp_path / "out", Config(), colorist, silent)

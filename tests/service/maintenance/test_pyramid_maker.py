"""Tests for service.maintenance.pyramid_maker with the real child, limits and crashes."""

import io
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from service.maintenance.pyramid_maker import Made, PyramidMaker, ViewError, Wanted
from tests.support import malicious_files
from tests.support.iiif_files import assembled, present, promised, read_info, read_jpeg
from tests.support.synthetic_photos import gray_scene, png_bomb, save
from tests.support.waiting import wait_until

URL = "https://archive.example/iiif/1"


@pytest.fixture
def maker() -> Iterator[PyramidMaker]:
    """A maker, whose child is started at first use."""
    with PyramidMaker(megapixels=20, longest=60) as made:
        yield made


def opened(path: Path) -> io.FileIO:
    """Open a file as the service does."""
    return io.FileIO(str(path))


def left(folder: Path) -> list[str]:
    """Return the names in a folder, hidden ones too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_page_becomes_a_pyramid_and_a_thumbnail(tmp_path: Path, maker: PyramidMaker) -> None:
    """Both appear complete, with nothing beside them; the size on disk is told."""
    path = save(tmp_path / "scan.tif", gray_scene(700, 900, 16))
    out = tmp_path / "out"
    out.mkdir()

    with opened(path) as file:
        made = maker.pyramid(file, path, out / "0", URL)
        small = maker.thumbnail(file, path, out / "0.jpg")

    assert ["0", "0.jpg"] == left(out)
    assert (900, 700) == (made.width, made.height) == (small.width, small.height)
    info = read_info(out / "0")
    assert URL == info["id"]
    assert promised(info) == present(out / "0")
    assert (700, 900) == assembled(out / "0").shape
    assert (187, 240) == read_jpeg(out / "0.jpg").shape
    used = subprocess.run(["du", "-bs", out / "0"], capture_output=True, check=True).stdout
    assert made.bytes >= int(used.split()[0]) - 4096 * 60


@pytest.mark.parametrize(
    "name",
    ["a b.tif", "50%25#1?.tif", os.fsdecode(b"\xff\xe9.tif"), "照片.tif", "x" * 251 + ".tif"],
)
def test_names_of_any_bytes_work(tmp_path: Path, maker: PyramidMaker, name: str) -> None:
    """Neither the scan's name nor the target's matters."""
    path = save(tmp_path / name, gray_scene(60, 80))

    with opened(path) as file:
        maker.pyramid(file, path, tmp_path / name.removesuffix(".tif"), URL)

    assert (60, 80) == assembled(tmp_path / name.removesuffix(".tif")).shape


def test_a_page_that_is_not_there_is_said(tmp_path: Path, maker: PyramidMaker) -> None:
    """The text says how many there are."""
    path = save(tmp_path / "scan.tif", gray_scene(60, 80))

    with opened(path) as file, pytest.raises(ViewError, match="has 1 page") as raised:
        maker.pyramid(file, path, tmp_path / "0", URL, page=1)

    assert "page" == raised.value.fault
    assert ["scan.tif"] == left(tmp_path)


def refusal(maker: PyramidMaker, path: Path, target: Path) -> ViewError | None:
    """Have a thumbnail made; return why it was not."""
    with opened(path) as file:
        try:
            made = maker.thumbnail(file, path, target)
        except ViewError as error:
            return error
    assert made.width * made.height <= 20e6
    return None


@pytest.mark.slow
def test_hostile_files_end_in_words(tmp_path: Path, maker: PyramidMaker) -> None:
    """Every hostile file is shown or refused with a reason, and none leaves anything behind."""
    out = tmp_path / "out"
    out.mkdir()
    for name, data in itertools.islice(malicious_files.files(), 0, None, 4):
        path = tmp_path / f"hostile{Path(name).suffix}"
        path.write_bytes(data)
        if error := refusal(maker, path, out / "0.jpg"):
            assert error.fault in {"file", "limit"}, name
            assert len(str(error)) > 10, name
        assert set(left(out)) <= {"0.jpg"}


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, maker: PyramidMaker) -> None:
    """A file that claims more megapixels than allowed is not decoded."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(60_000, 60_000))

    with opened(path) as file, pytest.raises(ViewError, match="3600 megapixels") as raised:
        maker.pyramid(file, path, tmp_path / "0", URL)

    assert "file" == raised.value.fault
    assert ["bomb.png"] == left(tmp_path)


def test_a_file_cut_short_leaves_nothing(tmp_path: Path, maker: PyramidMaker) -> None:
    """The tiles that were written until then are removed."""
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, gray_scene(2000, 1500), rowsperstrip=50, compression="zlib")
    os.truncate(path, path.stat().st_size * 3 // 4)

    with opened(path) as file, pytest.raises(ViewError) as raised:
        maker.pyramid(file, path, tmp_path / "0", URL)

    assert "file" == raised.value.fault
    assert ["scan.tif"] == left(tmp_path)


def slow_page(path: Path) -> Path:
    """Write a page that takes seconds to decode."""
    path.write_bytes(_slow_page())
    return path


@cache
def _slow_page() -> bytes:
    noise = np.random.default_rng(0).integers(0, 65536, (4400, 4400)).astype(np.uint16)
    coded: bytes = imagecodecs.jpeg2k_encode(noise, codecformat="jp2", reversible=True)
    return coded


@pytest.mark.slow
def test_time_is_limited(tmp_path: Path) -> None:
    """A page that takes too long is given up in words, and the next one is made."""
    slow = slow_page(tmp_path / "slow.jp2")
    quick = save(tmp_path / "quick.png", gray_scene(20, 30))
    out = tmp_path / "out"
    out.mkdir()

    with PyramidMaker(megapixels=20, longest=1) as maker:
        with opened(slow) as file, pytest.raises(ViewError, match="longer") as raised:
            maker.pyramid(file, slow, out / "0", URL)
        with opened(quick) as file:
            maker.thumbnail(file, quick, out / "1.jpg")

    assert "limit" == raised.value.fault
    assert ["1.jpg"] == left(out)


@pytest.mark.slow
def test_a_decoder_that_crashes_is_said_and_survived(tmp_path: Path, maker: PyramidMaker) -> None:
    """Its signal is named, and the next page is made as if nothing had been."""
    slow = slow_page(tmp_path / "slow.jp2")
    out = tmp_path / "out"
    out.mkdir()

    with opened(slow) as file, ThreadPoolExecutor() as threads:
        asked = threads.submit(maker.pyramid, file, slow, out / "0", URL)
        wait_until(lambda: len(descendants()) == 3)  # the child, one that watches, one that decodes
        os.kill(descendants()[-1], signal.SIGSEGV)
        with pytest.raises(ViewError, match=r"crashed \(SIGSEGV\)") as raised:
            asked.result()

    assert "limit" == raised.value.fault
    assert [] == left(out)


def test_many_are_made_in_one_go(tmp_path: Path, maker: PyramidMaker) -> None:
    """In their order; what cannot be shown, or ends the process, costs the others nothing."""
    good = [save(tmp_path / f"{n}.png", gray_scene(20 + n, 30)) for n in range(4)]
    bad = save(tmp_path / "bad.png", gray_scene(20, 30))
    bad.write_bytes(bad.read_bytes()[:99])
    paths = [good[0], bad, *good[1:3], tmp_path / "bomb.png", good[3]]
    (tmp_path / "bomb.png").write_bytes(png_bomb(60_000, 60_000))
    out = tmp_path / "out"
    out.mkdir()

    with ExitStack() as files:
        opened_files = [files.enter_context(opened(path)) for path in paths]
        results = maker.thumbnails(
            [
                Wanted(file, path, out / f"{path.stem}.jpg", side=15)
                for file, path in zip(opened_files, paths, strict=True)
            ]
        )

    heights = [one.height if isinstance(one, Made) else one.fault for one in results]
    assert [20, "file", 21, 22, "file", 23] == heights
    assert ["0.jpg", "1.jpg", "2.jpg", "3.jpg"] == left(out)
    assert 15 == read_jpeg(out / "3.jpg").shape[1]


@pytest.mark.slow
def test_a_page_that_ends_its_process_costs_the_others_nothing(tmp_path: Path) -> None:
    """Whether it takes too long or crashes its decoder; the rest is made by another process."""
    paths = [
        slow_page(tmp_path / "slow.jp2"),
        save(tmp_path / "a.png", gray_scene(20, 30)),
        slow_page(tmp_path / "slower.jp2"),
        save(tmp_path / "b.png", gray_scene(21, 30)),
    ]
    with ExitStack() as files, PyramidMaker(megapixels=20, longest=1) as maker:
        wanted = [
            Wanted(files.enter_context(opened(path)), path, path.with_suffix(".jpg"))
            for path in paths
        ]
        first, second, third, fourth = maker.thumbnails(wanted)

    assert isinstance(first, ViewError)
    assert isinstance(third, ViewError)
    assert ("limit", "limit") == (first.fault, third.fault)
    assert (20, 21) == (getattr(second, "height", None), getattr(fourth, "height", None))


def test_a_child_that_died_is_started_again(tmp_path: Path) -> None:
    """Whoever kills it costs one start."""
    path = save(tmp_path / "scan.png", gray_scene(20, 30))

    with PyramidMaker(megapixels=20) as maker, opened(path) as file:
        for name in ("0.jpg", "1.jpg", "2.jpg"):
            assert 20 == maker.thumbnail(file, path, tmp_path / name).height
            os.kill(descendants()[0], signal.SIGKILL)

    assert [] == descendants()


def test_two_that_make_the_same_do_no_harm(tmp_path: Path, maker: PyramidMaker) -> None:
    """Whoever is second leaves the first one's pyramid and nothing else."""
    path = save(tmp_path / "scan.png", gray_scene(600, 700))
    out = tmp_path / "out"
    out.mkdir()

    def make(_number: int) -> Made:
        with opened(path) as file:
            return maker.pyramid(file, path, out / "0", URL)

    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(make, range(4)))

    assert 1 == len(made)
    assert ["0"] == left(out)
    assert promised(read_info(out / "0")) == present(out / "0")


def test_a_full_disk_is_the_machines_fault(tmp_path: Path, maker: PyramidMaker) -> None:
    """The text is the system's, and nothing is left."""
    path = save(tmp_path / "scan.png", gray_scene(600, 700))

    with opened(path) as file, pytest.raises(FileNotFoundError):
        maker.pyramid(file, path, tmp_path / "gone" / "0", URL)
    with opened(path) as file, pytest.raises(ViewError, match="No such file") as raised:
        maker.thumbnail(file, path, tmp_path / "gone" / "0.jpg")

    assert "machine" == raised.value.fault


def descendants() -> list[int]:
    """Return this process's children that decode, theirs and so on, the eldest first."""
    found, left = [], [os.getpid()]
    while left:
        tasks = Path(f"/proc/{left.pop()}/task").glob("*/children")
        left = [int(pid) for task in tasks for pid in task.read_text().split()]
        found += [pid for pid in left if b"pyramid_process" in _command(pid)]
    return found


def _command(pid: int) -> bytes:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""

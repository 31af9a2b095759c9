"""A cache that is killed, full or shared, and still true."""

import resource
import threading
from pathlib import Path

import numpy as np
import pytest

from worker.errors import DeviceError
from worker.training.data.cache import SIDE, SQUARE_BYTES, DecodeCache, Facts


def facts(number: int, unfit: str | None = None) -> Facts:
    """Know something of a photograph."""
    return Facts(f"{number:064x}", 300, 200, f"{number:016x}", unfit)


def square(number: int) -> np.ndarray:
    """Paint a square that tells its number."""
    return np.full((SIDE, SIDE, 3), number, np.uint8)


def fill(folder: Path, *numbers: int) -> None:
    """Add photographs and commit them."""
    with DecodeCache(folder) as squares:
        for number in numbers:
            squares.add(facts(number), square(number))
        squares.commit()


def open_dir_beneath(folder: Path) -> dict[int, int]:
    """Read back the number of each photograph, and what its square tells."""
    with DecodeCache(folder) as squares:
        photos = squares.photos()
        return {int(digest, 16): int(photos[squares.row(digest)].max()) for digest in squares.known}


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    """Facts and squares come back as they were, in later sessions too."""
    fill(tmp_path, 1, 2)
    fill(tmp_path, 3)
    with DecodeCache(tmp_path) as squares:
        known = squares.known
        photos = squares.photos()

    assert [facts(1), facts(2), facts(3)] == list(known.values())
    assert (3, SIDE, SIDE, 3) == photos.shape
    assert np.array_equal(square(3), photos[2])
    assert {1: 1, 2: 2, 3: 3} == open_dir_beneath(tmp_path)


def test_the_unfit_take_no_room(tmp_path: Path) -> None:
    """Of a photograph that cannot teach, only the facts are kept."""
    with DecodeCache(tmp_path) as squares:
        squares.add(facts(1, "gray"), square(1))
        squares.add(facts(2), square(2))
        squares.commit()
    with DecodeCache(tmp_path) as squares:
        assert "gray" == squares.known[facts(1).digest].unfit
        assert 0 == squares.row(facts(2).digest)
        assert (1, SIDE, SIDE, 3) == squares.photos().shape


def test_what_was_not_committed_is_not_there(tmp_path: Path) -> None:
    """A process that ends in the middle leaves nothing half done that is taken for whole."""
    fill(tmp_path, 1)
    with DecodeCache(tmp_path) as squares:
        squares.add(facts(9), square(9))
    fill(tmp_path, 2)

    assert {1: 1, 2: 2} == open_dir_beneath(tmp_path)


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_line_is_not_believed(tmp_path: Path, cut: int) -> None:
    """When the process was killed while the last line was written, that photograph is new again."""
    fill(tmp_path, 1, 2)
    (lines,) = tmp_path.glob("facts-*")
    lines.write_bytes(lines.read_bytes()[:-cut])
    with DecodeCache(tmp_path) as squares:
        assert [facts(1)] == list(squares.known.values())
    fill(tmp_path, 3)

    assert {1: 1, 3: 3} == open_dir_beneath(tmp_path)


def test_a_full_disk_harms_nothing(tmp_path: Path) -> None:
    """When there is no room for a square it is said, and what was committed before stays."""
    fill(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with DecodeCache(tmp_path) as squares:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(2.5 * SQUARE_BYTES), hard))
        try:
            squares.add(facts(2), square(2))
            with pytest.raises(OSError, match="decoded photographs need 196 kB each") as refused:
                squares.add(facts(3), square(3))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert str(tmp_path) == refused.value.filename
    assert {1: 1} == open_dir_beneath(tmp_path)
    fill(tmp_path, 2, 3)
    assert {1: 1, 2: 2, 3: 3} == open_dir_beneath(tmp_path)


def test_a_map_stays_while_the_cache_grows(tmp_path: Path) -> None:
    """A training that goes on is not disturbed by another preparation, or by what that left."""
    fill(tmp_path, 1)
    with DecodeCache(tmp_path) as squares:
        photos = squares.photos()
    with DecodeCache(tmp_path) as squares:
        squares.add(facts(2), square(2))
    fill(tmp_path, 3)

    assert np.array_equal(square(1), photos[0])
    assert not photos.flags.writeable


def test_two_at_once_take_turns(tmp_path: Path) -> None:
    """A second process waits until the first is done, and then knows what it decoded."""
    opened = threading.Event()
    known: list[str] = []

    def second() -> None:
        with DecodeCache(tmp_path) as squares:
            known.extend(squares.known)
            opened.set()

    with DecodeCache(tmp_path) as squares:
        thread = threading.Thread(target=second)
        thread.start()
        in_between = opened.wait(0.3)
        squares.add(facts(1), square(1))
        squares.commit()
    thread.join(10)

    assert not in_between
    assert [facts(1).digest] == known


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("facts-*", b"no JSON at all\n"),
        ("facts-*", b'{"digest": "1"}\n'),
        ("squares-*", b"too short"),
    ],
)
def test_a_damaged_cache_says_what_to_do(tmp_path: Path, name: str, content: bytes) -> None:
    """Files that do not belong together are refused with advice, never trained on."""
    fill(tmp_path, 1)
    (file,) = tmp_path.glob(name)
    file.write_bytes(content)

    with pytest.raises(DeviceError, match="delete that folder"):
        DecodeCache(tmp_path)

"""No symlink is followed below a folder, and files are opened once."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path, PurePath

import pytest

from service.filesystem.file_stat import FileStat
from service.filesystem.safe_open import (
    ObstructedError,
    digest,
    digest_of,
    file_stat,
    file_stat_of,
    has_writer,
    open_beneath,
    open_dir_beneath,
    open_regular,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 (FIPS 180-2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder with a file in a sub-folder, and one outside of it."""
    (tmp_path / "root/sub/deep").mkdir(parents=True)
    (tmp_path / "root/sub/deep/a.jpg").write_text("abc")
    (tmp_path / "outside/deep").mkdir(parents=True)
    (tmp_path / "outside/deep/a.jpg").write_text("secret")
    return tmp_path / "root"


def a_socket(path: Path) -> None:
    """Make a socket's name."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def put(folder: Path, content: str) -> Path:
    """Write a file."""
    path = folder / "a.jpg"
    path.write_text(content)
    return path


def names(folder: Path) -> list[str]:
    """List what is in a folder."""
    return [path.name for path in folder.iterdir()]


def open_descriptors() -> int:
    """Count the files that this process has open."""
    return len(names(Path("/proc/self/fd")))


SWAPS: dict[str, Callable[[Path], object]] = {  # for what stands at a path; tests swap it
    "symlink": lambda path: path.symlink_to(path.parents[3] / "outside/deep/a.jpg"),
    "symlink to itself": lambda path: path.symlink_to(path.name),
    "broken symlink": lambda path: path.symlink_to("nowhere"),
    "FIFO": os.mkfifo,
    "null device": lambda path: os.mknod(path, 0o20666, os.makedev(1, 3)),
    "folder": os.mkdir,
    "socket": a_socket,
    "nothing": lambda _path: None,
}


class TestOpening:
    """A plain file, or FileNotFoundError at once."""

    def test_a_file_is_opened_with_its_own_name(self, root: Path) -> None:
        """However deep it lies; the root itself may be a symlink."""
        link = root.with_name("link")
        link.symlink_to(root)
        with open_beneath(link, PurePath("sub/deep/a.jpg")) as file:
            assert str(link / "sub/deep/a.jpg") == file.name
            assert b"abc" == file.read()
            assert file_stat(root / "sub/deep/a.jpg") == file_stat_of(file)

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("swap", SWAPS)
    def test_what_is_no_plain_file_is_not_read_and_nothing_waits(
        self, root: Path, swap: str
    ) -> None:
        """A FIFO without a writer would hold up whoever opens it for ever."""
        path = root / "sub/deep/a.jpg"
        path.unlink()
        SWAPS[swap](path)
        before = open_descriptors()
        for opening in (
            lambda: open_beneath(root, PurePath("sub/deep/a.jpg")),
            lambda: open_regular(path),
        ):
            with pytest.raises(FileNotFoundError) as fault:
                opening()
            assert str(path) == fault.value.filename
        with pytest.raises(FileNotFoundError):
            digest(path)

        assert str(path) == fault.value.filename
        assert not has_writer(root, PurePath("sub/deep/a.jpg"))
        assert file_stat(path) is None
        assert before == open_descriptors()

    @pytest.mark.parametrize("at", ["sub", "sub/deep"])
    def test_a_folder_on_the_way_that_is_a_symlink_is_not_followed(
        self, root: Path, at: str
    ) -> None:
        """Not even where it leads to the very same file."""
        (root / at).rename(root.with_name("moved"))
        (root / at).symlink_to(root.with_name("moved"))
        with pytest.raises(FileNotFoundError, match="a symlink or a file is in the place"):
            open_beneath(root, PurePath("sub/deep/a.jpg"))

    @pytest.mark.parametrize("name", ["../outside/deep/a.jpg", "sub/../sub/deep/a.jpg", "/a.jpg"])
    def test_a_name_that_leads_out_is_refused(self, root: Path, name: str) -> None:
        """Whoever wrote it into the ledger."""
        with pytest.raises(FileNotFoundError, match="leads out of its folder"):
            open_beneath(root, PurePath(name))

    def test_a_path_longer_than_any_the_system_takes_is_opened(self, root: Path) -> None:
        """4096 bytes are the most in one go (PATH_MAX); name by name there is no end."""
        name = PurePath(*["d" * 250] * 20, "a.jpg")
        with open_dir_beneath(root, name.parent, make=True) as folder:
            (folder / "a.jpg").write_text("far down")
        with open_beneath(root, name) as file:
            assert b"far down" == file.read()
        assert len(os.fsencode(root / name)) > 4096

    def test_every_byte_comes_from_the_file_that_was_opened(self, root: Path) -> None:
        """Whatever is put in its place meanwhile."""
        path = root / "sub/deep/a.jpg"
        with open_beneath(root, PurePath("sub/deep/a.jpg")) as file:
            looks = file_stat_of(file)
            path.unlink()
            path.symlink_to(root.with_name("outside") / "deep/a.jpg")

            assert ABC == digest_of(file)
            assert b"abc" == file.read()
            assert looks.same_as(file_stat_of(file))  # it lost a name, which changes its ctime


class TestHolding:
    """A sub-folder to work in."""

    def test_what_is_missing_is_made_when_asked_for(self, root: Path) -> None:
        """And else said to be missing, by its own name; the root is not made."""
        with pytest.raises(FileNotFoundError) as fault, open_dir_beneath(root, PurePath("new/er")):
            pass
        with open_dir_beneath(root, PurePath("new/er"), make=True) as folder:
            (folder / "b").touch()
        with (
            pytest.raises(FileNotFoundError),
            open_dir_beneath(root / "gone", PurePath("a"), make=True),
        ):
            pass

        assert str(root / "new") == fault.value.filename
        assert (root / "new/er/b").exists()
        assert not (root / "gone").exists()

    def test_nothing_is_written_behind_a_symlink(self, root: Path) -> None:
        """Nor made there."""
        (root / "link").symlink_to(root.with_name("outside"))
        (root / "file").touch()
        for inside in ("link", "link/new", "file/new"):
            with (
                pytest.raises(ObstructedError) as fault,
                open_dir_beneath(root, PurePath(inside), make=True),
            ):
                pass
            assert str(root / inside.split("/")[0]) == fault.value.filename

        assert ["deep"] == names(root.with_name("outside"))

    def test_a_folder_that_is_swapped_meanwhile_stays_the_one_that_is_held(
        self, root: Path
    ) -> None:
        """What is written goes with it, and not where the symlink leads."""
        with open_dir_beneath(root, PurePath("sub/deep")) as folder:
            (root / "sub").rename(root / "aside")
            (root / "sub").symlink_to(root.with_name("outside"))
            (folder / "b").write_text("here")

        assert "here" == (root / "aside/deep/b").read_text()
        assert ["a.jpg"] == names(root.with_name("outside") / "deep")

    def test_an_error_names_the_folder_and_not_how_it_is_held(self, root: Path) -> None:
        """For the person who reads it; both names of a move."""
        with (
            pytest.raises(OSError, match="No such file") as fault,
            open_dir_beneath(root, PurePath("sub")) as sub,
        ):
            os.link(sub / "gone", sub / "new")

        assert str(root / "sub/gone") == fault.value.filename
        assert str(root / "sub/new") == fault.value.filename2
        assert "/proc" not in str(fault.value)


class TestLookingAtAFile:
    """Without disturbing whoever works with it."""

    def test_a_snapshot_is_of_the_file_itself(self, root: Path) -> None:
        """None of what is no plain file."""
        path = put(root, "12345")
        (root / "link.jpg").symlink_to(path)
        status = path.stat()

        looks = FileStat(5, status.st_mtime_ns, status.st_ino, status.st_dev, status.st_ctime_ns)
        assert looks == file_stat(path)
        assert file_stat(root / "link.jpg") is None
        assert file_stat(root) is None
        assert file_stat(path / "below") is None

    def test_a_file_open_for_writing_has_a_writer_until_it_is_closed(self, root: Path) -> None:
        """However long nothing is written."""
        path = put(root, "photo")

        assert not has_writer(root, PurePath(path.name))
        with path.open("ab"):
            assert has_writer(root, PurePath(path.name))
        with path.open("rb"):
            assert not has_writer(root, PurePath(path.name))
        assert not has_writer(root, PurePath("gone.jpg"))

    def test_asking_for_writers_survives_one_that_comes_meanwhile(self, root: Path) -> None:
        """The kernel's signal for a broken lease does not end the process."""
        path = put(root, "photo")
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                path.open("ab").close()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(2000):
                has_writer(root, PurePath(path.name))
        finally:
            done.set()
            writer.join()

        assert not has_writer(root, PurePath(path.name))

    def test_a_digest_is_the_sha256_of_the_content(self, root: Path) -> None:
        """Never of what a symlink leads to."""
        (root / "link.jpg").symlink_to(put(root, "abc"))

        assert ABC == digest(root / "a.jpg")
        with pytest.raises(FileNotFoundError, match="not a regular file"):
            digest(root / "link.jpg")

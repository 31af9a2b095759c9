"""What a folder says counts; hostile files harm none."""

import os
import socket
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.config.folder_sections import AS_USUAL, FolderFile, FolderSettings
from service.config.loader import Config
from service.config.sections import Color
from service.config.yaml_text import parse
from service.watch.settings_file import LARGEST, NAME, FolderSettingsError
from service.watch.settings_file import settings_of as settings_in
from tests.support.settings_files import NO, SCAN, YES, write
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker.settings import ColorWishes


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Make an inbox with a folder in a folder."""
    (tmp_path / "inbox/album/may").mkdir(parents=True)
    return tmp_path / "inbox"


def settings_of(inbox: Path, scan: PurePosixPath) -> FolderSettings:
    """Return the settings of a scan in an inbox."""
    return settings_in(Config().beside(inbox.parent), scan)


def refused(inbox: Path) -> FolderSettingsError:
    """Return why the settings of the scan cannot be told."""
    with pytest.raises(FolderSettingsError) as caught:
        settings_of(inbox, SCAN)
    return caught.value


def test_without_a_file_all_is_as_usual(inbox: Path) -> None:
    """Also with one that says nothing, and in folders that are gone again."""
    assert AS_USUAL == settings_of(inbox, SCAN) == settings_of(inbox, PurePosixPath("gone/a.tif"))

    write(inbox, "album", b"# even_if_colored: true\n")

    assert AS_USUAL == settings_of(inbox, SCAN)


@pytest.mark.parametrize(
    ("folder", "others"),
    [("", []), ("album", ["a.tif", "other/a.tif"]), ("album/may", ["album/a.tif", "other/a.tif"])],
)
def test_a_file_counts_for_its_folder_and_all_below(
    inbox: Path, folder: str, others: list[str]
) -> None:
    """And for none beside or above."""
    write(inbox, folder, YES)

    assert settings_of(inbox, SCAN).even_if_colored
    assert not any(settings_of(inbox, PurePosixPath(one)).even_if_colored for one in others)


def test_the_nearest_folder_wins(inbox: Path) -> None:
    """Also with what is the default; a file that does not give a key leaves it to those above."""
    write(inbox, "", YES)
    write(inbox, "album", NO)
    write(inbox, "album/may", b"")

    assert not settings_of(inbox, SCAN).even_if_colored
    assert settings_of(inbox, PurePosixPath("a.tif")).even_if_colored


def test_colors_are_settled_key_by_key(inbox: Path) -> None:
    """What no folder says is as config.yaml has it; what is said for the photo alone wins."""
    write(inbox, "", b"color: {vividness: 20, warmth: 10}")
    write(inbox, "album", b"color: {vividness: 70}")
    album = settings_of(inbox, SCAN)
    alone = FolderSettings(color=Color(warmth=-5), variant=2).over(album)

    assert ColorWishes(70, 10) == album.wishes(Color(vividness=1, warmth=1))
    assert ColorWishes(70, -5, variant=2) == alone.wishes(Color(vividness=1, warmth=1))
    assert ColorWishes(1, 2) == AS_USUAL.wishes(Color(vividness=1, warmth=2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"even_if_colord: true", "line 1: even_if_colord: unknown key; did you mean even_if_c"),
        (b"\neven_if_colored: ja", "line 2: even_if_colored: must be true or false, not 'ja'"),
        (b"even_if_colored: 1", "must be true or false, not '1'"),
        (b"even_if_colored:", "must be true or false, not empty"),
        (YES + YES, "line 2: even_if_colored: duplicate key, first on line 1"),
        (b"even_if_colored true", "must be lines of `key: value`"),
        (b"- a\n- b", "must be lines of `key: value`"),
        (b"even_if_colored: [", "invalid YAML"),
        (b"\xff\xfe\x00", "invalid YAML"),
        (b"\x00\x01", "invalid YAML"),
        (b"a: !!python/object/apply:os.system ['true']", "invalid YAML"),
        (b"a: &a [x]\nb: [*a, *a]", "aliases (*name) are not allowed here"),
        (b"a: &a {b: *a}", "aliases"),
        (b"a: 2026-99-99", "invalid YAML: a value does not match its type or tag"),
        (b"a: !!timestamp x", "invalid YAML"),
        (b"a: " + b"9" * 10_000, "invalid YAML"),
        (b"{[a]: b}", "invalid YAML"),
        (b"1: 2\n~: 3\ntrue: 4", "unknown key"),
        (b"[" * 20_000, "nested too deeply"),
        (b"a: " + b"{b: " * 10_000, "nested too deeply"),
        (b"# " + b"x" * LARGEST, "larger than 65,536 bytes"),
        (b"even_if_colored: {even_if_colored: true}", "must be true or false"),
        (
            b"color:\n  vividness: 101",
            "line 2: color.vividness: must be a number from 0",
        ),
        (
            b"color: {warmth: -51}",
            "line 1: color.warmth: must be a number from -50",
        ),
        (b"color: {vividnes: 3}", "color.vividnes: unknown key; did you mean vividness?"),
        (b"color: vivid", "color: must be a section with vividness, warmth, like, not 'vivid'"),
        (b"points: []", "points: unknown key"),
        (b"even_if_colored: true\n---\neven_if_colored: false", "invalid YAML"),
    ],
)
def test_every_mistake_is_told_in_words(inbox: Path, text: bytes, words: str) -> None:
    """With its line and key; nothing hostile is run, expanded or waited for."""
    write(inbox, "album", text)
    error = refused(inbox)

    assert PurePosixPath("album/photochrom.yaml") == error.file
    assert any(words in problem for problem in error.problems), error.problems


@given(text=st.binary(max_size=300))
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_text_does_harm(text: bytes) -> None:
    """It is settings, or has mistakes."""
    settings, problems, _ = parse(text, FolderFile, aliases=False)

    assert problems or settings.model_fields_set <= {"even_if_colored"}


def link(path: Path) -> None:
    """Lead to settings outside the inbox."""
    outside = path.parents[3] / "outside.yaml"
    outside.write_bytes(YES)
    path.symlink_to(outside)


def bind(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [link, os.mkfifo, Path.mkdir, bind])
def test_only_a_plain_file_is_read(inbox: Path, make: Callable[[Path], None]) -> None:
    """A link is not followed, a FIFO not waited for; the scans wait: somebody meant something."""
    make(inbox / "album/may" / NAME)

    assert ("not a regular file; replace it with a text file",) == refused(inbox).problems


def test_a_folder_that_is_a_link_has_no_settings(inbox: Path, tmp_path: Path) -> None:
    """Nor has it scans."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / NAME).write_bytes(YES)
    (inbox / "linked").symlink_to(tmp_path / "outside")

    assert AS_USUAL == settings_of(inbox, PurePosixPath("linked/a.tif"))


# A photograph to be colored like


def like(inbox: Path, path: str, folder: str = "album") -> None:
    """Have a folder's scans be colored like a photograph."""
    write(inbox, folder, f"color:\n  vividness: 60\n  like: {path}".encode())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("outbox/1931/0042.png", "../../outbox/1931/0042.png"),
        ("inbox/album/.like.jpg", ".like.jpg"),
        ("inbox/.like/a.tif", "../.like/a.tif"),
    ],
)
def test_scans_are_colored_like_a_result_or_a_hidden_photograph(
    inbox: Path, place: str, said: str
) -> None:
    """Its path is from the folder's file; its colors are kept, and the folder's other settings."""
    path = inbox.parent / place
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, color_scene(60, 80))
    like(inbox, said)
    wishes = settings_of(inbox, SCAN).wishes(Color())
    path.unlink()

    assert wishes.reference is not None
    assert 60 == wishes.vividness
    assert 64 == len(wishes.reference.sha256)
    assert place.split("/", 1)[1] == wishes.reference.name
    assert 1 < len(wishes.reference.colors)
    again = FolderSettings.model_validate_json(FolderSettings.of(wishes).model_dump_json())
    assert wishes == again.wishes(Color())


def test_a_nearer_folder_has_another_one_or_none(inbox: Path) -> None:
    """`null` ends what a folder above says; no word keeps it."""
    for name in ("a", "b"):
        save(inbox / f".{name}.png", color_scene(60, 80, seed=ord(name)))
    like(inbox, "../.a.png")
    names = []
    for text in (b"even_if_colored: true", b"color: {like: ../../.b.png}", b"color: {like: null}"):
        write(inbox, "album/may", text)
        reference = settings_of(inbox, SCAN).wishes(Color()).reference
        names.append(reference and reference.name)

    assert [".a.png", ".b.png", None] == names


def test_a_reference_that_was_replaced_is_read_anew(inbox: Path) -> None:
    """One that is the same is not."""
    path = save(inbox / ".like.png", color_scene(60, 80))
    like(inbox, "../.like.png")
    first = settings_of(inbox, SCAN)
    save(path, color_scene(60, 90, seed=1))

    assert first.reference != settings_of(inbox, SCAN).reference


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("../gone.png", "line 3: color.like: there is no file"),
        ("/etc/passwd", "color.like: must be in the outbox or in the inbox, not /etc/passwd"),
        ("../../state/a.png", "color.like: must be in the outbox or in the inbox"),
        ("scan.png", "would be taken for a scan; rename it, so that its name begins with a dot"),
        (".gray.png", "color.like: it has no color, so nothing can be colored like it"),
        (".broken.png", "is damaged or cut short"),
        (".text", "photochrom does not read"),
        (".link.png", "color.like: there is no file"),
        ("''", "color.like: must be the path of a photograph in color, or null"),
        ("[a]", "color.like: must be the path of a photograph in color, or null"),
    ],
)
def test_a_reference_that_cannot_be_used_is_a_mistake(inbox: Path, said: str, words: str) -> None:
    """In words; the scans wait. No file outside of inbox and outbox is opened, by no way."""
    album = inbox / "album"
    save(album / "scan.png", color_scene(60, 80))
    save(album / ".gray.png", gray_scene(60, 80))
    (album / ".broken.png").write_bytes((album / "scan.png").read_bytes()[:-100])
    (album / ".text").write_text("words")
    (album / ".link.png").symlink_to(save(inbox.parent / "outside.png", color_scene(60, 80)))
    like(inbox, said)
    (problem,) = refused(inbox).problems

    assert words in problem

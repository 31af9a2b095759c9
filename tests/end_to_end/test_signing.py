"""Content credentials, and a label that is off, as the real command has them."""

import json
from dataclasses import dataclass
from pathlib import Path

import c2pa
import imagecodecs
import pytest

from service.storage.sidecar import read_sidecar
from tests.support.certificates import Signer, make_signer
from tests.support.command import HASTY, Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

KINDS = {
    "a.tif": "image/tiff",
    "b.jpg": "image/jpeg",
    "c.png": "image/png",
    "d.webp": "image/webp",
}
UNSIGNED = "e.jp2"


@dataclass
class Story:
    """A run that is over, and who signed."""

    home: Home
    command: Command
    signer: Signer


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Color a scan of each kind that can be signed, and one that cannot, without a label."""
    folder = tmp_path_factory.mktemp("signed")
    signer = make_signer(folder)
    signing = f"credentials:\n  certificate: {signer.certificate}\n  key: {signer.key}\n"
    home = Home(folder / "home", f"{HASTY}{signing}output:\n  label: false\n")
    for n, name in enumerate(KINDS):
        home.drop(name, gray_scene(64, 80, seed=n))
    scan = imagecodecs.jpeg2k_encode(gray_scene(64, 80), codecformat="jp2", reversible=True)
    (home.inbox / UNSIGNED).write_bytes(scan)
    with home.start("run", "--once") as command:
        assert 0 == command.exit_code(), command.said
    return Story(home, command, signer)


@pytest.mark.parametrize("name", KINDS)
def test_a_delivered_photo_is_signed_and_trusted(story: Story, name: str) -> None:
    """By the reference reader; the scan is its parent, and its sidecar knows the signed file."""
    trusting = {"trust": {"user_anchors": story.signer.authority}, "verify": {"verify_trust": True}}
    with (
        (story.home.outbox / name).open("rb") as file,
        c2pa.Context.from_dict(trusting) as context,
        c2pa.Reader(KINDS[name], file, context=context) as reader,
    ):
        store = json.loads(reader.json())
        state = reader.get_validation_state()
    (parent,) = store["manifests"][store["active_manifest"]]["ingredients"]

    assert "Trusted" == state
    assert (name, "parentOf") == (parent["title"], parent["relationship"])
    assert name in files(story.home.outbox)
    assert f"{name}.json" not in files(story.home.outbox)  # `files` shows sidecars that are wrong


def test_what_cannot_be_signed_is_delivered_and_said(story: Story) -> None:
    """In the log and in its sidecar; nobody takes it for signed."""
    (told,) = story.command.events("photo.left_behind")
    sidecar = read_sidecar(story.home.outbox / f"{UNSIGNED}.json")

    assert UNSIGNED == told["path"]
    assert "content credentials" in told["what"][0]
    assert told["what"] == list(sidecar.lost)


def test_a_label_that_is_off_is_said_at_the_start(story: Story) -> None:
    """Nobody can turn it off in silence."""
    (told,) = story.command.events("label.off")

    assert ("warning", "output.label") == (told["level"], told["key"])


def test_a_signer_that_cannot_sign_is_said_before_any_photo(story: Story, tmp_path: Path) -> None:
    """With both files and what to do; the scans wait where they are."""
    other = make_signer(tmp_path, "other")
    wrong = f"credentials:\n  certificate: {story.signer.certificate}\n  key: {other.key}\n"
    home = Home(tmp_path / "home", HASTY + wrong)
    home.drop("a.tif")
    with home.start("run", "--once") as command:
        code = command.exit_code()

    assert 1 == code
    assert "the key is not that of the certificate" in command.said
    assert ["a.tif"] == files(home.inbox)
    assert not files(home.outbox)

"""Make the folders that tests/end_to_end/test_upgrade.py upgrades, each with a release.

    cd CHECKOUT && .venv/bin/python .../make_release_folder.py ARCHIVE [STORY]

CHECKOUT is one of the release, with its environment. The archives in tests/end_to_end/data are

- release_fb16050.tar.xz: commit fb16050, STORY `release`, which is the default;
- release_8889c82.tar.xz: commit 8889c82, the last whose ledger was in its first form, and which
  wrote no sidecars; STORY `oldest`.

Each holds `home/`, as the release left it; the first has also `answers.json`, what the release's
own commands said of a copy of it, so that a test can ask the new ones the same. No test runs this.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

CHECKOUT = Path.cwd()
sys.path.insert(0, str(CHECKOUT))

from tests import generators, images  # noqa: E402  (as the release named them)
from worker.models import ModelStore  # noqa: E402

PHOTOCHROM = CHECKOUT / ".venv/bin/photochrom"
QUICK = {  # lines of the release's own config.yaml, and what they are here
    "  settle: 2.0": "  settle: 0.3",
    "  settle_shared: 30.0": "  settle_shared: 0.5",
    "  arriving: 600.0": "  arriving: 0",
    "  rescan: 60.0": "  rescan: 1.0",
    "  size: auto": "  size: 2",
    "  render_size: 256": "  render_size: 64",
    "  first_wait: 5.0": "  first_wait: 0.2",
    "  longest_wait: 600.0": "  longest_wait: 0.4",
    "  crop: 192": "  crop: 32",
    "  batch: 16": "  batch: 2",
    "  validation_share: 0.02": "  validation_share: 0.3",
}
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>
 <rdf:li xml:lang="x-default">The harbor in May</rdf:li></rdf:Alt></dc:description>
</rdf:Description></rdf:RDF></x:xmpmeta>
"""
QUESTIONS = [  # in this order, each with the name its answer has
    ("check-config", ["check-config"]),
    ("status", ["status", "--json"]),
    ("find", ["find", "inbox/", "--json"]),
    ("models", ["models", "list", "--json"]),
    ("run", ["run", "--once"]),
    ("status afterwards", ["status", "--json"]),
    ("find afterwards", ["find", "inbox/", "--json"]),
    ("verify afterwards", ["verify", "--json"]),
    ("rebuild", ["rebuild-ledger", "--move-aside", "--json"]),
    ("find rebuilt", ["find", "inbox/", "--json"]),
]


def command(home: Path, *arguments: str, piped: bool = False) -> subprocess.Popen[bytes]:
    """Start the release's photochrom in a folder; its log goes to `log` beside it, or to a pipe."""
    environment = {**os.environ, "PHOTOCHROM_CONFIG": str(home / "config.yaml")}
    with home.with_name("log").open("wb") as log, home.with_name("out").open("wb") as out:
        return subprocess.Popen(
            [PHOTOCHROM, *arguments],
            cwd=home,
            stdout=out,
            stderr=subprocess.PIPE if piped else log,
            env=environment,
        )


def answer(home: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a command to its end; return its exit code, what it printed and the events it logged."""
    code = command(home, *arguments).wait()
    log, out = home.with_name("log").read_text(), home.with_name("out").read_text()
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return {"code": code, "out": out.replace(str(home), "HOME"), "events": events}


def interrupted(home: Path, event: str, number: signal.Signals, *arguments: str) -> None:
    """Run a command until it logs an event, and end it by a signal."""
    process = command(home, *arguments, piped=True)
    assert process.stderr
    assert any(event.encode() in line for line in process.stderr), f"it ended before {event}"
    process.send_signal(number)
    process.communicate()  # what it still logs has to go somewhere


def configure(home: Path) -> None:
    """Write the config.yaml that came with the release, its times shortened."""
    text = (CHECKOUT / "config.yaml").read_text()
    for line, quick in QUICK.items():
        text = text.replace(f"{line}\n", f"{quick}\n")
    (home / "config.yaml").write_text(text)


def publish(home: Path) -> None:
    """Publish two versions of tiny generators, and promote the first."""
    models = ModelStore(home / "state/models")
    for seed in (3, 4):
        models.publish(generators.tiny_generator(seed, 4), {"name": f"tiny {seed}"})
    assert 0 == answer(home, ["models", "promote", "1"])["code"]


def drop(home: Path) -> None:
    """Drop scans of several kinds: with XMP, EXIF, settings of their folder; and a broken one."""
    inbox = home / "inbox"
    for folder in ("album", "postcards"):
        (inbox / folder).mkdir(parents=True)
    images.save(inbox / "album/a.png", images.gray_scene(16, 24))
    (inbox / "album/a.png.xmp").write_text(XMP)
    images.save(inbox / "album/pages.tif", images.gray_scene(24, 16, depth=16, seed=1))
    images.save(inbox / "b.jpg", images.gray_scene(16, 24, seed=2), exif=images.exif_block(6))
    (inbox / "postcards/photochrom.yaml").write_text("even_if_colored: true\n")
    images.save(inbox / "postcards/tinted.png", images.color_scene(24, 24))
    (inbox / "broken.png").write_bytes(b"\x89PNG broken")


def train(home: Path) -> None:
    """Begin a training and stop it; numbers in its checkpoints become zero, to keep them small."""
    photographs = home / "photographs"
    photographs.mkdir()
    for n in range(6):
        images.save(photographs / f"{n}.jpg", images.color_scene(120, 160, seed=n), quality=50)
    arguments = ["photographs", "--steps", "4", "--name", "harbor", "--from", "builtin"]
    interrupted(home, "training.progress", signal.SIGTERM, "train", *arguments)
    training = home / "state/training"
    for path in training.glob("*.npz"):  # there may be best.npz too
        with np.load(path, allow_pickle=False) as saved:
            arrays = {key: saved[key] for key in saved.files}
        about = arrays.pop("about")
        zeros: dict[str, Any] = {key: np.zeros_like(value) for key, value in arrays.items()}
        np.savez_compressed(path, about=about, **zeros)
    for name in ("samples.png", "curves.png"):
        (training / name).unlink()
    shutil.rmtree(training / "photographs")  # a cache, which is made again


def release(home: Path) -> dict[str, Any]:
    """Color, train, promote, and kill the daemon amid its work; return the release's answers."""
    publish(home)
    drop(home)
    assert 3 == answer(home, ["run", "--once"])["code"]  # one was rejected
    train(home)
    assert 0 == answer(home, ["models", "promote", "2"])["code"]
    for n in range(5):
        images.save(home / f"inbox/new{n}.png", images.gray_scene(16, 24, seed=10 + n))
    interrupted(home, "photo.delivered", signal.SIGKILL, "run")
    assert "queued: 2\n" == answer(home, ["recolor", "--folder", "album"])["out"]
    copy = home.with_name("copy") / "home"
    shutil.copytree(home, copy)
    shutil.rmtree(copy / "state/training")
    return {name: answer(copy, arguments) for name, arguments in QUESTIONS}


def oldest(home: Path) -> dict[str, Any]:
    """Color two scans, reject one, and kill the daemon when another is queued."""
    (home / "inbox").mkdir()
    for n in range(2):
        images.save(home / f"inbox/old{n}.png", images.gray_scene(16, 24, seed=n))
    (home / "inbox/broken.png").write_bytes(b"\x89PNG broken")
    assert 3 == answer(home, ["run", "--once"])["code"]
    images.save(home / "inbox/new.png", images.gray_scene(16, 24, seed=10))
    interrupted(home, "photo.queued", signal.SIGKILL, "run")
    return {}


def main(archive: Path, story: str = "release") -> None:
    """Let the release work in a folder, and pack what it left."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        configure(home)
        answers = {"release": release, "oldest": oldest}[story](home)
        Path(folder, "answers.json").write_text(json.dumps(answers, indent=1))
        with tarfile.open(archive, "w:xz") as packed:
            for name in ("home", "answers.json"):
                packed.add(Path(folder, name), name)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), *sys.argv[2:])

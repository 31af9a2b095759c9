"""A folder that an earlier release worked in: this one goes on with it, and nothing is lost.

tests/support/make_release_folder.py made both archives with the releases' own commands. In the
folder of the last release, commit fb16050:

- config.yaml is the one that came with it, with one key that has another name now;
- four scans are colored by version 1, one with XMP beside it and one as its folder's
  photochrom.yaml has it; one scan is rejected; version 2 is promoted;
- the daemon was killed with five more scans in work: one was delivered and not yet moved, one had
  its result and no sidecar (moving the folder orphans that result: the one finding of `verify`);
- two photographs are queued to be colored again;
- a training of four steps was stopped after its first; the numbers in its checkpoint are zeros, to
  keep it small.

The other folder is of commit 8889c82, whose ledger was in its first form, and which wrote no
sidecars: two scans are colored, one is rejected, and the daemon was killed with one queued.
"""

import hashlib
import json
import re
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.ledger.schema import MIGRATIONS
from tests.support.command import Command
from tests.support.folder_listing import files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LONG = 500.0  # seconds, for one command
DATA = Path(__file__).with_name("data")
MAY_DIFFER = {  # keys of answers: of the hour, of the disk, and words for people
    "free",
    "aside",
    "finished_today",
    "finished_last_24h",
    "words",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:+]*")
QUESTIONS = {  # as make_release_folder.py asked them, under the same names
    "check-config": ["check-config"],
    "status": ["status", "--json"],
    "find": ["find", "inbox/", "--json"],
    "models": ["models", "list", "--json"],
    "run": ["run", "--once"],
    "status afterwards": ["status", "--json"],
    "find afterwards": ["find", "inbox/", "--json"],
    "verify afterwards": ["verify", "--json"],
    "recolor": ["recolor", "--folder", "postcards", "--dry-run"],
    "rebuild": ["rebuild-ledger", "--move-aside", "--json"],
    "find rebuilt": ["find", "inbox/", "--json"],
}


@dataclass
class Answer:
    """What a command said."""

    code: int
    out: str
    events: list[dict[str, Any]]


@dataclass
class Upgrade:
    """A release's folder, before and after this version worked in it."""

    home: Path
    before: dict[str, str]  # SHA-256 of each file
    after: dict[str, str]  # the same when the queue was empty
    sidecars_wrong: list[str]
    release: dict[str, Answer]
    now: dict[str, Answer]


def unpacked(commit: str, folder: Path) -> Path:
    """Unpack the folder that a release left."""
    with tarfile.open(DATA / f"release_{commit}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "home"


def digests(home: Path) -> dict[str, str]:
    """Take the SHA-256 of all scans, results and originals, sidecars and notes included."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("inbox", "outbox", "originals", "rejected")
        for path in (home / folder).rglob("*")
        if path.is_file() and not path.name.startswith(".photochrom")
    }


def asked(home: Path, arguments: list[str]) -> Answer:
    """Run a command of this version to its end."""
    with Command(home, arguments) as command:
        code = command.process.wait(LONG)
    lines = [line for line in command.said.splitlines() if line.startswith("{")]
    return Answer(code, command.printed.replace(str(home), "HOME"), [*map(json.loads, lines)])


def put_training_here(home: Path) -> None:
    """Have the stopped training look for its photographs where they were unpacked."""
    made_in = json.loads((home / "outbox/.photochrom").read_text())["state"].removesuffix("/state")
    checkpoint = home / "state/training/checkpoint.npz"
    with np.load(checkpoint, allow_pickle=False) as saved:
        arrays: dict[str, Any] = dict(saved)
    assert made_in in str(arrays["about"])
    arrays["about"] = np.array(str(arrays["about"]).replace(made_in, str(home)))
    np.savez(checkpoint, **arrays)


@pytest.fixture(scope="module")
def upgrade(tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """Ask the commands of this version what the release's own were asked, in the same order."""
    folder = tmp_path_factory.mktemp("upgrade")
    home = unpacked("fb16050", folder)
    said = json.loads((folder / "answers.json").read_text())
    release = {name: Answer(**answer) for name, answer in said.items()}
    before, now = digests(home), {}
    for name, arguments in QUESTIONS.items():
        now[name] = asked(home, arguments)
        if name == "run":
            after, wrong = digests(home), [n for n in files(home / "outbox") if ".json" in n]
    return Upgrade(home, before, after, wrong, release, now)


def told(old: Any, new: Any, where: str = "") -> list[str]:
    """List what an old answer says and a new one does not; keys may have been added."""
    if isinstance(old, dict) and isinstance(new, dict):
        built_in = {"created", "scores"} if old.get("version") == "builtin" else set()
        return [
            line
            for key in old.keys() - MAY_DIFFER - built_in  # the built-in generator is a better one
            for line in told(old[key], new.get(key, "nothing"), f"{where}.{key}")
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            line
            for index, (one, other) in enumerate(zip(old, new, strict=True))
            for line in told(one, other, f"{where}[{index}]")
        ]
    if isinstance(old, str) and isinstance(new, str) and TIME.fullmatch(old):
        return []
    return [] if old == new else [f"{where}: {old!r}, now {new!r}"]


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name != "recolor"])
def test_each_command_answers_as_the_release_did(upgrade: Upgrade, name: str) -> None:
    """The same exit code, and for those that print JSON the same facts."""
    old, new = upgrade.release[name], upgrade.now[name]

    assert old.code == new.code, new
    if old.out.startswith(("{", "[")):
        assert [] == told(json.loads(old.out), json.loads(new.out))


def test_the_work_goes_on_without_a_word(upgrade: Upgrade) -> None:
    """The daemon does what the release would have done; one warning tells of a key's new name."""

    def words(answer: Answer) -> list[tuple[str, str, str]]:
        return sorted((e["event"], e.get("path", ""), e["level"]) for e in answer.events)

    renamed = ("config.warning", "", "warning")  # watch.arriving
    assert sorted([renamed, *words(upgrade.release["run"])]) == words(upgrade.now["run"])
    assert "watch.incomplete_timeout" in upgrade.now["run"].events[0]["reason"]


def test_what_was_queued_is_finished(upgrade: Upgrade) -> None:
    """New scans, and the photographs that were to be colored again; by the promoted version."""
    found = {one["path"]: one for one in json.loads(upgrade.now["find afterwards"].out)}
    album = {"album/a.png", "album/pages.tif"}
    new = {f"new{n}.png" for n in range(5)}

    assert {"finished"} == {found[name]["state"] for name in album | new}
    assert {"2"} == {found[name]["version"] for name in album | new}
    assert "1" == found["b.jpg"]["version"] == found["postcards/tinted.png"]["version"]


def test_nothing_is_lost(upgrade: Upgrade) -> None:
    """Each scan is among the originals; what was finished or rejected lies as it did."""
    originals = {digest for name, digest in upgrade.after.items() if name.startswith("originals/")}
    scans = {
        digest
        for name, digest in upgrade.before.items()
        if name.startswith(("inbox/new", "originals/"))
    }
    results = {
        name: digest
        for name, digest in upgrade.before.items()
        if name.startswith(("outbox/", "rejected/")) and "/album/" not in name
    }

    assert scans <= originals
    assert results.items() <= upgrade.after.items()
    assert [] == [name for name in upgrade.after if name.startswith("inbox/new")]
    assert upgrade.before["outbox/album/a.png"] != upgrade.after["outbox/album/a.png"]


def test_the_sidecars_of_both_are_read(upgrade: Upgrade) -> None:
    """Of all nine results, whichever version wrote them; and the lost ledger is made of them."""
    rebuilt = json.loads(upgrade.now["rebuild"].out)

    assert [] == upgrade.sidecars_wrong
    assert (9, 0, 1) == (rebuilt["finished"], rebuilt["without_sidecar"], rebuilt["rejected"])


def test_what_the_release_colored_can_be_colored_again(upgrade: Upgrade) -> None:
    """One photograph in that folder is of the version before."""
    assert (0, "would be queued: 1\n") == (upgrade.now["recolor"].code, upgrade.now["recolor"].out)


def test_its_training_is_resumed(tmp_path: Path) -> None:
    """From the step it was stopped after, to the end it was begun for."""
    home = unpacked("fb16050", tmp_path)
    put_training_here(home)
    resumed = asked(home, ["train", "--resume"])
    published = [event for event in resumed.events if event["event"] == "training.published"]

    assert 0 == resumed.code, resumed
    assert ["3"] == [event["version"] for event in published]
    card = json.loads((home / "state/models/0003/card.json").read_text())
    assert ("harbor", 4) == (card["name"], card["steps"])


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """Let this version go on with the folder of a release whose ledger was in its first form."""
    home = unpacked("8889c82", tmp_path_factory.mktemp("oldest"))
    before = digests(home)
    names = ("check-config", "status", "run", "find afterwards", "verify afterwards")
    now = {name: asked(home, QUESTIONS[name]) for name in names}
    return Upgrade(home, before, digests(home), files(home / "outbox"), {}, now)


def test_a_ledger_in_its_first_form_is_read_as_it_is(oldest: Upgrade) -> None:
    """By commands that only look, before anybody has written to it."""
    status = json.loads(oldest.now["status"].out)

    assert 0 == oldest.now["check-config"].code == oldest.now["status"].code
    assert {"queued": 1, "started": 0, "finished": 2, "failed": 1} == status["jobs"]


def test_a_ledger_in_its_first_form_is_brought_to_the_last(oldest: Upgrade) -> None:
    """Its queue is finished, and all it knew is known, without a warning."""
    found = json.loads(oldest.now["find afterwards"].out)
    with closing(sqlite3.connect(oldest.home / "state/ledger.sqlite3")) as ledger:
        form = ledger.execute("PRAGMA user_version").fetchone()[0]

    assert 0 == oldest.now["run"].code
    assert {"info"} == {event["level"] for event in oldest.now["run"].events}
    assert len(MIGRATIONS) == form
    assert {
        "old0.png": "finished",
        "old1.png": "finished",
        "broken.png": "failed",
        "new.png": "finished",
    } == {one["path"]: one["state"] for one in found}


def test_the_files_of_the_oldest_release_stay(oldest: Upgrade) -> None:
    """Its results have no sidecars and no digests, which `verify` counts as such."""
    verified = json.loads(oldest.now["verify afterwards"].out)
    expected = {
        name.replace("inbox/new", "originals/new"): digest for name, digest in oldest.before.items()
    }

    assert expected.items() <= oldest.after.items()
    assert 2 == verified["without_digest"], verified

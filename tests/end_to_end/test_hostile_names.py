"""Files with names that no archive should have, through the real daemon; the generator is a fake.

Each is colored exactly once or left alone, its original is whole, and what is said of it is shown
by a terminal and not obeyed.
"""

import hashlib
import io
import json
import os
import re
import socket
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePath

import pytest
from rich.console import Console

from service.cli.status_page import print_status
from service.config.loader import Config
from service.daemon.daemon import Daemon
from service.filesystem.availability import MARKER
from service.filesystem.folder_checks import make_folders
from service.filesystem.safe_open import digest_of, open_dir_beneath, open_regular
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.log import set_up_logging
from service.maintenance.bag import make_bag
from service.maintenance.retry import print_results, retry
from service.maintenance.verify import print_verification, verify
from service.monitoring.heartbeat import read_heartbeat
from service.monitoring.status_reader import read_status
from service.storage.sidecar import read_sidecar, sidecar_name
from tests.support.fake_device_daemon import config_of
from tests.support.fakes import FakeColorist
from tests.support.synthetic_photos import encoded, gray_scene
from worker.errors import DeviceError

pytestmark = pytest.mark.timeout(120)

DEEP = PurePath(*["d" * 255] * 14)  # 3,584 bytes; with the inbox's own path near PATH_MAX, 4,096
LONGEST_PATH = 4095  # bytes: PATH_MAX but for the NUL
FAKE_LINE = "a\n2026-01-01T00:00:00Z [info     ] photo.delivered job=1.png"
NAMES = [
    *("a..png", "C:\\a.png", "a\\..\\..\\etc\\passwd.png", "%2e%2e%2fa.png", "a/b..c/d../e.png"),
    *("-rf.png", "--help.png", "-.png", "--config=evil.png", "@file.png", "=cmd.png"),
    *("\x01.png", "tab\t.png", "bell\x07.png", "back\x08space.png", "delete\x7f.png"),
    *("new\nline.png", "return\r.png", FAKE_LINE, "ends\n.png"),
    *("\x1b[2Jclear.png", "\x1b]0;title\x07.png", "\x9b31mred.png", "\x1b[31m\x1b[1A.png"),
    *("caf\udce9.png", "\udcff\udcfe.png", "mixed-é-\udce9.png"),
    *("%s%n%d.png", "%.png", "$(reboot).png", "`id`.png", "$HOME.png", "a;b&c|d.png", "*?[a].png"),
    *("'.png", '".png', "a'b\"c.png", "{}.png", "{0}.png", "[bold]b[/bold].png", "[/].png"),
    *(" a.png", "a .png", "  .png", "a. .png", "\u00a0.png", "\u3000.png"),
    *("\u202egnp.a.png", "\u200b.png", "a\u200d\u2066b.png", "\ufeffa.png", "שלום.png"),
    *("caf\u00e9.png", "cafe\u0301.png", "写真.png", "😀.png", "a\u2028b.png"),
    *("case.png", "CASE.png", "Case.PNG", "case.PNG"),
    *("x" * 251 + ".png", "é" * 125 + "x.png", "y" * 246 + ".json.png", "CON.png", "nul.png"),
    *("folder.png/a.png", "a.png.json.png", "a.reason.txt.png", "~a/b.png"),
    str(DEEP / ("z" * 251 + ".png")),
]
BAD = ["bad\x1b[2J.png", "bad\n.png", "bad-\udce9.png", "b" * 251 + ".png", str(DEEP / "bad.png")]
ODD = "odd\x1b[2J-\udce9.png"
HIDDEN = [
    "..png",
    "...png",
    "....png",
    "..\\..\\etc\\passwd.png",
]  # Unix hides what begins with "."
LEFT_ALONE = ["fifo.png", "zero.png", "socket.png", "out.png", "self.png", "gone.png", "dir.png"]


@dataclass
class Done:
    """What came of it.

    Attributes:
        config: the folders.
        digests: of what was dropped, by name.
        jobs: all there are.
        terminal: what a terminal was told by the log.
    """

    config: Config
    digests: dict[str, str]
    jobs: list[Job]
    terminal: str

    @property
    def finished(self) -> list[Job]:
        """Those that were colored."""
        return [job for job in self.jobs if job.status is JobStatus.FINISHED]


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        """Say yes."""
        return True


def put(folder: Path, name: str, content: bytes) -> str:
    """Drop a file, however long its path; return its digest."""
    path = PurePath(name)
    with open_dir_beneath(folder, path.parent, make=True) as place:
        (place / path.name).write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """Return the digest of each file in a folder, by its name there, however long its path.

    The one is left out by which photochrom knows the folder again.
    """
    digests = {}
    for parent, _folders, names, descriptor in os.fwalk(folder):
        for name in names:
            with open_regular(Path(f"/proc/self/fd/{descriptor}", name)) as file:
                digests[str(PurePath(parent, name).relative_to(folder))] = digest_of(file)
    digests.pop(MARKER, None)
    return digests


def drop_all(inbox: Path) -> dict[str, str]:
    """Drop everything; each photo is another."""
    digests = {}
    for number, name in enumerate(NAMES):
        content = encoded("PNG", gray_scene(8 + number % 7, 16 + number // 7))
        digests[name] = put(inbox, name, content)
    for number, name in enumerate(BAD):
        digests[name] = put(inbox, name, b"no photo, " + bytes([number]))
    for name in HIDDEN:
        put(inbox, name, b"hidden")
    return digests


def drop_what_is_no_file(inbox: Path, elsewhere: Path) -> None:
    """Drop what is to be left alone, under names of photos."""
    os.mkfifo(inbox / "fifo.png")
    os.mknod(inbox / "zero.png", 0o20666, os.makedev(1, 5))
    with socket.socket(socket.AF_UNIX) as server, open_dir_beneath(inbox, PurePath()) as short:
        server.bind(str(short / "socket.png"))
    (inbox / "out.png").symlink_to(elsewhere / "secret.png")
    (inbox / "self.png").symlink_to("self.png")
    (inbox / "gone.png").symlink_to("nowhere.png")
    (inbox / "dir.png").symlink_to(elsewhere)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Let a daemon do everything, with its log on a terminal."""
    home = tmp_path_factory.mktemp("names")
    config = config_of(home)
    make_folders(config.folders.values())
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, "secret.png", encoded("PNG", gray_scene(40, 40)))
    digests = drop_all(config.inbox)
    os.link(config.inbox / "case.png", config.inbox / "hard-link.png")
    digests["hard-link.png"] = digests["case.png"]
    drop_what_is_no_file(config.inbox, elsewhere)
    terminal = Terminal()
    set_up_logging("info", "console", terminal)
    Daemon(config, FakeColorist(batch_size=8), once=True).run()
    with Ledger(config.state / LEDGER_FILE) as ledger:
        jobs = [job for job in map(ledger.queries.job, range(1, 1000)) if job]
    return Done(config, digests, jobs, terminal.getvalue())


def on_terminal(text: str) -> str:
    """Take rich's and the log's own colors away; fail where anything else would be obeyed."""
    bare = re.sub(r"\x1b\[[0-9;]*m", "", text)
    bad = {one for one in bare if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}

    assert bad <= {"\n"}
    return bare


def test_each_is_a_job_that_came_to_its_end(done: Done) -> None:
    """One job for each name; what can be decoded is finished, what cannot is rejected."""
    failed = {str(job.path) for job in done.jobs if job.status is JobStatus.FAILED}

    assert len(done.digests) == len(done.jobs)
    assert done.digests == {str(job.path): job.digest for job in done.jobs}
    assert set(BAD) == failed
    assert {JobStatus.FINISHED, JobStatus.FAILED} == {job.status for job in done.jobs}


def test_each_photo_is_delivered_once_with_its_sidecar(done: Done) -> None:
    """No two share a name, none lies outside, and nothing unfinished is left."""
    names = [job.output for job in done.finished]
    expected = {str(name) for name in names} | {str(sidecar_name(name)) for name in names}

    assert len(done.digests) - len(BAD) == len(set(names)) == len(names)
    assert expected == digests_of(done.config.outbox).keys()


def test_each_sidecar_tells_of_its_photo(done: Done) -> None:
    """Byte by byte the name it had; and in letters that a terminal only shows."""
    for job in done.finished:
        name = sidecar_name(job.output)
        with open_dir_beneath(done.config.outbox, name.parent) as folder:
            said = read_sidecar(folder / name.name)
            text = (folder / name.name).read_text(encoding="utf-8")
        on_terminal(text)

        assert (job.path, job.output) == (said.source.name, said.output.name)
        assert job.digest == said.source.sha256


def test_every_original_is_whole(done: Done) -> None:
    """Among the originals, or among the rejected with a reason beside it."""
    originals, rejected = digests_of(done.config.originals.folder), digests_of(done.config.rejected)
    reasons = {name for name in rejected if name.endswith(".reason.txt")}
    kept = [*originals.values(), *(rejected[name] for name in rejected.keys() - reasons)]

    assert sorted(done.digests.values()) == sorted(kept)
    assert len(BAD) == len(reasons)


def test_what_is_no_plain_file_is_left_alone(done: Done) -> None:
    """Where it was, as it was; and what it led to."""
    there = [one for one in done.config.inbox.iterdir() if one.is_symlink() or not one.is_dir()]

    assert sorted([*LEFT_ALONE, *HIDDEN, MARKER]) == sorted(path.name for path in there)
    assert (done.config.inbox.parent / "elsewhere/secret.png").exists()


def test_the_log_on_a_terminal_paints_nothing(done: Done) -> None:
    """And each of its lines is its own."""
    lines = on_terminal(done.terminal).splitlines()
    stamp = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[(info|warning) ")

    assert [] == [line for line in lines if not stamp.match(line)]
    assert len(done.finished) == sum(
        " photo.delivered " in line.split("path=")[0] for line in lines
    )


def test_status_paints_nothing(done: Done) -> None:
    """For people, and as JSON, which has the names as they are but for bytes that are no text."""
    screen = Terminal()
    status = read_status(done.config)
    print_status(status, Console(file=screen, force_terminal=True, width=100))
    shown = on_terminal(screen.getvalue())
    for_programs = json.dumps(status.model_dump())

    assert r"bad\x1b[2J.png" in shown
    assert r"bad\n.png" in shown
    assert for_programs.isprintable()
    assert set(BAD) == {one["path"] for one in json.loads(for_programs)["rejected"]}


def test_verify_finds_all_in_order_and_paints_nothing(done: Done, tmp_path: Path) -> None:
    """Then what is missing is named harmlessly."""
    screen = Terminal()
    found = verify(done.config, lambda *_: None)
    assert [] == list(found.findings)
    victim = next(job for job in done.jobs if str(job.path) == FAKE_LINE)
    aside = tmp_path / "aside"
    (done.config.outbox / victim.output).rename(aside)
    print_verification(verify(done.config, lambda *_: None), Console(file=screen, width=100))
    aside.rename(done.config.outbox / victim.output)
    shown = on_terminal(screen.getvalue())

    assert r"output missing: a\n2026-01-01T00:00:00Z [info     ] photo.delivered" in shown


def test_a_bag_holds_them(done: Done, tmp_path: Path) -> None:
    """And is valid, since each is read again; names that are not UTF-8 are written out."""
    made = make_bag(done.config, tmp_path / "bag", lambda *_: None)

    assert len(done.finished) == made.photos


def test_retry_brings_rejected_ones_back_and_paints_nothing(done: Done) -> None:
    """By whatever name; the next life rejects them again."""
    screen = Terminal()
    answers = retry(done.config, rejected=True)
    print_results(answers, Console(file=screen, width=100))
    shown = on_terminal(screen.getvalue())
    Daemon(done.config, FakeColorist(), once=True).run()

    assert [True] * len(BAD) == [answer.done for answer in answers]
    assert r"bad\x1b[2J.png" in shown
    jobs = read_status(done.config).jobs
    assert jobs
    assert len(BAD) == jobs[JobStatus.FAILED]


def test_a_path_too_long_for_the_other_folders_holds_up_nothing(tmp_path: Path) -> None:
    """The longest that can be dropped; the outbox has a longer name than the inbox."""
    config = config_of(tmp_path)
    make_folders(config.folders.values())
    room = LONGEST_PATH - len(os.fsencode(config.inbox / DEEP / "e/e/w.png"))
    name = DEEP / ("e" * (1 + room // 2)) / ("e" * (1 + room - room // 2)) / "w.png"
    put(config.inbox, str(name), encoded("PNG", gray_scene(8, 9)))
    put(config.inbox, "a.png", encoded("PNG", gray_scene(9, 8)))
    Daemon(config, FakeColorist(), once=True).run()

    assert LONGEST_PATH == len(os.fsencode(config.inbox / name))
    assert {"a.png", "a.png.json", str(name), f"{name}.json"} == digests_of(config.outbox).keys()
    assert {"a.png", str(name)} == digests_of(config.originals.folder).keys()
    assert {} == digests_of(config.inbox)


def test_a_fault_that_names_a_hostile_file_stops_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes into the log, the heartbeat, the status; JSON and the terminal can take it."""
    config = config_of(tmp_path)
    make_folders(config.folders.values())
    put(config.inbox, ODD, encoded("PNG", gray_scene(8, 9)))
    told: list[str] = []

    def failing(file: io.FileIO) -> str:
        beat = read_heartbeat(config.state)
        if beat is None or not beat.reasons:
            raise DeviceError(f"{file.name} cannot be read now: Input/output error")
        told.extend(beat.reasons)
        return digest_of(file)

    monkeypatch.setattr("service.pipeline.intake.digest_of", failing)
    terminal = Terminal()
    set_up_logging("info", "console", terminal)
    Daemon(config, FakeColorist(), once=True).run()

    assert [ODD, f"{ODD}.json"] == sorted(digests_of(config.outbox))
    assert r"odd\x1b[2J-\udce9.png cannot be read now" in " ".join(told)
    assert "daemon.held_up" in on_terminal(terminal.getvalue())

"""Promises of the command line that need no generator: each test starts the real command."""

import json
import logging
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from service.cli import main
from service.config.loader import ConfigError
from service.ledger.ledger import LEDGER_FILE, Ledger
from tests.support.command import ordinary_prefix
from tests.support.synthetic_photos import gray_scene, save
from worker.errors import ModelError

PHOTOCHROM = Path(sys.executable).with_name("photochrom")
WITHOUT_TENSORFLOW = """
import sys
from service.cli.main import main
sys.argv[0] = "photochrom"
try:
    main()
finally:
    loaded = {"tensorflow", "keras", "numpy", "cv2", "PIL"} & set(sys.modules)
    print("loaded:", sorted(loaded), file=sys.stderr)
"""
WRONG = """\
inbox: inbox
outbox: inbox/out
stat: state
watch:
  settle: fast
  polling: sometimes
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a folder with the shortest configuration."""
    (tmp_path / "config.yaml").write_text("log: {level: info}\n")
    return tmp_path


def photochrom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, without a terminal."""
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    environment.pop("PHOTOCHROM_CONFIG", None)
    return subprocess.run(
        [PHOTOCHROM, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    """With its name, as every command prints it."""
    done = photochrom(tmp_path, "--version")

    assert 0 == done.returncode
    assert f"photochrom {version('photochrom')}\n" == done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_the_help_names_every_command(tmp_path: Path, arguments: list[str]) -> None:
    """Also when nothing was asked."""
    done = photochrom(tmp_path, *arguments)

    commands = ("run", "colorize", "recolor", "train", "status", "check-config", "--version")
    for command in commands:
        assert command in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["--help", "status", "check-config", "run --help", "recolor --folder album"]
)
def test_tensorflow_is_not_loaded_for_a_quick_answer(home: Path, command: str) -> None:
    """Nor anything else that knows pixels."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *command.split()],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode
    assert "loaded: []" == done.stderr.strip()


class TestTheConfiguration:
    """Is checked before anything else."""

    def test_a_right_one_is_confirmed(self, home: Path) -> None:
        """With the folders, as they will be; none is made."""
        done = photochrom(home, "check-config")

        assert (0, "") == (done.returncode, done.stderr)
        assert f"{home / 'inbox'}" in done.stdout
        assert f"{home / 'outbox'}" in done.stdout
        assert ["config.yaml"] == [path.name for path in home.iterdir()]

    @pytest.mark.parametrize("command", ["check-config", "run", "run --once"])
    def test_every_mistake_is_printed_at_once(self, home: Path, command: str) -> None:
        """With file, line and key, in the order of the lines; the exit code is 78."""
        (home / "config.yaml").write_text(WRONG)
        done = photochrom(home, *command.split())

        assert 78 == done.returncode
        starts = [
            "config.yaml:2: outbox: is inside the inbox",
            "config.yaml:3: stat: unknown key; did you mean state?",
            "config.yaml:5: watch.settle: must be a number of seconds, not 'fast'",
            "config.yaml:6: watch.polling: must be auto, always or never, not 'sometimes'",
        ]
        lines = done.stderr.splitlines()
        assert len(starts) == len(lines)
        assert all(line.startswith(start) for start, line in zip(starts, lines, strict=True))
        assert ["config.yaml"] == [path.name for path in home.iterdir()]

    def test_an_old_key_is_a_warning(self, home: Path) -> None:
        """It works, and the answer says what it is called now."""
        (home / "config.yaml").write_text("watch:\n  arriving: 5\n")
        done = photochrom(home, "check-config")

        assert 0 == done.returncode
        assert (
            "warning: config.yaml:2: watch.arriving: is now called watch.incomplete_timeout\n"
            == done.stderr
        )

    def test_a_missing_one_is_a_mistake(self, tmp_path: Path) -> None:
        """It is not taken for an empty one, and says what is missing."""
        for command in ("run", "check-config", "status"):
            done = photochrom(tmp_path, command, "--config", "nowhere.yaml")

            assert 78 == done.returncode
            assert "nowhere.yaml: cannot be read: No such file or directory\n" == done.stderr

    def test_another_file_can_be_named(self, home: Path) -> None:
        """Its folders are beside it."""
        other = home / "elsewhere"
        other.mkdir()
        (home / "config.yaml").rename(other / "mine.yaml")
        done = photochrom(home, "check-config", "--config", "elsewhere/mine.yaml")

        assert 0 == done.returncode
        assert f"{other / 'inbox'}" in done.stdout


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (
            OSError(28, "No space left on device"),
            1,
            "photochrom: [Errno 28] No space left on device",
        ),
        (ModelError("there is no version 7"), 1, "photochrom: there is no version 7"),
        (
            ConfigError(["config.yaml:1: a: b", "config.yaml:2: c: d"]),
            78,
            "config.yaml:1: a: b\nconfig.yaml:2: c: d",
        ),
    ],
)
def test_every_known_fault_ends_in_plain_words(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: Exception,
    code: int,
    words: str,
) -> None:
    """And in an exit code, never in a traceback."""

    def failing() -> None:
        raise fault

    monkeypatch.setattr(main, "app", failing)
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: capture)
    with pytest.raises(SystemExit) as ended:
        main.main()

    assert code == ended.value.code
    assert f"{words}\n" == capsys.readouterr().err


class TestStatus:
    """Is there before, during and after the work."""

    def test_before_the_first_run(self, home: Path) -> None:
        """Everything is nothing."""
        done = photochrom(home, "status", "--json")
        status = json.loads(done.stdout)

        assert 0 == done.returncode
        assert status["running"] is None
        assert {"queued": 0, "started": 0, "finished": 0, "failed": 0} == status["jobs"]
        assert "photochrom is not running" in photochrom(home, "status").stdout

    def test_of_a_ledger_that_is_damaged(self, home: Path) -> None:
        """One plain sentence, not a traceback."""
        (home / "state").mkdir()
        (home / "state" / LEDGER_FILE).write_bytes(b"this is no database" * 1000)
        done = photochrom(home, "status")

        assert 1 == done.returncode
        assert 1 == len(done.stderr.splitlines())
        assert done.stderr.startswith("photochrom: the ledger ")
        assert "is damaged" in done.stderr

    def test_after_a_run(self, home: Path) -> None:
        """With what is left alone in the inbox."""
        (home / "state").mkdir()
        (home / "inbox").mkdir()
        (home / "inbox" / "notes.txt").touch()
        Ledger(home / "state" / LEDGER_FILE).close()
        status = json.loads(photochrom(home, "status", "--json").stdout)

        assert [str(home / "inbox" / "notes.txt")] == status["left_alone"]


class TestJson:
    """Standard output holds JSON and nothing else; log lines go to standard error."""

    @pytest.fixture
    def home(self, home: Path) -> Path:
        """Make an inbox of odd names, with a folder that nobody may open."""
        inbox = home / "inbox"
        inbox.mkdir()
        (inbox / "Müller.txt").touch()
        (inbox / os.fsdecode(b"caf\xe9.txt")).touch()
        (inbox / "a\u202e\x9b\x1b[2J.txt").touch()
        (inbox / "Köln 東京").mkdir(mode=0o000)
        return home

    def status(self, home: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
        """Run `status --json` as somebody whom modes bind."""
        return subprocess.run(
            [*ordinary_prefix(), PHOTOCHROM, "status", "--json"],
            cwd=home,
            env={**os.environ, "NO_COLOR": "1", **environment},
            capture_output=True,
            timeout=60,
            check=True,
        )

    def names(self, home: Path) -> set[str]:
        """Return the paths of what is left alone in the inbox."""
        return {str(path) for path in (home / "inbox").iterdir() if path.suffix}

    def test_a_log_line_never_gets_into_it(self, home: Path) -> None:
        """The unreadable folder is told on standard error, as JSON of its own."""
        done = self.status(home)
        (line,) = [json.loads(line) for line in done.stderr.decode().splitlines()]

        assert self.names(home) == set(json.loads(done.stdout)["left_alone"])
        assert "inbox.unreadable" == line["event"]
        assert str(home / "inbox" / "Köln 東京") in line["folder"]

    @pytest.mark.parametrize(
        "command",
        ["status --all --json", "verify --json", "find --json Müller", "models list --json"],
    )
    def test_every_command_answers_in_json_alone(self, home: Path, command: str) -> None:
        """Whatever else there is to say, and whatever the exit code, is on standard error."""
        (home / "state").mkdir()
        Ledger(home / "state" / LEDGER_FILE).close()
        done = photochrom(home, *command.split())

        assert isinstance(json.loads(done.stdout), dict | list)
        assert "Traceback" not in done.stderr

    def test_a_search_finds_names_in_every_script(self, home: Path) -> None:
        """In the answer and in the log, byte for byte; what a terminal obeys is written out."""
        done = self.status(home)

        assert "Müller.txt".encode() in done.stdout
        assert "Köln 東京".encode() in done.stderr
        assert rb"caf\udce9.txt" in done.stdout
        assert rb"a\u202e\u009b\u001b[2J.txt" in done.stdout
        assert done.stdout.decode().replace("\n", "").isprintable()

    def test_where_an_encoding_has_no_sign_it_is_still_json(self, home: Path) -> None:
        """An old locale costs readability, and no answer."""
        done = self.status(home, PYTHONIOENCODING="ascii")

        assert done.stdout.isascii()
        assert self.names(home) == set(json.loads(done.stdout)["left_alone"])
        assert done.stderr.isascii()
        assert "Köln 東京" in json.loads(done.stderr)["folder"]


class TestRefusals:
    """A command that cannot do what is asked says so before it loads anything."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["train"],
            ["train", "."],
            ["train", ".", "--steps", "1", "--minutes", "1"],
            ["train", "--steps", "1"],
            ["train", ".", "--steps", "1", "--until-plateau"],
            ["train", ".", "--dry-run", "--steps", "1"],
            ["train", "--dry-run"],
        ],
    )
    def test_training_wants_folders_and_an_end(self, home: Path, arguments: list[str]) -> None:
        """One of a time, a number of steps and a plateau; none where nothing is trained."""
        done = photochrom(home, *arguments)

        assert 2 == done.returncode
        assert "give folders of color photographs" in done.stderr

    @pytest.mark.parametrize("more", [["."], ["--steps", "1"], ["--name", "x"], ["--dry-run"]])
    def test_a_training_is_resumed_as_it_was_begun(self, home: Path, more: list[str]) -> None:
        """What it would not heed is refused instead of being left unheeded."""
        done = photochrom(home, "train", "--resume", *more)

        assert 2 == done.returncode
        assert "--resume" in done.stderr

    def test_check_config_tries_the_reference_set(self, home: Path) -> None:
        """With its line; the daemon needs none and starts without it."""
        (home / "config.yaml").write_text("training:\n  reference: gone\n")
        done = photochrom(home, "check-config")

        assert 78 == done.returncode
        assert (
            f"config.yaml:2: training.reference: is not a folder ({home / 'gone'})" in done.stderr
        )

    def test_training_wants_folders_that_are_there(self, home: Path) -> None:
        """The missing one is named."""
        done = photochrom(home, "train", "nowhere", "--steps", "1")

        assert 2 == done.returncode
        assert "nowhere" in done.stderr

    def test_an_unknown_file_cannot_be_colored(self, home: Path) -> None:
        """It is named, and nothing is colored."""
        save(home / "a.png", gray_scene(24, 32))
        done = photochrom(home, "colorize", "a.png", "nowhere.png", "--out", "out")

        assert 2 == done.returncode
        assert "nowhere.png" in done.stderr
        assert not (home / "out").exists()

    def test_coloring_files_wants_a_folder_for_them(self, home: Path) -> None:
        """It is never guessed."""
        save(home / "a.png", gray_scene(24, 32))

        assert 2 == photochrom(home, "colorize", "a.png").returncode

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (
                ["--point", "120,340=red"],
                "'120,340=red' must be X,Y=#rrggbb, such as 120,340=#7a1f2b",
            ),
            (["--vividness", "101"], "should be less than or equal to 100"),
            (["--warmth", "-51"], "should be greater than or equal to -50"),
            (["--variants", "5"], "should be less than or equal to 4"),
            (["--like", "none.jpg"], "--like: none.jpg: No such file or directory"),
            (["--like", "a.png"], "--like: a.png: it has no color, so nothing can be colored"),
            (["--like", "config.yaml"], "--like: config.yaml: photochrom does not read .yaml"),
        ],
    )
    def test_impossible_wishes_of_colors_are_told(
        self, home: Path, arguments: list[str], words: str
    ) -> None:
        """Before anything is loaded or colored."""
        save(home / "a.png", gray_scene(24, 32))
        done = photochrom(home, "colorize", "a.png", "--out", "out", *arguments)

        assert 2 == done.returncode
        assert words in " ".join(done.stderr.replace("│", "").split())
        assert not (home / "out").exists()

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--vividness", "70"], "wishes of colors need jobs or files"),
            (["7", "--vividness", "70", "--dry-run"], "and no other options"),
            (["7", "--point", "1,2=#000000"], "no photograph has this number or path: 7"),
            (["--like", "a.jpg"], "wishes of colors need jobs or files"),
            (["7", "--like", "a.jpg"], "--like: a.jpg: No such file or directory"),
            (["7", "--like", "none"], "no photograph has this number or path: 7"),
        ],
    )
    def test_recoloring_with_wishes_wants_photographs(
        self, home: Path, arguments: list[str], words: str
    ) -> None:
        """Of all that another version colored, nobody knows the color of a coat."""
        done = photochrom(home, "recolor", *arguments)

        assert 2 == done.returncode
        assert words in " ".join(done.stderr.replace("│", "").split())

    def test_folders_that_cannot_be_made_are_no_riddle(self, home: Path) -> None:
        """Found with the mistakes of the configuration."""
        (home / "outbox").write_text("a file")
        done = photochrom(home, "run")

        assert 78 == done.returncode
        assert "is not a folder" in done.stderr

    def test_without_its_state_a_service_is_to_be_tried_again(self, home: Path) -> None:
        """Exit code 1, on which systemd restarts: only the state knows which folders were used."""
        (home / "state").write_text("a file")
        done = photochrom(home, "run")

        assert 1 == done.returncode
        assert "cannot create " in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--folder", "../outbox"], 2, "../outbox is not in the inbox"),
            (["--folder", "/elsewhere"], 2, "/elsewhere is not in the inbox"),
            (["--older-than", "latest"], 1, "there is no version 'latest'"),
        ],
    )
    def test_recoloring_wants_a_folder_of_the_inbox_and_a_version(
        self, home: Path, arguments: list[str], code: int, words: str
    ) -> None:
        """Each mistake is named."""
        done = photochrom(home, "recolor", *arguments)

        assert code == done.returncode
        assert words in " ".join(done.stderr.replace("│", "").split())

"""config.yaml is read whole, and every mistake in it is told at once with its line."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
import yaml
from pydantic import BaseModel, ValidationError

from service.config.loader import RENAMED, Config, ConfigError, check_config, load_config
from service.config.sections import Metrics, Review
from service.filesystem.availability import NOTED
from worker.metadata.credentials import CredentialSettings
from worker.settings import (
    ColorSettings,
    MarkSettings,
    ReadSettings,
    TrainSettings,
    WriteSettings,
)

NAMES = (
    'a list of name patterns, such as ["*_preview.tif", "drafts/"], with no slash except at the end'
)
PROJECT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Name a configuration file in an empty folder."""
    return tmp_path / "config.yaml"


def mistakes(file: Path, text: str) -> list[str]:
    """Load a wrong configuration and return what is said of it, without the file's folder."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return [problem.removeprefix(f"{file.parent}/") for problem in caught.value.problems]


def settings_of(model: type[BaseModel]) -> dict[str, object]:
    """Return the fields of a model, those of its sections below them."""
    return {
        name: settings_of(field.annotation)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        else None
        for name, field in model.model_fields.items()
    }


def test_the_projects_config_is_the_defaults() -> None:
    """What it shows is what happens without it."""
    assert Config().beside(PROJECT) == load_config(PROJECT / "config.yaml")


def test_every_setting_is_in_the_projects_config() -> None:
    """None is hidden."""
    shown = yaml.safe_load((PROJECT / "config.yaml").read_text())
    names = {
        key: dict.fromkeys(value) if isinstance(value, dict) else None
        for key, value in shown.items()
    }

    assert settings_of(Config) == names


def test_every_setting_says_what_it_accepts() -> None:
    """Else a wrong value would be answered with nothing."""
    for section in [Config, *(type(getattr(Config(), name)) for name in Config.model_fields)]:
        if issubclass(section, BaseModel):
            for name, field in section.model_fields.items():
                if not isinstance(field.default, BaseModel):
                    assert field.description, name


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "watch:\nlog:\n"])
def test_an_empty_file_or_section_is_all_defaults(file: Path, text: str) -> None:
    """A setting that is commented out has its default."""
    file.write_text(text)

    assert Config().beside(file.parent) == load_config(file)


def test_folders_are_beside_the_file_unless_they_say_otherwise(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, absolute, and in the home folder."""
    monkeypatch.setenv("HOME", "/home/me")
    file.write_text("inbox: in\noutbox: /srv/out\noriginals: {folder: ~/originals}\n")
    config = load_config(file)

    assert file.parent / "in" == config.inbox
    assert Path("/srv/out") == config.outbox
    assert Path("/home/me/originals") == config.originals.folder
    assert file.parent / "state" == config.state


def test_review_hold_is_short_for_its_mode(file: Path) -> None:
    """Results wait beside the other folders; without holding, there is no such folder."""
    file.write_text("review: hold")
    held = load_config(file)
    file.write_text("review: {hold_below: 0.3, folder: doubtful}")
    doubtful = load_config(file)
    file.write_text("review: after")

    assert (file.parent / "held", "hold") == (held.folders["review.folder"], held.review.mode)
    assert file.parent / "doubtful" == doubtful.folders["review.folder"]
    assert "review.folder" not in load_config(file).folders


@pytest.mark.parametrize(
    ("review", "holds"),
    [
        (Review(), [False, False, False]),
        (Review(mode="hold"), [True, True, True]),
        (Review(hold_below=0.3), [False, True, True]),
        (Review(hold_below=0.0), [False, False, True]),
    ],
)
def test_doubtful_results_are_held(review: Review, holds: list[bool]) -> None:
    """Below the limit, and where nobody knows."""
    assert holds == [review.holds(confidence) for confidence in (0.3, 0.29, None)]


def test_a_relative_file_has_absolute_folders(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a later change of folder does no harm."""
    file.touch()
    monkeypatch.chdir(file.parent)

    assert file.parent / "inbox" == load_config(Path("config.yaml")).inbox


def test_every_mistake_is_told_at_once_with_its_line_and_key(file: Path) -> None:
    """In the order of the lines."""
    text = """\
inbox: 5
watch:
  settle: 2
  rescan: 0.1
  poling: auto
  settle: soon
batch: {size: 0}
model: {version: x, render_size: 100}
orignals: {}
log: 7
"""

    assert [
        "config.yaml:1: inbox: must be the path of a folder, not '5'",
        "config.yaml:4: watch.rescan: must be a number of seconds, 1 or more, not '0.1'",
        "config.yaml:5: watch.poling: unknown key; did you mean polling?",
        "config.yaml:6: watch.settle: duplicate key, first on line 3",
        "config.yaml:6: watch.settle: must be a number of seconds, not 'soon'",
        "config.yaml:7: batch.size: must be auto or a whole number, 1 or more, not '0'",
        "config.yaml:8: model.render_size: must be a multiple of 32 from 32 to 512, not '100'",
        "config.yaml:8: model.version: must be promoted, builtin or a version number, not 'x'",
        "config.yaml:9: orignals: unknown key; did you mean originals?",
        "config.yaml:10: log: must be a section with level, format, not '7'",
    ] == mistakes(file, text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ("1: watch.polling: must be auto, always or never, not 'no'", "watch: {polling: no}"),
        *(
            (
                f"1: watch.ignore: must be {NAMES}, not 'a list or section'",
                f"watch: {{ignore: {x}}}",
            )
            for x in ("[a/b]", "[/]", "['']", "[7]")
        ),
        ("1: watch.settle: must be a number of seconds, not '2'", "watch: {settle: '2'}"),
        ("1: watch.settle: must be a number of seconds, not 'yes'", "watch: {settle: yes}"),
        ("1: watch.settle: must be a number of seconds, not '.inf'", "watch: {settle: .inf}"),
        ("1: watch.settle: must be a number of seconds, not '-1'", "watch: {settle: -1}"),
        ("1: watch.settle: must be a number of seconds, not empty", "watch: {settle: }"),
        ("1: output.label: must be true or false, not '1'", "output: {label: 1}"),
        (
            "1: output.profile: must be srgb, adobe-rgb or display-p3, not 'AdobeRGB'",
            "output: {profile: AdobeRGB}",
        ),
        ("1: output.credit: must be a line of text, not '5'", "output: {credit: 5}"),
        ("1: output.credit: must be a line of text, not 'a\tb'", 'output: {credit: "a\\tb"}'),
        (
            (
                "1: mark.corner: must be none, top-left, top-right, bottom-left or bottom-right,"
                " not 'left'"
            ),
            "mark: {corner: left}",
        ),
        ("1: review.mode: must be after or hold, not 'never'", "review: {mode: never}"),
        ("1: review: must be a section with mode, hold_below, folder, not 'on'", "review: on"),
        (
            "1: review: must be a section with mode, hold_below, folder, not 'never'",
            "review: never",
        ),
        (
            "1: review.hold_below: must be a number from 0 to 1, or null, not '30'",
            "review: {hold_below: 30}",
        ),
        ("1: mark.size: must be a number above 0 and up to 0.5, not '0'", "mark: {size: 0}"),
        (
            "1: mark.opacity: must be a number above 0 and up to 1, not '60'",
            "mark: {opacity: 60}",
        ),
        ("1: inbox: must be the path of a folder, not 'a list or section'", "inbox: [a]"),
        ("1: inbox: must be the path of a folder, not '~nobody-here/a'", "inbox: ~nobody-here/a"),
        *(
            (
                (
                    "1: metrics.listen: must be a loopback address with a port, such as"
                    f" 127.0.0.1:9183, or null, not '{wrong}'"
                ),
                f"metrics: {{listen: '{wrong}'}}",
            )
            for wrong in (
                *("0.0.0.0:9183", "192.168.1.2:9183", "[::]:9183", ":9183", "9183", "localhost:1"),
                *("127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+1", "[127.0.0.1"),
            )
        ),
        (
            (
                "1: metrics.textfile: must be the path of a file whose name ends in .prom, or"
                " null, not 'a.txt'"
            ),
            "metrics: {textfile: a.txt}",
        ),
        ("1: 5: unknown key", "5: inbox"),
        ("1: zzz: unknown key", "zzz: 1"),
        ("1: must be lines of `key: value`", "- inbox"),
        ("2: invalid YAML: mapping values are not allowed here", "inbox: a\n b: c: d"),
        ("1: invalid YAML: could not determine a constructor for the tag '!x'", "inbox: !x y"),
    ],
)
def test_each_mistake_is_told_in_plain_words(file: Path, expected: str, text: str) -> None:
    """With what stands in the file, not with what YAML made of it."""
    assert [f"config.yaml:{expected}"] == mistakes(file, text)


def test_what_is_no_text_is_told(file: Path) -> None:
    """Without a traceback."""
    file.write_bytes(b"inbox: \xff\xfe\x00")
    with pytest.raises(ConfigError, match="invalid YAML: "):
        load_config(file)


def test_a_missing_file_is_told(file: Path) -> None:
    """With its name."""
    with pytest.raises(ConfigError) as caught:
        load_config(file)

    assert [f"{file}: cannot be read: No such file or directory"] == caught.value.problems


def test_check_config_tells_wrong_values_and_wrong_folders_together(file: Path) -> None:
    """Folders have their lines too, and a wrong one hides no other."""
    file.write_text("inbox: a\noutbox: a/b\nwatch: {settle: soon}\nstate: 5\nrejected: a\n")
    with pytest.raises(ConfigError) as caught:
        check_config(file)

    assert [
        f"{file}:2: outbox: is inside the inbox ({file.parent / 'a' / 'b'})",
        f"{file}:3: watch.settle: must be a number of seconds, not 'soon'",
        f"{file}:4: state: must be the path of a folder, not '5'",
        f"{file}:5: rejected: is the same folder as inbox ({file.parent / 'a'})",
    ] == caught.value.problems


def test_held_results_do_not_wait_in_another_folder(file: Path) -> None:
    """A rescan would find them in the inbox, and archivists in the outbox."""
    file.write_text("review: {mode: hold, folder: outbox/held}")
    with pytest.raises(ConfigError, match=r"review\.folder: is inside the outbox"):
        check_config(file)


def test_a_start_lets_off_folders_that_were_used_before(file: Path) -> None:
    """The daemon waits for them; other mistakes, and folders never used, are told as ever."""
    file.write_text("rejected: file\nlog: {level: loud}")
    for name in ("outbox", "file"):
        (file.parent / name).touch()
    (file.parent / "state").mkdir()
    (file.parent / "state" / NOTED).write_text(json.dumps({str(file.parent / "outbox"): 7}))

    with pytest.raises(ConfigError) as caught:
        check_config(file, for_run=True)

    assert [
        "config.yaml:1: rejected: ",
        "config.yaml:2: log.level: ",
    ] == [re.sub(r"^.*/(config.yaml:\d: [a-z.]+: ).*", r"\1", one) for one in caught.value.problems]
    with pytest.raises(ConfigError, match=r"outbox: .* is not a folder"):
        check_config(file)


def test_check_config_of_a_missing_file_says_only_that(file: Path) -> None:
    """Nothing is known of its folders."""
    with pytest.raises(ConfigError) as caught:
        check_config(file)

    assert 1 == len(caught.value.problems)


def test_a_config_that_is_fine_passes_the_check(file: Path) -> None:
    """And makes nothing."""
    file.touch()

    assert load_config(file) == check_config(file)
    assert [file] == list(file.parent.iterdir())


def test_originals_that_stay_need_no_folder() -> None:
    """It is neither checked nor made."""
    config = Config.model_validate({"originals": {"after": "keep"}})

    assert ["inbox", "outbox", "rejected", "state"] == list(config.folders)
    assert "originals.folder" in Config().folders


def test_the_worker_gets_its_settings() -> None:
    """Every default is the worker's own."""
    config = Config()

    assert ReadSettings() == config.read_settings
    assert ColorSettings() == config.color_settings
    assert WriteSettings() == config.write_settings
    assert TrainSettings() == config.train_settings


def test_the_worker_gets_what_the_file_says(file: Path) -> None:
    """From the section each belongs to."""
    file.write_text(
        "batch: {size: 4}\nmodel: {render_size: 320}\nlimits: {megapixels: 9}\n"
        "output: {format: png, label: false, profile: adobe-rgb, credit: Köln}\n"
        "mark: {corner: top-left, size: 0.1, opacity: 1}\ntraining: {crop: 64}\n",
        encoding="utf-8",
    )
    config = load_config(file)
    mark = MarkSettings("top-left", 0.1, 1)
    written = WriteSettings("png", label=False, credit="Köln", space="adobe-rgb", mark=mark)

    assert ColorSettings(320, 4) == config.color_settings
    assert ReadSettings(9) == config.read_settings
    assert written == config.write_settings
    assert dataclasses.replace(TrainSettings(), crop=64) == config.train_settings


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (
            "2: credentials.certificate: needs credentials.key as well",
            "credentials:\n  certificate: a.pem",
        ),
        ("1: credentials.key: needs credentials.certificate as well", "credentials: {key: a}"),
        (
            (
                "1: credentials.timestamp: must be the http:// or https:// address of a server, "
                "or null, not 'here'"
            ),
            "credentials: {certificate: a, key: b, timestamp: here}",
        ),
        (
            (
                "1: credentials.algorithm: must be es256, es384, es512, ps256, ps384, ps512 "
                "or ed25519, not 'rsa'"
            ),
            "credentials: {certificate: a, key: b, algorithm: rsa}",
        ),
    ],
)
def test_a_signer_is_given_whole_or_not_at_all(file: Path, expected: str, text: str) -> None:
    """Else photos would be delivered unsigned to somebody who meant them signed."""
    assert [f"config.yaml:{expected}"] == mistakes(file, text)


def test_the_signer_is_beside_the_file(file: Path) -> None:
    """And is none by default."""
    file.write_text(
        "credentials: {certificate: a.pem, key: /b.key, algorithm: ps256, "
        "timestamp: 'http://time.example/'}"
    )

    assert Config().credential_settings is None
    assert (
        CredentialSettings(file.parent / "a.pem", Path("/b.key"), "ps256", "http://time.example/")
        == load_config(file).credential_settings
    )


@pytest.mark.parametrize("listen", ["127.0.0.1:9183", "127.9.9.9:1", "[::1]:65535"])
def test_metrics_are_for_this_machine(file: Path, listen: str) -> None:
    """On any of its own addresses; the file is beside the configuration."""
    file.write_text(f"metrics: {{listen: '{listen}', textfile: a.prom}}")

    assert Metrics(listen=listen, textfile=file.parent / "a.prom") == load_config(file).metrics


def test_a_config_cannot_be_changed() -> None:
    """It is a value."""
    with pytest.raises(ValidationError):
        Config().watch.settle = 1.0  # type: ignore[misc]


class TestRenamedKeys:
    """A key of an earlier release still works."""

    def test_every_old_key_has_a_present_one_in_its_section(self) -> None:
        """And is itself gone."""
        names = settings_of(Config)
        for old, new in RENAMED.items():
            (section, old_name), (same, new_name) = old.split("."), new.split(".")

            assert section == same
            assert new_name in names[section]  # type: ignore[operator]
            assert old_name not in names[section]  # type: ignore[operator]

    @pytest.mark.parametrize("load", [load_config, check_config])
    def test_an_old_key_is_understood_with_a_warning(
        self, file: Path, load: Callable[..., Config]
    ) -> None:
        """It names the line and the present key."""
        file.write_text("watch:\n  settle: 1\n  arriving: 7\n")
        warnings: list[str] = []

        assert 7 == load(file, warnings.append).watch.incomplete_timeout
        assert [f"{file}:3: watch.arriving: is now called watch.incomplete_timeout"] == warnings

    def test_the_warning_is_logged(self, file: Path) -> None:
        """Where nobody asks for it otherwise."""
        file.write_text("watch: {arriving: 7}\n")
        with structlog.testing.capture_logs() as lines:
            load_config(file)

        assert ["config.warning"] == [line["event"] for line in lines]

    def test_a_file_without_old_keys_gives_no_warning(self, file: Path) -> None:
        """In a section or outside of any."""
        file.write_text("watch: {incomplete_timeout: 7}\nlog:\n")
        warnings: list[str] = []
        load_config(file, warnings.append)

        assert [] == warnings

    def test_both_names_at_once_are_a_mistake(self, file: Path) -> None:
        """Nobody can know which one is meant."""
        text = "watch:\n  arriving: 7\n  incomplete_timeout: 8\n"
        words = "is the old name of watch.incomplete_timeout, which is on line 3; delete one"

        assert [f"config.yaml:2: watch.arriving: {words}"] == mistakes(file, text)

    @pytest.mark.parametrize("value", ["soon", "[1]", ""])
    def test_a_wrong_value_is_told_with_its_line(self, file: Path, value: str) -> None:
        """Under the present name, as all that is said of the setting."""
        shown = f"'{value}'" if value == "soon" else "'a list or section'" if value else "empty"
        text = f"watch:\n  arriving: {value}\n"
        words = f"watch.incomplete_timeout: must be a number of seconds, not {shown}"

        assert [f"config.yaml:2: {words}"] == mistakes(file, text)

    @pytest.mark.parametrize("text", ["watch: 5", "watch: [arriving]"])
    def test_a_section_that_is_none_is_told_as_ever(self, file: Path, text: str) -> None:
        """Nothing is looked for in it."""
        assert mistakes(file, text)[0].startswith("config.yaml:1: watch: must be a section")

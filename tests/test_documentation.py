"""The guides and the reference, checked against the files, the command line and the source."""

import ast
import errno
import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import BaseModel

from service.cli.main import app
from service.config import sections
from service.config.loader import RENAMED
from service.monitoring.find import Row
from service.monitoring.status import Status

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]  # may name what is gone
WIDTH = 120  # columns, but for tables, code and what cannot be broken
LOGS = {"debug", "info", "warning", "error", "exception", "log", "say"}
TRAINING_CALLBACKS = {"notice", "on_event"}  # what they are told becomes training.WORD
FILES = {"yaml", "json", "jsonl", "lock", "tsv", "md", "py", "toml", "sqlite3", "ini", "service"}
OTHERS_OPTIONS = {  # of git, apt, systemctl and so on, where a page names them in a sentence
    "docs/shares.md": {"--perms", "--chmod", "--inplace"},
    "docs/operator.md": {"--create"},
    "docs/metrics.md": {"--collector.textfile.directory"},
}


SYSTEM = {  # messages of the kernel and of SQLite
    *map(os.strerror, errno.errorcode),
    *("database is locked", "database or disk is full", "disk I/O error"),
    "attempt to write a readonly database",
}
CALL = re.compile(
    r"\s*(?:\$ |sudo -u photochrom |\.venv/bin/|[A-Z_]+=\w+ )*photochrom (?!sidecar)"
    r"((?:(?:models|review|web) )?[a-z][a-z-]*)(.*)"
)


def fences(text: str) -> Iterator[tuple[str, str]]:
    """Yield each fenced block: its language and its text."""
    yield from re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```\w*\n.*?^```\n", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that a forge makes of the page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page.read_text()), re.MULTILINE)
    bare = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in bare}


def spans(text: str) -> list[str]:
    """Return what stands between backticks, on however many lines, with plain blanks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


@cache
def documented_events() -> dict[str, set[str]]:
    """Return the events of docs/events.md and the keys of each."""
    text = " ".join((ROOT / "docs/events.md").read_text().split())
    entries = re.findall(r"`([a-z_]+\.[a-z_]+)` \(([^);]*)(?:; ([^)]*))?\)", text)
    return {event: set(re.findall(r"\w+", keys)) for event, _, keys in entries}


@cache
def logged_events() -> dict[str, set[str]]:
    """Return the events in the source, and the keys that are written beside each."""
    found: dict[str, set[str]] = {}
    for side in ("service", "worker"):
        for path in (ROOT / side).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if event := event_of(node, path):
                    keys = found.setdefault(event, set())
                    assert isinstance(node, ast.Call)
                    keys |= {word.arg for word in node.keywords if word.arg}
    return found


def event_of(node: ast.AST, path: Path) -> str | None:
    """Return the event that a call logs, if it does."""
    if not isinstance(node, ast.Call):
        return None
    words = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
    name = getattr(node.func, "attr", None)  # None: a function, as one picked by level
    if name in TRAINING_CALLBACKS and "training" in path.parts and words:
        return f"training.{words[0]}"
    if name not in LOGS and (name or not node.keywords or "web" in path.parts):
        return None  # of the page, such calls name messages and templates
    events = [one for one in words if re.fullmatch(r"[a-z_]+\.[a-z_]+", str(one))]
    return str(events[0]) if events else None


@cache
def messages() -> list[str]:
    """Return every text in the source; what is filled in is left out."""
    found = []
    for side in ("service", "worker"):
        for path in (ROOT / side).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [one.value for one in node.values if isinstance(one, ast.Constant)]
                    found.append("\n".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


@cache
def settings() -> dict[str, set[str]]:
    """Return the names of the sections in config.yaml, and of the keys in each."""
    parsed = yaml.safe_load((ROOT / "config.yaml").read_text())
    return {
        name: set(value) if isinstance(value, dict) else set() for name, value in parsed.items()
    }


@cache
def fields_of_sidecars() -> set[str]:
    """Return those of a part of the sidecar, such as "output.path"."""
    parts = json.loads((ROOT / "docs/sidecar.schema.json").read_text())["$defs"]
    return {
        f"{part.lower()}.{field}"
        for part, schema in parts.items()
        for field in schema["properties"]
    }


@cache
def commands() -> dict[str, set[str]]:
    """Return each command, such as "models list", and its options."""
    found: dict[str, set[str]] = {"": {"--version", "--help"}}

    def add(group: Any, prefix: str) -> None:
        for name, command in group.commands.items():
            options = {each for one in command.params for each in one.opts if each[:2] == "--"}
            found[prefix + name] = options | {"--help"}
            if hasattr(command, "commands"):
                add(command, f"{prefix}{name} ")

    add(typer.main.get_command(app), "")
    return found


def calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield each call of photochrom in a page: the command, and what stands behind it."""
    shell = [block for language, block in fences(text) if language in {"", "sh"}]
    lines = [part for block in shell for part in re.split(r"\n|&& | # ", block)]
    for line in (*lines, *spans(text)):
        match = CALL.match(line)
        if match:
            yield " ".join(match[1].split()), match[2]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link is a file of the project, and its anchor a heading of it."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert [] == broken


def test_the_source_names_pages_that_exist() -> None:
    """A comment or a message that names a page of docs/ leads to it."""
    files = [
        ROOT / "config.yaml",
        ROOT / "pyproject.toml",
        ROOT / "worker/weights/builtin/card.json",
    ]
    files += [
        path for side in ("service", "worker", "tests") for path in (ROOT / side).rglob("*.py")
    ]
    gone = [
        f"{path.relative_to(ROOT)}: {page}"
        for path in files
        for page in re.findall(r"\bdocs/\w+\.(?:md|schema\.json)\b", path.read_text())
        if not (ROOT / page).exists()
    ]

    assert [] == gone


@pytest.mark.parametrize("page", TODAY, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    """Each path of the source that a page names is there; a module may lack its .py."""
    named = re.findall(r"`((?:service|worker|tests)/[\w./-]+)", page.read_text())
    gone = []
    for one in (name.rstrip("./") for name in named):
        module = re.sub(r"\.\w+$", "", one)  # of a function that is named with it
        if not any((ROOT / path).exists() for path in (one, f"{one}.py", f"{module}.py")):
            gone.append(one)

    assert [] == gone


def test_every_page_is_linked_from_the_readme() -> None:
    """Nobody has to guess that a page is there."""
    readme = (ROOT / "README.md").read_text()

    assert [] == [page.name for page in PAGES[2:] if f"(docs/{page.name})" not in readme]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_are_short(page: Path) -> None:
    """120 columns, as a terminal has them; tables and what cannot be broken may be longer."""
    long = [
        line
        for line in prose(page.read_text()).splitlines()
        if len(line) > WIDTH and not line.startswith(("|", "![")) and "](" not in line
    ]

    assert [] == long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    """Each command that a page names is one, and has the options that stand behind it."""
    known = commands()
    every = set().union(*known.values())
    wrong = []
    for name, rest in calls(page.read_text()):
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", rest))
        if name not in known or options - known[name]:
            wrong.append(f"{name}{rest}")
    others = OTHERS_OPTIONS.get(str(page.relative_to(ROOT)), set())
    for span in spans(page.read_text()):
        option = re.match(r"--[a-z][a-z0-9.-]*", span)
        if option and option[0] not in every | others:
            wrong.append(span)

    assert [] == wrong


def test_every_command_and_option_is_documented() -> None:
    """Commands are in the reference; options on some page."""
    reference = (ROOT / "docs/commands.md").read_text()
    everything = "\n".join(page.read_text() for page in PAGES)
    known = commands()
    names = {word for span in spans(reference) for word in span.split(" ")[:2]}
    missing = [name for name in known if name and name.split(" ")[-1] not in names]
    options = set().union(*known.values()) - {"--help", "--version"}

    assert ([], []) == (missing, sorted(one for one in options if one not in everything))


@pytest.mark.parametrize("page", TODAY, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    """Each `section.key` that a page names is one in config.yaml; so are those in its examples."""
    known, text = settings(), page.read_text()
    named = {span.split(":")[0].split(" ")[0] for span in spans(text)} - set(RENAMED)
    dotted = [one.split(".") for one in named if re.fullmatch(r"[a-z_]+\.[a-z_]+", one)]
    wrong = [
        f"{section}.{key}"
        for section, key in dotted
        if section in known and key not in known[section] and key not in FILES
        if f"{section}.{key}" not in {*logged_events(), *fields_of_sidecars()}
    ]
    for language, block in fences(text):
        parsed = yaml.safe_load(block) if language == "yaml" else None
        if isinstance(parsed, dict) and set(parsed) <= set(known):
            wrong += [
                f"{section}.{key}"
                for section, values in parsed.items()
                for key in (values if isinstance(values, dict) else ())
                if key not in known[section]
            ]

    assert [] == wrong


def test_config_yaml_has_the_settings_of_the_source() -> None:
    """What the other tests look up there is what the program reads."""
    fields = {
        name: set(model.model_fields)
        for name, model in (
            ("watch", sections.Watch),
            ("output", sections.Output),
            ("training", sections.Training),
        )
    }

    assert fields == {name: settings()[name] for name in fields}


def test_every_event_is_documented() -> None:
    """docs/events.md lists the events of the source, all of them and no other."""
    assert sorted(logged_events()) == sorted(documented_events())


def test_the_keys_of_events_are_documented() -> None:
    """Each key that the source writes with an event stands beside it."""
    documented = documented_events()
    missing = {
        event: keys - documented[event] - {"exc_info"}
        for event, keys in logged_events().items()
        if event in documented
    }

    assert {} == {event: keys for event, keys in missing.items() if keys}


@pytest.mark.parametrize("page", TODAY, ids=lambda page: page.name)
def test_events_exist(page: Path) -> None:
    """A page names no event that is none."""
    events = documented_events()
    namespaces = {event.split(".")[0] for event in events}
    names = (span.split(" ")[0] for span in spans(page.read_text()))
    dotted = [one for one in names if re.fullmatch(r"[a-z_]+\.[a-z_]+", one)]
    known = {f"{section}.{key}" for section, keys in settings().items() for key in keys}
    known |= {*events, *fields_of_sidecars(), *RENAMED}
    strange = [
        one
        for one in dotted
        if one.split(".")[0] in namespaces and one.split(".")[1] not in FILES
        if one not in known
    ]

    assert [] == strange


def test_messages_exist() -> None:
    """What the operator's guide quotes of a message is in the source, or said by the system."""
    section = (ROOT / "docs/operator.md").read_text().partition("## Troubles and remedies")[2]
    items = re.split(r"\n- ", section)[1:]
    heads = [re.match(r"(?:[^`:]|`[^`]*`|:(?! ))*", " ".join(item.split())) for item in items]
    quoted = [quote for head in heads if head for quote in spans(head[0])]
    texts = "\n".join(messages())
    missing = {
        part
        for quote in quoted
        for part in (one.strip(" :;,.()/") for one in re.split("…|: ", quote))
        if " " in part and not re.match(r"(photochrom|fuser|chmod|mount) ", part)
        if part not in texts and not any(part in said for said in SYSTEM)
    }

    assert set() == missing


@pytest.mark.parametrize("value", [Status, Row])
def test_the_keys_of_json_are_documented(value: type[BaseModel]) -> None:
    """docs/status.md has each key that `status --json` and `find --json` print."""
    page = (ROOT / "docs/status.md").read_text()

    assert [] == [key for key in value.model_fields if f"`{key}`" not in page]

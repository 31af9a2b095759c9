"""YAML text -> a section of settings, and every mistake in it, each with its line and key.

Refuses unknown keys, keys given twice, and wrong values. Whatever the text is, it ends in words.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError

from service.config.sections import Section

S = TypeVar("S", bound=Section)


class Problem(NamedTuple):
    """A mistake.

    Attributes:
        line: where it stands; 0 when it has no line.
        key: which key, with its section's name; "" when it is none of a key.
        text: what is wrong, in plain words.
    """

    line: int
    key: str
    text: str

    def in_words(self, file: str) -> str:
        """Name the mistake as `file:line: key: text`."""
        where = f"{file}:{self.line}" if self.line else file
        return ": ".join(filter(None, (where, self.key, self.text)))


@dataclass(frozen=True)
class Key:
    """Where a key stands, and its value as it stands there, for messages."""

    line: int
    value: str


class _AliasError(yaml.YAMLError):
    """There is an alias where none is taken."""


class _WithoutAliases(yaml.SafeLoader):
    """Refuses aliases, by which a few lines can stand for billions."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _AliasError
        return super().compose_node(parent, index)


def parse(
    text: bytes, schema: type[S], *, aliases: bool = True
) -> tuple[S, list[Problem], dict[str, Key]]:
    """Read settings.

    Args:
        text: YAML.
        schema: what it may say.
        aliases: whether it may have aliases (`*name`), as a text that one trusts.

    Returns:
        The settings, with defaults in place of what is wrong; the mistakes; and the keys.
    """
    problems: list[Problem] = []
    keys: dict[str, Key] = {}
    data: Any = None
    try:
        loader = (yaml.SafeLoader if aliases else _WithoutAliases)(text)
        root = loader.get_single_node()
        if root is not None:
            problems += _note_keys(root, "", keys)
            data = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(mark.line + 1 if mark else 0, "", f"is not YAML: {error.problem}"))
    except _AliasError:
        problems.append(Problem(0, "", "has an alias (*name), which is not taken here"))
    except yaml.YAMLError as error:
        problems.append(Problem(0, "", f"is not YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        problems.append(Problem(0, "", "is not YAML: its lists or sections are nested too deeply"))
    except (ValueError, AttributeError):  # by PyYAML, of a date, number or text that is none
        problems.append(Problem(0, "", "is not YAML: a value is not what its form or tag says"))
    if data is not None and not isinstance(data, dict):
        problems.append(Problem(1, "", "must be lines of `key: value`"))
        data = None
    settings, wrong = _validated({str(key): data[key] for key in data or {}}, schema, keys)
    return settings, problems + wrong, keys


def line_of(key: str, keys: Mapping[str, Key]) -> int:
    """Return the line of a key; where it is not in the text, that of its section, or 0."""
    found = keys.get(key) or keys.get(key.partition(".")[0])
    return found.line if found else 0


def _note_keys(node: yaml.Node, above: str, keys: dict[str, Key]) -> Iterator[Problem]:
    """Note where each key of a section stands; yield those that stand there twice."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value in node.value:
        key = f"{above}{key_node.value}"
        line = key_node.start_mark.line + 1
        if key in keys:
            yield Problem(line, key, f"is given twice, first in line {keys[key].line}")
        text = value.value if isinstance(value, yaml.ScalarNode) else "a list or section"
        keys[key] = Key(line, text)
        if not above:  # sections have no sections
            yield from _note_keys(value, f"{key}.", keys)


def _validated(
    data: Mapping[str, Any], schema: type[S], keys: Mapping[str, Key]
) -> tuple[S, list[Problem]]:
    """Return the settings that the right values make, and what is wrong with the others."""
    sections = _sections(schema)
    # A section whose settings are all commented out is empty, and that is no mistake.
    left = {
        key: {str(name): value[name] for name in value} if isinstance(value, dict) else value
        for key, value in data.items()
        if value is not None or key not in sections
    }
    try:
        return schema.model_validate(left), []
    except ValidationError as error:
        details = error.errors()
    problems = []
    for detail in details:
        name, *inner = map(str, detail["loc"])
        section = left.get(name)
        if inner and isinstance(section, dict) and name in sections:
            section.pop(inner[0], None)
            key = f"{name}.{inner[0]}"
        else:
            left.pop(name, None)
            key = name
        problems.append(Problem(line_of(key, keys), key, _explained(key, schema, keys)))
    return schema.model_validate(left), problems


def _explained(key: str, schema: type[Section], keys: Mapping[str, Key]) -> str:
    sections = _sections(schema)
    above, _, name = key.rpartition(".")
    fields = sections.get(above, schema).model_fields
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        return f"is not a key; did you mean {near[0]}?" if near else "is not a key"
    known = f"a section with {', '.join(sections[name].model_fields)}" if key in sections else ""
    value = keys[key].value if key in keys else ""
    given = f"'{value}'" if value else "empty"
    return f"must be {known or fields[name].description}, not {given}"


def _sections(schema: type[Section]) -> dict[str, type[Section]]:
    return {
        name: field.annotation
        for name, field in schema.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }

"""YAML text -> a section of settings, and every mistake in it, each with its line and key.

Refuses unknown keys, duplicate keys and wrong values. No text, however broken, raises.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import ValidationError

from service.config.sections import Section

S = TypeVar("S", bound=Section)


class Problem(NamedTuple):
    """A mistake.

    Attributes:
        line: its line; 0 if it has none.
        key: `section.key`; "" if it concerns no key.
        text: what is wrong, for people.
    """

    line: int
    key: str
    text: str

    def in_words(self, file: str) -> str:
        """Format the mistake as `file:line: key: text`."""
        where = f"{file}:{self.line}" if self.line else file
        return ": ".join(filter(None, (where, self.key, self.text)))


@dataclass(frozen=True)
class Key:
    """The line of a key, and its value as written there, for messages."""

    line: int
    value: str


class _AliasError(yaml.YAMLError):
    """There is an alias where none is allowed."""


class _WithoutAliases(yaml.SafeLoader):
    """Refuses aliases, with which a few lines can expand to billions."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _AliasError
        return super().compose_node(parent, index)


def parse(
    text: bytes,
    schema: type[S],
    *,
    aliases: bool = True,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> tuple[S, list[Problem], dict[str, Key]]:
    """Read settings.

    Args:
        text: YAML.
        schema: the settings it may contain.
        aliases: whether to allow aliases (`*name`); only in text from a trusted source.
        renamed: old keys to accept, each with its present name in the same section.

    Returns:
        The settings, with the defaults in place of wrong values; the mistakes; and the keys as
        written, those with an old name also under their present one.
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
            problems += _rename(data, renamed, keys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.append(Problem(mark.line + 1 if mark else 0, "", f"invalid YAML: {error.problem}"))
    except _AliasError:
        problems.append(Problem(0, "", "aliases (*name) are not allowed here"))
    except yaml.YAMLError as error:
        problems.append(Problem(0, "", f"invalid YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        problems.append(Problem(0, "", "invalid YAML: lists or sections are nested too deeply"))
    except (ValueError, AttributeError):  # from PyYAML, for a malformed date or number
        problems.append(Problem(0, "", "invalid YAML: a value does not match its type or tag"))
    if data is not None and not isinstance(data, dict):
        problems.append(Problem(1, "", "must be lines of `key: value`"))
        data = None
    settings, wrong = _validated({str(key): data[key] for key in data or {}}, schema, keys)
    return settings, problems + wrong, keys


def line_of(key: str, keys: Mapping[str, Key]) -> int:
    """Return the line of a key, or else that of its section, or 0."""
    found = keys.get(key) or keys.get(key.partition(".")[0])
    return found.line if found else 0


def _note_keys(node: yaml.Node, above: str, keys: dict[str, Key]) -> Iterator[Problem]:
    """Record the line of each key; yield duplicates."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key_node, value in node.value:
        key = f"{above}{key_node.value}"
        line = key_node.start_mark.line + 1
        if key in keys:
            yield Problem(line, key, f"duplicate key, first on line {keys[key].line}")
        text = value.value if isinstance(value, yaml.ScalarNode) else "a list or section"
        keys[key] = Key(line, text)
        if not above:  # sections have no sections
            yield from _note_keys(value, f"{key}.", keys)


def _rename(data: Any, renamed: Mapping[str, str], keys: dict[str, Key]) -> Iterator[Problem]:
    """Give values with an old key their present one, in place; yield keys given under both."""
    for old, new in renamed.items():
        section, _, old_name = old.partition(".")
        values = data.get(section) if isinstance(data, dict) else None
        if not isinstance(values, dict) or old_name not in values:
            continue
        value = values.pop(old_name)
        if new in keys:
            text = f"is the old name of {new}, which is on line {keys[new].line}; delete one"
            yield Problem(line_of(old, keys), old, text)
        else:
            values[new.partition(".")[2]] = value
            keys[new] = keys.get(old, Key(line_of(old, keys), str(value)))


def _validated(
    data: Mapping[str, Any], schema: type[S], keys: Mapping[str, Key]
) -> tuple[S, list[Problem]]:
    """Return the settings made of the correct values, and what is wrong with the others."""
    sections = _sections(schema)
    # A section whose settings are all commented out is null; that is no mistake.
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
        return f"unknown key; did you mean {near[0]}?" if near else "unknown key"
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

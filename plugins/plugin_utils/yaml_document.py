"""A YAML file as the plain data that PyYAML's safe loader makes of it, and where in the file each value stands.

What the data alone does not tell is kept: keys that a mapping has twice (the last one wins), and mappings that several places
share through an anchor, which a program that writes into one of them changes everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

from .problems import Path

# libyaml's, where PyYAML was built with it, is ten times as fast.
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RESOLVER: Any = Resolver()
TEXT, MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
# A few lines can hold anchors that stand for billions of values, a few kilobytes a nesting that ends libyaml.
MOST_VALUES = 30_000
MOST_BYTES = 2_000_000
MOST_LEVELS = 100
# A tag that is not YAML's own may be a password that was written without quotes.
OWN_TAG = re.compile(r"the tag '(?!tag:yaml\.org)[^']*'")

# What PyYAML's constructors let through for a value that is not what its tag says: !!int x, !!bool x, !!timestamp x.
UNREAD = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class YamlError(ValueError):
    """The file is no YAML that can be read; the message says where and why."""


@dataclass(frozen=True)
class Repeated:
    """A key that a mapping has more than once, and its lines; the last one counts."""

    path: Path
    lines: tuple[int, ...]


@dataclass
class Document:
    """``lines``: path -> line of the value's key or entry, from 1 on. ``shared``: mappings that stand in several places."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    repeated: list[Repeated] = field(default_factory=list)
    shared: list[tuple[Path, ...]] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of a value, or of the nearest thing around it; None only in a document without any."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_yaml(content: bytes) -> Document:
    """Read a file's content. Raises YamlError."""
    if len(content) > MOST_BYTES:
        raise YamlError(f"got {len(content)} bytes, expected at most {MOST_BYTES}: this is no configuration")
    document = Document()
    try:
        root = _tree(content)
        if root is not None:
            _Walk(document).all(root)
        document.data = yaml.load(content, Loader)
    except yaml.YAMLError as error:
        raise YamlError(_said(error)) from None
    except YamlError:
        raise
    except UNREAD as error:
        raise YamlError(f"{' '.join(str(error).split())}; expected plain YAML") from None
    return document


def _said(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    words = " ".join("; ".join(text for text in (error.context, error.problem) if text).split())
    words = OWN_TAG.sub("a tag of its own (a value that begins with ! needs quotes)", words)
    return f"line {mark.line + 1}, column {mark.column + 1}: {words}" if mark else words


@dataclass
class _Node:
    """A value as it stands in the file. ``items``: a list's, or a mapping's keys and values in turn; ``of``: an alias' anchor."""

    line: int
    kind: type
    items: list[_Node]
    key: Any = None
    of: _Node | None = None

    @property
    def meant(self) -> _Node:
        return self.of or self


def _tree(content: bytes) -> _Node | None:
    """The first document's nodes. Raises YamlError, yaml.YAMLError."""
    anchors: dict[str, _Node] = {}
    top = _Node(1, yaml.SequenceStartEvent, [])
    around, count = [top], 0
    for event in yaml.parse(content, Loader):
        if isinstance(event, yaml.DocumentEndEvent):
            break
        if isinstance(event, yaml.CollectionEndEvent):
            around.pop()
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event, anchors)
            count += 1
            if count > 2 * MOST_VALUES:
                raise YamlError(f"got more than {MOST_VALUES} values; this is no configuration")
            around[-1].items.append(node)
            if isinstance(event, yaml.CollectionStartEvent):
                around.append(node)
            if len(around) > MOST_LEVELS:
                raise YamlError(f"line {node.line}: got more than {MOST_LEVELS} levels, expected a configuration")
    return top.items[0] if top.items else None


def _node(event: yaml.NodeEvent, anchors: dict[str, _Node]) -> _Node:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            # Its name may be a password that was written without quotes.
            raise YamlError(
                f"line {line}: got an alias (*…) without an anchor before it; a value that begins with * needs quotes"
            )
        return _Node(line, yaml.AliasEvent, [], of=anchors[event.anchor])
    node = _Node(line, type(event), [], _key(event) if isinstance(event, yaml.ScalarEvent) else None)
    if event.anchor:
        anchors[event.anchor] = node
    return node


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _key(event: yaml.ScalarEvent) -> Any:
    """A scalar as the data has it where it is a key: `yes` is True and 0x1 is 1."""
    tag = event.tag or RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
    if tag == TEXT:
        return event.value
    if tag == MERGE:
        return MERGE
    try:
        return SafeConstructor().construct_object(yaml.ScalarNode(tag, event.value))
    except (yaml.YAMLError, *UNREAD):
        return event.value


class _Walk:
    """Goes through a document once and fills in what its data does not tell."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._places: dict[int, list[Path]] = {}
        self._count = 0

    def all(self, root: _Node) -> None:
        self._value(root, (), root.line, frozenset())
        self._document.shared = [tuple(paths) for paths in self._places.values() if len(paths) > 1]

    def _value(self, node: _Node, path: Path, line: int, around: frozenset[int]) -> None:
        self._document.lines[path] = line
        node = node.meant
        around = self._entered(node, line, around)
        if node.kind is yaml.SequenceStartEvent:
            for number, item in enumerate(node.items):
                self._value(item, (*path, number), item.line, around)
        elif node.kind is yaml.MappingStartEvent:
            self._places.setdefault(id(node), []).append(path)
            for name, (key_line, value) in self._entries(node, path, around).items():
                self._value(value, (*path, name), key_line, around)

    def _entered(self, node: _Node, line: int, around: frozenset[int]) -> frozenset[int]:
        self._count += 1
        if self._count > MOST_VALUES:
            raise YamlError(f"got more than {MOST_VALUES} values, through anchors perhaps; this is no configuration")
        if id(node) in around:
            raise YamlError(f"line {line}: got an anchor that contains itself; expected a configuration")
        return around | {id(node)} if node.items else around

    def _entries(self, node: _Node, path: Path | None, around: frozenset[int]) -> dict[Any, tuple[int, _Node]]:
        """Key -> line and value, merged ones among them; notes keys that it has twice itself, where it stands at a path."""
        merged: dict[Any, tuple[int, _Node]] = {}
        own: dict[Any, list[tuple[int, _Node]]] = {}
        for key, value in zip(node.items[::2], node.items[1::2], strict=True):
            if key.key == MERGE:
                merged = {**self._merged(value.meant, around), **merged}
            else:
                own.setdefault(_hashable(key.meant), []).append((key.line, value))
        for name, found in own.items():
            if len(found) > 1 and path is not None:
                self._document.repeated.append(Repeated((*path, name), tuple(line for line, _value in found)))
        return {**merged, **{name: found[-1] for name, found in own.items()}}

    def _merged(self, node: _Node, around: frozenset[int]) -> dict[Any, tuple[int, _Node]]:
        """What a mapping takes over; of several the first one counts."""
        several = node.kind is yaml.SequenceStartEvent
        found: dict[Any, tuple[int, _Node]] = {}
        for item in [each.meant for each in reversed(node.items)] if several else [node]:
            if item.kind is yaml.MappingStartEvent:
                found.update(self._entries(item, None, self._entered(item, item.line, around)))
        return found


def _hashable(node: _Node) -> Any:
    """A key that is no plain value is refused when the data is made."""
    return node.key if isinstance(node.key, (str, int, float, bool, type(None))) else str(node.key)

"""Mends what can be mended by rule, in the text itself: comments, order and spelling of all the rest stay as they are.

Each mend is tried on a copy and read again: it is kept only if the file then says exactly what was meant, so that an anchor
which stands in several places, or a style that is not understood, leaves the file as it was.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import yaml

from ..problems import Path
from ..yaml_document import Loader, YamlError, read_yaml
from .finding import Edit, Finding

# Each mend reads the file again: a large one with many findings is mended in several runs.
MOST_READ = 300_000
FEWEST_MENDS = 3


class NotMechanical(Exception):
    """The place cannot be changed by rule."""


def mended(content: bytes, findings: Iterable[Finding]) -> tuple[str, list[Finding]]:
    """The text with what could be mended, and the findings whose mend it is. Raises YamlError."""
    whole = _text(content)
    # Line ends of one kind are kept; where both stand in a file, what is added ends as it does elsewhere.
    other = 0 < whole.count("\n") == whole.count("\r\n")
    text = whole.replace("\r\n", "\n") if other else whole
    read_yaml(text.encode())
    done: list[Finding] = []
    most = max(FEWEST_MENDS, MOST_READ // max(1, len(text)))
    for finding in sorted((item for item in findings if item.edits and item.file is None), key=_turn)[:most]:
        changed = _changed(text, finding.edits)
        if changed is not None:
            text = changed
            done.append(finding)
    return (text.replace("\n", "\r\n") if other else text), done


def mend_diff(content: bytes, text: str, name: str) -> str:
    """The mends as a unified diff; empty where there are none. No lines around them: those may hold keys."""
    before = _text(content).splitlines(keepends=True)
    return "".join(difflib.unified_diff(before, text.splitlines(keepends=True), f"a/{name}", f"b/{name}", n=0))


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise YamlError("got a file in another encoding; expected UTF-8, in which alone it can be mended") from None


def _turn(finding: Finding) -> tuple[int, tuple[int, ...]]:
    """Entries of lists go last and from the end on, so that the others keep their places."""
    places = [edit.path[-1] for edit in finding.edits if edit.remove and edit.path and isinstance(edit.path[-1], int)]
    return (1 if places else 0, tuple(-int(place) for place in places))


def _changed(text: str, edits: tuple[Edit, ...]) -> str | None:
    """The text after all edits of a finding, or None where one of them cannot be done."""
    try:
        for edit in edits:
            wanted = _meant(yaml.load(text, Loader), edit)
            text = _spliced(text, edit)
            if _bare(read_yaml(text.encode()).data) != _bare(wanted):
                return None
    except (NotMechanical, YamlError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None
    return text


def _meant(data: Any, edit: Edit) -> Any:
    """The data with the edit. What an anchor shares is copied, so that only the named place changes."""
    data = _unshared(data)
    place = data
    for part in edit.path[:-1]:
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = place[part]
    if edit.rename:
        place[edit.rename] = place.pop(edit.path[-1])
    elif edit.remove:
        del place[edit.path[-1]]
    else:
        place[edit.path[-1]] = edit.value
    return data


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _bare(value: Any) -> Any:
    """Without what says nothing: a section whose last key went reads as null."""
    if isinstance(value, dict):
        return {key: bare for key, item in value.items() if (bare := _bare(item)) not in (None, {}, [])}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _spliced(text: str, edit: Edit) -> str:
    """The text with one edit."""
    root = yaml.compose(text, Loader)
    if root is None or not edit.path:
        raise NotMechanical
    parent = _found(root, edit.path[:-1])
    if parent is None:
        return _new_section(text, root, edit)
    place = _entry(parent, edit.path[-1])
    if edit.remove or edit.rename:
        if place is None:
            raise NotMechanical
        return _replaced(text, place[0], edit.rename) if edit.rename else _without(text, parent, *place)
    if place is None:
        return _with(text, parent, edit)
    return _replaced(text, place[1], edit.value)


def _found(node: yaml.Node | None, path: Path) -> yaml.Node | None:
    for part in path:
        place = _entry(node, part) if node is not None else None
        if place is None:
            return None
        node = place[1]
    return node


def _entry(node: yaml.Node, part: object) -> tuple[yaml.Node, yaml.Node] | None:
    """The node of a key and that of its value; of a list's item the item twice."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == str(part)]
        return pairs[-1] if pairs else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _written(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=float("inf")).removesuffix("\n").removesuffix("\n...").strip()


def _replaced(text: str, node: yaml.Node, value: Any) -> str:
    start, end = _span(text, node)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        # A block begins on a line of its own, below its key.
        start = len(text[:start].rstrip())
        return f"{text[:start]} {_written(value)}{text[end:]}"
    return text[:start] + _written(value) + text[end:]


def _span(text: str, node: yaml.Node) -> tuple[int, int]:
    return _offset(text, node.start_mark), _last(text, node)


def _offset(text: str, mark: Any) -> int:
    """Marks count characters by line and column; libyaml's index counts bytes."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: mark.line])) + int(mark.column)


def _last(text: str, node: yaml.Node) -> int:
    """Where the last character of a value stands; a block's own end mark is the begin of what follows."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last(text, last[1] if isinstance(last, tuple) else last)
    end = _offset(text, node.end_mark)
    block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
    return len(text[:end].rstrip("\n")) if block else end


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found + 1


def _line_start(text: str, place: int) -> int:
    return text.rfind("\n", 0, place) + 1


def _with(text: str, parent: yaml.Node, edit: Edit) -> str:
    """The text with a new key at the end of a mapping."""
    if not isinstance(parent, yaml.MappingNode):
        if isinstance(parent, yaml.ScalarNode) and not parent.value:
            return _replaced_nothing(text, parent, edit)
        raise NotMechanical
    entry = f"{_written(edit.path[-1])}: {_written(edit.value)}"
    if parent.flow_style:
        place = _offset(text, parent.end_mark) - 1
        kept = text[:place].rstrip()
        comma = "" if kept.endswith(("{", ",")) else ", "
        return f"{kept}{comma}{entry}{text[len(kept) :]}"
    column = parent.value[0][0].start_mark.column
    place = _line_end(text, _last(text, parent))
    before = text[:place] if text[:place].endswith("\n") else text[:place] + "\n"
    return f"{before}{' ' * column}{entry}\n{text[place:]}"


def _replaced_nothing(text: str, parent: yaml.Node, edit: Edit) -> str:
    """A key without a value gets a mapping."""
    place = _offset(text, parent.start_mark)
    return f"{text[:place].rstrip(' ')} {{{_written(edit.path[-1])}: {_written(edit.value)}}}{text[place:]}"


def _new_section(text: str, root: yaml.Node, edit: Edit) -> str:
    """A section that the file does not have yet goes to its end."""
    if len(edit.path) != 2 or edit.remove or not isinstance(root, yaml.MappingNode) or root.flow_style or root.start_mark.column:
        raise NotMechanical
    before = text if text.endswith("\n") else text + "\n"
    return f"{before}{_written(edit.path[0])}:\n  {_written(edit.path[1])}: {_written(edit.value)}\n"


def _without(text: str, parent: yaml.Node, key: yaml.Node, value: yaml.Node) -> str:
    """The text without an entry of a mapping or a list."""
    start, end = _offset(text, key.start_mark), _last(text, value)
    if isinstance(parent, yaml.CollectionNode) and parent.flow_style:
        after = len(text) - len(text[end:].lstrip())
        if text[after : after + 1] == ",":
            rest = text[after + 1 :]
            return text[:start] + rest.lstrip(" ")
        return text[:start].rstrip().removesuffix(",") + text[end:]
    line = _line_start(text, start)
    if isinstance(parent, yaml.MappingNode) and text[line:start].strip():
        # The first key beside a dash: what follows would lose it.
        raise NotMechanical
    return text[:line] + text[_line_end(text, end) :]

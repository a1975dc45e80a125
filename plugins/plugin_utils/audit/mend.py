"""Mends what can be mended by rule, in the text itself: comments, order and spelling of all the rest stay as they are.

Each mend is tried on a copy and read again: it is kept only if the file then says exactly what was meant, so that an anchor
which stands in several places, or a style that is not understood, leaves the file as it was.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Any

import yaml

from ..problems import Path
from ..yaml_document import Loader, YamlError, read_yaml
from .finding import Edit, Finding

# Each attempt reads the file again: a large one with many findings is mended in several runs.
MOST_READ = 300_000
FEWEST_MENDS = 3
# Fewer mends than that are tried one by one.
FEW = 2

# Where something begins and ends in the text, and what is to stand there.
Splice = tuple[int, int, str]


class NotMechanical(Exception):
    """The place cannot be changed by rule."""


def mended(content: bytes, findings: Iterable[Finding]) -> tuple[str, list[Finding]]:
    """The text with what could be mended, and the findings whose mend it is. Raises YamlError."""
    whole = _text(content)
    # Line ends of one kind are kept; where both stand in a file, what is added ends as it does elsewhere.
    other = 0 < whole.count("\n") == whole.count("\r\n")
    text = whole.replace("\r\n", "\n") if other else whole
    read_yaml(text.encode())
    wanted = sorted((item for item in findings if item.edits and item.file is None), key=_turn)
    text, done = _each(text, wanted)
    return (text.replace("\n", "\r\n") if other else text), done


def _each(text: str, wanted: list[Finding]) -> tuple[str, list[Finding]]:
    """As many mends as can be made: those that keep all places at once, halves of them where that fails, the rest one by one."""
    made: set[int] = set()
    left = max(FEWEST_MENDS, MOST_READ // max(1, len(text)))
    keeping = [number for number, item in enumerate(wanted) if _turn(item)[0] == 0]
    chunks = [keeping] if len(keeping) > 1 else []
    while chunks and left > 0:
        chunk = chunks.pop(0)
        left -= 1
        changed = _at_once(text, [wanted[number].edits for number in chunk])
        if changed:
            text, taken = changed
            made |= {chunk[number] for number in taken}
        elif len(chunk) > FEW:
            middle = len(chunk) // 2
            chunks[:0] = [chunk[:middle], chunk[middle:]]
    for number in [number for number in range(len(wanted)) if number not in made][: max(0, left)]:
        single = _changed(text, wanted[number].edits)
        if single is not None:
            text = single
            made.add(number)
    return text, [wanted[number] for number in sorted(made)]


def _at_once(text: str, edits: list[tuple[Edit, ...]]) -> tuple[str, list[int]] | None:
    """The text after all of these that do not touch each other, and which they are; None where it then says something else."""
    root = yaml.compose(text, Loader)
    splices = _apart([(number, splice) for number, each in enumerate(edits) for splice in _splices(text, root, each)])
    taken = sorted({number for number, _splice in splices})
    parts, place = [], 0
    for _number, (begin, end, new) in splices:
        parts += [text[place:begin], new]
        place = end
    changed = "".join(parts) + text[place:]
    try:
        wanted = _unshared(yaml.load(text, Loader))
        for number in taken:
            for edit in edits[number]:
                _apply(wanted, edit)
        return (changed, taken) if _bare(read_yaml(changed.encode()).data) == _bare(wanted) else None
    except (YamlError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None


def _splices(text: str, root: yaml.Node | None, edits: tuple[Edit, ...]) -> list[Splice]:
    try:
        return [_splice(text, root, edit) for edit in edits]
    except (NotMechanical, KeyError, IndexError, TypeError):
        return []


def _apart(splices: list[tuple[int, Splice]]) -> list[tuple[int, Splice]]:
    """In the order of the text, without the mends that touch one before them; two sections of one name touch."""
    splices = sorted(splices, key=lambda item: item[1][:2])
    end, begun, touching = 0, set[str](), set[int]()
    for number, (begin, last, new) in splices:
        section = new.partition(":")[0] if new.endswith("\n") and not new.startswith(" ") else ""
        if number in touching or begin < end or section in begun:
            touching.add(number)
        else:
            end = last
            begun |= {section} - {""}
    return [item for item in splices if item[0] not in touching]


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
            # What an anchor shares is copied, so that only the named place changes.
            wanted = _unshared(yaml.load(text, Loader))
            _apply(wanted, edit)
            begin, end, new = _splice(text, yaml.compose(text, Loader), edit)
            text = text[:begin] + new + text[end:]
            if _bare(read_yaml(text.encode()).data) != _bare(wanted):
                return None
    except (NotMechanical, YamlError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None
    return text


def _apply(data: Any, edit: Edit) -> None:
    """The edit in the data."""
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


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value


def _bare(value: Any) -> Any:
    """Without what says nothing: a section whose last key went reads as null."""
    if isinstance(value, dict):
        return {key: bare for key, item in value.items() if (bare := _bare(item)) not in (None, {}, [])}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def _splice(text: str, root: yaml.Node | None, edit: Edit) -> Splice:
    """What one edit does to the text."""
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


def _replaced(text: str, node: yaml.Node, value: Any) -> Splice:
    start, end = _span(text, node)
    if isinstance(node, yaml.CollectionNode) and not node.flow_style:
        # A block begins on a line of its own, below its key.
        return len(text[:start].rstrip()), end, f" {_written(value)}"
    return start, end, _written(value)


def _span(text: str, node: yaml.Node) -> tuple[int, int]:
    return _offset(text, node.start_mark), _last(text, node)


def _offset(text: str, mark: Any) -> int:
    """Marks count characters by line and column; libyaml's index counts bytes."""
    return _starts(text)[int(mark.line)] + int(mark.column)


@lru_cache(maxsize=2)
def _starts(text: str) -> list[int]:
    """Where each line begins, and where the text ends."""
    return [0, *accumulate(map(len, text.splitlines(keepends=True)))]


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


def _with(text: str, parent: yaml.Node, edit: Edit) -> Splice:
    """The text with a new key at the end of a mapping."""
    if not isinstance(parent, yaml.MappingNode):
        if isinstance(parent, yaml.ScalarNode) and not parent.value:
            return _replaced_nothing(text, parent, edit)
        raise NotMechanical
    entry = f"{_written(edit.path[-1])}: {_written(edit.value)}"
    if parent.flow_style:
        place = _offset(text, parent.end_mark) - 1
        kept = len(text[:place].rstrip())
        comma = "" if text[:kept].endswith(("{", ",")) else ", "
        return kept, kept, f"{comma}{entry}"
    column = parent.value[0][0].start_mark.column
    place = _line_end(text, _last(text, parent))
    before = "" if text[:place].endswith("\n") else "\n"
    return place, place, f"{before}{' ' * column}{entry}\n"


def _replaced_nothing(text: str, parent: yaml.Node, edit: Edit) -> Splice:
    """A key without a value gets a mapping."""
    place = _offset(text, parent.start_mark)
    return len(text[:place].rstrip(" ")), place, f" {{{_written(edit.path[-1])}: {_written(edit.value)}}}"


def _new_section(text: str, root: yaml.Node, edit: Edit) -> Splice:
    """A section that the file does not have yet goes to its end."""
    if len(edit.path) != 2 or edit.remove or not isinstance(root, yaml.MappingNode) or root.flow_style or root.start_mark.column:
        raise NotMechanical
    before = "" if text.endswith("\n") else "\n"
    return len(text), len(text), f"{before}{_written(edit.path[0])}:\n  {_written(edit.path[1])}: {_written(edit.value)}\n"


def _without(text: str, parent: yaml.Node, key: yaml.Node, value: yaml.Node) -> Splice:
    """The text without an entry of a mapping or a list."""
    start, end = _offset(text, key.start_mark), _last(text, value)
    if isinstance(parent, yaml.CollectionNode) and parent.flow_style:
        after = len(text) - len(text[end:].lstrip())
        if text[after : after + 1] == ",":
            return start, len(text) - len(text[after + 1 :].lstrip(" ")), ""
        return len(text[:start].rstrip().removesuffix(",")), end, ""
    line = _line_start(text, start)
    if isinstance(parent, yaml.MappingNode) and text[line:start].strip():
        # The first key beside a dash: what follows would lose it.
        raise NotMechanical
    return line, _line_end(text, end), ""

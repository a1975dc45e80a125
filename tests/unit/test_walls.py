"""The import walls: the thinking knows no Ansible, what runs on a host needs nothing but Python and Ansible's own utilities."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Room -> what it may import: other rooms of ours, packages of Ansible, and third parties ("*").
WALLS: dict[str, dict[str, set[str]]] = {
    "plugin_utils": {"rooms": {"plugin_utils", "module_utils"}, "packages": {"*"}},
    "module_utils": {"rooms": {"module_utils"}, "packages": {"ansible.module_utils"}},
    "modules": {"rooms": {"module_utils"}, "packages": {"ansible.module_utils"}},
    "filter": {"rooms": {"plugin_utils", "module_utils"}, "packages": {"ansible"}},
    "action": {"rooms": {"plugin_utils", "module_utils"}, "packages": {"ansible"}},
    "doc_fragments": {"rooms": set(), "packages": set()},
}


def absolute_name(node: ast.ImportFrom, package: list[str]) -> str:
    """`from ..plugin_utils.x import y` in package ["plugins", "filter"] is plugins.plugin_utils.x."""
    if not node.level:
        return node.module or ""
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, absolute dotted name) of every import in a file, function bodies and TYPE_CHECKING included."""
    package = list(path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = absolute_name(node, package)
            # `from .. import plugin_utils` and `from ansible import module_utils` name the room last.
            short = name in ("plugins", "ansible")
            yield from ((node.lineno, f"{name}.{alias.name}" if short else name) for alias in node.names)


def refusal(room: str, name: str) -> str | None:
    """Why `name` may not be imported in `room`, or None."""
    wall, first = WALLS[room], name.split(".")[0]
    if first == "plugins":
        neighbour = name.split(".")[1] if "." in name else ""
        return None if neighbour in wall["rooms"] else f"may import our {sorted(wall['rooms'])} only"
    if first == "ansible_collections":
        return "our own code is imported relatively, other collections not at all"
    if first in sys.stdlib_module_names:
        return None
    if "*" in wall["packages"]:
        return "the thinking imports no Ansible" if first == "ansible" else None
    allowed = any(name == package or name.startswith(f"{package}.") for package in wall["packages"])
    return None if allowed else f"may import the standard library and {sorted(wall['packages'])} only"


def violations(root: Path) -> list[str]:
    found = []
    for room in WALLS:
        for path in sorted((root / "plugins" / room).rglob("*.py")):
            for line, name in imports(path, root):
                reason = refusal(room, name)
                if reason:
                    found.append(f"{path.relative_to(root)}:{line} imports {name}: {room} {reason}")
    return found


def test_the_rooms_are_there() -> None:
    """Each with code, and no other: a new folder needs a wall of its own."""
    folders = {path.relative_to(ROOT / "plugins").parts[0] for path in (ROOT / "plugins").rglob("*/*.py")}
    assert folders == set(WALLS)


def test_nobody_climbs_a_wall() -> None:
    assert violations(ROOT) == []


CASES = [
    ("plugin_utils", "import pydantic", True),
    ("plugin_utils", "from ..module_utils.gguf import x", True),
    ("plugin_utils", "from .fleet import x", True),
    ("plugin_utils", "import ansible", False),
    ("plugin_utils", "from ansible.errors import AnsibleError", False),
    ("plugin_utils", "def late():\n    from ansible.module_utils.urls import Request", False),
    ("plugin_utils", "from ..filter.plan import x", False),
    ("plugin_utils", "from ansible_collections.homelab.llm.plugins.plugin_utils.fleet import x", False),
    ("module_utils", "import json", True),
    ("module_utils", "from ansible.module_utils.urls import Request", True),
    ("module_utils", "from ansible import module_utils", True),
    ("module_utils", "from ansible.errors import AnsibleError", False),
    ("module_utils", "import yaml", False),
    ("module_utils", "from ..plugin_utils.fleet import x", False),
    ("module_utils", "from .. import plugin_utils", False),
    ("modules", "from ..module_utils.gguf import x", True),
    ("modules", "from ..plugin_utils.fleet import x", False),
    ("modules", "import httpx", False),
    ("filter", "from ansible.errors import AnsibleFilterError", True),
    ("filter", "from ..plugin_utils.fleet import x", True),
    ("filter", "from ..modules.engine_info import x", False),
    ("filter", "import pydantic", False),
    ("action", "from ansible.plugins.action import ActionBase", True),
    ("action", "import httpx", False),
]


@pytest.mark.parametrize(("room", "source", "allowed"), CASES)
def test_the_wall_tells_right_from_wrong(tmp_path: Path, room: str, source: str, allowed: bool) -> None:
    path = tmp_path / "plugins" / room / "example.py"
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    assert (violations(tmp_path) == []) is allowed

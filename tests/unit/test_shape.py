"""The size of things: a function fits on one screen, a file and a task list can be read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTION_LINES = 40
FILE_LINES = 400
TASK_FILE_LINES = 60
# Several plays in a row, each with its hosts and tags.
PLAYBOOK_LINES = 100


def long_functions(root: Path) -> Iterator[str]:
    for path in sorted((root / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{path.relative_to(root)}:{node.lineno} {node.name}: {lines} lines, at most {FUNCTION_LINES}"


def long_files(root: Path, folder: str, pattern: str, limit: int) -> Iterator[str]:
    for path in sorted((root / folder).glob(pattern)):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > limit:
            yield f"{path.relative_to(root)}: {lines} lines, at most {limit}"


def shape_findings(root: Path) -> list[str]:
    return [
        *long_functions(root),
        *long_files(root, "plugins", "**/*.py", FILE_LINES),
        *long_files(root, "roles", "*/tasks/**/*.yml", TASK_FILE_LINES),
        *long_files(root, "playbooks", "**/*.yml", PLAYBOOK_LINES),
    ]


def test_there_is_something_to_measure() -> None:
    counts = {pattern: len(list(ROOT.glob(pattern))) for pattern in ("plugins/**/*.py", "roles/*/tasks/*.yml", "playbooks/*.yml")}
    assert [pattern for pattern, count in counts.items() if not count] == []


def test_everything_fits_on_its_page() -> None:
    assert shape_findings(ROOT) == []


FUNCTION = "def long():\n" + "    pass\n" * (FUNCTION_LINES - 1)
CASES = [
    ("plugins/plugin_utils/a.py", FUNCTION, 0),
    ("plugins/plugin_utils/a.py", FUNCTION + "    pass\n", 1),
    ("plugins/plugin_utils/a.py", "class A:\n    async def long(self):\n" + "        pass\n" * FUNCTION_LINES, 1),
    ("plugins/modules/a.py", "A = 1\n" * FILE_LINES, 0),
    ("plugins/modules/a.py", "A = 1\n" * (FILE_LINES + 1), 1),
    ("roles/a/tasks/main.yml", "- a\n" * TASK_FILE_LINES, 0),
    ("roles/a/tasks/deep/er.yml", "- a\n" * (TASK_FILE_LINES + 1), 1),
    ("playbooks/a.yml", "- a\n" * (PLAYBOOK_LINES + 1), 1),
]


@pytest.mark.parametrize(("name", "text", "findings"), CASES)
def test_the_measure_tells_long_from_short(tmp_path: Path, name: str, text: str, findings: int) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert len(shape_findings(tmp_path)) == findings

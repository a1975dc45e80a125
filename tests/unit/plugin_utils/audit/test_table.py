"""docs/audit.md has every rule as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugins.plugin_utils.audit.check import RULES, STACK_RULES
from plugins.plugin_utils.audit.table import main, with_table

PAGE = Path(__file__).parents[4] / "docs" / "audit.md"


def test_the_page_is_current() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == with_table(text), "run `make docs`"


def test_each_rule_stands_in_it_once() -> None:
    rows = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(("| error", "| warning", "| advice"))
    ]
    assert sorted(row.split("`")[1] for row in rows) == sorted(rule.id for rule in (*RULES, *STACK_RULES))


def test_the_command_writes_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- rules: made by `make docs` -->\nold\n<!-- end of rules -->\nb\n", encoding="utf-8")
    assert main([str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("a\n")
    assert text.endswith("\nb\n")
    assert "`order-ignored` | up to 1.82.6" in text
    assert "old" not in text.splitlines()


def test_a_page_without_marks() -> None:
    with pytest.raises(ValueError, match="expected both"):
        with_table("nothing\n")

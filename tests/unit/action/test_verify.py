"""What the action verify takes from what the playbook registered on the hosts."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.action.verify import settings_of

SETTINGS = {"environment": None, "effective": {"OLLAMA_KEEP_ALIVE": "5m0s"}}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, None),
        ({"skipped": True}, None),
        ({"receipt": {"error": None, "settings": SETTINGS}}, SETTINGS),
        ({"receipt": {"error": {"kind": "connect"}, "settings": SETTINGS}}, None),
    ],
)
def test_the_log_of_an_engine_that_does_not_answer_is_of_the_past(asked: Any, expected: Any) -> None:
    assert settings_of({"oak": {"ollama_asked": asked}}, "oak") == expected

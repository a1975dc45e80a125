"""What a person is told of a failed look at a host: the reason, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.plugin_utils.refusal import refusal

FILTER = (
    "Task failed: Finalization of task args for 'ansible.builtin.set_fact' failed: Error while resolving value for 'x': "
    "The filter plugin 'homelab.llm.{}' failed: {}"
)
# What failed, and what is said of it on the host star.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "a message": ({"msg": "no program"}, "star: no program"),
    "the host's own message": ({"msg": "star: no program"}, "star: no program"),
    "the host first in a sentence": ({"msg": "star has no program"}, "star has no program"),
    "another host's beginning": ({"msg": "starboard: no program"}, "star: starboard: no program"),
    "the first failed item": (
        {
            "msg": "One or more items failed",
            "results": [
                {"msg": "all right", "failed": False},
                {"msg": "a.tgz: gone", "failed": True},
                {"msg": "b", "failed": True},
            ],
        },
        "star: a.tgz: gone",
    ),
    "a filter": ({"msg": FILTER.format("ollama_environment", "got A=1; expected none")}, "star: got A=1; expected none"),
    "the archives": ({"msg": FILTER.format("release_archives", "release_archives: too old")}, "star: too old"),
    "nothing": ({}, "star: the task Look failed"),
}


@pytest.mark.parametrize(("result", "said"), CASES.values(), ids=CASES.keys())
def test_what_is_said(result: dict[str, Any], said: str) -> None:
    assert refusal(result, "Look", "star") == said

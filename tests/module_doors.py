"""Calling a module of the collection in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


def call_module(door: str, /, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    """What a module prints."""
    printed = io.StringIO()
    module = importlib.import_module(f"plugins.modules.{door}")
    arguments["_ansible_check_mode"] = check_mode
    with patch_module_args(arguments), contextlib.redirect_stdout(printed), pytest.raises(SystemExit):
        module.main()
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer

"""Calling a module of the collection in this process."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


@contextlib.contextmanager
def own_umask() -> Iterator[None]:
    """A module has its process to itself and may set the mask of its files; the test beside it has its own."""
    before = os.umask(0o022)
    os.umask(before)
    try:
        yield
    finally:
        os.umask(before)


def call_module(door: str, /, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
    """What a module prints."""
    printed = io.StringIO()
    module = importlib.import_module(f"plugins.modules.{door}")
    arguments["_ansible_check_mode"] = check_mode
    with patch_module_args(arguments), contextlib.redirect_stdout(printed), pytest.raises(SystemExit), own_umask():
        module.main()
    answer: dict[str, Any] = json.loads(printed.getvalue())
    return answer

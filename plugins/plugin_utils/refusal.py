"""What a person is told of a task that failed while a role only looked at a host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Ansible's own words about an expression and the filter in it are no help; the filter's are.
EXPRESSION = re.compile(r"(?s)^Task failed: .*?The filter plugin '[^']*' failed: (?:release_archives: )?")


def refusal(result: Mapping[str, Any], task: str, host: str) -> str:
    """One sentence that begins with the host: of a loop its first failed item's."""
    failed = next((item for item in result.get("results") or () if item.get("failed")), result)
    said = EXPRESSION.sub("", str(failed.get("msg") or f"the task {task} failed"))
    return said if re.match(rf"{re.escape(host)}(?![\w.-])", said) else f"{host}: {said}"

"""What several releases of LiteLLM know, as one file for the audit: `python -m tests.rules.inventory` writes it.

For each section the names are grouped by the releases that know them: "0111" are those that came after the first and stayed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.rules.environments import ENVIRONMENT, RELEASES, ROOT, python_of

FILE = ROOT / "plugins" / "plugin_utils" / "audit" / "litellm_keys.json"
LIMIT_S = 300.0


def keys_of(release: str) -> dict[str, list[str]]:
    """Section -> names, asked of the release itself."""
    command = [str(python_of(release)), str(Path(__file__).with_name("keys_of_release.py"))]
    done = subprocess.run(
        command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=True
    )
    return json.loads(done.stdout)


def merged(known: dict[str, dict[str, list[str]]]) -> dict[str, object]:
    """The file's content; `known` is release -> section -> names."""
    sections: dict[str, dict[str, str]] = {}
    for section in sorted({name for keys in known.values() for name in keys}):
        groups: dict[str, list[str]] = {}
        for name in sorted({name for keys in known.values() for name in keys[section]}):
            groups.setdefault("".join("01"[name in keys[section]] for keys in known.values()), []).append(name)
        sections[section] = {mask: " ".join(names) for mask, names in sorted(groups.items(), reverse=True)}
    return {"releases": list(known), "sections": sections}


def main() -> None:
    content = merged({release: keys_of(release) for release in RELEASES})
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()

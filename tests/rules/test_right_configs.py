"""LiteLLM's own Router takes each configuration that the audit finds nothing wrong with, and drops none of its deployments."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.rules.environments import ENVIRONMENT, PINNED, RELEASES, ROOT, python_of

FOLDER = ROOT / "tests" / "fixtures" / "router" / "right"
BUILDER = Path(__file__).with_name("routers.py")
# Their models come from elsewhere, or they have none; or they need a package that no lock of ours has.
NOT_BUILT = {"database", "include", "mcp_alone", "pass_through", "semantic"}
LIMIT_S = 300.0
NAMED = re.compile(r"^# LiteLLM (\S+)$", re.MULTILINE)


def files_of(release: str) -> list[Path]:
    """The files for a release; those for one that is not at hand are shown to the newest or to the next below it."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        named = NAMED.search(file.read_text(encoding="utf-8"))
        wanted = named[1] if named else PINNED
        nearest = wanted if wanted in RELEASES else PINNED if wanted > PINNED else "1.98.1"
        if nearest == release and file.stem not in NOT_BUILT:
            found.append(file)
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_the_router_takes(release: str) -> None:
    files = files_of(release)
    assert files
    done = subprocess.run(
        [str(python_of(release)), str(BUILDER), *map(str, files)],
        env={**os.environ, **ENVIRONMENT, "STAR_TIMEOUT": "60"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    built = json.loads(done.stdout.splitlines()[-1])
    assert {name: said for name, said in built.items() if said != "taken"} == {}
    assert sorted(built) == [file.name for file in files]

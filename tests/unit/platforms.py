"""The simulated platforms of tests/fixtures/platforms: facts as Ansible has them, the hardware, and what is expected of each."""

from __future__ import annotations

from pathlib import Path

from tests import yaml_text

FOLDER = Path(__file__).parents[1] / "fixtures" / "platforms"
PLATFORMS = {path.stem: yaml_text.read(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
NAMES = sorted(PLATFORMS)

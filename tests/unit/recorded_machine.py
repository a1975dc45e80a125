"""A machine that answers from the files of tests/fixtures/hardware."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

from plugins.module_utils.hardware_nvidia import OLD_FIELDS, query

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDINGS = FIXTURES / "hardware"
# A colon is in no file name of a collection: a PCI slot is written with hyphens on disk.
SLOT = re.compile(r"\b([0-9a-f]{4})-([0-9a-f]{2})-([0-9a-f]{2}\.\d)")
OTHER_ANSWERS = {query(OLD_FIELDS): "nvidia-smi.old"}


class RecordedMachine:
    """Files below root/, the answers of commands in commands/; what is not there was not there."""

    def __init__(self, folder: Path, system: str, architecture: str) -> None:
        self.folder, self.system, self.architecture = folder, system, architecture

    def read(self, path: str) -> str | None:
        recorded = self.folder / "root" / path.lstrip("/").replace(":", "-")
        return recorded.read_text(encoding="utf-8").strip("\0 \t\n") if recorded.is_file() else None

    def paths(self, pattern: str) -> list[str]:
        root = self.folder / "root"
        found = (SLOT.sub(r"\1:\2:\3", f"/{path.relative_to(root)}") for path in root.rglob("*"))
        depth = pattern.count("/")
        return sorted(path for path in found if path.count("/") == depth and fnmatch.fnmatch(path, pattern))

    def run(self, command) -> str | None:
        recorded = self.folder / "commands" / f"{OTHER_ANSWERS.get(tuple(command), command[0])}.txt"
        return recorded.read_text(encoding="utf-8") if recorded.is_file() else None

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast an accelerator reads its memory, by its exact name. A name that is not in the table is unknown: nothing is guessed."""

from __future__ import annotations

import re

from .memory_bandwidth_data import ROWS, SOURCES, Row

# What tools put around the name of a product.
MARKS = re.compile(r"\((?:R|TM)\)", re.IGNORECASE)
MAKER = re.compile(r"^(?:NVIDIA|AMD|Intel|Apple)\s+(?:GeForce\s+|Tesla\s+)?|^(?:GeForce|Tesla)\s+")
# Tools tell a little less than what is sold (ECC, the firmware's part); the sizes of one name are further apart than this.
SIZE_TOLERANCE = 0.12
MIB_PER_GIB = 1024


def bandwidth_gb_s(name: str | None, memory_mib: float | None = None, gpu_cores: int | None = None) -> float | None:
    """GB/s (10^9 bytes) as the maker tells; None for a name, a memory size or a number of cores that is not in the table.

    ``gpu_cores`` tells apart Macs whose chips have one name; ``memory_mib`` cards whose names are the same.
    """
    row = _row(name, memory_mib, gpu_cores)
    return row.gb_s if row else None


def bandwidth_source(name: str | None, memory_mib: float | None = None, gpu_cores: int | None = None) -> str | None:
    """The document that the figure is from; None where there is no figure."""
    row = _row(name, memory_mib, gpu_cores)
    return SOURCES[row.source] if row else None


def plain_name(name: str) -> str:
    """A name as the table has it: without its maker, marks and the word Graphics at its end."""
    words = " ".join(MARKS.sub(" ", name).split())
    return re.sub(r" Graphics$", "", MAKER.sub("", words, count=1)).lower()


def _row(name: str | None, memory_mib: float | None, gpu_cores: int | None) -> Row | None:
    for row in BY_NAME.get(plain_name(name or ""), ()):
        sized = row.memory_gib is None or _same_size(row.memory_gib, memory_mib)
        if sized and row.gpu_cores in (None, gpu_cores):
            return row
    return None


def _same_size(sold_gib: float, memory_mib: float | None) -> bool:
    return memory_mib is not None and abs(memory_mib / MIB_PER_GIB - sold_gib) <= sold_gib * SIZE_TOLERANCE


BY_NAME = {plain: [row for row in ROWS if row.name.lower() == plain] for plain in {row.name.lower() for row in ROWS}}

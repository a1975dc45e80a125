# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks llama.cpp itself what it allocates for a small model of every architecture: tests/fixtures/memory/architectures.json.

    python -m tests.oracle.measure SOURCE LIBRARIES

SOURCE: a source tree of llama.cpp; LIBRARIES: the folder with its libllama.so.0 and libggml*.so.0, of the same version.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from plugins.module_utils.metadata_sizes import SIZES, SIZES_BY_LAYER
from tests.gguf_files import write_gguf
from tests.oracle.models import LEFT_OUT, SETTINGS, TYPED, metadata_of, setting_of

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "fixtures" / "memory" / "architectures.json"
BLOCK = re.compile(r"^((?:enc\.|dec\.)?blk\.)(\d+)(\..*)$")


def build(source: Path, libraries: Path, program: Path) -> None:
    """Compile the probe against a source tree and its libraries."""
    linked = [libraries / f"lib{name}.so.0" for name in ("llama", "ggml", "ggml-base", "ggml-cpu")]
    folders = [f"-I{source / folder}" for folder in ("include", "ggml/include", "src")]
    command = ["g++", "-std=c++17", "-O1", *folders, str(HERE / "probe.cpp"), "-o", str(program), *map(str, linked)]
    subprocess.run([*command, f"-Wl,-rpath,{libraries}"], check=True)


def ask(program: Path, model: Path, setting: dict[str, Any], *more: str) -> dict[str, Any]:
    """What llama.cpp answers for one setting. Raises RuntimeError with its last words."""
    words = [setting["context"], setting["parallel"], setting["ubatch"], setting["flash"], setting["k"], setting["v"]]
    command = [str(program), str(model), *map(str, words), str(setting["parallel"]), *setting["options"], *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{model.name}: exit {done.returncode}: {done.stderr[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def trimmed(shape: list[int]) -> list[int]:
    """Without the last dimensions of one."""
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def grouped(tensors: list[Any]) -> list[list[Any]]:
    """Tensors with ``*`` for the number of their block, and the blocks that have such a one; the others with none."""
    groups: dict[tuple[str, tuple[int, ...], int], list[int]] = defaultdict(list)
    for name, shape, kind in tensors:
        block = BLOCK.match(name)
        key = (f"{block.group(1)}*{block.group(3)}" if block else name, tuple(shape), kind)
        groups[key] += [int(block.group(2))] if block else []
    return [[name, list(shape), kind, blocks] for (name, shape, kind), blocks in groups.items()]


def measured(program: Path, folder: Path, name: str) -> dict[str, Any]:
    """What the fixture says of one architecture: the metadata that decide sizes, tensors, and llama.cpp's answers in bytes."""
    metadata = metadata_of(name)
    model = folder / f"{name}.gguf"
    write_gguf(model, metadata, TYPED.get(name, ()))
    answers = [ask(program, model, setting_of(name, setting)) for setting in SETTINGS]
    # Made-up tensors are never shared, those of a file are: weights are asked of a file with all of them.
    tensors = {item[0]: (item[0], trimmed(item[1]), item[2]) for item in answers[0]["tensors"]}
    write_gguf(model, metadata, tensors.values())
    whole = ask(program, model, setting_of(name, SETTINGS[0]), "whole")
    sizes = {f"{name}.{key}" for key in SIZES | SIZES_BY_LAYER}
    kept = {key: value for key, value in metadata.items() if key in sizes or key.startswith(("general.", "tokenizer."))}
    return {
        "metadata": kept,
        "tensors": grouped(list(tensors.values())),
        "weights_bytes": whole["weights"],
        "context_bytes": [answer["context"] for answer in answers],
    }


def architectures(source: Path) -> list[str]:
    """Every architecture that the source names."""
    text = (source / "src" / "llama-arch.cpp").read_text(encoding="utf-8")
    names = re.findall(r'\{ LLM_ARCH_\w+,\s+"([^"(]+)"', text)
    return [name for name in names if name not in LEFT_OUT]


def main(source: Path, libraries: Path) -> None:
    """Measures everything and writes the fixture."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        build(source, libraries.resolve(), folder / "probe")
        found = {name: measured(folder / "probe", folder, name) for name in architectures(source)}
    lines = [f"{json.dumps(name)}: {json.dumps(item, separators=(',', ':'))}" for name, item in found.items()]
    text = '{"engine": "llama.cpp b10488", "settings": %s, "architectures": {\n%s\n}}\n'
    TARGET.write_text(text % (json.dumps(SETTINGS), ",\n".join(lines)), encoding="utf-8")
    print(f"{len(found)} architectures in {TARGET}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))

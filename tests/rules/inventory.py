"""What several releases of LiteLLM know, as one file for the audit: `python -m tests.rules.inventory` writes it.

The releases of the tests are asked themselves; of others between and after them the wheel is read, which is not installed.
For each section the names are grouped by the releases that know them: "0111" are those that came after the first and stayed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import cast

from plugins.plugin_utils.audit.litellm_keys import MODES_FILE
from tests.rules.environments import ENVIRONMENT, RELEASES, ROOT, cache_folder, python_of
from tests.rules.keys_of_wheel import COSTS, keys_of_wheel

FILE = ROOT / "plugins" / "plugin_utils" / "audit" / "litellm_keys.json"
LIMIT_S = 300.0
# The modes of which the audit is told; whoever is of another one is told from its name, or not at all.
NO_CHATS = ("audio_speech", "audio_transcription", "embedding", "image_edit", "image_generation", "moderation", "ocr", "rerank",
            "video_generation")  # fmt: skip
# The digests of the wheels that are read, oldest first (litellm-…-cp310-abi3-manylinux_2_28_x86_64.whl).
WHEELS = {
    "1.103.11": "032b78d8f890b0553d2dea37608d7e2efecbacbca1e1a6511674f661a3a63f0b",
    "1.109.1": "1c8b4dd671fa0cd0850aa751678704ff77e595fb1e6085b2dc3be39ee19bdaaf",
}
PLATFORM = ["--only-binary=:all:", "--platform=manylinux_2_28_x86_64", "--python-version=3.11", "--implementation=cp"]


def keys_of(release: str) -> dict[str, list[str]]:
    """Section -> names, asked of the release itself."""
    command = [str(python_of(release)), "-m", "tests.rules.keys_of_release"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=True
    )
    return cast("dict[str, list[str]]", json.loads(done.stdout))


def unpacked(release: str) -> Path:
    """The folder of a release's wheel, fetched and unpacked where it is not there yet."""
    folder = cache_folder() / f"wheel-{release}-{WHEELS[release][:16]}"
    if not folder.is_dir():
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_folder()) as name:
            wanted = Path(name) / "wanted.txt"
            wanted.write_text(f"litellm=={release} --hash=sha256:{WHEELS[release]}\n", encoding="utf-8")
            tool = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", *PLATFORM]
            subprocess.run([*tool, "--dest", name, "-r", str(wanted)], timeout=LIMIT_S, check=True)
            [wheel] = Path(name).glob("*.whl")
            zipfile.ZipFile(wheel).extractall(Path(name) / "whole")
            (Path(name) / "whole").rename(folder)
    return folder


def everything() -> dict[str, dict[str, list[str]]]:
    """Release -> section -> names, oldest first."""
    known = {release: keys_of(release) for release in RELEASES}
    for release in WHEELS:
        below = max((other for other in known if number(other) < number(release)), key=number)
        known[release] = keys_of_wheel(unpacked(release), known[below])
    return dict(sorted(known.items(), key=lambda pair: number(pair[0])))


def number(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


def merged(known: dict[str, dict[str, list[str]]]) -> dict[str, object]:
    """The file's content; `known` is release -> section -> names."""
    sections: dict[str, dict[str, str]] = {}
    for section in sorted({name for keys in known.values() for name in keys}):
        groups: dict[str, list[str]] = {}
        for name in sorted({name for keys in known.values() for name in keys[section]}):
            groups.setdefault("".join("01"[name in keys[section]] for keys in known.values()), []).append(name)
        sections[section] = {mask: " ".join(names) for mask, names in sorted(groups.items(), reverse=True)}
    return {"releases": list(known), "read": [release for release in known if release in WHEELS], "sections": sections}


def modes(release: str) -> dict[str, str]:
    """Mode -> the models of a release's list of prices that have it. Most are chat models: their names say so."""
    costs = next(file for name in COSTS if (file := unpacked(release) / name).is_file())
    found: dict[str, list[str]] = {}
    for name, facts in json.loads(costs.read_text(encoding="utf-8")).items():
        if facts.get("mode") in NO_CHATS and " " not in name:
            found.setdefault(facts["mode"], []).append(name)
    return {mode: " ".join(sorted(names)) for mode, names in sorted(found.items())}


def main() -> None:
    for file, content in ((FILE, merged(everything())), (MODES_FILE, modes(list(WHEELS)[-1]))):
        file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()

# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model of an Ollama as it is wanted: what the module ollama_model does, from its options to its result."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Mapping

from .connection import RequestFailed
from .gguf_bytes import GgufError
from .installed_model import Engine, Outcome
from .model_derive import derive
from .model_present import present
from .ollama_names import parse_model_name
from .transfer_progress import Limits, ModelProblem, Progress

DIGEST = re.compile(r"(?:sha256:)?(?P<hex>[0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Wanted:
    """The options of the module ollama_model, which documents them."""

    name: str
    state: str = "present"
    url: str = "http://127.0.0.1:11434"
    from_model: str | None = None
    from_file: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None
    insecure: bool = False
    mirror: str | None = None
    models_directory: str | None = None
    models_owner: str | None = None
    copy_from: Mapping[str, Any] | None = None
    update: bool = True
    timeout_s: int = 86400
    progress_file: str | None = None


def work(wanted: Wanted, check_mode: bool, limits: Limits | None = None) -> dict[str, Any]:
    """What the module returns. Raises ModelProblem with what to do."""
    progress = Progress(wanted.progress_file)
    try:
        _check(wanted)
        name = parse_model_name(wanted.name)
        engine = Engine(wanted.url, name, wanted.models_directory, wanted.models_owner)
        limits = limits or Limits(wanted.timeout_s)
        if wanted.state == "absent":
            return _absent(engine, check_mode).result()
        if name.is_cloud:
            raise ModelProblem("runs in Ollama's cloud, there are no files to keep on a host; take a tag without cloud")
        made = derive if wanted.state == "derived" else present
        return made(engine, wanted, check_mode, limits, progress).result()
    except GgufError as error:
        raise ModelProblem(str(error)) from None
    except RequestFailed as failure:
        raise ModelProblem(f"the engine at {wanted.url}: {failure.message}: check that it runs and can be reached") from None
    except OSError as error:
        place = error.filename or "a file"
        raise ModelProblem(f"{place}: {error.strerror or error}: check the file system, then run again") from None
    finally:
        progress.close()


def _check(wanted: Wanted) -> None:
    """Raises ModelProblem where options do not go together."""
    match = DIGEST.fullmatch(wanted.digest) if wanted.digest else None
    if wanted.digest and match is None:
        raise ModelProblem(f"got digest {wanted.digest[:80]!r}, expected the sha256 of a manifest, 64 hex digits")
    copying = wanted.copy_from is not None and wanted.copy_from.get("url")
    if (wanted.mirror or copying) and not wanted.models_directory:
        what = "mirror" if wanted.mirror else "copy_from"
        raise ModelProblem(f"got {what} without models_directory, expected the directory of the engine's models: files go there")
    if copying and not (wanted.copy_from or {}).get("token"):
        raise ModelProblem("got copy_from without a token, expected url and token as ollama_share returned them")
    if wanted.timeout_s <= 0:
        raise ModelProblem(f"got timeout_s {wanted.timeout_s}, expected seconds above 0")


def _absent(engine: Engine, check_mode: bool) -> Outcome:
    there = engine.installed()
    if there is None:
        return Outcome(engine, msg="is not installed")
    if not check_mode:
        engine.delete()
    return Outcome(engine, changed=True, before=there, msg="would be removed" if check_mode else "removed")

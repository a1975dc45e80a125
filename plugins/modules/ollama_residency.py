#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings an Ollama to its resident set, or tells how far it is from it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_residency
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.2.0
short_description: Load the models that an Ollama is to keep, and prove that it keeps them
description:
  - Looks at what the engine has loaded, loads what is missing, one model at a time in the order of loading, and looks again.
  - A model that is loaded with another context, or only for some time, is put right by the same request, which names no option.
    The engine's settings and the model's own parameters decide, because an option that is sent here would make every later
    request without it load the model again.
  - Where that pushed another planned model out, or left a part of one outside of GPU memory, the planned models are unloaded
    from the first wrong one on and loaded again in their order, then once more from the first of all. After that it fails with
    what is still wrong.
  - Models that are loaded and not named here are reported, and never unloaded.
options:
  url:
    description: Address of the engine, without C(/v1).
    type: str
    default: http://127.0.0.1:11434
  models:
    description: The resident set.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the model as the engine knows it.
        type: str
        required: true
      mode:
        description: What it is for. Decides how it is loaded only where the engine does not say what the model can do.
        type: str
        choices: [chat, embedding]
        default: chat
      context_tokens:
        description: Context that it must have, of one sequence. A model that was trained with less has what it was trained with.
        type: int
      full_offload:
        description: Whether all of it must lie in the accelerators' memory.
        type: bool
        default: false
      digest:
        description: sha256 of its manifest, that it must have. Without it, what the engine's store has under the name is right.
        type: str
      load_order:
        description: V(1) is loaded first.
        type: int
        default: 1
  state:
    description:
      - V(loaded) brings the engine to the set and fails where that does not succeed.
      - V(reported) loads nothing and does not fail because of findings.
    type: str
    choices: [loaded, reported]
    default: loaded
  timeout_s:
    description: Longest wait for one model to be loaded, in seconds. It has to cover reading it from the disk.
    type: float
    default: 900
  start_timeout_s:
    description: How long to wait for an engine that does not answer yet, in seconds.
    type: float
    default: 60
  state_directory:
    description:
      - Directory of the watchdog's files on this host. Where it is there, watchdog and module do not load at the same time.
      - The file C(lock) in it, which tells them of each other, is left to the directory's owner and root.
    type: path
attributes:
  check_mode:
    description: Tells what would be loaded. An engine that does not answer would have to load everything.
    support: full
  diff_mode:
    description: Shows what is loaded before and after.
    support: full
  idempotent:
    description: Changes nothing where the set is resident.
    support: full
"""

EXAMPLES = r"""
- name: Load what the host is to keep
  homelab.llm.ollama_residency:
    url: http://127.0.0.1:11434
    models:
      - {name: "gemma4:26b", context_tokens: 32768, full_offload: true, load_order: 1}
      - {name: "nomic-embed-text", mode: embedding, context_tokens: 2048, full_offload: true, load_order: 2}
"""

RETURN = r"""
loaded:
  description: Names that were loaded or told to stay, in check mode those that would be.
  returned: always
  type: list
  elements: str
findings:
  description: What is not as planned, one sentence each.
  returned: always
  type: list
  elements: str
steps:
  description: What was done, one sentence each.
  returned: always
  type: list
  elements: str
foreign:
  description: Names of models that are loaded and not planned.
  returned: always
  type: list
  elements: str
replaced:
  description:
    - Names under which an older model is loaded than the engine's store has now, because it was pulled or created again.
    - Only a new start of the engine is sure to unload that; use O(state=reported) to find out before loading.
  returned: always
  type: list
  elements: str
receipt:
  description: The engine's word after all that; the keys are those of M(homelab.llm.engine_info).
  returned: always
  type: dict
"""

import contextlib
import time
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.residency_files import Busy, locked
from ..module_utils.resident_engine import ResidentEngine
from ..module_utils.resident_loading import Outcome, reach
from ..module_utils.resident_set import Expected, expected_models, findings, foreign, replaced, to_load, to_reorder

POLL_S = 0.5

ARGUMENTS = {
    "url": {"type": "str", "default": "http://127.0.0.1:11434"},
    "models": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": ["chat", "embedding"], "default": "chat"},
            "context_tokens": {"type": "int", "no_log": False},
            "full_offload": {"type": "bool", "default": False},
            "digest": {"type": "str"},
            "load_order": {"type": "int", "default": 1},
        },
    },
    "state": {"type": "str", "choices": ["loaded", "reported"], "default": "loaded"},
    "timeout_s": {"type": "float", "default": 900},
    "start_timeout_s": {"type": "float", "default": 60},
    "state_directory": {"type": "path"},
}


def awaited(engine: ResidentEngine, limit_s: float) -> dict[str, Any]:
    """The first receipt of an engine that may be starting: what it says, or its error after ``limit_s``."""
    ends = time.monotonic() + limit_s
    while True:
        receipt = engine.look()
        if receipt["error"] is None or time.monotonic() > ends:
            return receipt
        time.sleep(POLL_S)


@contextlib.contextmanager
def alone(directory: str | None, limit_s: float) -> Iterator[None]:
    """Hold the watchdog's lock, if there is one. Raises Busy after ``limit_s``."""
    with contextlib.ExitStack() as stack:
        if directory:
            stack.enter_context(locked(directory, limit_s))
        yield


def words(receipt: dict[str, Any]) -> list[str]:
    """What is loaded, for a diff."""
    return [f"{item['name']} context {item['context_tokens']} until {item['expires_at']}" for item in receipt["models"]]


def result(expected: list[Expected], before: dict[str, Any], outcome: Outcome, after: list[str] | None = None) -> dict[str, Any]:
    """The answer of the module. ``after``: for the diff, instead of what the receipt says."""
    receipt = outcome.receipt
    return {
        "changed": bool(outcome.loaded or outcome.steps),
        "loaded": outcome.loaded,
        "findings": [str(finding) for finding in outcome.findings],
        "steps": [f"{model} {text}" for _kind, model, text in outcome.steps],
        "foreign": sorted({str(item["name"]) for item in foreign(expected, receipt)}),
        "replaced": replaced(expected, receipt),
        "receipt": receipt,
        "diff": {"before": "\n".join([*words(before), ""]), "after": "\n".join([*(after or words(receipt)), ""])},
    }


def would(expected: list[Expected], receipt: dict[str, Any]) -> Outcome:
    """What a real run would begin with. Where nothing answers yet: all of it."""
    if receipt["error"] is not None:
        return Outcome(receipt, loaded=[model.name for model in expected])
    wanted = {model.name for model in [*to_load(expected, receipt), *to_reorder(expected, receipt)]}
    wanted |= {finding.model for finding in findings(expected, receipt) if finding.kind == "absent"}
    return Outcome(receipt, loaded=[model.name for model in expected if model.name in wanted])


def run(module: AnsibleModule, expected: list[Expected]) -> None:
    """Look, act, answer."""
    options = module.params
    engine = ResidentEngine(options["url"], options["timeout_s"])
    before = awaited(engine, 0 if module.check_mode else options["start_timeout_s"])
    if module.check_mode and options["state"] == "loaded":
        outcome = would(expected, before)
        told = [*words(before), *(f"{name} would be loaded or told to stay" for name in outcome.loaded)]
        module.exit_json(**result(expected, before, outcome, told))
    if before["error"] is not None:
        answer = result(expected, before, Outcome(before))
        error = f"{options['url']} does not answer: {before['error']['message']}; expected an Ollama there, see its service"
        module.fail_json(msg=error, **{**answer, "findings": [error]})
    if options["state"] == "reported":
        module.exit_json(**result(expected, before, Outcome(before, findings(expected, before))))
    answer = result(expected, before, reach(engine, expected, before))
    lost = answer["receipt"]["error"]
    if lost is not None:
        answer["findings"] = [f"{options['url']} was lost while models were loaded: {lost['message']}"]
    if answer["findings"]:
        module.fail_json(msg="\n".join(["the resident set is not as planned:", *answer["findings"]]), **answer)
    module.exit_json(**answer)


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    try:
        expected = expected_models(options["models"])
        acting = options["state"] == "loaded" and not module.check_mode
        with alone(options["state_directory"] if acting else None, options["timeout_s"]):
            run(module, expected)
    except (ValueError, Busy, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()

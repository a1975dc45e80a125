#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A receipt of what an engine serves and keeps in memory, by its own word."""

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_info
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.1.0
short_description: Ask an engine what it serves and keeps in memory
description:
  - Asks only; it loads nothing and generates nothing.
  - For an Ollama on the same host it also tells with which settings the server runs. Only variables are shown that decide how an
    engine uses memory and devices (C(OLLAMA_*), C(LLAMA_ARG_*), C(GGML_*), C(CUDA_VISIBLE_DEVICES), C(ROCR_VISIBLE_DEVICES),
    C(HSA_OVERRIDE_GFX_VERSION)), without those whose name speaks of a key, a token or a password.
options:
  engine:
    description: Kind of engine.
    type: str
    required: true
    choices: [ollama, llama_cpp, external]
  url:
    description: Address of the engine, or of one model's process, without C(/v1).
    type: str
    required: true
  model:
    description: Name of the model as the engine knows it. Without it RV(receipt.resident) is null.
    type: str
  pid:
    description: Process of the server on this host, whose environment is read. The default is the main process of O(unit).
    type: int
  unit:
    description: systemd unit of the server on this host, without C(.service), whose journal is read.
    type: str
  log:
    description: File on this host that the server logs to, instead of the journal.
    type: path
  find_process:
    description: Look on this host for the process that answers at the address and port of O(url), instead of O(pid).
    type: bool
    default: false
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: Is the model loaded
  homelab.llm.engine_info:
    engine: ollama
    url: http://127.0.0.1:11434
    model: gemma4:26b

- name: What is there, and with which settings does the server run
  homelab.llm.engine_info:
    engine: ollama
    url: http://127.0.0.1:11434
    unit: homelab-llm-ollama
"""

RETURN = r"""
receipt:
  description: The engine's word now. What it does not tell is null.
  returned: always
  type: dict
  contains:
    engine:
      description: The kind of engine that was asked.
      type: str
    resident:
      description: Whether O(model) is loaded; null where the engine cannot tell.
      type: bool
    models:
      description: What is loaded; for an external engine what can be asked for.
      type: list
      elements: dict
      contains:
        name:
          description: Name, for an Ollama that of whoever loaded it.
          type: str
        digest:
          description: sha256 of the model's manifest, hexadecimal.
          type: str
        context_tokens:
          description: Context of one sequence.
          type: int
        size_bytes:
          description: Memory by the engine's word; for llama.cpp the size of the weights.
          type: int
        size_vram_bytes:
          description: Part of it in the accelerators' memory.
          type: int
        expires_at:
          description: When it is unloaded if nobody asks; a year after 2100 means never.
          type: str
    available:
      description: Names that can be asked for, sorted.
      type: list
      elements: str
    installed:
      description: What an Ollama has in its store, by name; null for other engines.
      type: list
      elements: dict
      contains:
        name:
          description: Name with its tag.
          type: str
        digest:
          description: sha256 of the model's manifest, hexadecimal.
          type: str
        size_bytes:
          description: Size of all its layers.
          type: int
        modified_at:
          description: When its manifest was written.
          type: str
        family:
          description: Architecture, as the engine calls it.
          type: str
        parameter_size:
          description: Number of parameters as text, such as V(8.0B).
          type: str
        quantization:
          description: Type of most weights, such as V(Q4_K_M).
          type: str
        trained_context_tokens:
          description: Context that it was trained with. Ollama 0.24 tells it of loaded models only.
          type: int
        capabilities:
          description: What it can do, such as V(completion) and V(embedding). Ollama 0.24 does not list it.
          type: list
          elements: str
    settings:
      description: With what the server runs; null where none of O(pid), O(unit), O(log) and O(find_process) is given.
      type: dict
      contains:
        environment:
          description: Variables of the server's process.
          type: dict
        effective:
          description: What an Ollama logged when it started, in its own spelling, with its defaults.
          type: dict
    instance:
      description: Differs after the engine was started again. Told by llama.cpp, and by O(find_process).
      type: str
    counters:
      description: Counters of llama.cpp that only a new process sets back.
      type: dict
    version:
      description: Version of the engine.
      type: str
    error:
      description: Why there is no answer, with kind, message and status; null where there is one.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.engine import engine_receipt, engine_settings, serving_identity, serving_process

ARGUMENTS = {
    "engine": {"type": "str", "required": True, "choices": ["ollama", "llama_cpp", "external"]},
    "url": {"type": "str", "required": True},
    "model": {"type": "str"},
    "pid": {"type": "int"},
    "unit": {"type": "str"},
    "log": {"type": "path"},
    "find_process": {"type": "bool", "default": False},
}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    receipt = engine_receipt(options["engine"], options["url"], options["model"])
    receipt["settings"] = None
    if options["find_process"] or any(options[key] for key in ("pid", "unit", "log")):
        receipt["instance"] = receipt["instance"] or (serving_identity(options["url"]) if options["find_process"] else None)
        pid = options["pid"] or (serving_process(options["url"]) if options["find_process"] else None)
        receipt["settings"] = engine_settings(pid, options["unit"], options["log"])
    module.exit_json(changed=False, receipt=receipt)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_info
short_description: What a loaded model has taken, by the word of its engine
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Reads the engine's report of its buffers from its log, what Ollama shows of the model in C(/api/ps), and what the process
    takes of NVIDIA GPUs. It loads nothing and generates nothing.
  - C(llama-server) b10488 and newer report their buffers from C(--log-verbosity 4) on, Ollama always.
options:
  engine:
    description: Kind of engine.
    type: str
    required: true
    choices: [ollama, llama_cpp]
  url:
    description: Address of the engine. Required with O(engine=ollama).
    type: str
  model:
    description: Name of the model as the engine knows it.
    type: str
    required: true
  log:
    description: File that the engine writes its log to. What was rotated away to C(.1) to C(.9) is read as well.
    type: path
  unit:
    description: Without O(log), the systemd unit whose journal holds the log, without C(.service).
    type: str
  pid:
    description:
      - Process of the engine with O(engine=llama_cpp); without one nothing runs. Of Ollama it is found by the model's file.
    type: int
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See what a model in Ollama has taken
  homelab.llm.memory_info:
    engine: ollama
    url: http://127.0.0.1:11434
    model: gemma3:27b
    unit: ollama
"""

RETURN = r"""
memory:
  description:
    - What is known, with C(process) (pid, identity, started_at), C(report) (the newest report of this model's buffers in the
      log), C(shown_mib) and C(shown_gpu_mib) (of C(/api/ps)), C(gpus) (index and used_mib of the process, by nvidia-smi) and
      C(notes) (why something is not known). What is not known is null.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.loaded_memory import of_llama_cpp, of_ollama


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "str", "required": True, "choices": ["ollama", "llama_cpp"]},
            "url": {"type": "str"},
            "model": {"type": "str", "required": True},
            "log": {"type": "path"},
            "unit": {"type": "str"},
            "pid": {"type": "int"},
        },
        required_if=[("engine", "ollama", ["url"])],
        supports_check_mode=True,
    )
    params = module.params
    if params["engine"] == "ollama":
        memory = of_ollama(params["url"], params["model"], params["log"], params["unit"])
    else:
        memory = of_llama_cpp(params["log"], params["unit"], params["pid"])
    module.exit_json(changed=False, memory=memory)


if __name__ == "__main__":
    main()

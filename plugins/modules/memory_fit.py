#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_fit
version_added: 0.2.0
short_description: What models take when they are loaded, and whether they fit
description:
  - Predicts the memory of loaded models as named parts, for each accelerator and for the host's own memory, and packs all of
    them onto the accelerators at once. Nothing is loaded and no weight is read, only the header of each model.
  - A model is a GGUF file, a name in the store of an Ollama on this host, a name in a registry, of which only the beginning of
    the file is fetched, or metadata that are given.
  - Predictions follow llama.cpp b10488, which is what Ollama 0.33.0 runs. RV(models[].bound) says where one is an upper bound,
    and RV(models[].reasons) why.
  - Fails with a table where the models do not fit.
options:
  model:
    description: Path of a GGUF file (of a split model its first), or a name as Ollama understands it, such as V(gemma3:27b).
    type: str
  models:
    description:
      - Several models that are to be in memory at once. Each is a dictionary with O(model) or O(metadata) and any of the settings
        of this module from O(context_tokens) to O(mmap); what it does not say is taken from the module's own options.
    type: list
    elements: dict
    default: []
  metadata:
    description: The metadata of a model, keys as in a GGUF header, instead of O(model).
    type: dict
  tensors:
    description: With O(metadata), the tensors of the model, each a list of name, shape (innermost first) and type number.
    type: list
    elements: list
  file_bytes:
    description: With O(metadata), the size of the file. Without O(tensors) the weights are bounded by it.
    type: int
  context_tokens:
    description:
      - Context of one sequence. The default is the model's own C(num_ctx), else 4096 with Ollama and the context that the
        model was trained with in llama.cpp.
    type: int
  parallel:
    description: Sequences that are worked on at once, each with its own context.
    type: int
    default: 1
  batch_tokens:
    description: Logical batch. The default is the engine's.
    type: int
  ubatch_tokens:
    description: Physical batch. The default is the engine's.
    type: int
  flash_attention:
    description: Whether flash attention is used.
    type: str
    choices: ["on", "off", auto]
    default: auto
  kv_type:
    description: Type of the key and the value cache.
    type: str
    choices: [f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl]
    default: f16
  kv_type_k:
    description: Type of the key cache where it is another.
    type: str
  kv_type_v:
    description: Type of the value cache where it is another.
    type: str
  gpu_layers:
    description: Layers on the accelerators, the output counted as one. The default is all.
    type: int
  embedding:
    description: Whether the model is served for embeddings. The default is what its header says.
    type: bool
  mmap:
    description: Whether the file is mapped. The default is the engine's.
    type: bool
  cache_ram_mib:
    description: Limit of each model's prompt cache in the host's memory. The default of both engines is 8192.
    type: int
  engine:
    description: Which engine loads the models.
    type: str
    choices: [llama_cpp, ollama]
    default: ollama
  engine_version:
    description: Its version. The default is the one that the formulas were compared with.
    type: str
  accelerators:
    description:
      - The memories of the host. The default is what this host has; NVIDIA GPUs are asked of C(nvidia-smi), and what others use
        of them now is reserved.
    type: list
    elements: dict
    suboptions:
      name:
        description: What you call it.
        type: str
        required: true
      kind:
        description: V(gpu) has its own memory, V(unified) shares it with the CPU (a Mac), V(cpu) is the host's RAM.
        type: str
        choices: [gpu, unified, cpu]
        required: true
      memory_gib:
        description: Its whole memory.
        type: float
        required: true
      reserved_gib:
        description: What others use of it.
        type: float
        default: 0.0
      headroom_gib:
        description: What is kept free. The default is O(headroom_gib).
        type: float
      wired_limit_gib:
        description: On a Mac, C(iogpu.wired_limit_mb) as it is set, in GiB.
        type: float
      backend:
        description: What the engine computes with on a GPU.
        type: str
        choices: [cuda, rocm, vulkan]
        default: cuda
  headroom_gib:
    description: What is kept free on each accelerator.
    type: float
    default: 0.5
  registry:
    description: Whether a registry may be asked for the header of a model that is not here.
    type: bool
    default: true
  plain_http:
    description: Ask registries without TLS.
    type: bool
    default: false
  fail_unless_fits:
    description: Whether models that do not fit are a failure. Otherwise only RV(fits) says so.
    type: bool
    default: true
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See what a model takes with 32k of context on this host
  homelab.llm.memory_fit:
    model: gemma3:27b
    context_tokens: 32768

- name: See whether two models fit on one card that is not here
  homelab.llm.memory_fit:
    models:
      - {model: "qwen3:14b", context_tokens: 16384, kv_type: q8_0}
      - {model: nomic-embed-text, context_tokens: 2048}
    accelerators:
      - {name: gpu0, kind: gpu, memory_gib: 16, reserved_gib: 1}
      - {name: ram, kind: cpu, memory_gib: 32, reserved_gib: 8}
    cache_ram_mib: 512

- name: Only ask
  homelab.llm.memory_fit:
    model: /models/large.gguf
    engine: llama_cpp
    fail_unless_fits: false
"""

RETURN = r"""
fits:
  description: Whether all models fit at once.
  returned: success
  type: bool
models:
  description: Each model with its parts.
  returned: always
  type: list
  elements: dict
  contains:
    model:
      description: Its name.
      type: str
    source:
      description: Where its header was read.
      type: str
    accelerators:
      description: Where it is; several share it.
      type: list
      elements: str
    total_mib:
      description: What it takes of accelerators.
      type: float
    host_mib:
      description: What it takes of the host's own memory beside them.
      type: float
    pools:
      description:
        - The parts in each memory, in MiB; weights, kv_cache, state, compute, output, projector, overhead (the process),
          prompt_cache and checkpoint. The last two, and the output of an embedding model, are what they grow to with use.
      type: list
      elements: dict
    bound:
      description: V(exact), or V(upper) where it takes so much or less.
      type: str
    reasons:
      description: Why it is a bound.
      type: list
      elements: str
    offloaded_layers:
      description: How many of its RV(models[].layer_count) layers are on accelerators, the output counted as one.
      type: int
    layer_count:
      description: How many layers it has, the output counted as one.
      type: int
    spilled_layers:
      description: How many layers find no room.
      type: int
    spilled_mib:
      description: How much finds no room.
      type: float
accelerators:
  description: Each accelerator with its budget, what the models need of it, what is left, and V(fits), V(spills) or V(over).
  returned: always
  type: list
  elements: dict
host_memory:
  description: What is needed of the host's memory beside the accelerators, and what there is; null where nobody said.
  returned: always
  type: dict
table:
  description: All of it as text, in GiB.
  returned: always
  type: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.fit_questions import budgets_of, question_of
from ..module_utils.fit_report import accelerators_data, fit_table, host_memory_data, models_data
from ..module_utils.gguf import GgufError
from ..module_utils.machine_memory import accelerators_here
from ..module_utils.memory_settings import SettingsError
from ..module_utils.model_shape import MemoryShapeError
from ..module_utils.packing import fit_host

MODEL_OPTIONS = {
    "model": {"type": "str"},
    "metadata": {"type": "dict"},
    "tensors": {"type": "list", "elements": "list"},
    "file_bytes": {"type": "int"},
    "context_tokens": {"type": "int"},
    "parallel": {"type": "int", "default": 1},
    "batch_tokens": {"type": "int"},
    "ubatch_tokens": {"type": "int"},
    "flash_attention": {"type": "str", "choices": ["on", "off", "auto"], "default": "auto"},
    "kv_type": {
        "type": "str",
        "choices": ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"],
        "default": "f16",
    },
    "kv_type_k": {"type": "str"},
    "kv_type_v": {"type": "str"},
    "gpu_layers": {"type": "int"},
    "embedding": {"type": "bool"},
    "mmap": {"type": "bool"},
}
ACCELERATOR_OPTIONS = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["gpu", "unified", "cpu"], "required": True},
    "memory_gib": {"type": "float", "required": True},
    "reserved_gib": {"type": "float", "default": 0.0},
    "headroom_gib": {"type": "float"},
    "wired_limit_gib": {"type": "float"},
    "backend": {"type": "str", "choices": ["cuda", "rocm", "vulkan"], "default": "cuda"},
}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            **MODEL_OPTIONS,
            "models": {"type": "list", "elements": "dict", "default": []},
            "cache_ram_mib": {"type": "int"},
            "engine": {"type": "str", "choices": ["llama_cpp", "ollama"], "default": "ollama"},
            "engine_version": {"type": "str"},
            "accelerators": {"type": "list", "elements": "dict", "options": ACCELERATOR_OPTIONS},
            "headroom_gib": {"type": "float", "default": 0.5},
            "registry": {"type": "bool", "default": True},
            "plain_http": {"type": "bool", "default": False},
            "fail_unless_fits": {"type": "bool", "default": True},
        },
        mutually_exclusive=[("model", "models", "metadata")],
        required_one_of=[("model", "models", "metadata")],
        supports_check_mode=True,
    )
    try:
        question = question_of(module.params, os.environ)
        budgets = budgets_of(module.params["accelerators"], module.params["headroom_gib"], accelerators_here)
        fit = fit_host(question.demands, budgets, cpu_too=module.params["engine"] == "llama_cpp")
    except (GgufError, MemoryShapeError, SettingsError, ValueError) as error:
        module.fail_json(msg=str(error))
    models = [{**item, "source": question.sources[item["model"]]} for item in models_data(fit)]
    table = fit_table(fit, budgets)
    result = {
        "models": models,
        "accelerators": accelerators_data(fit, budgets),
        "host_memory": host_memory_data(fit),
        "table": table,
    }
    if module.params["fail_unless_fits"] and not fit.fits:
        module.fail_json(msg=f"The models do not fit into this memory at once.\n\n{table}", fits=False, **result)
    module.exit_json(changed=False, fits=fit.fits, **result)


if __name__ == "__main__":
    main()

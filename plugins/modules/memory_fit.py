#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: memory_fit
author:
  - homelab.llm maintainers (@homelab-llm)
version_added: 0.2.0
short_description: What models take when they are loaded, and whether they fit
description:
  - Predicts the memory of loaded models as named parts, for each accelerator and for the host's own memory, and packs all of
    them onto the accelerators at once. Nothing is loaded and no weight is read, only the header of each model.
  - A model is a GGUF file, a name in the store of an Ollama on this host, a name in a registry or the address of a GGUF file,
    of which only the beginning is fetched, or metadata that are given.
  - Predictions follow llama.cpp b10488, which is what Ollama 0.33.0 runs. RV(models[].bound) says where one is an upper bound,
    and RV(models[].reasons) why.
  - Fails with a table where the models do not fit, and with the settings that would make them fit where there are some.
  - This is the physical fit. Ollama may evict a model that would fit, by rules of its own on files' sizes and counts of models;
    whether it does is answered by M(homelab.llm.plan) and by C(plan.yml), for a host of the inventory.
notes:
  - "One model, from a shell: C(ansible localhost -m homelab.llm.memory_fit -a 'model=gemma3:27b context_tokens=32768')."
  - Figures are in MiB where a name ends in C(_mib) and in GiB in the table and where it ends in C(_gib); C(_tokens) and
    C(_bytes) are what they say.
seealso:
  - module: homelab.llm.plan
  - module: homelab.llm.gguf_info
options:
  model: &model
    description:
      - Path of a GGUF file (of a split model its first), a name as Ollama understands it, such as V(gemma3:27b),
        V(hf.co/user/repository:Q4_K_M) or V(registry.lan:5000/team/model:tag), or the http(s) address of a GGUF file.
      - A path is what begins with V(/), V(./), V(../) or V(~), or ends in V(.gguf).
    type: str
  models:
    description:
      - Several models that are to be in memory at once, instead of O(model) or O(metadata). What one does not say is taken from
        the module's own options.
    type: list
    elements: dict
    suboptions:
      model: *model
      metadata: &metadata
        description:
          - The metadata of a model instead of O(model), keys as in a GGUF header, such as C(llama.block_count); or a shape as
            the inventory declares it, with C(architecture), C(block_count), C(embedding_length), C(head_count),
            C(head_count_kv) and so on.
          - Needs O(tensors) or O(file_bytes) beside it.
        type: dict
      tensors: &tensors
        description:
          - With O(metadata), the tensors of the model, each a list of name, shape (innermost first) and type by name or number.
        type: list
        elements: list
      file_bytes: &file_bytes
        description: With O(metadata), the size of the file in bytes. Without O(tensors) the weights are bounded by it.
        type: int
      context_tokens: &context_tokens
        description:
          - Context of one sequence, in tokens. With Ollama the default is the model's own C(num_ctx), else 4096, on accelerators
            with 23 GiB or more together 32768 and with 47 GiB or more 262144. In llama.cpp it is what the model was trained with.
          - Ollama never gives more than the model was trained with.
        type: int
      parallel: &parallel
        description: Sequences that are worked on at once, each with its own context. The default is 1.
        type: int
      batch_tokens: &batch_tokens
        description: Logical batch in tokens. The default is the engine's.
        type: int
      ubatch_tokens: &ubatch_tokens
        description: Physical batch in tokens. The default is the engine's.
        type: int
      flash_attention: &flash_attention
        description: Whether flash attention is used. The default is V(auto).
        type: str
        choices: ["on", "off", auto]
      kv_type: &kv_type
        description: Type of the key and the value cache. The default is V(f16).
        type: str
        choices: [f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl]
      kv_type_k: &kv_type_k
        description: Type of the key cache where it is another.
        type: str
        choices: [f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl]
      kv_type_v: &kv_type_v
        description: Type of the value cache where it is another.
        type: str
        choices: [f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl]
      gpu_layers: &gpu_layers
        description: Layers on the accelerators, the output counted as one. The default, and V(-1), is all.
        type: int
      embedding: &embedding
        description: Whether the model is served for embeddings. The default is what its header says.
        type: bool
      mmap: &mmap
        description: Whether the file is mapped. The default is the engine's.
        type: bool
      cache_ram_mib: &cache_ram_mib
        description:
          - Limit of the model's prompt cache in the host's memory, in MiB; V(0) turns it off. The default of both engines
            is 8192.
        type: int
  metadata: *metadata
  tensors: *tensors
  file_bytes: *file_bytes
  context_tokens: *context_tokens
  parallel: *parallel
  batch_tokens: *batch_tokens
  ubatch_tokens: *ubatch_tokens
  flash_attention: *flash_attention
  kv_type: *kv_type
  kv_type_k: *kv_type_k
  kv_type_v: *kv_type_v
  gpu_layers: *gpu_layers
  embedding: *embedding
  mmap: *mmap
  cache_ram_mib: *cache_ram_mib
  engine:
    description: Which engine loads the models.
    type: str
    choices: [llama_cpp, ollama]
    default: ollama
  engine_version:
    description:
      - Its version, such as V(0.33.0) of Ollama or V(b10488) of llama.cpp. The default is the one that the formulas were
        compared with. Ollama before 0.30 ran models itself and is predicted as such.
    type: str
  accelerators:
    description:
      - The memories of the host. The default is what this host has. NVIDIA GPUs are asked of C(nvidia-smi); others must be
        described. What is in use now is reserved then, also what an engine uses for models that it has loaded.
    type: list
    elements: dict
    suboptions:
      name:
        description: What you call it. C(host) is the host's own memory where nobody describes it.
        type: str
        required: true
      kind:
        description:
          - V(gpu) has its own memory, V(unified) shares it with the CPU (a Mac, an APU), V(cpu) is the host's RAM.
        type: str
        choices: [gpu, unified, cpu]
        required: true
      memory_gib:
        description: Its whole memory in GiB.
        type: float
        required: true
      reserved_gib:
        description: What others use of it, in GiB.
        type: float
        default: 0.0
      headroom_gib:
        description: What is kept free, in GiB. The default is O(headroom_gib).
        type: float
      wired_limit_gib:
        description:
          - Of a Mac's V(unified) memory, C(iogpu.wired_limit_mb) as it is set, in GiB. The default is what macOS allows by
            itself, 2/3 of less than 36 GiB and 3/4 of more.
        type: float
      backend:
        description: What the engine computes with. The default is V(cuda) for a GPU and V(metal) for unified memory.
        type: str
        choices: [cuda, rocm, vulkan, metal]
  headroom_gib:
    description: What is kept free of each memory, in GiB.
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

- name: A Mac Studio with 64 GiB, of which the system needs 8
  homelab.llm.memory_fit:
    model: qwen3-coder:30b
    context_tokens: 65536
    accelerators:
      - {name: metal, kind: unified, memory_gib: 64, reserved_gib: 8}

- name: A model of which only the shape and the size of its file are known
  homelab.llm.memory_fit:
    metadata: {architecture: llama, block_count: 32, embedding_length: 4096, head_count: 32, head_count_kv: 8}
    file_bytes: 4900000000
    context_tokens: 8192

- name: Only ask
  homelab.llm.memory_fit:
    model: /models/large.gguf
    engine: llama_cpp
    fail_unless_fits: false
  register: answer

- name: Show the table
  ansible.builtin.debug:
    var: answer.table
"""

RETURN = r"""
fits:
  description: Whether all models fit at once.
  returned: always
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
    settings:
      description:
        - How it is loaded, every default of the engine written out; context_tokens, parallel, batch_tokens, ubatch_tokens,
          flash_attention, kv_type_k, kv_type_v, embedding, mmap, cache_ram_mib, engine and engine_version.
      type: dict
    accelerators:
      description: Where it is; several share it.
      type: list
      elements: str
    total_mib:
      description: What it takes of accelerators, in MiB.
      type: float
    host_mib:
      description: What it takes of the host's own memory beside them, in MiB.
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
      description: How much finds no room, in MiB.
      type: float
accelerators:
  description: Each accelerator, sizes in MiB.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    kind:
      description: V(gpu), V(unified) or V(cpu).
      type: str
    memory_mib:
      description: Its whole memory.
      type: float
    reserved_mib:
      description: What others use of it.
      type: float
    budget_mib:
      description: What models may use, memory less reserved less headroom, of unified memory not more than macOS allows.
      type: float
    needed_mib:
      description: What the models need of it.
      type: float
    free_mib:
      description: What is left of the budget.
      type: float
    verdict:
      description: V(fits), V(spills) where layers find no room here, or V(over) where more is needed than there is.
      type: str
host_memory:
  description: What is needed of the host's own memory and what there is, in MiB.
  returned: always
  type: dict
  contains:
    needed_mib:
      description: What is needed, of unified memory also what is on the GPU.
      type: float
    budget_mib:
      description: What there is, null where nobody said.
      type: float
remedies:
  description:
    - Changes with which all models would fit, each proved by packing them again; one alone is enough. Empty where they fit, and
      where no setting is enough.
  returned: always
  type: list
  elements: dict
  contains:
    model:
      description: Which model is to be changed; null where all are.
      type: str
    settings:
      description: Its new settings.
      type: dict
  sample: [{"model": null, "settings": {"kv_type": "q8_0"}}]
table:
  description: All of it as lines of text, in GiB. A failure has it in its message.
  returned: success
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.fit_arguments import ARGUMENTS
from ..module_utils.fit_budgets import budgets_of
from ..module_utils.fit_questions import effective_settings, question_of
from ..module_utils.fit_remedies import remedies
from ..module_utils.fit_report import accelerators_data, fit_table, headline, host_memory_data, models_data
from ..module_utils.gguf import GgufError
from ..module_utils.machine_memory import accelerators_here
from ..module_utils.packing import fit_host


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("model", "models", "metadata")],
        required_one_of=[("model", "models", "metadata")],
        supports_check_mode=True,
    )
    try:
        budgets = budgets_of(module.params["accelerators"], module.params["headroom_gib"], accelerators_here)
        question = question_of(module.params, budgets, os.environ)
        cpu_too = module.params["engine"] == "llama_cpp"
        fit = fit_host(question.demands, budgets, cpu_too)
        mending = remedies(question.demands, budgets, cpu_too, fit)
        settings = effective_settings(question.demands, budgets)
    except (GgufError, ValueError) as error:
        module.fail_json(msg=str(error))
    table = fit_table(fit, budgets, settings, mending)
    result = {
        "fits": fit.fits,
        "models": [{**item, "source": question.sources[item["model"]]} for item in models_data(fit, settings)],
        "accelerators": accelerators_data(fit, budgets),
        "host_memory": host_memory_data(fit),
        "remedies": [{"model": item.model, "settings": dict(item.settings)} for item in mending if not item.least],
    }
    if module.params["fail_unless_fits"] and not fit.fits:
        module.fail_json(msg=f"{headline(fit)}\n\n{table}", **result)
    module.exit_json(changed=False, table=[f" {line}".rstrip() for line in table.splitlines()], **result)


if __name__ == "__main__":
    main()

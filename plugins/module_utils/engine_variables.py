# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which variables of an Ollama decide how much memory its models take and where, and where an inventory says each.

Sources: ``ollama serve --help`` of v0.33.0; ``llama-server --help`` of v0.33.0 and of llama.cpp b10488, which list the same
LLAMA_ARG_ names. Ollama's llama-server inherits the engine's environment (llm/llama_server.go).
"""

from __future__ import annotations

# What llm_host.server calls them.
SERVER = {
    "max_loaded_models": "OLLAMA_MAX_LOADED_MODELS",
    "keep_alive": "OLLAMA_KEEP_ALIVE",
    "context_length": "OLLAMA_CONTEXT_LENGTH",
    "sched_spread": "OLLAMA_SCHED_SPREAD",
    "gpu_overhead_mib": "OLLAMA_GPU_OVERHEAD",
    "fit_target_mib": "LLAMA_ARG_FIT_TARGET",
}
# Variable -> its place in the inventory.
PLACES = {
    **{variable: "llm_host.server." + name for name, variable in SERVER.items()},
    "OLLAMA_FLASH_ATTENTION": "llm_host.flash_attention",
    "OLLAMA_NUM_PARALLEL": "parallel in llm_models",
    "OLLAMA_KV_CACHE_TYPE": "kv_type in llm_models",
    "LLAMA_ARG_CACHE_RAM": "llm_host.cache_ram_mib",
    "LLAMA_ARG_FLASH_ATTN": "llm_host.flash_attention",
    "LLAMA_ARG_CTX_SIZE": "context_tokens in llm_models",
    "LLAMA_ARG_N_PARALLEL": "parallel in llm_models",
    "LLAMA_ARG_CACHE_TYPE_K": "kv_type in llm_models",
    "LLAMA_ARG_CACHE_TYPE_V": "kv_type in llm_models",
    "LLAMA_ARG_BATCH": "batch_tokens in llm_models",
    "LLAMA_ARG_UBATCH": "batch_tokens in llm_models",
    "LLAMA_ARG_MAIN_GPU": "main_gpu in llm_models",
}
# An inventory cannot say these: the plan counts with what the engine does without them.
WITHOUT_PLACE = frozenset(
    "LLAMA_ARG_" + name
    for name in (
        # Layers and devices.
        *("N_GPU_LAYERS", "DEVICE", "SPLIT_MODE", "TENSOR_SPLIT", "OVERRIDE_TENSOR", "CPU_MOE", "N_CPU_MOE", "FIT", "FIT_CTX"),
        # How weights are held.
        *("LOAD_MODE", "MMAP", "MLOCK", "DIO", "NO_HOST", "REPACK"),
        # Caches.
        *("KV_OFFLOAD", "KV_UNIFIED", "SWA_FULL", "CTX_CHECKPOINTS", "CHECKPOINT_MIN_SPACING_NT"),
        # Pictures and a second model.
        *("MMPROJ", "MMPROJ_URL", "MMPROJ_AUTO", "MMPROJ_OFFLOAD", "IMAGE_MAX_TOKENS", "MTMD_BATCH_MAX_TOKENS"),
        *("N_GPU_LAYERS_DRAFT", "SPEC_TYPE", "SPEC_DRAFT_MODEL", "SPEC_DRAFT_HF_REPO", "SPEC_DRAFT_CPU_MOE"),
        *("SPEC_DRAFT_N_CPU_MOE", "SPEC_DRAFT_CACHE_TYPE_K", "SPEC_DRAFT_CACHE_TYPE_V"),
    )
)


def decides_memory(variable: str) -> bool:
    """Whether a variable is for the plan to decide.

    llama-server takes LLAMA_ARG_NO_MMAP for LLAMA_ARG_MMAP=0, and so others (get_value_from_env of common/arg.cpp).
    """
    known = (variable, variable.replace("LLAMA_ARG_NO_", "LLAMA_ARG_", 1))
    return any(name in PLACES or name in WITHOUT_PLACE for name in known)

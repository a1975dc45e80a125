"""The options of the module memory_fit; its page describes them."""

from __future__ import annotations

from typing import Any, Dict

Options = Dict[str, Dict[str, Any]]

KV_TYPES = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
MODEL_OPTIONS: Options = {
    "model": {"type": "str"},
    "metadata": {"type": "dict"},
    "tensors": {"type": "list", "elements": "list"},
    "file_bytes": {"type": "int"},
    "context_tokens": {"type": "int", "no_log": False},
    "parallel": {"type": "int"},
    "batch_tokens": {"type": "int", "no_log": False},
    "ubatch_tokens": {"type": "int", "no_log": False},
    "flash_attention": {"type": "str", "choices": ["on", "off", "auto"]},
    "kv_type": {"type": "str", "choices": KV_TYPES},
    "kv_type_k": {"type": "str", "choices": KV_TYPES},
    "kv_type_v": {"type": "str", "choices": KV_TYPES},
    "gpu_layers": {"type": "int"},
    "embedding": {"type": "bool"},
    "mmap": {"type": "bool"},
    "cache_ram_mib": {"type": "int"},
}
ACCELERATOR_OPTIONS: Options = {
    "name": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["gpu", "unified", "cpu"], "required": True},
    "memory_gib": {"type": "float", "required": True},
    "reserved_gib": {"type": "float", "default": 0.0},
    "headroom_gib": {"type": "float"},
    "wired_limit_gib": {"type": "float"},
    "backend": {"type": "str", "choices": ["cuda", "rocm", "vulkan", "metal"]},
}
ARGUMENTS: Options = {
    **MODEL_OPTIONS,
    "models": {"type": "list", "elements": "dict", "options": MODEL_OPTIONS},
    "engine": {"type": "str", "choices": ["llama_cpp", "ollama"], "default": "ollama"},
    "engine_version": {"type": "str"},
    "accelerators": {"type": "list", "elements": "dict", "options": ACCELERATOR_OPTIONS},
    "headroom_gib": {"type": "float", "default": 0.5},
    "registry": {"type": "bool", "default": True},
    "plain_http": {"type": "bool", "default": False},
    "fail_unless_fits": {"type": "bool", "default": True},
}

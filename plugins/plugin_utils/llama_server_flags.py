"""The flags of a llama-server for one resident model: all that decides memory and placement is written out.

Flags as `llama-server --help` of b10488 lists them. What the plan has predicted (module_utils.memory_settings) and what a server
is told here are the same thing said twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# llama.cpp b10488 takes these by itself (common/common.h); the plan counts with them.
BATCH_TOKENS = 2048
UBATCH_TOKENS = 512
NO_DEVICE = "none"
OPTIONS = ("cache_ram_mib", "flash_attention", "load_mode", "log_verbosity", "threads")


class FlagsError(ValueError):
    """A model or options that no flags can be made of; the message says what was got and expected."""


def server_flags(model: Mapping[str, Any], path: str, options: Mapping[str, Any]) -> list[str]:
    """Words for the command line, without the program.

    ``model``: a resident model of plan.yml. ``path``: its GGUF file. ``options``: cache_ram_mib, flash_attention (on, off, auto),
    and load_mode, log_verbosity and threads, where None or an empty text leaves the flag out. Raises FlagsError for options that
    are not known.
    """
    odd = sorted(set(options) - set(OPTIONS))
    if odd:
        raise FlagsError(f"got the option {odd[0]}, expected some of {', '.join(OPTIONS)}")
    words = [
        *("--model", path, "--alias", model["engine_model"], "--host", model["listen_address"], "--port", model["port"]),
        *_memory(model, options),
        *_batch(model),
        *placement(model.get("devices"), model.get("full_offload")),
        *_optional(options),
        *(("--embedding", "--pooling", "mean") if model["mode"] == "embedding" else ()),
        *("--metrics", "--slots", "--no-webui"),
    ]
    return [str(word) for word in words]


def _memory(model: Mapping[str, Any], options: Mapping[str, Any]) -> Sequence[object]:
    kind = model["kv_type"]
    return (
        *("--ctx-size", model["context_tokens"] * model["parallel"], "--parallel", model["parallel"], "--no-kv-unified"),
        *("--cache-type-k", kind, "--cache-type-v", kind, "--flash-attn", options["flash_attention"]),
        *("--cache-ram", options["cache_ram_mib"]),
    )


def _batch(model: Mapping[str, Any]) -> Sequence[object]:
    """An input for embeddings has to fit into one batch as a whole, or the server refuses it."""
    own = model.get("batch_tokens") or (model["context_tokens"] if model["mode"] == "embedding" else None)
    return ("--batch-size", own or BATCH_TOKENS, "--ubatch-size", own or UBATCH_TOKENS)


def placement(devices: Sequence[str] | None, full_offload: bool | None) -> Sequence[object]:
    """Where the layers go. ``devices``: as the plan names them; None: it has no choice of devices, or says nothing.

    With devices all layers lie on them, so that one that does not fit fails when it is loaded and not by becoming slow: the
    engine is not to fit anything by itself.
    """
    if devices is None and full_offload is not False:
        return ()
    if devices is None or list(devices) == [NO_DEVICE]:
        return ("--device", NO_DEVICE, "--n-gpu-layers", 0, "--fit", "off")
    split = ("--split-mode", "none", "--main-gpu", 0) if len(devices) == 1 else ("--split-mode", "layer")
    return ("--device", ",".join(devices), "--n-gpu-layers", "all", *split, "--fit", "off")


def _optional(options: Mapping[str, Any]) -> Sequence[object]:
    flags = {"--load-mode": "load_mode", "--threads": "threads", "--log-verbosity": "log_verbosity"}
    return [word for flag, key in flags.items() if options.get(key) not in (None, "") for word in (flag, options[key])]

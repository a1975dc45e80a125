# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""llama.cpp's own server out of the wheel `xllamacpp`, with the flags of `llama-server`.

Only the flags that the role `llama_cpp` writes are known; each means what it means to `llama-server`. The server runs inside
this process until SIGTERM or SIGINT.
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

LOAD_MODES = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
POOLING_TYPES = ("none", "mean", "cls", "last", "rank")


def layers(word: str) -> int:
    """llama.cpp's number for auto and all (llama_model_params.n_gpu_layers of b10488), or the number itself."""
    return {"auto": -1, "all": -2}.get(word) or int(word)


def device(word: str) -> str:
    if "," in word:
        raise argparse.ArgumentTypeError(f"got {word}, expected one device: install llama.cpp's release for several")
    return word


def parse(words: list[str]) -> argparse.Namespace:
    """The flags; an unknown one ends the program with 2."""
    parser = argparse.ArgumentParser(description="llama.cpp's server out of a Python wheel", allow_abbrev=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, required=True)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--cache-type-k", choices=KV_TYPES, default="f16")
    parser.add_argument("--cache-type-v", choices=KV_TYPES, default="f16")
    parser.add_argument("--cache-ram", type=int, default=0, help="MiB of the host prompt cache")
    parser.add_argument("--no-kv-unified", action="store_true", help="always so here")
    parser.add_argument("--flash-attn", choices=("on", "off", "auto"), default="auto")
    parser.add_argument("--load-mode", choices=LOAD_MODES, default="auto")
    parser.add_argument("--fit", choices=("on", "off"), default="on", help="off: nothing is made smaller so that it fits")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--ubatch-size", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", type=device, help="none: the CPU alone; the wheel takes the one device that it has otherwise")
    parser.add_argument("--split-mode", choices=("none",), help="the wheel uses one device")
    parser.add_argument("--main-gpu", type=int, choices=(0,))
    parser.add_argument("--n-gpu-layers", type=layers, help="a number, auto or all")
    parser.add_argument("--log-verbosity", type=int, help="from 4 on the log tells what memory was allocated")
    parser.add_argument("--embedding", action="store_true")
    parser.add_argument("--pooling", choices=POOLING_TYPES)
    parser.add_argument("--metrics", action="store_true")
    parser.add_argument("--slots", action="store_true")
    parser.add_argument("--no-webui", action="store_true")
    return parser.parse_args(words)


def parameters(engine: Any, flags: argparse.Namespace) -> Any:
    """llama.cpp's parameters for these flags."""
    params = engine.CommonParams()
    params.model.path, params.model_alias = flags.model, {flags.alias}
    params.hostnames, params.port = [flags.host], flags.port
    params.n_ctx, params.n_parallel = flags.ctx_size, flags.parallel
    params.cache_type_k = getattr(engine.ggml_type, "GGML_TYPE_" + flags.cache_type_k.upper())
    params.cache_type_v = getattr(engine.ggml_type, "GGML_TYPE_" + flags.cache_type_v.upper())
    params.cache_ram_mib, params.kv_unified = flags.cache_ram, False
    attention = {"on": "ENABLED", "off": "DISABLED", "auto": "AUTO"}[flags.flash_attn]
    params.flash_attn_type = getattr(engine.llama_flash_attn_type, "LLAMA_FLASH_ATTN_TYPE_" + attention)
    mode = {"mmap+mlock": "MMAP_MLOCK", "dio": "DIRECT_IO"}.get(flags.load_mode, flags.load_mode.upper())
    params.load_mode = getattr(engine.llama_load_mode, "LLAMA_LOAD_MODE_" + mode)
    params.fit_params = flags.fit == "on"
    if flags.split_mode:
        params.split_mode = engine.llama_split_mode.LLAMA_SPLIT_MODE_NONE
    params.embedding = flags.embedding
    if flags.pooling:
        params.pooling_type = getattr(engine.llama_pooling_type, "LLAMA_POOLING_TYPE_" + flags.pooling.upper())
    params.endpoint_metrics, params.endpoint_slots = flags.metrics, flags.slots
    params.ui, params.server_tools = not flags.no_webui, []
    given = {"n_batch": flags.batch_size, "n_ubatch": flags.ubatch_size, "main_gpu": flags.main_gpu}
    given["n_gpu_layers"] = 0 if flags.device == "none" else flags.n_gpu_layers
    for name, value in {**given, "verbosity": flags.log_verbosity}.items():
        if value is not None:
            setattr(params, name, value)
    if flags.threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = flags.threads
    return params


def stop(number: int, _frame: object) -> None:
    """End from the main thread, so that the server is taken down in order."""
    raise SystemExit(0)


def main() -> None:
    flags = parse(sys.argv[1:])
    import xllamacpp  # after the flags: a wrong one is said at once, not after a second of loading

    # Until the model is loaded the default handling of signals stays: loading is one long call and cannot be left.
    server = xllamacpp.Server(parameters(xllamacpp, flags))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    print(f"serving {flags.alias} at {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()

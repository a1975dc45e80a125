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

KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
POOLING_TYPES = ("none", "mean", "cls", "last", "rank")


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
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--ubatch-size", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--n-gpu-layers", type=int)
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
    params.cache_ram_mib = flags.cache_ram
    params.embedding = flags.embedding
    if flags.pooling:
        params.pooling_type = getattr(engine.llama_pooling_type, "LLAMA_POOLING_TYPE_" + flags.pooling.upper())
    params.endpoint_metrics, params.endpoint_slots = flags.metrics, flags.slots
    params.ui, params.server_tools = not flags.no_webui, []
    given = {"n_batch": flags.batch_size, "n_ubatch": flags.ubatch_size, "n_gpu_layers": flags.n_gpu_layers}
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

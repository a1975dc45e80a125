#!/usr/bin/env python3
"""A stand-in for llama-server with simulated CUDA devices, so that a real Ollama schedules on memory that is not there.

It answers what Ollama 0.30 and later ask of llama-server: which devices there are and how much of them is free (less what
its other processes took), the log lines of a load by which Ollama counts memory, and /health. Like llama.cpp it numbers
the devices that it may see from 0, keeps a margin free where the layers are left to it, and fails with an out-of-memory
error where they are given.

SIMULATED_DEVICES: JSON list of {total_mib, free_mib, compute}. SIMULATED_SIZES: JSON file, model file name ->
{device_mib, process_mib, unseen_mib, layers}. SIMULATED_STATE: folder where each process says what it holds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

MARGIN_MIB = 1024.0
STATE = Path(os.environ["SIMULATED_STATE"])
DEVICES = json.loads(os.environ["SIMULATED_DEVICES"])


def visible() -> list[int]:
    """The devices that this process may use, in the order in which it numbers them."""
    said = os.environ.get("CUDA_VISIBLE_DEVICES")
    return list(range(len(DEVICES))) if said is None else [int(part) for part in said.split(",") if part.strip()]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


def free_mib(device: int) -> float:
    taken = 0.0
    for path in STATE.glob("*.json"):
        if alive(int(path.stem)):
            taken += json.loads(path.read_text()).get(str(device), 0.0)
    return max(0.0, DEVICES[device]["free_mib"] - taken)


def argument(name: str, default: str = "") -> str:
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    time.sleep(0.005)


def list_devices() -> None:
    print("Available devices:")
    for index, device in enumerate(visible()):
        print(f"  CUDA{index}: Simulated (CUDA) ({DEVICES[device]['total_mib']} MiB, {int(free_mib(device))} MiB free)")


def describe() -> None:
    """What llama-server says before it loads anything."""
    for index, device in enumerate(visible()):
        say(f"  Device {index}: Simulated, compute capability {DEVICES[device]['compute']}, VMM: yes")
    say("system_info: n_threads = 2 | CUDA : ARCHS = 500,610,700,750,800,860,890 | CPU : AVX2 = 1 |")


def chosen() -> list[int]:
    """Positions among the visible devices that the model goes onto."""
    devices = visible()
    if argument("-ngl") == "0" or not devices:
        return []
    if argument("--split-mode") == "none":
        main = int(argument("--main-gpu", "0"))
        if main >= len(devices):
            say(f"error: invalid value for main_gpu: {main} (available devices: {len(devices)})")
            sys.exit(1)
        return [main]
    return list(range(len(devices)))


def load() -> None:
    name = Path(argument("--model")).name
    size = json.loads(Path(os.environ["SIMULATED_SIZES"]).read_text())[name]
    places, devices = chosen(), visible()
    process = size.get("process_mib", 0.0)
    free = [free_mib(devices[place]) for place in places]
    for place, space in zip(places, free, strict=True):
        say(f"llama_model_load: using device CUDA{place} (Simulated) (0000:0{place}:00.0) - {int(space)} MiB free")
    given = "-ngl" in sys.argv
    limits = [max(0.0, space - process - (0 if given else MARGIN_MIB)) for space in free]
    wanted = size["device_mib"] * (min(1.0, int(argument("-ngl")) / (size["layers"] + 1)) if given else 1.0)
    parts = [wanted * space / sum(free) for space in free] if sum(free) else [0.0 for _ in free]
    if any(part > limit for part, limit in zip(parts, limits, strict=True)):
        if given:
            say("ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory")
            sys.exit(1)
        total = sum(limits)
        parts = [min(wanted, total) * limit / total if total else 0.0 for limit in limits]
    held = {str(devices[place]): part + process for place, part in zip(places, parts, strict=True)}
    (STATE / f"{os.getpid()}.json").write_text(json.dumps({**held, "model": name}))
    report(places, parts, size["device_mib"], size.get("unseen_mib", 0.0))


def report(places: list[int], parts: list[float], whole: float, unseen: float) -> None:
    """The lines that Ollama counts: what it does not see is not among them."""
    for place, part in zip(places, parts, strict=True):
        say(f"load_tensors:        CUDA{place} model buffer size = {part - unseen * part / whole:.2f} MiB")
    left = whole - sum(parts)
    if left > 0.01:
        say(f"load_tensors:   CPU_Mapped model buffer size = {left:.2f} MiB")
    elif places:
        say("load_tensors: offloaded 33/33 layers to GPU")


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status":"ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if "--list-devices" in sys.argv:
        list_devices()
        return
    describe()
    if "--model" not in sys.argv:
        time.sleep(60)
        return
    load()
    HTTPServer(("127.0.0.1", int(argument("--port"))), Health).serve_forever()


if __name__ == "__main__":
    main()

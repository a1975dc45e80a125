#!/usr/bin/env python3
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What does a dead host cost each request? Measured through the real LiteLLM with two real engines, for two layouts.

    perf/failover.py [--quick] [--json | --markdown] [--only FAILURE]... [--timeout S] [--cooldown S]

``ours`` is what the collection renders for an alias on two hosts, in the environment that its role gives the proxy;
``conventional`` has a group for each host, ``fallbacks`` from the first to the second and LiteLLM's defaults for the rest. Both
run at the same time, against the same engines, and their requests take turns. The first host fails in one of four ways:

    refused      its engine is ended: connections are refused
    powered-off  its machine answers nothing any more, ARP included (same network segment)
    dropped      its packets are lost on the way (a firewall, another segment)
    hanging      its engine is stopped: connections are accepted, nothing is answered

Added seconds are those above the median of requests of the same router in between, for an alias that the dead host never
served. ``paid``: requests that tried the dead host first, one for each cooldown and alias, and what was added to them. Needs
what `make engines` builds, and root for the two failures that want a network namespace; without it these are skipped, which is
said. Ends what it started, after 20 minutes at the latest.

Exit code 0; 1 where a request through our layout failed, whichever host it was for, or where a host that refuses adds more than
0.1 s at the median of all or of the last hundred requests (--quick judges no time); 3 where nothing could be measured here.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from perf.failover_figures import Request, conventional, faults, figures, lines, table
from tests.engines.build import UNAVAILABLE, engine
from tests.engines.commands import BuildFailed, Unavailable
from tests.engines.servers import EngineError, Server, free_port, running
from tests.proxy.far_host import FarHost, far_host, lacking
from tests.proxy.router import BARE, FIXED, Backend, Proxy, config_of, litellm_proxy
from tests.rules.environments import PINNED
from tests.rules.environments import Unavailable as NoLiteLLM

# The alias that loses its first host, and one that never had it.
ALIAS, BESIDE = "chat", "beside"
MODEL = "smollm2-135m"
LLAMA_CPP = "llama-cpp-b10488"
# Two tokens: what the router adds is measured, not the model.
BODY = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "temperature": 0, "seed": 1}
# One thread each: several wait for each other after every layer, and two engines share the cores of a small machine.
ENGINE = ("--ctx-size", "2048", "--parallel", "2", "--threads", "1", "--alias", MODEL, "--offline", "--no-webui")
WARM_UP = 5
# The longest a client waits: three attempts of the conventional layout with their pauses.
CLIENT_TIMEOUT_S = 180.0
LIMIT_S = 1200.0
# The two layouts, and what each proxy has in its environment.
OURS, CONVENTIONAL = "ours", "conventional"
ENVIRONMENTS = {OURS: FIXED, CONVENTIONAL: BARE}


@dataclass(frozen=True)
class Counts:
    """How many requests of each layout: before the failure, and after it with so many that it cannot concern.

    One of ours is sent `pace_s` after the one before at the earliest.
    """

    before: int
    ours: int
    conventional: int
    ours_beside: int
    conventional_beside: int
    pace_s: float = 0.0

    @property
    def after(self) -> dict[tuple[str, str], int]:
        """Only layouts of which something is wanted."""
        counts = {
            (OURS, ALIAS): self.ours,
            (OURS, BESIDE): self.ours_beside,
            (CONVENTIONAL, ALIAS): self.conventional,
            (CONVENTIONAL, BESIDE): self.conventional_beside,
        }
        return {who: count for who, count in counts.items() if count}


# A dead host that costs a timeout is asked once a second: sixty requests at full speed would be over before it is asked again.
COUNTS = {
    "refused": Counts(60, 500, 20, 250, 20),
    "powered-off": Counts(60, 60, 2, 60, 5, 1.0),
    "dropped": Counts(60, 60, 2, 60, 5, 1.0),
    "hanging": Counts(60, 60, 2, 60, 5, 1.0),
}
FAR = ("powered-off", "dropped")


@dataclass(frozen=True)
class Wanted:
    """The command line."""

    failures: tuple[str, ...]
    timeout_s: float
    cooldown_s: float | None
    quick: bool

    @property
    def router(self) -> dict[str, float]:
        return {"timeout_s": self.timeout_s, **({"cooldown_s": self.cooldown_s} if self.cooldown_s else {})}

    def counts(self, failure: str) -> Counts:
        counts = COUNTS[failure]
        return Counts(5, 10, 1, 5, 1) if self.quick else counts


@dataclass(frozen=True)
class Primary:
    """The host that fails."""

    server: Server
    host: FarHost | None

    @property
    def engine_pid(self) -> int:
        """The engine below the `timeout` that ends it."""
        limiter = self.server.process.pid
        return int(Path(f"/proc/{limiter}/task/{limiter}/children").read_text(encoding="ascii").split()[0])

    def refuse(self) -> None:
        self.server.process.terminate()
        self.server.process.wait(20)

    def hang(self) -> None:
        os.kill(self.engine_pid, signal.SIGSTOP)

    def fail(self, failure: str) -> None:
        far = self.host
        ways: dict[str, Callable[[], None]] = {"refused": self.refuse, "hanging": self.hang}
        if far:
            ways.update({"powered-off": far.power_off, "dropped": far.drop_packets})
        ways[failure]()

    def come_back(self) -> None:
        """So that it can be ended in good order."""
        if self.server.process.poll() is None:
            os.kill(self.engine_pid, signal.SIGCONT)
        if self.host:
            self.host.come_back()


@contextlib.contextmanager
def llama_server(log: Path, far: FarHost | None) -> Iterator[Server]:
    """A real engine with a real model, in a host of its own or on loopback."""
    address, port = (far.address, 8080) if far else ("127.0.0.1", free_port())
    binary, model = engine(LLAMA_CPP) / "bin" / "llama-server", engine(MODEL) / "model.gguf"
    command = [str(binary), "--model", str(model), "--host", address, "--port", str(port), *ENGINE]
    url = f"http://{address}:{port}"
    with running(far.command(command) if far else command, url, "/health", log, {}) as server:
        yield server


@contextlib.contextmanager
def primary(log: Path) -> Iterator[Primary]:
    """The first host, in a namespace of its own where there can be one."""
    with contextlib.ExitStack() as stack:
        far = None if lacking() else stack.enter_context(far_host())
        server = stack.enter_context(llama_server(log, far))
        found = Primary(server, far)
        stack.callback(found.come_back)
        yield found


def ask(proxy: Proxy, alias: str, began: float) -> Request:
    """One request over a connection of its own: what the proxy closes in between is no failure of a host."""
    started = time.monotonic()
    try:
        reply = proxy.post("/v1/chat/completions", {**BODY, "model": alias}, CLIENT_TIMEOUT_S)
        status, headers = reply.status, reply.headers
    except (OSError, http.client.HTTPException):
        status, headers = 0, {}
    tried = status != 200 or any(int(headers.get(f"x-litellm-attempted-{word}") or 0) for word in ("fallbacks", "retries"))
    return Request(started - began, time.monotonic() - started, status, headers.get("x-litellm-model-id", ""), tried)


def turns(counts: Mapping[Any, int]) -> list[Any]:
    """Whose turn it is: each with all its requests, spread evenly over the whole."""
    places = [((number + 0.5) / count, name) for name, count in counts.items() for number in range(count)]
    return [name for _place, name in sorted(places)]


Asked = dict[tuple[str, str], list[Request]]


def ask_in_turn(proxies: Mapping[str, Proxy], counts: Mapping[tuple[str, str], int], pace_s: float, ends: float) -> Asked:
    """The requests of each layout and alias. Raises EngineError when the time is over."""
    found: Asked = {who: [] for who in counts}
    began, next_ours = time.monotonic(), 0.0
    for layout, alias in turns(counts):
        if (layout, alias) == (OURS, ALIAS):
            time.sleep(max(0.0, next_ours - time.monotonic()))
            next_ours = time.monotonic() + pace_s
        found[layout, alias].append(ask(proxies[layout], alias, began))
        if time.monotonic() > ends:
            raise EngineError(f"not ready within {LIMIT_S:.0f} s")
    return found


def measured(failure: str, wanted: Wanted, folder: Path, ends: float) -> list[dict[str, Any]]:
    """One failure, both layouts."""
    counts = wanted.counts(failure)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(primary(folder / "primary.log"))
        second = stack.enter_context(llama_server(folder / "secondary.log", None))
        backends = [Backend("first", first.server.url, MODEL), Backend("second", second.url, MODEL)]
        config = config_of({ALIAS: backends, BESIDE: backends[1:]}, **wanted.router)
        layouts = {OURS: config, CONVENTIONAL: conventional(config)}
        configs = {name: layouts[name] for name, alias in counts.after if alias == ALIAS}
        proxies = {
            name: stack.enter_context(litellm_proxy(content, folder / name, ENVIRONMENTS[name]))
            for name, content in configs.items()
        }
        ask_in_turn(proxies, dict.fromkeys(counts.after, WARM_UP), 0, ends)
        before = ask_in_turn(proxies, dict.fromkeys(((name, ALIAS) for name in configs), counts.before), 0, ends)
        first.fail(failure)
        after = ask_in_turn(proxies, counts.after, counts.pace_s, ends)
    dead = config["model_list"][0]["model_info"]["id"]
    return [
        {
            "scenario": failure,
            "layout": name,
            "figures": figures(before[name, ALIAS], after[name, BESIDE], after[name, ALIAS], dead),
            "requests": told(after[name, ALIAS]),
        }
        for name in configs
    ]


def told(requests: Sequence[Request]) -> list[list[Any]]:
    """Each request in few words, for whoever wants to compute something else."""
    return [[round(one.sent_s, 4), round(one.seconds, 4), one.status, one.deployment, one.tried_another] for one in requests]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    load = round(os.getloadavg()[0], 2)
    return {"cpu": names[0] if names else platform.machine(), "cores": len(os.sched_getaffinity(0)), "load_before": load}


def arguments(words: Sequence[str]) -> tuple[Wanted, argparse.Namespace]:
    """The command line; a wrong one ends the program with 2."""
    parser = argparse.ArgumentParser(description="what a dead host costs each request, in two layouts of LiteLLM")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object with every figure and every request")
    form.add_argument("--markdown", action="store_true", help="the table as it stands in the documentation")
    parser.add_argument("--quick", action="store_true", help="few requests: enough to see that it works, not to believe a figure")
    parser.add_argument("--only", action="append", choices=list(COUNTS), help="this failure; more than once for several")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="llm_router.timeout_s (default: 5)")
    parser.add_argument("--cooldown", type=float, metavar="S", help="llm_router.cooldown_s (default: the collection's)")
    said = parser.parse_args(words)
    return Wanted(tuple(said.only or COUNTS), said.timeout, said.cooldown, said.quick), said


def run(wanted: Wanted) -> dict[str, Any]:
    """Everything that can be measured here."""
    about, ends = machine(), time.monotonic() + LIMIT_S
    reason = lacking()
    skipped = {failure: reason for failure in wanted.failures if reason and failure in FAR}
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="failover-") as folder:
        for failure in wanted.failures:
            if failure not in skipped:
                print(f"failover: {failure} …", file=sys.stderr, flush=True)
                place = Path(folder) / failure
                place.mkdir()
                results += measured(failure, wanted, place, ends)
    return {
        "litellm": PINNED,
        "engine": LLAMA_CPP,
        "machine": about,
        "router": wanted.router,
        "skipped": skipped,
        "results": results,
    }


def show(found: Mapping[str, Any], said: argparse.Namespace) -> None:
    """Print what was asked for."""
    if said.json:
        print(json.dumps(found))
        return
    print(lines(table(found["results"]), said.markdown))
    for failure, reason in found["skipped"].items():
        print(f"skipped: {failure}: {reason}")
    about = found["machine"]
    print(f"\nLiteLLM {found['litellm']}, {about['cores']} × {about['cpu']}, load {about['load_before']}, {found['router']}")


def main(words: Sequence[str]) -> int:
    """Measures and prints. Returns the exit code."""
    wanted, said = arguments(words)
    # So that everything that was started is ended.
    signal.signal(signal.SIGTERM, lambda *_arguments: sys.exit(143))
    try:
        found = run(wanted)
    except (Unavailable, NoLiteLLM, BuildFailed, EngineError, OSError, subprocess.SubprocessError) as error:
        print(f"failover: {error}", file=sys.stderr)
        return UNAVAILABLE
    show(found, said)
    if not found["results"]:
        return UNAVAILABLE
    wrong = [fault for result in found["results"] for fault in faults(result, OURS, judge_times=not wanted.quick)]
    for fault in wrong:
        print(f"failover: {fault}", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

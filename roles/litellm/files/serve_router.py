# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router's main process: it owns the listening socket and keeps one generation of the proxy answering on it.

`serve_router.py --current LINK --state FILE --host ADDRESS --port NUMBER`

LINK leads to a folder with a generation.json (see `read_wanted`). At start, and at every SIGHUP, the folder that it leads to now
is started as a new generation on the same socket; when that answers, the old one gets SIGTERM, accepts nothing more, finishes
what it has and is killed only after its time. Requests wait in one queue for whoever accepts, so none is lost. A generation that
does not come up is ended and the old one stays. SIGTERM lets all finish and ends. A generation that dies is started again, from
its own folder. FILE says as JSON who serves. Standard library alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STARTING, SERVING, DRAINING = "starting", "serving", "draining"
READY = b"ready"
# How often clocks are looked at; signals and pipes wake it at once.
TICK_S = 0.5
# After a crash: at once, then longer and longer.
RETRY_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
# A generation that answered so long has proved itself: its next crash counts as the first.
PROVED_S = 60.0
# A generation drains by itself within its time; this much later it is killed.
KILL_MARGIN_S = 10.0
# An ended predecessor gives its socket back within this.
BIND_LIMIT_S = 30.0
BACKLOG = 2048


class Wanted(NamedTuple):
    """What a generation is made of: folder, revision, interpreter and program, variables, file of secrets, limits."""

    folder: str
    revision: str
    command: list[str]
    environment: dict[str, str]
    secrets: str
    drain_s: int
    start_limit_s: float


@dataclass
class Generation:
    """One generation as it stands: `ready` and `ended` are what was seen of it since the last look."""

    wanted: Wanted
    stage: str
    since: float
    ready: bool = False
    ended: bool = False
    process: Any = field(default=None, compare=False, repr=False)

    @property
    def limit_s(self) -> float:
        """How long its stage may last."""
        return {STARTING: self.wanted.start_limit_s, DRAINING: self.wanted.drain_s + KILL_MARGIN_S}.get(self.stage, float("inf"))


class Seen(NamedTuple):
    """All that a decision rests on."""

    now: float
    generations: list[Generation]
    asked: bool
    stopping: bool
    retry_at: float


class Step(NamedTuple):
    """`verb`: promote, drain, kill, refuse, forget, crashed, start, again, finish; `about` is the generation that it is about."""

    verb: str
    about: Generation | None = None
    reason: str = ""


def decide(seen: Seen) -> list[Step]:
    """What has to be done now, in this order."""
    steps = [step for generation in seen.generations for step in about_one(generation, seen)]
    gone = [step.about for step in steps if step.verb in ("forget", "crashed", "refuse", "promote")]
    left = [generation for generation in seen.generations if not any(generation is one for one in gone)]
    if seen.stopping:
        return [*steps, *([] if left else [Step("finish")])]
    if any(step.verb == "promote" for step in steps):
        old = [Step("drain", generation) for generation in left if generation.stage == SERVING]
        return [*steps, *old]
    if any(generation.stage == STARTING for generation in left):
        return steps
    if seen.asked:
        return [*steps, Step("start")]
    serves = any(generation.stage == SERVING for generation in left)
    crashed = any(step.verb in ("crashed", "refuse") for step in steps)
    return [*steps, *([Step("again")] if not serves and not crashed and seen.now >= seen.retry_at else [])]


def about_one(generation: Generation, seen: Seen) -> list[Step]:
    """What one generation's own state asks for."""
    if generation.ended:
        verb = {STARTING: "refuse", SERVING: "crashed", DRAINING: "forget"}[generation.stage]
        return [Step("forget" if seen.stopping else verb, generation, "it ended before it answered" if verb == "refuse" else "")]
    if generation.stage == STARTING and seen.stopping:
        return [Step("kill", generation)]
    if generation.stage == SERVING and seen.stopping:
        return [Step("drain", generation)]
    if generation.stage == STARTING and generation.ready:
        return [Step("promote", generation)]
    if seen.now - generation.since > generation.limit_s:
        why = f"it did not answer within {generation.limit_s:.0f} s"
        return [Step("kill", generation), *([Step("refuse", generation, why)] if generation.stage == STARTING else [])]
    return []


def read_wanted(link: str) -> Wanted:
    """What the folder behind a link says. Raises ValueError that names what is wrong."""
    folder = os.path.realpath(link)
    path = os.path.join(folder, "generation.json")
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        return Wanted(
            folder,
            str(said["revision"]),
            [str(word) for word in said["command"]],
            {str(name): str(value) for name, value in said["environment"].items()},
            str(said["secrets"]),
            int(said["drain_s"]),
            float(said["start_limit_s"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}; run the deployment again") from error


def read_secrets(text: str) -> dict[str, str]:
    """The variables of a file of lines NAME=value."""
    pairs = (line.strip().partition("=") for line in text.splitlines())
    return {name: value for name, sign, value in pairs if sign and not name.startswith("#")}


def about(wanted: Wanted) -> dict[str, str]:
    """What others have to know of a generation: which it is, and what it needs to stay where it is."""
    return {"revision": wanted.revision, "folder": wanted.folder, "program": wanted.command[0]}


def retry_s(crashes: int) -> float:
    """Seconds until the next try after so many crashes in a row."""
    return RETRY_S[min(max(crashes, 1), len(RETRY_S)) - 1]


def say(text: str) -> None:
    """A log that cannot be written is no reason to stop serving."""
    with contextlib.suppress(OSError):
        print(f"router: {text}", flush=True)


class Router:
    """The process: it looks, lets `decide` decide, and does it."""

    def __init__(self, options: argparse.Namespace, listener: socket.socket) -> None:
        self.options, self.listener = options, listener
        self.generations: list[Generation] = []
        self.asked, self.stopping, self.over = True, False, False
        self.crashes, self.retry_at, self.launches = 0, 0.0, 0
        self.last: Wanted | None = None
        self.refused: dict[str, str] | None = None
        self.waker = selectors.DefaultSelector()

    def run(self) -> int:
        """Until all is over; 1 where nothing ever answered."""
        self.listen_to_signals()
        while not self.over:
            for key, _events in self.waker.select(TICK_S):
                self.hear(key)
            for generation in self.generations:
                generation.ended = generation.process.poll() is not None
            steps = decide(Seen(time.monotonic(), self.generations, self.asked, self.stopping, self.retry_at))
            for step in steps:
                getattr(self, step.verb)(step)
            if steps:
                self.tell()
        return 0 if self.last or self.stopping else 1

    def listen_to_signals(self) -> None:
        """Signals become bytes in a pipe, so that they wake the selector and nothing happens in between."""
        heard, wakes = os.pipe()
        for end in (heard, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, lambda *_arguments: None)
        self.waker.register(heard, selectors.EVENT_READ, None)

    def hear(self, key: selectors.SelectorKey) -> None:
        """A signal, or a word of a generation that starts."""
        words = os.read(key.fd, 64)
        if key.data is None:
            self.asked = self.asked or signal.SIGHUP in words
            if signal.SIGTERM in words or signal.SIGINT in words:
                # Whoever connects from now on is refused at once, instead of waiting for nobody.
                self.stopping = True
                self.listener.close()
            return
        self.waker.unregister(key.fd)
        os.close(key.fd)
        key.data.ready = words == READY

    def start(self, _step: Step) -> None:
        """Start what the link leads to now."""
        self.asked, self.refused = False, None
        self.launches += 1
        try:
            self.launch(read_wanted(self.options.current))
        except (OSError, ValueError) as error:
            self.note_refusal(os.path.basename(os.path.realpath(self.options.current)), str(error))

    def again(self, _step: Step) -> None:
        """Start once more what answered last."""
        if self.last is None:
            self.over = True
            return
        try:
            self.launch(self.last)
        except OSError as error:
            self.note_refusal(self.last.revision, str(error))
            self.last = None

    def launch(self, wanted: Wanted) -> None:
        hears, says = os.pipe()
        try:
            with open(wanted.secrets, encoding="utf-8") as file:
                secrets = read_secrets(file.read())
            numbers = {"ROUTER_LISTEN_FD": self.listener.fileno(), "ROUTER_READY_FD": says, "ROUTER_DRAIN_S": wanted.drain_s}
            own = {name: str(number) for name, number in numbers.items()}
            process = subprocess.Popen(
                wanted.command,
                cwd=wanted.folder,
                env={**os.environ, **wanted.environment, **secrets, **own},
                stdin=subprocess.DEVNULL,
                pass_fds=(self.listener.fileno(), says),
            )
        except OSError:
            os.close(hears)
            raise
        finally:
            os.close(says)
        generation = Generation(wanted, STARTING, time.monotonic(), process=process)
        self.generations.append(generation)
        self.waker.register(hears, selectors.EVENT_READ, generation)
        say(f"generation {wanted.revision} starts as process {process.pid}")

    def promote(self, step: Step) -> None:
        """From now on it is the one that serves."""
        self.turn(step.about, SERVING)
        self.last, self.refused = step.about.wanted, None
        say(f"generation {self.last.revision} answers")

    def drain(self, step: Step) -> None:
        """Let it finish what it has."""
        self.turn(step.about, DRAINING)
        self.send(step.about, signal.SIGTERM)
        say(f"generation {step.about.wanted.revision} finishes what it has, at most {step.about.wanted.drain_s} s")

    def kill(self, step: Step) -> None:
        say(f"generation {step.about.wanted.revision} is killed")
        self.send(step.about, signal.SIGKILL)
        step.about.process.wait()
        if step.about.stage == DRAINING or self.stopping:
            self.forget(step)

    def refuse(self, step: Step) -> None:
        """It did not come up; whoever serves goes on."""
        self.forget(step)
        self.note_refusal(step.about.wanted.revision, step.reason)

    def note_refusal(self, revision: str, reason: str) -> None:
        say(f"generation {revision} is refused: {reason}")
        self.refused = {"revision": revision, "reason": reason}
        self.count_crash()

    def crashed(self, step: Step) -> None:
        self.forget(step)
        say(f"generation {step.about.wanted.revision} ended with {step.about.process.returncode}; it is started again")
        if time.monotonic() - step.about.since > PROVED_S:
            self.crashes = 0
        self.count_crash()

    def count_crash(self) -> None:
        self.crashes += 1
        self.retry_at = time.monotonic() + retry_s(self.crashes)

    def forget(self, step: Step) -> None:
        self.generations = [generation for generation in self.generations if generation is not step.about]

    def finish(self, _step: Step) -> None:
        self.over = True

    def turn(self, generation: Generation, stage: str) -> None:
        generation.stage, generation.since = stage, time.monotonic()

    def send(self, generation: Generation, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            generation.process.send_signal(number)

    def tell(self) -> None:
        """Write who serves, whole or not at all; a full disk is no reason to stop serving."""
        told = [{**about(one.wanted), "stage": one.stage, "pid": one.process.pid} for one in self.generations]
        path = self.options.state
        last = about(self.last) if self.last else None
        facts = {"pid": os.getpid(), "launches": self.launches, "last": last, "refused": self.refused}
        try:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump({**facts, "generations": told}, file)
            os.replace(path + ".new", path)
        except OSError as error:
            say(f"{path} cannot be written: {error.strerror}; make room, or give the folder to the router's user")


def listen(host: str, port: int) -> socket.socket:
    """The socket that all generations share; a predecessor may take a moment to give the port back."""
    family, kind, protocol, _name, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ends = time.monotonic() + BIND_LIMIT_S
    while True:
        try:
            listener.bind(address)
            break
        except OSError as error:
            if time.monotonic() > ends:
                raise SystemExit(f"router: {host} port {port}: {error}; end the program that has it") from error
            time.sleep(TICK_S)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--current", "--state", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(words)
    return Router(options, listen(options.host, options.port)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

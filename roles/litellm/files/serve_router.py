# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The router's main process: it owns the listening socket and keeps one generation of the proxy answering on it.

`serve_router.py --current LINK --state FILE --host ADDRESS --port NUMBER`

LINK leads to a folder with a generation.json (see `read_wanted`). At start, and at every SIGHUP, the folder that it leads to now
is started as a new generation on the same socket; when that answers, the old one gets SIGTERM, accepts nothing more, finishes
what it has and is killed only after its time. Requests wait in one queue for whoever accepts, so none is lost. A generation that
does not come up is ended and the old one stays. SIGTERM lets all finish and ends. A generation that dies, or whose event loop
stands still, is started again, from its own folder. FILE says as JSON who serves. Standard library alone.

Where this file is another one at SIGHUP, the process becomes that program (`Router.hand_over`): same process, same socket, same
generations. One that does not start is refused, and this one goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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

STARTING, SERVING, DRAINING, KILLED = "starting", "serving", "draining", "killed"
# A generation's first word; each further one says that its event loop turns.
READY = b"ready"
SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
# How often clocks are looked at; signals and pipes wake it at once.
TICK_S = 0.5
# After a crash: at once, then longer and longer.
RETRY_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
# A generation that answered so long has proved itself: its next crash counts as the first.
PROVED_S = 60.0
# A generation drains by itself within its time; this much later it is killed.
KILL_MARGIN_S = 10.0
# Two proxies in memory for a while, not more: one that drains when the next one begins to has so long left.
HURRY_S = 60.0
# One that serves says a word every few seconds (serve_generation.py); it is replaced when it has said none for so long.
HANG_S = 120.0
# What is killed and still there waits for a disk or a driver; nobody waits for it any longer than this.
KILLED_LIMIT_S = 10.0
# A new version of this program shows within this that it starts.
CHECK_LIMIT_S = 20.0
# Names the descriptor from which the next program reads what it takes over; another format is another number.
HANDOVER, FORMAT = "ROUTER_HANDOVER_FD", 1
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
    """One generation as it stands: `ready` and `ended` are what was seen, `beat` is when it last said a word (None: never)."""

    wanted: Wanted
    stage: str
    since: float
    ready: bool = False
    ended: bool = False
    beat: float | None = None
    # Where its words are read, -1 when it has closed its end.
    hears: int = field(default=-1, compare=False)
    process: Any = field(default=None, compare=False, repr=False)

    def hangs(self, now: float) -> bool:
        """Whether its event loop stands still."""
        return self.beat is not None and now - self.beat > HANG_S


class Seen(NamedTuple):
    """All that a decision rests on."""

    now: float
    generations: list[Generation]
    asked: bool
    stopping: bool
    retry_at: float


class Step(NamedTuple):
    """`verb`: a method of Router; `about` is the generation that it is about."""

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
        old = [generation for generation in left if generation.stage == SERVING]
        return [*steps, *(Step("kill" if one.hangs(seen.now) else "drain", one) for one in old)]
    if any(generation.stage == STARTING for generation in left):
        return steps
    if seen.asked:
        return [*steps, Step("start")]
    serves = any(generation.stage == SERVING and not generation.hangs(seen.now) for generation in left)
    crashed = any(step.verb in ("crashed", "refuse") for step in steps)
    return [*steps, *([Step("again")] if not serves and not crashed and seen.now >= seen.retry_at else [])]


def about_one(generation: Generation, seen: Seen) -> list[Step]:
    """What one generation's own state asks for."""
    if generation.ended:
        verb = {STARTING: "refuse", SERVING: "crashed"}.get(generation.stage, "forget")
        return [Step("forget" if seen.stopping else verb, generation, "it ended before it answered" if verb == "refuse" else "")]
    if generation.stage == STARTING and seen.stopping:
        return [Step("kill", generation)]
    if generation.stage == SERVING and seen.stopping:
        return [Step("drain", generation)]
    if generation.stage == STARTING and generation.ready:
        return [Step("promote", generation)]
    limit = limit_s(generation, seen)
    if seen.now - generation.since > limit:
        if generation.stage == KILLED:
            return [Step("forget", generation)]
        why = f"it did not answer within {limit:.0f} s"
        return [Step("kill", generation), *([Step("refuse", generation, why)] if generation.stage == STARTING else [])]
    return []


def limit_s(generation: Generation, seen: Seen) -> float:
    """How long a generation's stage may last. One that drains has to hurry when another one drains beside it."""
    if generation.stage == DRAINING:
        whole = generation.wanted.drain_s + KILL_MARGIN_S
        later = [one.since for one in seen.generations if one.stage == DRAINING and one.since > generation.since]
        return min([whole, *(since - generation.since + HURRY_S for since in later if not seen.stopping)])
    return {STARTING: generation.wanted.start_limit_s, KILLED: KILLED_LIMIT_S}.get(generation.stage, float("inf"))


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


class Heard:
    """What signals have asked for, from the moment that this is made; none of them ends the process. `fd` wakes a selector."""

    def __init__(self) -> None:
        self.asked, self.stopping = False, False
        self.fd, wakes = os.pipe()
        for end in (self.fd, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self.hear)
        # A predecessor that handed over has kept them from arriving in between.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def hear(self, number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            self.asked = True
        elif number in (signal.SIGTERM, signal.SIGINT):
            self.stopping = True


class Adopted:
    """A child that a former program of this process started, with what is used of subprocess.Popen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                # It is no child (any more): nobody can know more of it.
                ended, status = self.pid, 0
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


class Handed(NamedTuple):
    """What a program hands over to the next one."""

    listener: int
    launches: int
    crashes: int
    retry_at: float
    last: Wanted | None
    generations: list[Generation]

    def write(self) -> str:
        """As JSON; the next program may count its seconds from another beginning."""
        told = [{**vars(one), "wanted": one.wanted._asdict(), "process": one.process.pid} for one in self.generations]
        last = self.last._asdict() if self.last else None
        return json.dumps({**self._asdict(), "format": FORMAT, "now": time.monotonic(), "last": last, "generations": told})

    @classmethod
    def read(cls, text: str) -> Handed:
        """Raises ValueError, KeyError or TypeError for another format."""
        said = json.loads(text)
        if said.pop("format") != FORMAT:
            raise ValueError("the program that runs hands over in another format; restart the service")
        later = time.monotonic() - said.pop("now")
        generations = [taken(one, later) for one in said.pop("generations")]
        last = said.pop("last")
        return cls(
            **{**said, "retry_at": said["retry_at"] + later}, last=Wanted(**last) if last else None, generations=generations
        )


def taken(said: dict[str, Any], later: float) -> Generation:
    """A generation as a former program left it, in this one's time."""
    beat = None if said["beat"] is None else said["beat"] + later
    changed = {
        "wanted": Wanted(**said["wanted"]),
        "since": said["since"] + later,
        "beat": beat,
        "process": Adopted(said["process"]),
    }
    return Generation(**{**said, **changed})


class Program:
    """This file as it runs, and as it is on the disk."""

    def __init__(self) -> None:
        self.path = os.path.abspath(__file__)
        self.revision = self.on_disk()

    def on_disk(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def command(self) -> list[str]:
        return [sys.executable, *sys.orig_argv[1:]]

    def fault(self, handed: str) -> str | None:
        """Why what is on the disk cannot take over; None: it can."""
        try:
            done = subprocess.run(
                [*self.command(), "--check"], input=handed, capture_output=True, text=True, timeout=CHECK_LIMIT_S, check=False
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return str(error)
        reason = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
        return f"it ended with {done.returncode}: {reason}" if done.returncode else None


class Router:
    """The process: it looks, lets `decide` decide, and does it."""

    def __init__(self, options: argparse.Namespace, heard: Heard, handed: Handed, listener: socket.socket) -> None:
        self.options, self.heard, self.listener = options, heard, listener
        self.launches, self.crashes, self.retry_at = handed.launches, handed.crashes, handed.retry_at
        self.last, self.generations = handed.last, handed.generations
        self.over = False
        self.refused: dict[str, str] | None = None
        self.program = Program()
        self.program_refused: str | None = None
        self.waker = selectors.DefaultSelector()

    def run(self) -> int:
        """Until all is over; 1 where nothing ever answered."""
        self.heard.asked = True
        self.waker.register(self.heard.fd, selectors.EVENT_READ, None)
        for generation in self.generations:
            if generation.hears >= 0:
                self.waker.register(generation.hears, selectors.EVENT_READ, generation)
        while not self.over:
            for key, _events in self.waker.select(TICK_S):
                self.hear(key)
            if self.heard.stopping:
                # Whoever connects from now on is refused at once, instead of waiting for nobody.
                self.listener.close()
            for generation in self.generations:
                generation.ended = generation.process.poll() is not None
            steps = decide(Seen(time.monotonic(), self.generations, self.heard.asked, self.heard.stopping, self.retry_at))
            for step in steps:
                getattr(self, step.verb)(step)
            if steps:
                self.tell()
        return 0 if self.last or self.heard.stopping else 1

    def hear(self, key: selectors.SelectorKey) -> None:
        """A signal has come, or a word of a generation."""
        words = os.read(key.fd, 64)
        if key.data is None:
            return
        if words:
            key.data.ready = key.data.ready or words.startswith(READY)
            key.data.beat = time.monotonic()
            return
        self.waker.unregister(key.fd)
        os.close(key.fd)
        key.data.hears, key.data.beat = -1, None

    def start(self, _step: Step) -> None:
        """Start what the link leads to now; before that, become the program that lies on the disk now."""
        self.renew()
        self.heard.asked, self.refused = False, None
        self.launches += 1
        try:
            wanted = read_wanted(self.options.current)
        except ValueError as error:
            self.note_refusal(os.path.basename(os.path.realpath(self.options.current)), str(error))
            return
        self.launch(wanted)

    def renew(self) -> None:
        """Hand over where the program on the disk is another one that starts. Does not come back then."""
        self.program_refused = None
        try:
            if self.program.on_disk() != self.program.revision:
                handed = Handed(
                    self.listener.fileno(), self.launches, self.crashes, self.retry_at, self.last, self.generations
                ).write()
                self.program_refused = self.program.fault(handed) or self.hand_over(handed)
        except OSError as error:
            self.program_refused = f"{self.program.path}: {error.strerror}"
        if self.program_refused:
            say(f"the new {self.program.path} is refused: {self.program_refused}; this one goes on")

    def hand_over(self, handed: str) -> str:
        """Become the program on the disk: the process's number, its children and these descriptors stay. Says why it did not."""
        reads, writes = os.pipe()
        os.set_blocking(writes, False)
        # Signals that come from here on wait for the next program.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            if self.heard.stopping:
                return "the router is told to end"
            if os.write(writes, handed.encode()) < len(handed):
                return f"{len(handed)} characters to hand over do not fit into a pipe"
            for number in [reads, self.listener.fileno(), *(one.hears for one in self.generations if one.hears >= 0)]:
                os.set_inheritable(number, True)
            say("the program is another one; it takes over")
            os.execve(sys.executable, self.program.command(), {**os.environ, HANDOVER: str(reads)})
        except OSError as error:
            return str(error)
        finally:
            os.close(reads)
            os.close(writes)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def again(self, _step: Step) -> None:
        """Start once more what answered last."""
        if self.last is None:
            self.over = True
            return
        if any(generation.stage == SERVING for generation in self.generations):
            say(f"generation {self.last.revision} has stood still for {HANG_S:.0f} s; it is replaced by a fresh one")
        self.launch(self.last)

    def launch(self, wanted: Wanted) -> None:
        """Start a generation; whatever keeps it from starting is a refusal."""
        try:
            process, hears = self.begin(wanted)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self.note_refusal(wanted.revision, str(error))
            return
        generation = Generation(wanted, STARTING, time.monotonic(), hears=hears, process=process)
        self.generations.append(generation)
        self.waker.register(hears, selectors.EVENT_READ, generation)
        say(f"generation {wanted.revision} starts as process {process.pid}")

    def begin(self, wanted: Wanted) -> tuple[subprocess.Popen[bytes], int]:
        """A generation's process, and where its words are read."""
        with open(wanted.secrets, encoding="utf-8") as file:
            secrets = read_secrets(file.read())
        hears, says = os.pipe()
        numbers = {"ROUTER_LISTEN_FD": self.listener.fileno(), "ROUTER_READY_FD": says, "ROUTER_DRAIN_S": wanted.drain_s}
        own = {name: str(number) for name, number in numbers.items()}
        try:
            process = subprocess.Popen(
                wanted.command,
                cwd=wanted.folder,
                env={**os.environ, **wanted.environment, **secrets, **own},
                stdin=subprocess.DEVNULL,
                pass_fds=(self.listener.fileno(), says),
            )
        except BaseException:
            os.close(hears)
            raise
        finally:
            os.close(says)
        return process, hears

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
        """Nobody waits for its end here; it is seen when it comes."""
        say(f"generation {step.about.wanted.revision} is killed")
        self.turn(step.about, KILLED)
        self.send(step.about, signal.SIGKILL)

    def refuse(self, step: Step) -> None:
        """It did not come up; whoever serves goes on."""
        if step.about.ended:
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
        program = {"revision": self.program.revision, "refused": self.program_refused}
        facts = {"pid": os.getpid(), "router": program, "launches": self.launches, "last": last, "refused": self.refused}
        facts["address"] = {"host": self.options.host, "port": self.options.port}
        try:
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump({**facts, "generations": told}, file)
                file.flush()
                # Else a host that loses its power finds an empty file.
                os.fsync(file.fileno())
            os.replace(path + ".new", path)
        except OSError as error:
            say(f"{path} cannot be written: {error.strerror}; make room, or give the folder to the router's user")


def listen(host: str, port: int, heard: Heard) -> socket.socket:
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
            if heard.stopping:
                raise SystemExit(0) from error
            time.sleep(TICK_S)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def taken_over(number: int) -> tuple[Handed, socket.socket]:
    """What the former program of this process hands over; none of it is for children."""
    with open(number, encoding="utf-8") as file:
        handed = Handed.read(file.read())
    for kept in [handed.listener, *(one.hears for one in handed.generations if one.hears >= 0)]:
        os.set_inheritable(kept, False)
    return handed, socket.socket(fileno=handed.listener)


def main(words: list[str]) -> int:
    # First of all: SIGHUP would end a process that knows nothing of it yet.
    heard = Heard()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--current", "--state", "--host"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--check", action="store_true", help="read from stdin what would be handed over, and end")
    options = parser.parse_args(words)
    if options.check:
        Handed.read(sys.stdin.read())
        return 0
    number = os.environ.pop(HANDOVER, None)
    if number is not None:
        return Router(options, heard, *taken_over(int(number))).run()
    listener = listen(options.host, options.port, heard)
    return Router(options, heard, Handed(listener.fileno(), 0, 0, 0.0, None, []), listener).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

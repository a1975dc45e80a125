# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model made out of another, or of a GGUF file, with parameters of its own; made again when its source or they have changed.

Source: server/create.go and server/images.go of Ollama v0.33.0 (the same in v0.24.0): parameters of the source stay where none
are given, all its other layers are taken over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any, Iterator, Mapping, Protocol

from .connection import RequestFailed
from .installed_model import Engine, Installed, Outcome
from .memory_settings import FIRST_WITH_LLAMA_SERVER
from .ollama_names import ModelName, parse_model_name
from .store_check import check_directory
from .transfer_progress import Limits, ModelProblem, Progress

PIECE_BYTES = 2**20
BLOB = re.compile(r"sha256[-:][0-9a-f]{64}")
# Since llama-server loads all models, Ollama writes a file anew at create, so that the digest of its blob says nothing about it.
FILE_NOTE = "Made by homelab.llm from a GGUF file with sha256:{digest}"
PARAMETER_LINE = re.compile(r"(?P<name>\S+)\s+(?P<value>.*)")


class Wanted(Protocol):
    """The options that say what it is made of."""

    @property
    def from_model(self) -> str | None: ...
    @property
    def from_file(self) -> str | None: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...


def derive(engine: Engine, wanted: Wanted, check_mode: bool, limits: Limits, progress: Progress) -> Outcome:
    """Have the derived model. Raises ModelProblem, GgufError or RequestFailed."""
    own = _own_parameters(wanted.parameters)
    there = engine.installed()
    shown = _show(engine, engine.name) if there else {}
    source: _Model | _File
    if wanted.from_file:
        source = _File(engine, wanted.from_file, progress)
    else:
        source = _Model(engine, parse_model_name(str(wanted.from_model)))
    before = _parameters(shown)
    after = {**source.parameters(before), **_listed(own)}
    texts = _text(before), _text(after)
    same = there is not None and source.is_of(shown)
    if there and same and texts[0] == texts[1]:
        return Outcome(engine, before=there, after=there, msg=f"is made of {source.words} with these parameters")
    check_directory(engine)
    source.check(check_mode)
    if not check_mode:
        replaced = engine.manifest() if there else None
        source.send(limits)
        _create(engine, {"model": str(engine.name), "parameters": own, **source.body()}, limits, progress)
        engine.remove_replaced(replaced, *source.left_over())
    now = Installed("", 0) if check_mode else engine.installed()
    if now is None:
        raise ModelProblem(f"after the engine at {engine.url} said success it does not show it: run again")
    why = "was missing" if there is None else "has other parameters" if same else "was made of something else"
    told = f"{'would be made' if check_mode else 'made'} of {source.words} ({why})"
    return Outcome(engine, True, there, now, "create", msg=told, parameters_before=texts[0], parameters_after=texts[1])


class _Model:
    """An installed model as a source."""

    def __init__(self, engine: Engine, name: ModelName) -> None:
        if str(name).lower() == str(engine.name).lower():
            raise ModelProblem("got itself as from_model, expected another model; give the derived one a name of its own")
        self._name = name
        self._installed = engine.installed(name)
        self._shown = _show(engine, name) if self._installed else {}
        self.words = str(name)

    def parameters(self, _before: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Those that the derived model has where none are given."""
        return _parameters(self._shown)

    def is_of(self, shown: Mapping[str, Any]) -> bool:
        """Whether a derived model has the same weights, template, system and so on."""
        return self._installed is not None and _essence(shown) == _essence(self._shown)

    def check(self, check_mode: bool) -> None:
        """In check mode the source itself may only be about to come."""
        if self._installed is None and not check_mode:
            raise ModelProblem(f"got from_model {self._name}, which is not installed; expected an installed model: pull it first")

    def send(self, limits: Limits) -> None:
        pass

    def body(self) -> dict[str, Any]:
        return {"from": str(self._name)}

    def left_over(self) -> list[str]:
        return []


class _File:
    """A GGUF file on this host as a source."""

    def __init__(self, engine: Engine, path: str, progress: Progress) -> None:
        self._engine = engine
        self._path = path
        self._progress = progress
        self.words = path
        try:
            self._size_bytes = os.path.getsize(path)
            with open(path, "rb") as stream:
                magic = stream.read(4)
        except OSError as error:
            raise ModelProblem(f"got from_file {path}, which cannot be read ({error.strerror}); expected a GGUF file") from None
        if magic != b"GGUF":
            raise ModelProblem(f"got from_file {path}, which begins with {magic!r}; expected a GGUF file; fetch it again")
        self._hex = self._hashed()
        self._digest = f"sha256:{self._hex}"

    def _hashed(self) -> str:
        digest = hashlib.sha256()
        for piece in self._pieces(f"reading {self._path}"):
            digest.update(piece)
        return digest.hexdigest()

    def _pieces(self, phase: str) -> Iterator[bytes]:
        done = 0
        self._progress.begin(phase, self._size_bytes)
        with open(self._path, "rb") as stream:
            for piece in iter(lambda: stream.read(PIECE_BYTES), b""):
                yield piece
                done += len(piece)
                self._progress.moved(done)

    def parameters(self, before: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Where Ollama knows the file's template it writes itself where an answer stops (template/template.go Named)."""
        return {name: values for name, values in before.items() if name == "stop"}

    def is_of(self, shown: Mapping[str, Any]) -> bool:
        return FILE_NOTE.format(digest=self._hex) in str(shown.get("license") or "")

    def check(self, _check_mode: bool) -> None:
        if self._engine.store is not None:
            copies = 1 + (_numbers(self._engine.version()) >= FIRST_WITH_LLAMA_SERVER)
            self._engine.store.check_room(str(self._engine.name), copies * self._size_bytes, f"{copies} copies of {self._path}")

    def send(self, limits: Limits) -> None:
        """Give the engine the file where it has not it already."""
        if not self._engine.api.has_blob(self._digest):
            self._progress.event(f"giving {self._path} to the engine")
            self._engine.api.send_blob(self._digest, self._pieces("sending"), limits.left_s())

    def body(self) -> dict[str, Any]:
        return {"files": {"model.gguf": self._digest}, "license": FILE_NOTE.format(digest=self._hex)}

    def left_over(self) -> list[str]:
        """The file as it was sent: from 0.30 on the engine has written it anew and needs it no more."""
        return [self._digest]


def _create(engine: Engine, body: dict[str, Any], limits: Limits, progress: Progress) -> None:
    progress.begin("creating")
    last: dict[str, Any] = {}
    try:
        for event in engine.api.stream("/api/create", body, limits.left_s(), limits.left_s):
            last = event
    except RequestFailed as failure:
        raise ModelProblem(
            f"the engine at {engine.url} could not make it: {failure.message}: correct its source or parameters"
        ) from None
    if last.get("status") != "success":
        raise ModelProblem(f"the engine at {engine.url} ended with {str(last.get('status'))[:80]!r}, expected success: run again")


def _show(engine: Engine, name: ModelName) -> dict[str, Any]:
    return engine.api.call("POST", "/api/show", {"model": str(name)})


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _essence(shown: Mapping[str, Any]) -> list[str]:
    """The Modelfile without its parameters, remarks and the folder of the store: weights by digest, template, system, license."""
    lines = str(shown.get("modelfile") or "").splitlines()
    kept = [line for line in lines if not line.startswith(("#", "PARAMETER "))]
    return [_digest_only(line) if line.startswith(("FROM ", "ADAPTER ")) else line for line in kept if line.strip()]


def _digest_only(line: str) -> str:
    match = BLOB.search(line)
    return f"{line.split(' ', 1)[0]} {match[0].replace('-', ':')}" if match else line


def _parameters(shown: Mapping[str, Any]) -> dict[str, list[str]]:
    """The parameters that /api/show lists: name -> values as JSON, a name may have several."""
    found: dict[str, list[str]] = {}
    for line in str(shown.get("parameters") or "").splitlines():
        match = PARAMETER_LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match["name"], []).append(_value(_read(match["value"])))
    return found


def _own_parameters(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given; numbers that a template made text are numbers again. Raises ModelProblem."""
    own: dict[str, Any] = {}
    for name, value in given.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        if not re.fullmatch(r"[a-z_]+", str(name)) or not all(isinstance(item, (str, int, float)) for item in values):
            raise ModelProblem(
                f"got parameter {name!r}: {str(value)[:80]!r}; expected a name such as num_ctx and a number, text or list"
            )
        number = _read(value) if isinstance(value, str) and name != "stop" else None
        own[str(name)] = number if isinstance(number, (int, float)) else list(value) if isinstance(value, tuple) else value
    return own


def _listed(own: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: [_value(item) for item in (value if isinstance(value, list) else [value])] for name, value in own.items()}


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _value(value: Any) -> str:
    """A value in one spelling: 1 and 1.0 are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _text(parameters: Mapping[str, list[str]]) -> str:
    return "".join(f"{name}: {', '.join(values)}\n" for name, values in sorted(parameters.items()))

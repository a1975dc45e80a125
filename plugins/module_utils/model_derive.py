# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model made out of another, or of a GGUF file, with parameters of its own; made again when its source or they have changed.

Source: server/create.go and server/images.go of Ollama v0.33.0 (the same in v0.24.0): parameters of the source stay where none
are given, all its other layers are taken over.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from typing import Any, Iterator, Mapping, Protocol

from .connection import RequestFailed
from .gguf_header import read_file
from .installed_model import Engine, Installed, Outcome
from .memory_settings import FIRST_WITH_LLAMA_SERVER
from .model_parameters import listed, parameters_text, shown_parameters, wanted_parameters
from .ollama_names import ModelName, parse_model_name
from .store_check import check_directory
from .transfer_progress import Limits, ModelProblem, Progress

PIECE_BYTES = 2**20
BLOB = re.compile(r"sha256[-:][0-9a-f]{64}")
# Since llama-server loads all models, Ollama writes a file anew at create, so that the digest of its blob says nothing about it.
# The parameters stand beside it, because Ollama adds some of its own.
FILE_NOTE = "Made by homelab.llm from a GGUF file with sha256:{digest}"
NOTED_PARAMETERS = re.compile(r" and parameters (\{.*\})")
FILE_WORDS = ("FROM ", "ADAPTER ", "DRAFT ")
# Ollama itself ends with these; others come from a proxy before it.
LAST_STATUS_OF_OLLAMA = 500


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
    own = wanted_parameters(wanted.parameters)
    there = engine.installed()
    lacking = engine.lacking() if there else []
    # The engine answers for a model without a file, if at all, with words that say something else.
    shown = _show(engine, engine.name) if there and not lacking else {}
    source: _Model | _File
    if wanted.from_file:
        source = _File(engine, wanted.from_file, own, progress)
    else:
        source = _Model(engine, parse_model_name(str(wanted.from_model)))
    texts = parameters_text(shown_parameters(shown)), parameters_text({**source.parameters(shown), **listed(own)})
    same = there is not None and not lacking and source.is_of(shown)
    if there and same and texts[0] == texts[1] and source.has_noted(shown):
        return Outcome(engine, before=there, after=there, msg=f"is made of {source.words} with these parameters")
    check_directory(engine)
    source.check(check_mode)
    if not check_mode:
        replaced = engine.manifest() if there else None
        if engine.store is not None:
            engine.store.drop_broken(lacking)
        source.send(limits)
        body = {"model": str(engine.name), "parameters": own, **source.body()}
        _create(engine, body, source.left_over(), limits, progress)
        engine.remove_replaced(replaced, *source.left_over())
    now = Installed("", 0) if check_mode else engine.installed()
    if now is None:
        raise ModelProblem(f"after the engine at {engine.url} said success it does not show it: run again")
    why = "was missing" if there is None else "has other parameters" if same else "was made of something else"
    why = "lacked a file" if lacking else why
    told = f"{'would be made' if check_mode else 'made'} of {source.words} ({why})"
    return Outcome(engine, True, there, now, "create", msg=told, parameters_before=texts[0], parameters_after=texts[1])


class _Model:
    """An installed model as a source."""

    def __init__(self, engine: Engine, name: ModelName) -> None:
        if str(name).lower() == str(engine.name).lower():
            raise ModelProblem("got itself as from_model, expected another model; give the derived one a name of its own")
        self._engine = engine
        self._name = name
        self._installed = engine.installed(name)
        self._lacking = len(engine.lacking(name)) if self._installed else 0
        self._shown = _show(engine, name) if self._installed and not self._lacking else {}
        self.words = str(name)

    def parameters(self, _shown: Mapping[str, Any]) -> dict[str, list[str]]:
        """Those that the derived model has where none are given."""
        return shown_parameters(self._shown)

    def is_of(self, shown: Mapping[str, Any]) -> bool:
        """Whether a derived model has the same weights, template, system and so on."""
        if self._installed is None or self._lacking or not _formats(self._shown) <= _formats(shown):
            return False
        return _essence(self._engine, self._engine.name, shown) == _essence(self._engine, self._name, self._shown)

    def has_noted(self, _shown: Mapping[str, Any]) -> bool:
        """Whether it was made with the parameters that are wanted, as far as it does not show them."""
        return True

    def check(self, check_mode: bool) -> None:
        """In check mode the source itself may only be about to come."""
        if (self._installed is None or self._lacking) and not check_mode:
            state = f"lacks {self._lacking} of its files" if self._lacking else "is not installed"
            raise ModelProblem(f"got from_model {self._name}, which {state}; expected an installed model: pull it first")

    def send(self, limits: Limits) -> None:
        pass

    def body(self) -> dict[str, Any]:
        # Ollama takes another spelling for a model that it does not have, and asks the registry for it.
        return {"from": self._installed.name if self._installed else str(self._name)}

    def left_over(self) -> list[str]:
        return []


class _File:
    """A GGUF file on this host as a source."""

    def __init__(self, engine: Engine, path: str, own: Mapping[str, Any], progress: Progress) -> None:
        self._engine = engine
        self._path = path
        self._own = own
        self._progress = progress
        self.words = path
        # An engine before 0.30 ends altogether at a file that is damaged (fs/ggml/gguf.go of v0.24.0).
        self._size_bytes = read_file(path).known_bytes()
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

    def parameters(self, shown: Mapping[str, Any]) -> dict[str, list[str]]:
        """Where Ollama knows the file's template it writes itself where an answer stops (template/template.go Named)."""
        stop = shown_parameters(shown).get("stop")
        return {"stop": stop} if stop and "stop" not in self._noted(shown) else {}

    def is_of(self, shown: Mapping[str, Any]) -> bool:
        return FILE_NOTE.format(digest=self._hex) in str(shown.get("license") or "")

    def has_noted(self, shown: Mapping[str, Any]) -> bool:
        return self._noted(shown) == listed(self._own)

    def _noted(self, shown: Mapping[str, Any]) -> dict[str, list[str]]:
        """Its own parameters as they were given; where an older note does not tell them, all that it has."""
        behind = str(shown.get("license") or "").partition(FILE_NOTE.format(digest=self._hex))[2]
        match = NOTED_PARAMETERS.match(behind)
        try:
            return listed(json.loads(match[1])) if match else shown_parameters(shown)
        except (ValueError, RecursionError):
            return {}

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
        note = f"{FILE_NOTE.format(digest=self._hex)} and parameters {json.dumps(self._own, sort_keys=True)}"
        return {"files": {"model.gguf": self._digest}, "license": note}

    def left_over(self) -> list[str]:
        """The file as it was sent: from 0.30 on the engine has written it anew and needs it no more."""
        return [self._digest]


def _create(engine: Engine, body: dict[str, Any], left_over: list[str], limits: Limits, progress: Progress) -> None:
    progress.begin("creating")
    last: dict[str, Any] = {}
    try:
        for event in engine.api.stream("/api/create", body, limits.left_s(), limits.left_s):
            last = event
    except RequestFailed as failure:
        # Only where the engine has ended with it: else it may still make a model of what was sent.
        if failure.kind == "engine" or (failure.kind == "http" and (failure.status or 0) <= LAST_STATUS_OF_OLLAMA):
            engine.remove_replaced(None, *left_over)
        raise ModelProblem(
            f"the engine at {engine.url} could not make it: {failure.message}: correct its source or parameters"
        ) from None
    if last.get("status") != "success":
        raise ModelProblem(f"the engine at {engine.url} ended with {str(last.get('status'))[:80]!r}, expected success: run again")


def _show(engine: Engine, name: ModelName) -> dict[str, Any]:
    return engine.api.call("POST", "/api/show", {"model": str(name)})


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _essence(engine: Engine, name: ModelName, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a derived model has from its source."""
    texts = {key: shown.get(key) or "" for key in ("template", "system", "license", "messages")}
    return {"files": _layers(engine, name) or _files(shown), **texts}


def _layers(engine: Engine, name: ModelName) -> list[str]:
    """All layers but the parameters, where the store is known and can be read: /api/show does not tell the weights for MLX."""
    manifest = engine.manifest(name)
    return sorted(layer.digest.lower() for layer in manifest.layers if layer.kind != "params") if manifest else []


def _files(shown: Mapping[str, Any]) -> list[str]:
    """The lines of the Modelfile that name files, by digest: the folder of the store says nothing."""
    found = [(line, BLOB.search(line)) for line in _file_lines(shown)]
    return [f"{line.split(' ', 1)[0]} {blob[0].replace('-', ':')}" if blob else line for line, blob in found]


def _file_lines(shown: Mapping[str, Any]) -> list[str]:
    """They stand before the template, which is always there, so that no text of a template or system prompt is taken for one."""
    return list(itertools.takewhile(lambda line: line.startswith(FILE_WORDS), _modelfile(shown)))


def _modelfile(shown: Mapping[str, Any]) -> list[str]:
    """Its lines without the remarks at its head."""
    lines = str(shown.get("modelfile") or "").split("\n")
    return list(itertools.dropwhile(lambda line: line.startswith("#") or not line.strip(), lines))


def _formats(shown: Mapping[str, Any]) -> set[str]:
    """The lines with renderer and parser, which stand in the Modelfile alone, behind template and system prompt."""
    rest = "\n".join(_modelfile(shown)[len(_file_lines(shown)) :])
    for key in ("template", "system"):
        if rest.startswith(f"{key.upper()} "):
            text = str(shown.get(key) or "")
            rest = rest[max(rest.find(text), 0) + len(text) :].partition("\n")[2]
    return set(itertools.takewhile(lambda line: line.startswith(("RENDERER ", "PARSER ")), rest.split("\n")))

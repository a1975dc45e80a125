"""An engine's own pull: only success is success, what breaks off is tried again a few times, what cannot help is not."""

from __future__ import annotations

import json

import pytest

from plugins.module_utils.connection import RequestFailed
from plugins.module_utils.engine_pull import pull
from plugins.module_utils.ollama_api import OllamaApi
from plugins.module_utils.ollama_manifest import Layer, Manifest
from plugins.module_utils.transfer_progress import Limits, ModelProblem, Progress
from tests.fake_ollama import FakeOllama, pulled
from tests.scripted_engine import HEAD, framed, reply

BIG = Layer("model", "sha256:" + "a" * 64, 1000)
SMALL = Layer("params", "sha256:" + "b" * 64, 10)
MANIFEST = Manifest("f" * 64, (BIG, SMALL), None)


def moved(layer, completed):
    said = {"status": "pulling", "digest": layer.digest, "total": layer.size_bytes, "completed": completed}
    return {key: value for key, value in said.items() if value is not None}


ALL = [{"status": "pulling manifest"}, moved(BIG, 400), moved(BIG, 1000), moved(SMALL, 10), {"status": "verifying sha256 digest"}]


def lines(*events, end=("close",)):
    return [HEAD, *(framed(json.dumps(event).encode() + b"\n") for event in events), end]


class Told(Progress):
    def __init__(self):
        super().__init__(None)
        self.all = []

    def event(self, text):
        self.all.append(text)

    def begin(self, phase, total_bytes=None, completed_bytes=0):
        self.all.append((phase, total_bytes))

    def moved(self, completed_bytes):
        self.all.append(completed_bytes)


def run(tmp_path, *pulls, **changes):
    with FakeOllama(tmp_path) as engine:
        engine.pulls = list(pulls)
        told = Told()
        limits = Limits(**{"total_s": 10.0, "stall_s": 5.0, "attempts": 2, "pause_s": 0.0, **changes})
        try:
            pull(OllamaApi(engine.url), "m", True, MANIFEST, limits, told)
        except ModelProblem as problem:
            return str(problem), len(engine.asked("/api/pull")), told.all
        assert engine.asked("/api/pull")[-1].body == {"model": "m", "insecure": True, "stream": True}
        return None, len(engine.asked("/api/pull")), told.all


def test_a_pull_to_its_end(tmp_path):
    problem, asked, told = run(tmp_path, pulled(*ALL))
    assert (problem, asked) == (None, 1)
    assert told == [("pulling", 1010), 400, 1000, 1010, ("verifying", None)]


def test_layers_that_it_has_already_and_unknown_lines_do_not_count(tmp_path):
    odd = [{"digest": "sha256:" + "0" * 64, "completed": 5}, moved(BIG, "x"), {"status": 7}, {}]
    assert run(tmp_path, pulled(*odd, *ALL))[0] is None


BROKEN = {
    "the connection ends": lines(*ALL[:2]),
    "the connection is reset": lines(*ALL[:2], end=("reset",)),
    "the stream ends without success": pulled(*ALL[:2], end={"status": "pulling"}),
    "nothing at all": pulled(end={}),
    "the engine gives up": pulled(*ALL[:2], end={"error": "max retries exceeded: unexpected EOF"}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_off_is_tried_again(tmp_path, case):
    problem, asked, told = run(tmp_path, BROKEN[case], pulled(*ALL))
    assert (problem, asked) == (None, 2)
    assert any("trying again" in str(event) for event in told)


@pytest.mark.parametrize("case", BROKEN)
def test_without_a_new_byte_it_ends_after_some_attempts(tmp_path, case):
    problem, asked, _told = run(tmp_path, *[BROKEN[case]] * 9)
    assert "2 times in a row without a new byte" in problem
    assert "what was fetched is kept" in problem
    # The first brought bytes where any came; the attempts are counted from there.
    assert asked == 2


def test_as_long_as_bytes_come_it_goes_on(tmp_path):
    steps = [lines(moved(BIG, size)) for size in (100, 200, 300, 400, 500)]
    assert run(tmp_path, *steps, pulled(*ALL))[:2] == (None, 6)


FINAL = {
    "missing": (pulled(end={"error": "pull model manifest: file does not exist"}), "file does not exist"),
    "too old": (
        pulled(end={"error": "pull model manifest: 412: The model you are pulling requires a newer version of Ollama."}),
        "raise the version of the engine at",
    ),
    "no location": (pulled(end={"error": "http: no Location header in response"}), "name this one as mirror instead"),
    "disk": (pulled(ALL[1], end={"error": "write /x: no space left on device"}), "no space left"),
    "status": ([reply({"error": "invalid model name"}, "400 Bad Request")], "invalid model name"),
    "not json": ([reply(b"<html>\n")], "not JSON"),
}


@pytest.mark.parametrize("case", FINAL)
def test_what_cannot_help_is_not_tried_again(tmp_path, case):
    script, words = FINAL[case]
    problem, asked, _told = run(tmp_path, script)
    assert words in problem
    assert asked == 1


def test_an_engine_that_restarts_is_asked_again(monkeypatch, tmp_path):
    """It refuses connections until it is back; one that refuses the first is not there."""
    gone = RequestFailed("connect", "no connection: Connection refused")
    with FakeOllama(tmp_path) as engine:
        engine.pulls = [lines(*ALL[:2]), pulled(*ALL)]
        api = OllamaApi(engine.url)
        answers = [None, gone, None]
        stream = api.stream

        def sometimes(*arguments):
            problem = answers.pop(0)
            if problem:
                raise problem
            return stream(*arguments)

        monkeypatch.setattr(api, "stream", sometimes)
        pull(api, "m", True, MANIFEST, Limits(10.0, attempts=3, pause_s=0.0), Progress(None))
        assert len(engine.asked("/api/pull")) == 2
        answers[:] = [gone] * 9
        with pytest.raises(ModelProblem, match="could not pull it: no connection"):
            pull(api, "m", True, MANIFEST, Limits(10.0, attempts=3, pause_s=0.0), Progress(None))
        assert len(answers) == 8
        engine.pulls, answers[:] = [lines(*ALL[:2])], [None, *[gone] * 9]
        with pytest.raises(ModelProblem, match=r"3 times in a row .*Connection refused\): check that the engine at"):
            pull(api, "m", True, MANIFEST, Limits(10.0, attempts=3, pause_s=0.0), Progress(None))


def test_a_standstill_is_broken_off_and_tried_again(tmp_path):
    waiting = [HEAD]
    for number in range(40):
        waiting += [("at", 0.05 * number), framed(json.dumps(moved(BIG, 400)).encode() + b"\n")]
    problem, asked, told = run(tmp_path, [*waiting, ("hang",)], pulled(*ALL), stall_s=0.4)
    assert (problem, asked) == (None, 2)
    assert any("not one byte came" in str(event) for event in told)


def test_silence_is_broken_off_but_not_while_it_hashes(tmp_path):
    problem, asked, _told = run(tmp_path, lines(*ALL[:2], end=("hang",)), pulled(*ALL), stall_s=0.2)
    assert (problem, asked) == (None, 2)
    slow = [HEAD, *(framed(json.dumps(event).encode() + b"\n") for event in ALL), ("at", 0.5)]
    slow += [framed(b'{"status":"success"}\n'), b"0\r\n\r\n"]
    large = Manifest("f" * 64, (Layer("model", BIG.digest, 10**9), SMALL), None)
    with FakeOllama(tmp_path) as engine:
        engine.pulls = [slow]
        pull(OllamaApi(engine.url), "m", True, large, Limits(10.0, stall_s=0.2, attempts=1, pause_s=0.0), Progress(None))


def test_the_limit_of_all_is_kept(tmp_path):
    problem, _asked, _told = run(tmp_path, *[lines(*ALL[:1], end=("hang",))] * 9, stall_s=0.1, total_s=0.5, attempts=99)
    assert "was not done within 0.5 s" in problem

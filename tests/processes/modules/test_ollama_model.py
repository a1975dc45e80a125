"""The doors of ollama_model and ollama_share, with an engine and a share behind them."""

from __future__ import annotations

import json

from tests.fake_ollama import FakeOllama, install
from tests.module_doors import call_module


def test_a_model_from_options_to_result(tmp_path):
    digest = install(tmp_path, "m", b"weights")
    with FakeOllama(tmp_path) as engine:
        found = call_module("ollama_model", name="m", url=engine.url, update=False)
        assert (found["changed"], found["digest"], found["via"]) == (False, digest, "none")
        assert call_module("ollama_model", check_mode=True, name="m", url=engine.url, state="absent")["changed"] is True
        assert engine.deleted == []
        failed = call_module("ollama_model", name="x:cloud", url=engine.url)
        assert (failed["failed"], failed["msg"].startswith("x:cloud: runs in Ollama's cloud")) == (True, True)


def test_a_token_is_not_shown(tmp_path):
    copy_from = {"url": "http://127.0.0.1:9", "token": "very-secret-token"}
    with FakeOllama(tmp_path) as engine:
        found = call_module(
            "ollama_model", name="127.0.0.1:9/a/b", insecure=True, url=engine.url, copy_from=copy_from, models_directory="/x"
        )
    assert found["failed"] is True
    assert "very-secret-token" not in json.dumps(found)


def test_a_share_from_options_to_result(tmp_path):
    install(tmp_path / "models", "m", b"weights")
    places = {"models_directory": str(tmp_path / "models"), "address": "127.0.0.1", "allowed_address": "127.0.0.1"}
    directory = str(tmp_path / "shares")
    found = call_module("ollama_share", models=["m"], directory=directory, **places)
    assert (found["changed"], found["url"].startswith("http://127.0.0.1:")) == (True, True)
    assert call_module("ollama_share", state="stopped", url=found["url"], directory=directory)["changed"] is True
    assert call_module("ollama_share", state="stopped", directory=directory)["changed"] is False
    assert call_module("ollama_share", models=["m"], **{**places, "address": "nowhere"})["failed"] is True

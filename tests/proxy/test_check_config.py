"""The second gate alone: LiteLLM's own router and a look at every name, in the environment that would serve."""

from __future__ import annotations

import copy
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.litellm_breakages import BREAKAGES, broken, text_of
from tests.rules.environments import PINNED, Unavailable, python_of

CHECKER = Path(__file__).resolve().parents[2] / "roles" / "litellm" / "files" / "check_config.py"
CONFIG: dict[str, Any] = yaml.safe_load(
    """
model_list:
  - model_name: tools_fast
    litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9/v1", api_key: none, order: 1, timeout: 30}
    model_info: {id: h--m--tools_fast, mode: chat, host: h}
  - model_name: coding
    litellm_params: {model: openai/m, api_base: "http://127.0.0.1:9/v1", api_key: none, order: 1, timeout: 30}
    model_info: {id: h--m--coding, mode: chat, host: h}
  - model_name: embedding
    litellm_params: {model: openai/e, api_base: "http://127.0.0.1:9/v1", api_key: none, order: 1, timeout: 30}
    model_info: {id: h--e--embedding, mode: embedding, host: h}
router_settings:
  routing_strategy: simple-shuffle
  timeout: 30
  model_group_alias: {quick: tools_fast, hidden_quick: {model: tools_fast, hidden: true}}
  fallbacks: [{coding: [quick]}]
general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}
"""
)
# Breakage -> words of the refusal.
REFUSED = {
    "unknown strategy": "round-robin",
    "no model_list": "no model_list",
    "unknown provider": "LiteLLM's router refuses it",
    "alias without hidden": "hidden",
    "dangling alias": "no deployment answers to tools_slow (router_settings.model_group_alias.quick)",
    "fallback to nothing": "no deployment answers to nobody (router_settings.fallbacks of coding)",
    "fallback of nothing": "no deployment answers to nobody",
    "rpm as text": "rpm",
    "two same ids": "occurs more than once",
    "variable that is not set": "NOBODY_SET_THIS",
    "unknown router setting": "routing_stategy",
    "entry without litellm_params": "model_list[0] is no deployment",
    "no module of custom_auth": "general_settings.custom_auth my_auth.user_api_key_auth cannot be had",
}


@pytest.fixture(scope="module")
def python() -> str:
    try:
        return str(python_of(PINNED))
    except Unavailable as reason:
        pytest.skip(str(reason))


def checked(python: str, config: dict[str, Any], folder: Path, *secrets: str) -> tuple[int, str]:
    (folder / "config.yaml").write_text(text_of(config), encoding="utf-8")
    command = [python, "-B", str(CHECKER), str(folder / "config.yaml"), *(str(folder / name) for name in secrets)]
    done = subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stderr


def test_a_right_configuration_is_taken(python: str, tmp_path: Path) -> None:
    assert checked(python, copy.deepcopy(CONFIG), tmp_path) == (0, "")


@pytest.mark.parametrize(("name", "words"), REFUSED.items(), ids=REFUSED)
def test_a_broken_one_is_refused(python: str, tmp_path: Path, name: str, words: str) -> None:
    code, said = checked(python, broken(CONFIG, BREAKAGES[name]), tmp_path)
    assert (code, words in said, "Traceback" in said) == (1, True, False), said


def test_secrets_are_read_from_a_file(python: str, tmp_path: Path) -> None:
    """No value stands in the arguments or in the variables of whoever asks."""
    change = BREAKAGES["variable that is not set"]
    (tmp_path / "router.env").write_text("# edition 1\nNOBODY_SET_THIS=a b=c\n", encoding="utf-8")
    assert checked(python, broken(CONFIG, change), tmp_path, "router.env") == (0, "")


def test_nobody_is_contacted(python: str, tmp_path: Path) -> None:
    """A Redis that is named would get its password."""
    with socket.create_server(("127.0.0.1", 0)) as redis:
        redis.settimeout(0.1)
        config = copy.deepcopy(CONFIG)
        place = {"redis_host": "127.0.0.1", "redis_port": redis.getsockname()[1], "redis_password": "secret"}
        config["router_settings"] |= {**place, "cache_responses": True}
        assert checked(python, config, tmp_path) == (0, "")
        with pytest.raises(TimeoutError):
            redis.accept()


def test_a_setting_of_redis_that_is_none_is_refused(python: str, tmp_path: Path) -> None:
    config = copy.deepcopy(CONFIG)
    config["router_settings"]["redis_hots"] = "redis.lan"
    code, said = checked(python, config, tmp_path)
    assert (code, "redis_hots" in said) == (1, True), said

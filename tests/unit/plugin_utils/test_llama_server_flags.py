"""What a llama-server is told: all that decides memory and placement, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from plugins.filter.llama_server_flags import FilterModule
from plugins.module_utils.memory_settings import BATCH_TOKENS, UBATCH_TOKENS
from plugins.plugin_utils import llama_server_flags
from plugins.plugin_utils.llama_server_flags import FlagsError, server_flags

MODEL: dict[str, Any] = {
    "engine_model": "small", "mode": "chat", "listen_address": "127.0.0.1", "port": 8100, "context_tokens": 4096, "parallel": 2,
    "kv_type": "q8_0", "batch_tokens": None, "devices": None, "full_offload": False,
}  # fmt: skip
OPTIONS: dict[str, Any] = {
    "cache_ram_mib": 0,
    "flash_attention": "auto",
    "load_mode": "auto",
    "threads": None,
    "log_verbosity": 4,
}


def flags(options: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    return server_flags({**MODEL, **changes}, "/models/small.gguf", {**OPTIONS, **(options or {})})


def test_all_of_a_chat_model_on_a_cpu():
    assert flags() == [
        "--model", "/models/small.gguf", "--alias", "small", "--host", "127.0.0.1", "--port", "8100",
        "--ctx-size", "8192", "--parallel", "2", "--no-kv-unified", "--cache-type-k", "q8_0", "--cache-type-v", "q8_0",
        "--flash-attn", "auto", "--cache-ram", "0", "--batch-size", "2048", "--ubatch-size", "512",
        "--device", "none", "--n-gpu-layers", "0", "--fit", "off", "--load-mode", "auto", "--log-verbosity", "4",
        "--metrics", "--slots", "--no-webui",
    ]  # fmt: skip


# (devices, full_offload, words)
PLACES: list[tuple[list[str] | None, bool | None, str]] = [
    (None, None, ""),
    (None, True, ""),
    (None, False, "--device none --n-gpu-layers 0 --fit off"),
    (["none"], False, "--device none --n-gpu-layers 0 --fit off"),
    (["CUDA1"], True, "--device CUDA1 --n-gpu-layers all --split-mode none --main-gpu 0 --fit off"),
    (["MTL0"], True, "--device MTL0 --n-gpu-layers all --split-mode none --main-gpu 0 --fit off"),
    (["ROCm0", "ROCm1"], True, "--device ROCm0,ROCm1 --n-gpu-layers all --split-mode layer --fit off"),
]


@pytest.mark.parametrize(("devices", "full_offload", "words"), PLACES)
def test_where_the_layers_go(devices, full_offload, words):
    found = flags(devices=devices, full_offload=full_offload)
    kept = found[found.index("--ubatch-size") + 2 : found.index("--load-mode")]
    assert " ".join(kept) == words


@pytest.mark.parametrize(
    ("mode", "batch_tokens", "batch", "ubatch"),
    [
        ("chat", None, "2048", "512"),
        ("chat", 256, "256", "256"),
        ("embedding", None, "4096", "4096"),
        ("embedding", 128, "128", "128"),
    ],
)
def test_batches_are_written_out(mode, batch_tokens, batch, ubatch):
    found = flags(mode=mode, batch_tokens=batch_tokens)
    assert (found[found.index("--batch-size") + 1], found[found.index("--ubatch-size") + 1]) == (batch, ubatch)
    assert ("--embedding" in found, "--pooling" in found) == (mode == "embedding",) * 2


def test_the_batches_are_those_that_the_plan_counts():
    assert (llama_server_flags.BATCH_TOKENS, llama_server_flags.UBATCH_TOKENS) == (BATCH_TOKENS, UBATCH_TOKENS)


def test_what_is_null_is_left_to_the_engine():
    found = flags({"load_mode": "", "threads": None, "log_verbosity": None})
    assert not {"--load-mode", "--threads", "--log-verbosity"} & set(found)
    assert flags({"threads": 3})[-5:-3] == ["--log-verbosity", "4"]


def test_no_flag_twice():
    found = [word for word in flags({"threads": 3}, devices=["CUDA0"], mode="embedding") if word.startswith("--")]
    assert sorted(set(found)) == sorted(found)


def test_an_unknown_option_is_refused():
    with pytest.raises(FlagsError, match="got the option cache, expected some of cache_ram_mib"):
        flags({"cache": 1})


def test_the_door():
    door = FilterModule().filters()["llama_server_flags"]
    assert door(MODEL, "/models/small.gguf", OPTIONS) == flags()
    with pytest.raises(AnsibleFilterError, match="a model without 'mode'"):
        door({key: value for key, value in MODEL.items() if key != "mode"}, "/x", OPTIONS)
    with pytest.raises(AnsibleFilterError, match="got the option cache"):
        door(MODEL, "/x", {"cache": 1})

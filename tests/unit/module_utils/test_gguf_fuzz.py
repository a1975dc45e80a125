"""Headers damaged at random, and the worst ones that the bounds allow: each read or refused, in little memory and in time."""

from __future__ import annotations

import io
import random
import signal
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable

import pytest

from plugins.module_utils.gguf import GgufError, Header, parse
from plugins.module_utils.memory import predict
from plugins.module_utils.memory_settings import Pool, Settings
from plugins.module_utils.model_shape import MemoryShapeError
from plugins.module_utils.model_source import files_of
from tests.gguf_files import Raw, Typed, complete, header, tensor_info

MEMORY_BYTES = 64 * 2**20
WATCHDOG_S = 2.0
SEED = 20261121
MUTANTS = 400
EXTREMES = [0, 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
METADATA = {
    "general.architecture": "llama",
    "general.alignment": 32,
    "llama.block_count": 40,
    "llama.attention.head_count_kv": [8, 0] * 20,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.tokens": [f"<{number}>" for number in range(6000)],
    "tokenizer.ggml.scores": [0.5] * 6000,
    "tokenizer.ggml.few": ["a", "b"],
    "tokenizer.chat_template": "{{ messages }}" * 100,
    "split.count": Typed("u16", 1),
}
TENSORS = [(f"blk.{layer}.{name}.weight", (256, 64), "q4_K") for layer in range(40) for name in ("attn_q", "attn_k", "ffn_up")]


def flipped(data: bytearray, dice: random.Random) -> None:
    for _index in range(dice.choice((1, 1, 2, 8, 64))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def overwritten(data: bytearray, dice: random.Random) -> None:
    """A number somewhere becomes an extreme one; half the time where counts and sizes stand."""
    position = dice.choice((4, 8, 16, 24, dice.randrange(len(data) - 8), dice.randrange(len(data) - 8)))
    data[position : position + 8] = struct.pack("<Q", dice.choice(EXTREMES))


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def without(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    del data[begin : begin + dice.choice((1, 4, 8, 1000))]


def repeated(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(len(data))
    data[begin:begin] = data[begin : begin + dice.choice((1, 4, 8, 1000))] * dice.choice((1, 100))


def noise(data: bytearray, dice: random.Random) -> None:
    begin = dice.randrange(24, len(data))
    data[begin : begin + 200] = dice.randbytes(200)


MUTATIONS: list[Callable[[bytearray, random.Random], None]] = [flipped, overwritten, overwritten, cut, without, repeated, noise]


def watched(data: bytes, file_bytes: int | None) -> Header | GgufError:
    """The header or the refusal; fails where it takes over two seconds of the processor or over 64 MiB."""

    def bark(_number: int, _frame: object) -> None:
        raise TimeoutError(f"longer than {WATCHDOG_S} s")

    before = signal.signal(signal.SIGVTALRM, bark)
    signal.setitimer(signal.ITIMER_VIRTUAL, WATCHDOG_S)
    try:
        return parse(io.BytesIO(data), "model", file_bytes)
    except GgufError as error:
        return error
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def measured(data: bytes, file_bytes: int | None) -> int:
    """Peak of the memory that reading takes, in bytes."""
    tracemalloc.start()
    try:
        parse(io.BytesIO(data), "model", file_bytes)
    except GgufError:
        pass
    finally:
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return peak_bytes


@pytest.mark.property
@pytest.mark.parametrize("whole", [True, False], ids=["size known", "size unknown"])
def test_damaged_headers_are_read_or_refused_in_time_and_little_memory(whole):
    dice = random.Random(SEED)
    original, file_bytes = complete(METADATA, TENSORS)
    refused = 0
    for _index in range(MUTANTS):
        data = bytearray(original)
        for _step in range(dice.choice((1, 1, 2, 5))):
            dice.choice(MUTATIONS)(data, dice)
            # Each mutation needs something to work on.
            data += bytes(max(0, 64 - len(data)))
        size_bytes = file_bytes if whole else None
        refused += isinstance(watched(bytes(data), size_bytes), GgufError)
        assert measured(bytes(data), size_bytes) < MEMORY_BYTES
    # Some damage is in the texts, where nobody can see it.
    assert MUTANTS // 2 < refused < MUTANTS


# Small, with everything that a prediction reads: experts, a window, rotations.
SHAPE = {
    "block_count": 6,
    "embedding_length": 256,
    "feed_forward_length": 512,
    "context_length": 8192,
    "vocab_size": 1000,
    "attention.head_count": 8,
    "attention.head_count_kv": [4] * 6,
    "attention.key_length": 32,
    "attention.sliding_window": 512,
    "attention.kv_lora_rank": 64,
    "rope.dimension_count": 16,
    "expert_count": 4,
    "expert_used_count": 2,
    "ssm.state_size": 16,
    "ssm.inner_size": 512,
    "ssm.conv_kernel": 4,
    "shortconv.l_cache": 3,
}
SHAPED = [("token_embd.weight", (256, 1000), "q8_0"), *((f"blk.{layer}.attn_q.weight", (256, 256), "q4_0") for layer in range(6))]
ARCHITECTURES = ("llama", "gemma3", "deepseek2", "mamba2", "lfm2", "falcon-h1", "bert", "qwen3moe", "nobody")
VALUES = [*EXTREMES, -1, 0.5, float("nan"), True, "text", "", [], [0] * 6, [2**40] * 6, [1] * 4096, ["a"]]
CHANGED = 400


def predicted(data: bytes) -> str:
    """What becomes of a header: an error, or the bound that is predicted for it."""
    found = watched(data, None)
    if isinstance(found, GgufError):
        return "refused"
    try:
        return predict(files_of(found), Settings(4096), (Pool("gpu0", "gpu", 1.0),)).bound
    except MemoryShapeError:
        return "refused"


@pytest.mark.property
def test_odd_values_are_predicted_or_refused():
    dice = random.Random(SEED)
    outcomes = Counter()
    for _index in range(CHANGED):
        architecture = dice.choice(ARCHITECTURES)
        said = {f"{architecture}.{key}": value for key, value in SHAPE.items()}
        for key in dice.sample(sorted(said), dice.choice((1, 1, 2, 4))):
            value = dice.choice(VALUES)
            said[key] = Typed("u64", value) if isinstance(value, int) and value >= 2**32 else value
        said = {key: value for key, value in said.items() if dice.random() > 0.05}
        outcomes[predicted(complete({"general.architecture": architecture, **said}, SHAPED)[0])] += 1
    assert min(outcomes["refused"], outcomes["upper"] + outcomes["exact"]) > CHANGED // 20


WIDE = "😀" + "a" * (215 * 2**10)


def many_tensors():
    return [tensor_info(f"tensor {number}", (2**20 + number, 2**10 + number, 3, 2), 0, number) for number in range(65_536)]


def many_keys():
    long_array = ("tokens", Raw(9, struct.pack("<IQ", 8, 2**21) + (struct.pack("<Q", 1) + b"x") * 2**21))
    keys = [(f"key {number}", [2**31 + number, 2**30]) for number in range(60_000)]
    return [*keys, *((f"text {number}", WIDE) for number in range(13)), long_array]


# Made when they are needed: keys, and whether there are many tensors as well.
WORST = {
    "as many keys and tensors as are read": (many_keys, True),
    "as many numbers as are kept": (lambda: [(f"k{n}", Typed("u64", list(range(2**63, 2**63 + 4096)))) for n in range(32)], True),
    "texts as long as are kept": (lambda: [(f"k{n}", "😀" + "a" * 250_000) for n in range(16)], False),
    "many small texts": (lambda: [(f"k{n}", ["😀a"] * 4096) for n in range(32)], False),
    "a text as long as is read": (lambda: [("k", "a" * 2**24)], False),
    "millions of empty texts": (lambda: [("k", Raw(9, struct.pack("<IQ", 8, 2**21) + bytes(2**24)))], False),
    "more of them than are read": (lambda: [("k", Raw(9, struct.pack("<IQ", 8, 2**22) + bytes(2**25)))], False),
}


@pytest.mark.property
@pytest.mark.parametrize(("pairs", "tensors"), WORST.values(), ids=WORST)
def test_the_worst_header_stays_within_the_bounds(pairs, tensors):
    data = header(pairs(), many_tensors() if tensors else [])
    watched(data, None)
    assert measured(data, None) < MEMORY_BYTES

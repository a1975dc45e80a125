"""Small vocabularies of the three kinds that engines know, real enough to be loaded and to answer."""

from __future__ import annotations

from tests.engines.gguf_file import Value

VOCABULARY = 4096
# ggml's kinds of tokens.
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def bytes_as_text() -> list[str]:
    """GPT-2's 256 letters for the 256 bytes: printable ones stand for themselves, the others follow from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def byte_pair_tokens() -> dict[str, Value]:
    letters = bytes_as_text()
    merged = ["he", "in", "th", "er"]
    tokens = ["<|endoftext|>", *letters, *merged]
    tokens += [f"<|unused_{number}|>" for number in range(VOCABULARY - len(tokens))]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL, *[NORMAL] * 260, *[CONTROL] * (VOCABULARY - 261)],
        "tokenizer.ggml.merges": [f"{pair[0]} {pair[1]}" for pair in merged],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
    }


def sentence_piece_tokens() -> dict[str, Value]:
    # The last of them is a token that llama.cpp expects of a phi3.
    tokens = [
        "<unk>",
        "<s>",
        "</s>",
        *[f"<0x{byte:02X}>" for byte in range(256)],
        "<|endoftext|>",
        "▁",
        "▁the",
        "he",
        "in",
        "t",
        "h",
        "e",
        "i",
        "n",
    ]
    named = len(tokens)
    tokens += [f"▁unused{number}" for number in range(VOCABULARY - named)]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, CONTROL, *[NORMAL] * (VOCABULARY - 260)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [-float(number) for number in range(VOCABULARY)],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
    }


def word_piece_tokens() -> dict[str, Value]:
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
    words = iter(f"▁word{number}" for number in range(VOCABULARY))
    tokens = [special.get(number) or next(words) for number in range(VOCABULARY)]
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if number in special else NORMAL for number in range(VOCABULARY)],
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": 101,
        "tokenizer.ggml.unknown_token_id": 100,
        "tokenizer.ggml.eos_token_id": 102,
        "tokenizer.ggml.seperator_token_id": 102,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.cls_token_id": 101,
        "tokenizer.ggml.mask_token_id": 103,
    }

"""The header of a GGUF model: the metadata and tensors that decide a model's memory, never the weights.

The door to it for the rest of the collection; gguf_remote.py reads the same from registries, ollama_store.py from Ollama's files.
"""

from __future__ import annotations

import os

from .gguf_bytes import GgufError, LongArray, Metadata, Value
from .gguf_header import Header, length_of, parse, read_file
from .gguf_split import joined, other_parts
from .gguf_types import Tensor, tensor_bytes

__all__ = ["GgufError", "Header", "LongArray", "Metadata", "Tensor", "Value", "length_of", "parse", "read_header", "tensor_bytes"]


def read_header(path: str) -> Header:
    """Header of the model at ``path``; of a split model ``path`` is the first part and the others lie beside it.

    Raises GgufError for anything that is not a readable, complete GGUF model.
    """
    first = read_file(path)
    folder, name = os.path.split(path)
    others = [read_file(os.path.join(folder, part)) for part in other_parts(first, name)]
    return joined([first, *others])

"""After the removal of the engines: only the models are left."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab
from tests.llama_cpp_gone import Gone


class TestKept(Gone):
    def test_only_the_models_are_left(self, host: Any) -> None:
        left = host.check_output("find %s -type f -printf '%%P\\n'", lab.DIRECTORY).split()
        assert sorted(name.split("-", 1)[1] for name in left) == ["fir.gguf", "smollm2.gguf"]
        assert all(name.startswith("models/") for name in left)

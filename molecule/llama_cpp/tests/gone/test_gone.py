"""After the whole removal: nothing is left."""

from __future__ import annotations

from typing import Any

from tests import llama_cpp_hosts as lab
from tests.llama_cpp_gone import Gone


class TestGone(Gone):
    def test_there_are_no_files(self, host: Any) -> None:
        assert not host.file(lab.DIRECTORY).exists
        found = host.check_output("find / -xdev -path /proc -prune -o -name '*homelab*' -not -path '/var/log/*' -print").split()
        assert found in ([], ["/opt/homelab-llm"])

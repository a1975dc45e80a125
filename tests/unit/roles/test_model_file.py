"""A GGUF file that is on the host: a link to it will do, as in a Hugging Face cache; systemd's servers have to see it."""

from __future__ import annotations

import pytest

from tests.unit.role_expressions import evaluated, holds, load


@pytest.mark.parametrize("path", ["gguf_file/tasks/file.yml", "gguf_file/tasks/digest.yml"])
def test_a_link_is_followed(path: str) -> None:
    assert load(path)[0]["ansible.builtin.stat"]["follow"] is True


@pytest.mark.parametrize(
    ("path", "real_path", "hidden"),
    [
        ("/models/a.gguf", "/models/a.gguf", []),
        ("/models/a.gguf", "/home/llm/.cache/huggingface/hub/blobs/aa", []),
        ("/models/a.gguf", "/tmp/aa", ["/tmp/aa"]),
        ("/var/tmp/a.gguf", "/models/aa", ["/var/tmp/a.gguf"]),
        ("/data/tmp/a.gguf", "/data/tmp/a.gguf", []),
    ],
)
def test_a_file_that_systemd_hides_is_told(path: str, real_path: str, hidden: list[str]) -> None:
    check = load("llama_cpp/tasks/verify_header.yml")[-1]
    header = {"path": path, "real_path": real_path, "changed": False}
    assert evaluated("{{ llama_cpp_hidden }}", check["vars"], llama_cpp_header=header) == hidden
    assert holds(check["when"], {}, llama_cpp_header=header, service_chosen_manager="systemd")
    assert not holds(check["when"], {}, llama_cpp_header=header, service_chosen_manager="supervisord")

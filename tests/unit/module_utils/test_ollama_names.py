"""Names of models, as Ollama reads them."""

from __future__ import annotations

import pytest

from plugins.module_utils.gguf import GgufError
from plugins.module_utils.ollama_names import parse_model_name

OFFICIAL = "registry.ollama.ai"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gemma3", f"{OFFICIAL}/library/gemma3:latest"),
        ("gemma3:27b", f"{OFFICIAL}/library/gemma3:27b"),
        ("user/model", f"{OFFICIAL}/user/model:latest"),
        ("hf.co/user/Some.Model-GGUF:Q4_K_M", "hf.co/user/Some.Model-GGUF:Q4_K_M"),
        ("registry.lan:5000/team/model:tag", "registry.lan:5000/team/model:tag"),
        ("registry.lan:5000/team/model", "registry.lan:5000/team/model:latest"),
        ("_h/_n/_m:_t", "_h/_n/_m:_t"),
        ("gemma3:local", f"{OFFICIAL}/library/gemma3:latest"),
        ("gemma3:27b:local", f"{OFFICIAL}/library/gemma3:27b"),
        ("gpt-oss:cloud", f"{OFFICIAL}/library/gpt-oss:cloud"),
        ("gpt-oss:120b:cloud", f"{OFFICIAL}/library/gpt-oss:120b-cloud"),
        ("registry.lan:5000/team/model:local", "registry.lan:5000/team/model:latest"),
        ("a/b", f"{OFFICIAL}/a/b:latest"),
        ("m" * 80, f"{OFFICIAL}/library/{'m' * 80}:latest"),
    ],
)
def test_a_name_gets_ollamas_defaults(text, expected):
    assert str(parse_model_name(text)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its model ''"),
        (":tag", "its model ''"),
        ("model:", "its tag ''"),
        ("/model", "its namespace ''"),
        ("//model", "its host ''"),
        ("a/b/c/d", "its host 'a/b'"),
        ("host/name.space/model", "its namespace 'name.space'"),
        ("-model", "its model '-model'"),
        ("mo del", "its model 'mo del'"),
        ("../../etc/passwd", "its host '../..'"),
        ("model:t/ag", "its namespace 'model:t'"),
        ("model:tag\n", "its tag"),
        ("m" * 81, "its model"),
        ("h" * 351 + "/n/m", "its host"),
        ("model:a:b", "its model 'model:a'"),
        (":local", "its model ''"),
        ("model@sha256:" + "0" * 64, "reads no digest in a name; write the tag"),
        ("mödel", "its model"),
    ],
)
def test_what_ollama_calls_invalid_is_refused(text, words):
    with pytest.raises(GgufError, match=f"is no name of a model: .*{words}.*; expected .host/.*model.:tag."):
        parse_model_name(text)


@pytest.mark.parametrize(
    ("tag", "cloud"), [("cloud", True), ("120b-cloud", True), ("Cloud", True), ("cloudy", False), ("latest", False)]
)
def test_models_of_the_cloud_are_known_by_their_tag(tag, cloud):
    assert parse_model_name(f"model:{tag}").is_cloud is cloud

"""No finding, no diff and no table tells a secret that the file holds."""

from __future__ import annotations

import json

import pytest

from plugins.plugin_utils.audit.check import audit
from plugins.plugin_utils.audit.mend import mend_diff, mended
from plugins.plugin_utils.audit.said import said
from plugins.plugin_utils.audit.sarif import sarif

SECRET = "hunter2-and-more"
FILES = {
    "no space after the colon": f"general_settings:\n  master_key:sk-{SECRET}\n",
    "section as a list": f"general_settings:\n- master_key: sk-{SECRET}\nrouter_settings: [{{redis_password: {SECRET}}}]\n",
    "variables as a list": f"environment_variables: [OPENAI_API_KEY={SECRET}]\n",
    "parameters as a list": f"model_list:\n- model_name: a\n  litellm_params: [{{api_key: {SECRET}}}]\n",
    "entry as text": f"model_list: [api_key={SECRET}]\n",
    "password in an address": f"model_list:\n- model_name: a\n  litellm_params: {{model: ollama_chat/m, "
    f'api_base: "http://admin:{SECRET}@star:11434/v1"}}\n',
    "address that is none": f"model_list:\n- model_name: a\n  litellm_params: {{model: ollama_chat/m, "
    f'api_base: "http://admin:{SECRET}@star:99999/v1"}}\n',
    "key beside a mend": f"model_list:\n- model_name: a\n  litellm_params:\n    api_key: sk-{SECRET}\n"
    f'    model: ollama_chat/m\n    order: "1"\n    password: {SECRET}\n',
    "key in the file": f"general_settings: {{master_key: sk-{SECRET}}}\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_secret_stays_in_its_file(name: str) -> None:
    content = FILES[name].encode()
    found = audit(content)
    assert found.findings
    text, _done = mended(content, found.findings)
    shown = [*said(found, "config.yaml"), json.dumps(sarif(found.findings, "config.yaml"))]
    if "://" not in FILES[name]:
        # A mended address stands in the diff as it will stand in the file.
        shown.append(mend_diff(content, text, "config.yaml"))
    assert [line for line in shown if SECRET in line] == []

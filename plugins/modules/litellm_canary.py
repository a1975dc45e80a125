#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: litellm_canary
short_description: Try a LiteLLM configuration with a second proxy before it serves
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Starts the proxy of a configuration on a free loopback port, with a master key that nobody else has, sends one short request
    to every deployment by its id and to every name, side by side, and ends it. The proxy that serves goes on, but its engines
    answer the requests.
  - Costs the memory of one proxy (about 340 MB) while it runs.
  - Fails when the canary does not come up or ends meanwhile, when nobody answers, and when something does not answer because of
    the configuration; says which and why. What a host does wrong is a warning. That is a deployment that does not answer in time
    or whose host is off, one that the proxy that serves has in the same way and gets no answer from either, and a name behind
    which is one of these.
options:
  command:
    description: Program of one generation of the proxy and its arguments, see C(serve_generation.py) of the role C(litellm).
    type: list
    elements: str
    required: true
  folder:
    description: Directory that it starts in.
    type: path
    required: true
  environment:
    description: Variables of the proxy that are no secrets.
    type: dict
    default: {}
  secrets:
    description: File of lines C(NAME=value) with variables that are secrets. Its C(LITELLM_MASTER_KEY) is not used.
    type: path
  user:
    description: System user to run it as. Empty for the connecting one.
    type: str
    default: ""
  questions:
    description: Whom to ask, as P(homelab.llm.litellm_canary_work#filter) says it.
    type: list
    elements: dict
    required: true
    suboptions:
      model:
        description: Id of a deployment, or a name.
        type: str
        required: true
      name:
        description: The name that it belongs to.
        type: str
        required: true
      mode:
        description: Which kind of request to send.
        type: str
        choices: [chat, completion, embedding]
        required: true
      timeout_s:
        description: Longest wait for its answer, in seconds.
        type: float
        required: true
      address:
        description: Where the engine is that answers. Empty where that is not known.
        type: str
        default: ""
      exact:
        description: Whether nobody else may answer, as for a deployment.
        type: bool
        default: false
      unchanged:
        description: Whether the proxy that serves has the same deployment by the same id.
        type: bool
        default: false
      behind:
        description: Ids of the deployments that a name may lead to.
        type: list
        elements: str
        default: []
  not_asked:
    description: A sentence for each name that cannot be asked. They are said as warnings.
    type: list
    elements: str
    default: []
  serving:
    description: The proxy that serves, on this host. Without it nothing is known of how it was before.
    type: dict
    suboptions:
      url:
        description: Its address, without C(/v1).
        type: str
        required: true
      key_file:
        description: File with its C(LITELLM_MASTER_KEY).
        type: path
        required: true
  start_timeout_s:
    description: Seconds until it must be ready.
    type: float
    default: 120
  timeout_s:
    description: Seconds for all answers together. One question waits for half of it at most.
    type: float
    default: 300
attributes:
  check_mode:
    support: full
    description: Does nothing; there may be no proxy to start yet.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Try the new configuration
  homelab.llm.litellm_canary:
    command:
      - /opt/homelab-llm/litellm/environments/0123456789abcdef/bin/python
      - /opt/homelab-llm/litellm/generations/0123456789abcdef/serve_generation.py
      - /opt/homelab-llm/litellm/generations/0123456789abcdef/canary.yaml
    folder: /opt/homelab-llm/litellm/generations/0123456789abcdef
    user: homelab-litellm
    questions: "{{ (litellm_config | homelab.llm.litellm_canary_work).questions }}"
"""

RETURN = r"""
answers:
  description:
    - For each question the alias that was asked for, its name, the verdict (V(answers), V(doubt) or V(refused)) and its reason,
      answered_by (id of the deployment), seconds, excerpt (of words), dimension (embedding), error, status (of HTTP) and late.
      Empty in check mode.
  returned: always
  type: list
  elements: dict
doubts:
  description: A sentence for each answer with the verdict V(doubt). They are warnings too.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import canary
from ..module_utils.canary_questions import ANSWERS, DOUBT, REFUSED, Place, sentences
from ..module_utils.router_client import read_key

QUESTION = {
    "model": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "mode": {"type": "str", "choices": ["chat", "completion", "embedding"], "required": True},
    "timeout_s": {"type": "float", "required": True},
    "address": {"type": "str", "default": ""},
    "exact": {"type": "bool", "default": False},
    "unchanged": {"type": "bool", "default": False},
    "behind": {"type": "list", "elements": "str", "default": []},
}
SERVING = {"url": {"type": "str", "required": True}, "key_file": {"type": "path", "required": True, "no_log": False}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "environment": {"type": "dict", "default": {}},
            "secrets": {"type": "path", "no_log": False},
            "user": {"type": "str", "default": ""},
            "questions": {"type": "list", "elements": "dict", "required": True, "options": QUESTION},
            "not_asked": {"type": "list", "elements": "str", "default": []},
            "serving": {"type": "dict", "options": SERVING},
            "start_timeout_s": {"type": "float", "default": 120},
            "timeout_s": {"type": "float", "default": 300},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, answers=[], doubts=[])
    silence = [*([] if module.params["questions"] else ["there is nothing to ask for"]), *module.params["not_asked"]]
    for sentence in silence:
        module.warn(f"the canary is not asked: {sentence}")
    environment = {name: str(value) for name, value in module.params["environment"].items()}
    params = dict(module.params, environment=environment, serving=serving_place(module))
    try:
        answers = canary.ask_all(canary.Wanted(**{name: params[name] for name in canary.Wanted._fields}))
    except canary.CanaryFailure as error:
        module.fail_json(msg=f"the canary fails: {error}", answers=[], doubts=[])
    judge(module, answers)


def serving_place(module: AnsibleModule) -> Place | None:
    """The proxy that serves; None where there is none, or where nobody can ask it."""
    found = module.params["serving"]
    try:
        return Place(found["url"], read_key(found["key_file"])) if found else None
    except ValueError as error:
        module.warn(f"the proxy that serves cannot be asked: {error}")
        return None


def judge(module: AnsibleModule, answers: list[dict[str, Any]]) -> None:
    """Fail where the configuration is wrong; say where a host is."""
    doubts, refused = sentences(answers, DOUBT), sentences(answers, REFUSED)
    for doubt in doubts:
        module.warn(f"the canary gets no answer of {doubt}")
    if refused:
        told = "; ".join(refused)
        failed = f"the canary came up, but {len(refused)} of {len(answers)} do not answer: {told}"
        module.fail_json(msg=failed, answers=answers, doubts=doubts)
    if answers and not any(one["verdict"] == ANSWERS for one in answers):
        failed = f"the canary came up, but nobody answers: {'; '.join(doubts)}"
        module.fail_json(msg=failed, answers=answers, doubts=doubts)
    module.exit_json(changed=False, answers=answers, doubts=doubts)


if __name__ == "__main__":
    main()

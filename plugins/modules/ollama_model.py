#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One model of an Ollama: pulled, copied, derived or removed. The action of the same name shows how far it is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
short_description: Keep a model of an Ollama present, derived from another, or absent
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - V(present) compares the digest of the installed manifest with the registry's, and gets the model only where they differ.
    Its files come from another host of the fleet (O(copy_from)), from a mirror (O(mirror)), or by the engine's own pull.
    What was fetched before an interruption is not fetched again.
  - V(derived) makes a model with parameters of its own out of an installed model or a GGUF file, again when either has changed.
  - While files are on their way, a line with host, model, per cent, rate and time left is shown every 10 seconds.
    A run that is interrupted does not interrupt the transfer on the host; the next run joins it or goes on where it ended.
options:
  name:
    description: Name of the model, C([host/][namespace/]model[:tag]). Cloud models have no files and are refused.
    type: str
    required: true
  state:
    description: What is wanted.
    type: str
    choices: [present, derived, absent]
    default: present
  url:
    description: Address of the Ollama.
    type: str
    default: http://127.0.0.1:11434
  from_model:
    description: With O(state=derived), the installed model that it is made of. It is made again when anything of that model but
      its parameters has changed, or a parameter that is not given here.
    type: str
  from_file:
    description:
      - With O(state=derived), the GGUF file on the host that it is made of. The digest of the file and the O(parameters) are
        written into the license of the derived model, because Ollama 0.30 and newer rewrite the file, and Ollama adds texts where
        an answer stops. A model whose license has an older note without the parameters may be made again once.
    type: path
  parameters:
    description: With O(state=derived), its own parameters, such as C(num_ctx); those of O(from_model) stay where not given here.
      Names that Ollama does not know and values of another type than it expects are refused; an empty list takes away the texts
      that O(from_model) has.
    type: dict
    default: {}
  digest:
    description: Digest (sha256, 64 hex digits) that the model's manifest has to have; another one is refused before anything is
      fetched. Not with O(from_model) or O(from_file), because what is made of them has its digest only then.
    type: str
  insecure:
    description: Ask the registry, or a O(mirror) without a scheme, over plain http.
    type: bool
    default: false
  mirror:
    description: Registry, as C(host[:port]) or an address, that is asked instead of the name's own. Its files go straight into
      O(models_directory), under the model's own name.
    type: str
  models_directory:
    description: Directory of the engine's models on the host. Needed with O(mirror) and O(copy_from); with it the free disk
      space is checked before anything is fetched, and layers of a replaced version are removed. Refused, before anything is
      fetched or made, where it lacks the newest model that the engine has.
    type: path
  models_owner:
    description: User, or C(user:group), who owns the files that are written into O(models_directory). Default is whoever runs the
      module.
    type: str
  copy_from:
    description: Share of another host that is used first, as M(homelab.llm.ollama_share) returned it. The registry is used
      where the share has not the wanted version or fails.
    type: dict
    suboptions:
      url:
        description: Address of the share; without one nothing is copied.
        type: str
      token:
        description: Token of the share.
        type: str
  update:
    description: Compare an installed model with the registry. With V(false) the registry is not asked about an installed model.
    type: bool
    default: true
  timeout_s:
    description: Limit for all the work on this model, in seconds.
    type: int
    default: 86400
  progress_file:
    description: File on the host into which the progress is written while the module works. The action sets it.
    type: path
attributes:
  check_mode:
    description: Says what would change; asks the engine and the registry, fetches no model.
    support: full
  diff_mode:
    description: Shows digest and parameters.
    support: full
  idempotent:
    description: Goes by digests.
    support: full
"""

EXAMPLES = r"""
- name: Have a model, and its newest version
  homelab.llm.ollama_model:
    name: gemma4:26b
    models_directory: /opt/homelab-llm/ollama/models
    models_owner: homelab-ollama

- name: Have exactly this version, from a mirror in the house
  homelab.llm.ollama_model:
    name: gemma4:26b
    digest: 6f2c1d1a0f2d5cf4b4b9c0c0a9c6e5a2b4d7f8e9a0b1c2d3e4f5a6b7c8d9e0f1
    mirror: registry.lan:5000
    insecure: true
    models_directory: /opt/homelab-llm/ollama/models
    models_owner: homelab-ollama

- name: Make a model with a context of its own
  homelab.llm.ollama_model:
    name: homelab/gemma4:26b-ctx32768
    state: derived
    from_model: gemma4:26b
    parameters:
      num_ctx: 32768
      num_batch: 512

- name: Remove a model
  homelab.llm.ollama_model:
    name: gemma3:27b
    state: absent
"""

RETURN = r"""
digest:
  description: Digest of the model's manifest, as C(/api/tags) shows it; null when it is absent or not known yet (check mode).
  returned: success
  type: str
size_bytes:
  description: Bytes of all its layers; null when it is absent or not known yet.
  returned: success
  type: int
via:
  description: Where its files came from, V(none), V(registry), V(mirror), V(copy) or V(create).
  returned: success
  type: str
downloaded_bytes:
  description: Bytes that were fetched from a registry or a mirror.
  returned: success
  type: int
copied_bytes:
  description: Bytes that were fetched from the share of another host.
  returned: success
  type: int
msg:
  description: What was done, or why nothing was, in a sentence.
  returned: always
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.model_work import ModelProblem, Wanted, work

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "derived", "absent"], "default": "present"},
    "url": {"type": "str", "default": "http://127.0.0.1:11434"},
    "from_model": {"type": "str"},
    "from_file": {"type": "path"},
    "parameters": {"type": "dict", "default": {}},
    "digest": {"type": "str"},
    "insecure": {"type": "bool", "default": False},
    "mirror": {"type": "str"},
    "models_directory": {"type": "path"},
    "models_owner": {"type": "str"},
    "copy_from": {"type": "dict", "options": {"url": {"type": "str"}, "token": {"type": "str", "no_log": True}}},
    "update": {"type": "bool", "default": True},
    "timeout_s": {"type": "int", "default": 86400},
    "progress_file": {"type": "path"},
}


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("from_model", "from_file", "digest")],
        required_if=[("state", "derived", ["from_model", "from_file"], True)],
        supports_check_mode=True,
    )
    try:
        result = work(Wanted(**module.params), module.check_mode)
    except ModelProblem as problem:
        module.fail_json(msg=f"{module.params['name']}: {problem}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_tree
short_description: A program's release, unpacked from its archives into a tree of its own behind a symbolic link
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Fetches the archives of a release, checks each against its sha256, unpacks them over each other into
    C(versions/VERSION-DIGEST), tries the program, and then leads the link C(current) there.
  - Whatever fails before that, a wrong checksum, a broken archive, a program that does not run here, leaves the link as it was.
  - An interrupted download is gone on with. A version whose tree is complete is neither fetched nor asked for again, so the way
    back to a kept one needs no network.
  - An archive cannot write outside its tree. Its users and rights are not taken over.
options:
  directory:
    description: Absolute path of the directory that holds C(versions), C(current) and, during the work, C(archives).
    type: path
    required: true
  version:
    description: Version of the release. Required with O(state=present).
    type: str
  archives:
    description:
      - The archives, unpacked in this order into one tree. C(.tar.zst) needs the program zstd, or Python 3.14, on the host.
      - Required with O(state=present).
    type: list
    elements: dict
    suboptions:
      file:
        description: Name of the archive, which ends with C(.tar.zst), C(.tar.gz), C(.tgz) or C(.zip).
        type: str
        required: true
      url:
        description: Its address (http, https, file). Without one it has to lie at the path that RV(archives) names.
        type: str
      sha256:
        description: Its digest. Without one it is looked up in O(checksums_url).
        type: str
  checksums_url:
    description: Address of a list of checksums as C(sha256sum) writes it, asked only while a digest is not known.
    type: str
  program:
    description: Path in the tree of the program that must be there and run. Required with O(state=present).
    type: str
  program_arguments:
    description: Arguments that it is tried with.
    type: list
    elements: str
    default: [--version]
  program_environment:
    description: Variables that it is tried with. C(HOME) is an empty folder.
    type: dict
    default: {}
  program_says:
    description: Text that its output must hold. The default is O(version).
    type: str
  strip_components:
    description: Leading parts that are taken off the names in the archives.
    type: int
    default: 0
  kept_versions:
    description: Trees that are kept, the linked one and those that were linked last.
    type: int
    default: 2
  owner:
    description: User whose files the tree's are. The default is the one that unpacks. Another one needs root.
    type: str
  state:
    description: Whether the release is there. V(absent) removes what this module has made in O(directory).
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Predicts the change without touching the host. A list of checksums is read where it decides.
  diff_mode:
    support: full
    description: Shows the linked tree, what is fetched and what is removed.
  idempotent:
    support: full
    description: The same archives change nothing.
"""

EXAMPLES = r"""
- name: Have Ollama 0.33.0
  homelab.llm.release_tree:
    directory: /opt/homelab-llm/ollama
    version: 0.33.0
    archives:
      - file: ollama-linux-amd64.tar.zst
        url: https://github.com/ollama/ollama/releases/download/v0.33.0/ollama-linux-amd64.tar.zst
    checksums_url: https://github.com/ollama/ollama/releases/download/v0.33.0/sha256sum.txt
    program: bin/ollama
"""

RETURN = r"""
current:
  description: Whether everything was as wanted when the module looked.
  returned: always
  type: bool
tree:
  description: Path of the tree.
  returned: state is present
  type: str
link:
  description: Path of the link that leads to it.
  returned: always
  type: str
revision:
  description: Text that is another for every tree.
  returned: state is present
  type: str
complete:
  description: Whether the tree was there and complete when the module looked.
  returned: state is present
  type: bool
unpackable:
  description: Whether the host has what it takes to unpack the archives.
  returned: state is present
  type: bool
archives:
  description: Each archive with C(file), C(sha256) and C(path), where it lies until it is unpacked.
  returned: state is present
  type: list
  elements: dict
downloaded_bytes:
  description: Bytes that were downloaded.
  returned: state is present
  type: int
"""

import os
import pwd
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import release_archive, release_tree


def owner(name: str | None) -> tuple[int, int] | None:
    """User and group of a user name; None for nobody in particular."""
    if not name:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise release_archive.ReleaseError(f"owner: got {name}; expected a user of this host; make it first") from None
    if os.geteuid() not in (0, found.pw_uid):
        raise release_archive.ReleaseError(f"owner: got {name}; expected the connecting user, or root as that one")
    return found.pw_uid, found.pw_gid


def wanted_release(params: dict[str, Any]) -> release_tree.Wanted:
    """The release as the parameters describe it."""
    archives = [
        release_tree.Archive(item["file"], item["url"], (item["sha256"] or "").lower() or None) for item in params["archives"]
    ]
    environment = {name: str(value) for name, value in params["program_environment"].items()}
    says = params["version"] if params["program_says"] is None else params["program_says"]
    return release_tree.Wanted(
        directory=params["directory"],
        version=params["version"],
        archives=tuple(archives),
        checksums_url=params["checksums_url"] or None,
        program=release_tree.Program(params["program"], tuple(params["program_arguments"]), environment, says),
        strip_components=params["strip_components"],
        kept=params["kept_versions"],
        owner=owner(params["owner"]),
    )


def present(module: AnsibleModule) -> dict[str, Any]:
    """Bring the link to the release and report."""
    asked = wanted_release(module.params)
    release_tree.check(asked)
    wanted = release_tree.resolve(asked)
    found = release_tree.observe(wanted)
    current, received = found.as_wanted(wanted), 0
    if not current and not module.check_mode:
        received = release_tree.act(wanted, found)
    archives = [{"file": item.file, "sha256": item.sha256, "path": wanted.place(item)} for item in wanted.archives]
    return {
        "changed": not current,
        "current": current,
        "complete": found.complete,
        "tree": wanted.tree,
        "revision": wanted.name,
        "unpackable": all(release_archive.can_unpack(item.file) for item in wanted.archives),
        "archives": archives,
        "downloaded_bytes": received,
        "diff": difference(wanted, found),
    }


def difference(wanted: release_tree.Wanted, found: release_tree.Found) -> dict[str, str]:
    """The linked tree before and after, with what is added and removed; nothing when nothing changes."""
    if found.as_wanted(wanted):
        return {"before": "", "after": ""}
    gone = [*(f"{release_tree.TREES}/{name}" for name in found.surplus), *found.unfinished]
    new = [] if found.complete else [f"{item.file} sha256:{item.sha256}" for item in wanted.archives]
    return {
        "before_header": wanted.directory,
        "after_header": wanted.directory,
        "before": "".join(f"{line}\n" for line in [f"{release_tree.LINK} -> {found.linked or '(nothing)'}", *gone]),
        "after": "".join(f"{line}\n" for line in [f"{release_tree.LINK} -> {wanted.name}", *new]),
    }


def absent(module: AnsibleModule) -> dict[str, Any]:
    """Remove the release and report."""
    directory = module.params["directory"]
    remains = release_tree.remains(directory)
    if remains and not module.check_mode:
        release_tree.remove_all(directory)
    diff = {
        "before_header": directory,
        "after_header": directory,
        "before": "".join(f"{name}\n" for name in remains),
        "after": "",
    }
    return {"changed": bool(remains), "current": not remains, "diff": diff}


def argument_spec() -> dict[str, Any]:
    archive = {"file": {"type": "str", "required": True}, "url": {"type": "str"}, "sha256": {"type": "str"}}
    return {
        "directory": {"type": "path", "required": True},
        "version": {"type": "str"},
        "archives": {"type": "list", "elements": "dict", "options": archive},
        "checksums_url": {"type": "str"},
        "program": {"type": "str"},
        "program_arguments": {"type": "list", "elements": "str", "default": ["--version"]},
        "program_environment": {"type": "dict", "default": {}},
        "program_says": {"type": "str"},
        "strip_components": {"type": "int", "default": 0},
        "kept_versions": {"type": "int", "default": 2},
        "owner": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ["version", "archives", "program"])],
        supports_check_mode=True,
    )
    directory = module.params["directory"]
    # A release is read by the service's user, whatever the caller's mask.
    os.umask(0o022)
    try:
        result = present(module) if module.params["state"] == "present" else absent(module)
    except release_archive.ReleaseError as error:
        module.fail_json(msg=f"{directory}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{directory}: {error}; {release_tree.LINK} was left as it was; mend it and run again")
    module.exit_json(link=os.path.join(directory, release_tree.LINK), **result)


if __name__ == "__main__":
    main()

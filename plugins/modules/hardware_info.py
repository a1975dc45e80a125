#!/usr/bin/python
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hardware_info
short_description: What a host computes with
version_added: 0.2.0
author:
  - homelab.llm maintainers (@homelab-llm)
description:
  - Reads processor, memory and accelerators of a host, with their memory, drivers and memory bandwidth.
  - On Linux it reads what the kernel tells below C(/sys) and C(/proc), and asks C(nvidia-smi), C(lspci), C(lscpu), C(amd-smi)
    and C(rocm-smi) where they are there. On macOS it asks C(sysctl) and C(system_profiler). It needs no root and no GPU.
  - What cannot be found out is null. A GPU that is there but cannot be used, or whose driver does not tell its memory, is told
    in C(notes), with the reason.
  - The bandwidth comes from a table of the makers' figures, by exact name. Laptop GPUs and unknown names have none.
extends_documentation_fragment: [homelab.llm.reads_only]
"""

EXAMPLES = r"""
- name: See what the host has
  homelab.llm.hardware_info:
  register: found

- name: Show why a GPU is not used
  ansible.builtin.debug:
    var: found.hardware.notes
"""

RETURN = r"""
hardware:
  description: What the host computes with.
  returned: always
  type: dict
  contains:
    system:
      description: Operating system, C(Linux) or C(Darwin).
      type: str
    architecture:
      description: C(amd64), C(arm64) or the name that the system gives it.
      type: str
    machine_model:
      description: What the maker calls the machine.
      type: str
    cpu:
      description: C(model), C(cores) and C(threads) of the processor.
      type: dict
    memory_mib:
      description: Memory of the machine in MiB.
      type: int
    jetpack:
      description: On an NVIDIA Jetson the first number of its JetPack, C("5") or C("6").
      type: str
    accelerators:
      description:
        - GPUs and unified memories that engines compute with. Each has C(index) (of its maker's devices), C(name), C(vendor)
          (C(nvidia), C(amd), C(intel), C(apple)), C(kind) (C(gpu), C(unified)), C(memory_mib), C(used_mib), C(bandwidth_gb_s),
          C(driver), C(compute_capability) (NVIDIA), C(gfx) (AMD), C(uuid), C(gpu_cores) and C(wired_limit_mib) (Apple; null is
          the system's own limit) and C(backend) (C(cuda), C(rocm), C(vulkan), C(metal)).
      type: list
      elements: dict
    notes:
      description: What a person should know of the hardware, such as GPUs without a driver and integrated graphics.
      type: list
      elements: str
  sample:
    system: Linux
    architecture: amd64
    machine_model: Z10PE-D8 WS
    cpu: {model: Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz, cores: 14, threads: 28}
    memory_mib: 64217
    jetpack: null
    accelerators:
      - index: 0
        name: Tesla P40
        vendor: nvidia
        kind: gpu
        memory_mib: 23040
        used_mib: 0
        bandwidth_gb_s: 347
        driver: 570.133.20
        compute_capability: "6.1"
        gfx: null
        uuid: GPU-1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0
        gpu_cores: null
        wired_limit_mib: null
        backend: cuda
    notes: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.hardware import hardware


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, hardware=hardware())


if __name__ == "__main__":
    main()

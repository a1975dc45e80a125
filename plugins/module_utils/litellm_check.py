# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the program that lets LiteLLM itself look at a configuration."""

from __future__ import annotations

import subprocess
from typing import Mapping, Sequence

from . import service_user

TAIL_CHARACTERS = 3000


class Refusal(Exception):
    """The message is what the program says against the configuration."""


def check(command: Sequence[str], folder: str, environment: Mapping[str, str], user: str, limit_s: float) -> None:
    """Run it as the service's user: it executes what lies in the folder. Raises Refusal."""
    try:
        done = subprocess.run(
            list(command),
            cwd=folder,
            env=service_user.variables(environment, folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=False,
            preexec_fn=service_user.becoming(user),
        )
    except service_user.NoSuchUser as error:
        raise Refusal(str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"{command[0]} took longer than {limit_s:.0f} s to look at it") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Refusal(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip()[-TAIL_CHARACTERS:]
        raise Refusal(said or f"{command[0]} ended with {done.returncode} and said nothing")

"""Stands in for the pip bootstrap script that ansible-test would otherwise download from outside any package registry.

ansible-test runs it in an empty virtual environment with the packages to install as arguments, once for each test that needs any.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

# Words of the real script for its own extras; pip does not know them, and ensurepip brings neither package.
NOT_FOR_PIP = {"--no-setuptools", "--no-wheel"}


def through_uv(arguments: list[str]) -> bool:
    """Whether uv installed the packages: in an instant, where ensurepip and pip need seconds. Its options are not pip's."""
    uv = shutil.which("uv")
    packages = [argument for argument in arguments if not argument.startswith("-")]
    return uv is not None and subprocess.call([uv, "pip", "install", "--python", sys.executable, *packages]) == 0


def through_pip(arguments: list[str]) -> int:
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    return subprocess.call([sys.executable, "-m", "pip", "install", *arguments])


wanted = [argument for argument in sys.argv[1:] if argument not in NOT_FOR_PIP]
sys.exit(0 if through_uv(wanted) else through_pip(wanted))

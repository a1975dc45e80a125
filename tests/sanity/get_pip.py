"""Stands in for the pip bootstrap script that ansible-test would otherwise download from outside any package registry.

ansible-test runs it in an empty virtual environment with the packages to install as arguments.
"""

from __future__ import annotations

import subprocess
import sys

# Words of the real script for its own extras; pip does not know them, and ensurepip brings neither package.
NOT_FOR_PIP = {"--no-setuptools", "--no-wheel"}

subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
arguments = [argument for argument in sys.argv[1:] if argument not in NOT_FOR_PIP]
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", *arguments]))

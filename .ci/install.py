"""Install packages into an environment: with uv, which takes a fifth of pip's time, and with pip where uv cannot.

`python .ci/install.py PYTHON ARGUMENTS`: the arguments are those that `uv pip install` and `pip install` have in
common. PYTHON is the environment's. The environment that runs this has pip, and uv if that could be installed.
Nothing is compiled: Python compiles what it imports, and never imports most of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

UV: Final = Path(sys.executable).with_name("uv")

# What is editable is found by a path, and not by a hook: a clone is a folder of the package's name, which Python would
# take for the package.
SETTINGS: Final = ("--config-settings", "editable_mode=compat")


def install(python: Path | str, *arguments: str) -> None:
    """Install packages into the environment of this Python.

    Raises:
        subprocess.CalledProcessError: pip cannot install them either.
    """
    # Where only pip is told of an index or a folder, uv fails, and its words are of no use.
    uv = (UV, "pip", "install", "--quiet", "--python", str(python), *SETTINGS)
    if UV.exists() and subprocess.run([*uv, *arguments], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        return
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--no-compile", "--quiet")
    subprocess.run([*pip, "--disable-pip-version-check", *SETTINGS, *arguments], check=True)


if __name__ == "__main__":
    try:
        install(sys.argv[1], *sys.argv[2:])
    except subprocess.CalledProcessError as exc:
        sys.exit(exc.returncode)

"""Installs the oldest release of each library that setup.cfg allows. For tox, which calls it in `lowest`."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SETUP = Path(__file__).resolve().parents[2] / "setup.cfg"
BOUND = re.compile(r"^([\w-]+)>=([\w.]+)", re.MULTILINE)


def lower_bounds(setup: str) -> dict[str, str]:
    """The lower bound of each `name>=version` among the dependencies and in all extras."""
    config = ConfigParser()
    config.read_string(setup)
    requirements = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    return dict(BOUND.findall("\n".join(requirements)))


def is_installed(name: str) -> bool:
    """Whether the environment has the library, in any version. An extra may not be installed."""
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    oldest = [
        f"{name}=={bound}"
        for name, bound in lower_bounds(SETUP.read_text("utf-8")).items()
        if is_installed(name)
    ]
    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--no-compile", *oldest]))

"""A test that is skipped where a package is missing runs in one of the environments that `tox` runs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement

from architecture.test_project_files import PROJECT, ROOT

pytestmark = pytest.mark.once

# The distributions of modules that have another name, or come with it.
DISTRIBUTIONS = {
    "atlassian": "atlassian-python-api",
    "envoy": "xds-protos",
    "gcloud": "gcloud-aio-storage",
    "gitlab": "python-gitlab",
    "google": "xds-protos",
    "nbformat": "nbclient",
    "opentelemetry": "opentelemetry-sdk",
    "starlette": "fastapi",
    "vcr": "vcrpy",
    "werkzeug": "flask",
    "yaml": "pyyaml",
}


def read_ini(name: str) -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / name, "utf-8")
    return config


def installed() -> set[str]:
    """The names of all that the environments in tox's list install for themselves."""
    tox, extras = read_ini("tox.ini"), read_ini("setup.cfg")["options.extras_require"]
    requirements: list[str] = []
    for environment in tox["tox"]["env_list"].split(", "):
        section = f"testenv:{environment}"
        for option in ("dependency_groups", "extras"):
            names = tox.get(section if tox.has_option(section, option) else "testenv", option).split()
            for name in names:
                if option == "extras":
                    lines = [line for line in extras[name].splitlines() if not line.startswith("#")]
                    requirements += filter(None, lines)
                else:
                    requirements += PROJECT["dependency-groups"][name]
    return {re.sub("[-_.]+", "-", Requirement(each).name).lower() for each in requirements}


def needed(tree: ast.Module) -> Iterator[str]:
    """The names of the modules without which a test is skipped, as far as they stand in the call."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(attr="importorskip"), [ast.Constant(value=str(name)), *_]):
                yield name.partition(".")[0]


def test_no_package_is_missing_everywhere() -> None:
    """Else its tests would never run, and nobody would see that."""
    found = {
        name: path.name
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "importorskip" in (text := path.read_text("utf-8"))
        for name in needed(ast.parse(text))
        if name not in sys.stdlib_module_names and not (ROOT / "tests" / name).is_dir()
    }
    assert len(found) > 30
    there = installed()
    missing = {
        name: file
        for name, file in found.items()
        if DISTRIBUTIONS.get(name, name).replace("_", "-") not in there
    }
    assert missing == {}

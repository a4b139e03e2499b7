"""The names of the contract, and what importing them costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import lando.definitions
import pytest

NAMES = {
    "config": ["JobDefinition", "JobManagerFactory", "ReloadingJobDefinitionsRegister"],
    "exceptions": ["NotFoundException", "remaps_exception"],
    "file_reloader": ["FileReloader"],
    "manager": [
        "JobDefinitionsRegister",
        "JobDeleter",
        "JobManager",
        "JobSigner",
        "NotFoundException",
        "StaticJobDefinitionsRegister",
        "is_kubernetes_not_found_exception",
    ],
    "spec": [
        "ConfigMapSpecSource",
        "JobGenerator",
        "JobSpecSource",
        "StaticSpecSource",
        "YamlFileSpecSource",
        "YamlStringSpecSource",
    ],
}


def test_every_name_is_in_its_module_and_at_the_root() -> None:
    for module, names in NAMES.items():
        for name in names:
            there = getattr(importlib.import_module(f"lando.definitions.{module}"), name)
            assert getattr(lando.definitions, name) is there
    assert set(lando.definitions.__all__) == {name for names in NAMES.values() for name in names}
    with pytest.raises(AttributeError):
        _ = lando.definitions.Nothing


def test_importing_the_package_brings_no_client() -> None:
    program = "import sys, lando.definitions; sys.exit('kubernetes' in sys.modules or 'jinja2' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

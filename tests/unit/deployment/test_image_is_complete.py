"""What the image is built from holds together: sources, extras, pins, data of the package, its user."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
GENERATED = ("__pycache__", ".pyc")


def said(pattern: str) -> list[str]:
    """What the lines of the Dockerfile say that are so begun."""
    return re.findall(rf"^{pattern}", DOCKERFILE, re.MULTILINE)


def package(text: str) -> str:
    """A package's name as pip compares it."""
    return re.split(r"[\[<>=!~ ]", text)[0].lower().replace("_", "-")


def test_every_file_of_the_package_is_installed_with_it() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["lando"]
    files = [path for path in (ROOT / "lando").rglob("*") if path.is_file() and path.suffix != ".py"]
    names = [str(path.relative_to(ROOT / "lando")) for path in files]
    own = [name for name in names if not any(part in name for part in GENERATED)]
    assert [name for name in own if not any(fnmatch(name, one.replace("**/", "*")) for one in patterns)] == []


@pytest.mark.parametrize("name", sorted({name for line in said(r"COPY (?!--from)(.+) \S+$") for name in line.split()}))
def test_what_the_image_copies_is_there_and_not_kept_from_it(name: str) -> None:
    assert (ROOT / name).exists()
    assert name not in (ROOT / ".dockerignore").read_text().split()


def test_every_package_that_the_image_needs_is_pinned() -> None:
    pinned = {package(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    needed = {package(one) for one in PROJECT["project"]["dependencies"]}
    for extra in said(r"ARG EXTRAS=(.+)$")[0].split(","):
        needed |= {package(one) for one in PROJECT["project"]["optional-dependencies"][extra]}
    assert needed - pinned == set()


def test_all_stages_are_of_one_base_that_names_no_registry() -> None:
    assert said(r"ARG BASE=(.+)$") == ["debian:bookworm-slim"]
    assert said(r"FROM (\S+)") == ["${BASE}", "python", "python"]


def test_nobody_runs_it_as_root_and_its_programs_are_in_the_path() -> None:
    assert said(r"USER (.+)$") == ["1000:1000"]
    assert "PATH=/opt/lando/bin:$PATH" in DOCKERFILE.rpartition("FROM ")[2]

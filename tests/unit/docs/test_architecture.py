"""The architecture page draws the package as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/architecture.md").read_text()


def test_the_table_of_folders_names_every_part_of_the_package_once() -> None:
    table = PAGE.partition("## The folders")[2].partition("Arrows point one way")[0]
    rows = re.findall(r"^\| (`.+?`) \|", table, flags=re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    parts = [path.name if path.is_file() else f"{path.name}/" for path in (ROOT / "lando").iterdir()]
    are = [name for name in parts if name[0] not in "_." and name.endswith((".py", "/"))]
    assert sorted(told) == sorted(are)


def test_the_picture_of_layers_is_what_import_linter_holds() -> None:
    (layers,) = (
        contract["layers"]
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if contract["name"] == "arrows point one way"
    )
    picture = PAGE.partition("Arrows point one way")[2].partition("```\n\n")[0]
    boxes = [set(re.split(r" · |<br>", box)) for box in re.findall(r'\["(.+?)"\]', picture)]
    assert boxes == [set(layer.split(" | ")) for layer in layers]

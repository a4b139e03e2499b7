"""What docs/definitions.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest
from lando.definitions import definitions_file
from lando.definitions.exceptions import ArgumentError
from lando.definitions.server import VARIABLES

PAGE = (Path(__file__).parents[3] / "docs/definitions.md").read_text()


def test_the_definition_of_the_page_makes_a_valid_job() -> None:
    text = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[0]
    contents = definitions_file.read(text, "definitions.yaml")
    assert contents.problems == ()
    source = contents.definitions["greet"].spec_source()

    made = source.get({"name": "Ada; $(rm)", "times": 2})

    kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["command"][-2:] == ['for i in $(seq 2); do echo "Hello $0"; done', "Ada; $(rm)"]
    with pytest.raises(ArgumentError, match="there is no argument 'nam'; did you mean 'name'"):
        source.get({"nam": "Ada"})


def test_the_page_names_every_variable() -> None:
    assert [name for name in VARIABLES if f"`{name}`" not in PAGE] == []

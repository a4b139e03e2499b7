"""The list of mistakes fits the code: ``python -m tests.model.mutations`` makes them, which takes too long for here."""

from __future__ import annotations

import pytest
from tests.model.mutations import MUTATIONS, ROOT, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_the_code_holds_what_a_mistake_replaces_once(mutation: Mutation) -> None:
    assert (ROOT / "lando" / mutation.file).read_text().count(mutation.right) == 1

"""A corpus of hostile bodies, each of which is refused with a sentence, quickly and without effect."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from lando.errors import MessageError
from lando.messages import codec
from tests.services.hostile import FIRST_UNKNOWN_RUN, bodies


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pickletools's, of odd escapes
def test_hostile_bodies_raise_nothing_but_message_errors_and_run_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    sentences: list[str] = []
    outcomes: Counter[str] = Counter()
    for body in islice(bodies(20_261, canary), 3000):
        try:
            message = codec.decode(body)
        except MessageError as error:
            sentences.append(str(error))
            outcomes[type(error).__name__] += 1
        else:
            assert message.run_id >= FIRST_UNKNOWN_RUN
            outcomes["read"] += 1
    assert all(0 < len(sentence) < 1000 for sentence in sentences)
    assert not canary.exists()
    assert {"UnreadableMessage", "UnsafeMessage", "UnsupportedVersion", "UnknownCommand", "read"} <= set(outcomes)

"""What the watches of a direct run have to say themselves."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from lando.direct import following
from lando.direct.events import Trouble
from lando.direct.following import Following
from lando.direct.session import Session
from lando.direct.waiting import Waiting
from lando.k8s.cluster import Cluster
from tests.unit.direct.running import Told, World, entry, model


class Watch:
    """A reflector that only keeps whom to tell of errors."""

    made: dict[str, Watch]

    def __init__(self, _: Cluster, kind: str, *__: Any, **options: Any) -> None:
        self.kind, self.say = kind, options["on_word"]
        Watch.made[kind] = self

    def run(self) -> None:
        """Nothing."""


@pytest.mark.parametrize(("are_told", "times"), [(False, 1), (True, 0)])
def test_a_missing_right_is_told_once_and_not_after_the_checks_have(
    world: World, monkeypatch: pytest.MonkeyPatch, are_told: bool, times: int
) -> None:
    monkeypatch.setattr(following, "Reflector", Watch)
    Watch.made = {}
    told = Told()
    session = Session(told, Waiting(threading.Event()))
    Following(model([entry("a")]), world, cast(Any, _View()), session, are_rights_told=are_told)
    for _ in range(2):
        Watch.made["Pod"].say(world.unavailable(403))
    session.look_up()
    session.calls.close()
    assert ["pods" in one.sentence for one in told.of(Trouble)] == [True] * times


class _View:
    on_job = on_pod = on_event = None

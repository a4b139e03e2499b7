"""Runs that the original lando began, with objects as it makes them: no run record, no attempts, Bespin's labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lando.messages import Command

STEPS = (("S", "stage_data"), ("R", "run_workflow"), ("o", "organize_output"))


def as_the_original_makes_them(world: Any) -> None:
    """Take from all objects what only ours puts on them."""
    with world.cluster.changed:
        del world.cluster.objects["ConfigMap", "lando-run-42"]
        for (kind, _), item in world.cluster.objects.items():
            metadata = item["metadata"]
            metadata["labels"] = {key: one for key, one in metadata["labels"].items() if key.startswith("bespin-")}
            metadata.pop("annotations", None)
            if kind != "Pod":
                metadata.pop("ownerReferences", None)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_run_goes_on_at_the_step_where_it_is(world: Any, waiting: Callable[..., Any], count: int) -> None:
    world.start()
    world.send(Command.START)
    for letter, step in STEPS[:count]:
        world.complete(letter, step)
    letter, step = STEPS[count]
    waiting(lambda: world.cluster.has_job(f"{step.replace('_', '-')}-42-ada"))
    world.settle()
    world.stop()
    as_the_original_makes_them(world)
    made = [call for call in world.cluster.calls if call[:2] == ("create", "Job")]
    uid = world.cluster.objects["Job", f"{step.replace('_', '-')}-42-ada"]["metadata"]["uid"]

    world.start()
    world.settle()
    assert world.cluster.objects["Job", f"{step.replace('_', '-')}-42-ada"]["metadata"]["uid"] == uid
    for letter, step in STEPS[count:]:
        world.complete(letter, step)
    world.complete("O", "save_output", {"project_id": "p-1", "readme_file_id": "r-1"})
    world.reach("F/")
    world.settle()
    again = [call for call in world.cluster.calls if call[:2] == ("create", "Job")]
    assert len(again) == len(made) + 3 - count, "each of the later steps once, and none of the earlier"
    assert world.admin.errors == []
    assert world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim", "Pod") == []

"""Whoever looks for a run's lines finds all of them by its id, and those of a step by its name."""

from __future__ import annotations

import re
from typing import Any

from lando.errors import Rejected, Unavailable
from lando.messages import Command, Condition
from tests.services.log_lines import LogLines


def test_every_line_about_a_run_carries_its_id_and_those_of_a_step_its_name(world: Any, log_lines: LogLines) -> None:
    world.start()
    world.send(Command.START, id="the-start")
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    about_the_run = [line for line in log_lines() if re.search(r"\b42\b", line["message"])]
    assert about_the_run
    assert [line["message"] for line in about_the_run if line.get("run_id") != 42] == []
    made = {line["step"]: line["attempt"] for line in log_lines() if "Create(" in line["message"]}
    assert {step for step, attempt in made.items() if attempt == 1} > {"stage_data", "run_workflow", "save_output"}
    assert any((line.get("command"), line.get("message_id")) == ("start", "the-start") for line in about_the_run)


def test_what_goes_wrong_on_the_way_is_said_of_its_run_and_step_too(world: Any, log_lines: LogLines) -> None:
    world.start()
    world.send(Command.START)
    world.reach("R/S")
    world.settle()
    world.archive.error = Unavailable("archive", "away")

    def refuse(verb: str, kind: str, name: str) -> None:
        if verb == "log":
            raise Rejected("cluster", "no log", status=400)

    world.cluster.before = refuse
    world.cluster.finish("stage-data-42-ada", exit_code=3)
    world.step_changed("stage_data", Condition.FAILED)
    world.reach("E/S")
    world.settle()
    unhappy = [line for line in log_lines() if line["level"] == "WARNING" or "There is no log" in line["message"]]
    assert unhappy
    assert {(line.get("run_id"), line.get("step")) for line in unhappy} == {(42, "stage_data")}

from __future__ import annotations

import json
from typing import Any

from lando.messages import Command


def test_a_started_run_ends_finished_with_its_ids_recorded_and_nothing_left(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert world.job["output_project"]["project_id"] == "p-1"
    assert world.cluster.names("Job", "ConfigMap", "PersistentVolumeClaim", "Pod") == []


def test_the_sequence_of_writes_and_notices_is_the_contract_s(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert world.admin.writes == [
        ("PUT jobs", {"state": "R"}),
        ("PUT jobs", {"step": "V"}),
        ("PUT jobs", {"step": "S"}),
        ("PUT jobs", {"step": "R"}),
        ("PUT jobs", {"step": "o"}),
        ("PUT jobs", {"step": "O"}),
        ("PUT jobs", {"step": "P"}),
        (
            "PUT job-dds-output-projects",
            {"id": 19, "job": "42", "project_id": "p-1", "readme_file_id": "r-1"},
        ),
        ("PUT jobs", {"state": "F", "step": ""}),
    ]
    shown = [json.loads(notice) for notice in world.notices]
    assert [f"{notice['state']}/{notice['step']}" for notice in shown] == [
        "R/",
        "R/V",
        "R/S",
        "R/R",
        "R/o",
        "R/O",
        "R/P",
        "F/",
    ]


def test_every_log_is_archived_before_its_job_is_deleted(world: Any) -> None:
    world.start()
    world.send(Command.START)
    world.run_to_the_end()
    world.reach("F/")
    world.settle()
    assert [(step, attempt) for _, step, attempt, _, _ in world.archive.stored] == [
        ("stage_data", 1),
        ("run_workflow", 1),
        ("organize_output", 1),
        ("save_output", 1),
    ]
    assert world.archive.stored[-1][4] == json.dumps({"project_id": "p-1", "readme_file_id": "r-1"})

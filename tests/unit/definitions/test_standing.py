"""How the part of a server stands that is about definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lando.definitions.config import ReloadingJobDefinitionsRegister
from lando.definitions.file_reloader import FileReloader
from lando.definitions.manager import JobManager, JobSigner
from lando.definitions.registers import StaticJobDefinitionsRegister
from lando.definitions.served import standing
from lando.definitions.served.to_keep import ToKeep
from tests.unit.definitions.conftest import job


def of(definition: str, number: int, condition: str | None = None) -> list[Any]:
    return [
        job(f"{definition}-{at}", condition=condition, labels={JobSigner.JOB_DEFINITION_NAME_KEY: definition})
        for at in range(number)
    ]


def manager() -> JobManager:
    return JobManager("batch", JobSigner("ours"), StaticJobDefinitionsRegister())


def test_jobs_are_counted_by_definition_and_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "NAMED", 2)
    jobs = [*of("a", 3), *of("a", 1, "Failed"), *of("b", 2, "Complete"), *of("c", 1), *of("d", 1)]

    assert standing.counted(jobs, manager()) == {
        ("a", "Running"): 3,
        ("a", "Failed"): 1,
        ("b", "Complete"): 2,
        (standing.OTHERS, "Running"): 2,
    }


def test_jobs_that_wait_for_the_archive_are_counted_and_that_it_is_away(make_job: Any) -> None:
    to_keep = ToKeep()
    assert to_keep.waiting() == (0, False)
    to_keep.add(make_job("one", condition="Complete"), is_pressing=False)
    assert to_keep.waiting() == (1, False)
    task = to_keep.take()
    assert task is not None
    to_keep.wait_for_archive(task, None)
    assert to_keep.waiting() == (1, True)


def test_a_register_counts_what_it_knows_without_a_look_at_any_file(tmp_path: Path) -> None:
    file = tmp_path / "definitions.yaml"
    file.write_text("- name: a\n  spec: '[]'\n- name: b\n")
    register = ReloadingJobDefinitionsRegister(FileReloader(file))
    register.look()
    assert register.counts() == (1, 2)
    file.unlink()
    assert register.counts() == (1, 2)

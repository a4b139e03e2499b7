"""The files in examples/phases, the original's own among them, are read as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from lando.phases.files import Folder
from lando.phases.labels import job_labels
from lando.phases.reading import read

EXAMPLES = Path(__file__).parents[3] / "examples" / "phases"


@pytest.mark.parametrize("model", ["jobermodel.yaml", "advanced.yaml"])
def test_the_examples_of_the_original_are_read_without_a_finding(model: str) -> None:
    found, findings = read(Folder(EXAMPLES), model)

    assert findings == []
    assert found is not None
    assert [phase.name for phase in found.phases] == ["start_sleep", "mid_sleep", "end_sleep"]
    assert found.settings.cleanup


def test_the_dependencies_of_the_advanced_example_are_as_its_readme_draws_them() -> None:
    model, _ = read(Folder(EXAMPLES), "advanced.yaml")

    assert model is not None
    assert {entry.name: entry.depends_on for entry in model.phases[1].entries} == {
        "dream_a": (),
        "sleep_hickup_a": ("dream_a",),
        "dream_b": (),
        "sleep_hickup_b": ("dream_b",),
    }


def test_a_directory_becomes_its_jobs_each_with_the_three_labels() -> None:
    model, _ = read(Folder(EXAMPLES), "jobermodel.yaml")

    assert model is not None
    (wakeup,) = model.phases[2].entries
    assert len(wakeup.jobs) > 1
    assert [job.path for job in wakeup.jobs] == sorted(job.path for job in wakeup.jobs)
    for job in wakeup.jobs:
        assert job_labels(job) == {
            "jobernetes_job_name": "wakeup",
            "jobernetes_phase": "2",
            "jobernetes_exploded": "True",
        }

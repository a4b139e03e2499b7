"""The chaos in its smallest size: a few jobs, and every fault once. ``make chaos`` is the large one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from tests.chaos import trial
from tests.chaos.faults import FAULTS
from tests.chaos.report import table
from tests.services.postgres import require_driver

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("postgres"), pytest.mark.timeout(600)]


def test_every_accepted_job_ends_as_it_must_whatever_fails_meanwhile() -> None:
    require_driver()
    seed = int(os.environ.get("SEED", "1"))
    with tempfile.TemporaryDirectory(prefix="lando-chaos-") as folder:
        result = trial.run(Path(folder), jobs=12, seed=seed, rounds=1, pace=0.3)

    assert not result.violations, table(result)
    assert set(result.faults) == set(FAULTS)

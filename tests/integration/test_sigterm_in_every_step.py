"""Each process is told to end, and started again, in the middle of each step and while the step ends."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest
from lando.api import models as m
from lando.api.database import Database
from lando.config.settings import STEP_TYPES
from lando.home import Home
from sqlalchemy import select
from tests.chaos.site import WORKFLOW
from tests.services.providing import wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack
from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(300)]

PARTS = ("server", "watcher", "lando", "cluster")  # the first takes longest to come up
LIMIT_S = 60.0
STEP = """\
# usage: step.sh FOLDER STEP ANNOTATE-SCRIPT; notes its begin and its end, which comes once FOLDER/STEP is there
folder=$1 step=$2 annotate=$3
note() { echo "$step $1" >>"$folder/journal"; }
trap 'note stopped; exit 143' TERM
note begun
until [ -e "$folder/$step" ]; do sleep 0.05; done
case $step in
  save_output) echo "exec sh '$0' '$folder' record_output_project" >"$annotate" ;;
  record_output_project) printf '{"project_id": "p", "readme_file_id": "r"}' >"$LANDO_TERMINATION_LOG" ;;
esac
note done
"""


@pytest.fixture
def stack(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str) -> Iterator[Stack]:
    """A site whose five steps are played by a script."""
    script = tmp_path / "step.sh"
    script.write_text(STEP)
    with Stack(tmp_path, rabbitmq.url, queue_name) as running:
        database = Database(f"sqlite:///{Home(tmp_path / 'home').database}")
        with database.write() as session:
            steps = session.scalars(select(m.JobRuntimeStep)).all()
            for step in steps:
                annotate = "/bespin/output-data/annotate_project_details.sh"
                step.base_command = ["sh", str(script), str(tmp_path), step.step_type, annotate]
            of_last = {name: getattr(steps[-1], name) for name in ("runtime_id", "flavor_id", "image_name")}
            session.add(m.JobRuntimeStep(step_type=STEP_TYPES[-1], base_command=["unused"], **of_last))
        database.close()
        running.start()
        yield running


def start(stack: Stack, name: str) -> None:
    stack.start_cluster() if name == "cluster" else stack.start_process(name)


def test_every_process_is_told_to_end_in_every_step_and_no_step_is_done_twice(
    stack: Stack, user: User, tmp_path: Path
) -> None:
    tag = user.call("POST", "/api/lando/v1/workflows", json={"name": "shell", "packed": WORKFLOW})["tag"]
    group = user.call("POST", "/api/v2/job-file-stage-groups/", json={})["id"]
    body = {"tag": tag, "name": "shell", "fund_code": "none", "stage_group": group, "job_order": {"unused": 1}}
    job = int(user.call("POST", "/api/v2/job-templates/create-job", json=body)["job"])
    user.act(job, "start")
    journal = tmp_path / "journal"
    journal.touch()

    def noted(step: str, what: str) -> int:
        return journal.read_text().splitlines().count(f"{step} {what}")

    for step, part in zip(STEP_TYPES, cycle(PARTS[:3]), strict=False):
        wait_until(lambda step=step: noted(step, "begun") == 1, LIMIT_S, what=f"the begin of {step}")  # type: ignore[misc]
        for name in PARTS[:3]:
            stack.wait_for(f"{stack.url_of(name)}/healthz")  # which is to say that the new process has come up
        assert stack.end(PARTS) == dict.fromkeys(PARTS, 0)
        assert noted(step, "stopped") == 1, "the node's orderly end"
        for name in PARTS:
            start(stack, name)
        wait_until(lambda step=step: noted(step, "begun") == 2, LIMIT_S, what=f"{step} once more")  # type: ignore[misc]
        (tmp_path / step).touch()  # and while that ends:
        assert stack.kill(part, signal.SIGTERM) == 0
        start(stack, part)
    stack.wait_for(f"{stack.url}/readyz")
    ended = user.wait_for_end(job)

    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert Counter(journal.read_text().splitlines()) == {
        f"{step} {what}": count for step in STEP_TYPES for what, count in (("begun", 2), ("stopped", 1), ("done", 1))
    }
    for part in PARTS:
        assert "Traceback" not in stack.log(part)

"""The site that is measured: every part its own process, with steps that do nothing but end."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lando.api import models as m
from lando.api.database import Database
from sqlalchemy import select
from tests.services.rabbitmq import local_broker
from tests.services.stack import Stack
from tests.services.user import User

WORKFLOW = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "id": "#main",
    "doc": "Does nothing.",
    "baseCommand": "true",
    "inputs": [],
    "outputs": [],
}
IDS = '{"project_id": "file:///nowhere", "readme_file_id": "file:///nowhere/README.md"}'


@contextlib.contextmanager
def site() -> Iterator[tuple[Stack, User]]:
    """A running stack on a broker of its own, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="lando-bench-") as folder:
        (Path(folder) / "broker").mkdir()
        (Path(folder) / "stack").mkdir()
        with (
            local_broker(Path(folder) / "broker") as broker,
            Stack(Path(folder) / "stack", broker.url(), "lando") as stack,
        ):
            _make_steps_instant(Path(folder) / "stack" / "home")
            stack.start()
            yield stack, User(stack)


def _make_steps_instant(home: Path) -> None:
    database = Database(f"sqlite:///{home / 'lando.db'}")
    try:
        with database.write() as session:
            for step in session.scalars(select(m.JobRuntimeStep)):
                last = step.step_type == "save_output"
                step.base_command = ["sh", "-c", f"printf '%s' '{IDS}' >\"$LANDO_TERMINATION_LOG\"" if last else ":"]
    finally:
        database.close()


class Client:
    """Creates jobs of the empty workflow."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._tag: str = user.call("POST", "/api/lando/v1/workflows", json={"name": "nothing", "packed": WORKFLOW})[
            "tag"
        ]

    def create_job(self) -> int:
        """A job that may be started."""
        group = self._user.call("POST", "/api/v2/job-file-stage-groups/", json={})["id"]
        body: dict[str, Any] = {
            "tag": self._tag,
            "name": "bench",
            "fund_code": "none",
            "stage_group": group,
            "job_order": {"unused": 1},
        }
        return int(self._user.call("POST", "/api/v2/job-templates/create-job", json=body)["job"])

    def start(self, job: int) -> None:
        """Ask for its start."""
        self._user.act(job, "start")

"""Our API server over HTTP and SQLite, with one job, for the world of the crash points."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import requests
from lando.api import attempts, setup
from lando.api import models as m
from lando.api.outbox import Connection
from lando.api.server import Server
from lando.api.settings import Settings
from lando.queues.memory import MemoryBroker
from sqlalchemy import select
from tests.crash_points.calls import Calls

PACKED = {
    "cwlVersion": "v1.2",
    "$graph": [{"class": "Workflow", "id": "#main", "inputs": [], "outputs": [], "steps": []}],
}


class Api:
    """Our API server with one authorized job; its database can be kept and brought back while it runs."""

    def __init__(self, folder: Path, *, record_step: bool = False) -> None:
        self.broker = MemoryBroker()
        settings = Settings(
            database_url=f"sqlite:///{folder}/lando.db",
            key_file=str(folder / "server.key"),
            files_dir=str(folder / "files"),
            host="127.0.0.1",
            port=0,
            check_workflows=False,
        )
        self._file = folder / "lando.db"
        self.server = self._serve(settings)
        with self.server.site.database.write() as session:
            site = setup.ensure_embedded_site(session, username="ada", key=self.server.site.key)
            if record_step:
                runtime = session.scalars(select(m.JobRuntime)).one()
                saved = next(step for step in runtime.steps if step.step_type == "save_output")
                runtime.steps.append(
                    m.JobRuntimeStep(
                        step_type="record_output_project",
                        image_name=saved.image_name,
                        base_command=["record"],
                        flavor=saved.flavor,
                    )
                )
        self.server.start()
        self.daemon_token = site.daemon_token
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Token {site.user_token}"
        self.job = self._new_job()

    def _serve(self, settings: Settings) -> Server:
        return Server(settings, publishers=_Publishers(lambda: self.broker))

    def close(self) -> None:
        self._session.close()
        self.server.stop()

    # -- the lives of its server: here only one, that nothing ends -------------------------------------------------

    is_up = True
    next_life: Callable[[], Calls] = Calls
    """The calls of the server when it is started anew."""

    def begin(self, calls: Calls | None = None) -> None:
        """Begin a life of the server whose calls are counted."""

    def revive(self) -> None:
        """Start the server anew when it was killed, as its supervisor would."""

    def end(self) -> None:
        """End the server's life; no more effects."""

    def user(self, method: str, path: str, body: Any = None) -> Any:
        """A request of the job's owner."""
        answer = self._request(method, path, body)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def _request(self, method: str, path: str, body: Any) -> requests.Response:
        return self._session.request(method, f"{self.server.url}{path}", json=body, timeout=30)

    def act(self, action: str) -> None:
        """The owner starts, cancels or restarts the job."""
        self.user("POST", f"/api/v2/jobs/{self.job}/{action}/", {})

    def _new_job(self) -> int:
        tag = self.user("POST", "/api/lando/v1/workflows", {"name": "Count", "packed": PACKED})["tag"]
        group = self.user("POST", "/api/v2/job-file-stage-groups/", {})["id"]
        form = {"tag": tag, "name": "batch 17", "fund_code": "F-1", "stage_group": group, "job_order": {}}
        return int(self.user("POST", "/api/v2/job-templates/create-job", form)["job"])

    def keep(self) -> sqlite3.Connection:
        """A copy of the database."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(self._file) as source:
            source.backup(copy)
        source.close()
        return copy

    def bring_back(self, copy: sqlite3.Connection) -> None:
        target = sqlite3.connect(self._file)
        copy.backup(target)
        target.close()

    def view(self) -> dict[str, Any]:
        """What is on record of the job, without times and counters of writes."""
        with self.server.site.database.read() as session:
            job = session.get_one(m.Job, self.job)
            return {
                "state": f"{job.state}/{job.step}",
                "generation": job.generation,
                # That a step is done again is shown until the run is looked at once more, which may be soon.
                "condition": None if "does the step again by itself" in (job.condition or "") else job.condition,
                "warnings": job.warnings,
                "errors": [(error.job_step, error.category, error.content) for error in job.errors],
                "output": (job.output_project.project_id, job.output_project.readme_file_id)
                if job.output_project
                else None,
                # One that is at work is told of at the latest with its end.
                "attempts": [
                    f"{one['step']} #{one['attempt']} {one['state']}"
                    for one in attempts.attempts(job)
                    if one["state"] != "Running"
                ],
                "activities": [f"{activity.state}/{activity.step}" for activity in job.activities],
                "outbox": len(session.scalars(select(m.PendingCommand)).all()),
            }


class _Publishers:
    """The API server's way to whatever broker there is at the moment."""

    blocked = None

    def __init__(self, broker: Callable[[], MemoryBroker]) -> None:
        self._broker = broker

    def __call__(self, connection: Connection) -> _Publishers:
        return self

    def publish(
        self, queue: str, body: bytes, *, content_type: str | None = None, message_id: str | None = None
    ) -> Future[None]:
        return self._broker().publisher().publish(queue, body, content_type=content_type, message_id=message_id)

    def notify(self, body: bytes) -> None:
        raise AssertionError("the API sends no progress notices")

    def close(self, timeout_s: float = 5.0) -> None:
        """Nothing to close."""

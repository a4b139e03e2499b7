"""The site that is put to the test: every part its own process, two of each that may be there twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lando.api import models as m
from lando.api.database import Database
from sqlalchemy import select
from tests.services.kubernetes_api import KubernetesApi
from tests.services.postgres import LocalPostgres, local_postgres
from tests.services.proxy import Proxy
from tests.services.rabbitmq import LocalServer, local_broker
from tests.services.stack import NAMESPACE, Stack

STEPS = ("stage_data", "run_workflow", "organize_output", "save_output")
QUEUE = "lando"
PARTS = ("server", "server-2", "lando", "lando-2", "watcher", "watcher-2")
RETRIES = 20
"""Infrastructure retries of a step: the harness deletes and kills far more than a cluster does, and wants to see each
fault survived."""
RESYNC_S = 10
WORKFLOW = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "id": "#main",
    "doc": "Its steps are played by a shell script.",
    "baseCommand": "true",
    "inputs": [],
    "outputs": [],
}


@dataclass(frozen=True)
class Disturbance:
    """What the harness did that may cost a step its attempt; ``job`` None is every job."""

    at: float
    until: float
    job: int | None
    what: str


class Site:
    """What is running, and how to reach each part past the proxies."""

    def __init__(self, folder: Path, broker: LocalServer, database: LocalPostgres, broker_proxy: Proxy) -> None:
        self.folder = folder
        self.broker = broker
        self.database = database
        self.broker_proxy = broker_proxy
        self.plans = folder / "steps"
        self.journal = self.plans / "journal"
        broker_url = broker.url().replace(f":{broker.port}/", f":{broker_proxy.port}/")
        self.stack = Stack(folder / "stack", broker_url, QUEUE, database_url=database.url())
        self.disturbances: list[Disturbance] = []
        self.garbage: list[bytes] = []

    @property
    def users_url(self) -> str:
        return self.stack.url

    def start(self) -> None:
        for name in ("plans", "locks"):
            (self.plans / name).mkdir(parents=True)
        self.journal.touch()
        self._play_steps()
        self.stack.start_cluster()
        place = self.stack.cluster
        self.cluster = KubernetesApi(
            place["url"], Path(place["ca_file"]), Path(place["token_file"]).read_text().strip(), NAMESPACE
        )
        self.stack.write_config(infrastructure_retries=RETRIES, patience_s=3600, resync_s=RESYNC_S)
        for name in PARTS:
            self.stack.start_process(name)
        for name in PARTS:
            self.stack.wait_for(f"{self.stack.url_of(name)}/readyz")

    def _play_steps(self) -> None:
        """Have the script in the place of each step's program."""
        with self.open_database() as database, database.write() as session:
            for step in session.scalars(select(m.JobRuntimeStep)):
                script = str(Path(__file__).with_name("step.sh"))
                volumes = ["/bespin/job-data", "/bespin/output-data"]
                step.base_command = ["sh", script, str(self.plans), step.step_type, *volumes]

    @contextlib.contextmanager
    def open_database(self) -> Iterator[Database]:
        database = Database(self.database.url())
        try:
            yield database
        finally:
            database.close()

    def create_workflow(self) -> str:
        body = {"name": "chaos", "packed": WORKFLOW}
        return str(self.ask("POST", "/api/lando/v1/workflows", body)["tag"])

    def create_job(self, tag: str) -> int:
        """A job that may be started."""
        group = self.ask("POST", "/api/v2/job-file-stage-groups/", {})["id"]
        body = {"tag": tag, "name": "chaos", "fund_code": "none", "stage_group": group, "job_order": {"unused": 1}}
        return int(self.ask("POST", "/api/v2/job-templates/create-job", body)["job"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request of the user that has to succeed."""
        answer = self.stack.request(method, path, json=body)
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()

    def write_plan(self, job: int, seconds: float, fails_in: str = "", code: int = 0) -> None:
        """What the steps of the job do from now on."""
        file = self.plans / "plans" / str(job)
        fresh = file.with_suffix(".new")
        fresh.write_text(f"seconds={seconds} fails={fails_in} code={code}\n")
        fresh.replace(file)


@contextlib.contextmanager
def site(folder: Path) -> Iterator[Site]:
    """A running site below ``folder``, which PostgreSQL's own user has to be able to enter."""
    for name in ("broker", "stack", "database"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    with contextlib.ExitStack() as parts:
        broker = parts.enter_context(local_broker(folder / "broker"))
        database = parts.enter_context(local_postgres(folder / "database"))
        between = Proxy(("127.0.0.1", broker.port))
        parts.callback(between.close)
        made = Site(folder, broker, database, between)
        parts.enter_context(made.stack)
        made.start()
        yield made


def now() -> float:
    """Seconds since the epoch; what journal, database and schedule are compared by."""
    return time.time()

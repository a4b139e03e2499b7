"""The site that is put to the test: every part its own process, two of each that may be there twice."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
from lando.api import models as m
from lando.api.database import Database
from sqlalchemy import select
from tests.chaos.recorder import OWN, QUEUE, Recorder
from tests.services.faulty_http import OF_STREAMS, Fault, FaultyHttp
from tests.services.kubernetes_api import KubernetesApi
from tests.services.postgres import LocalPostgres, local_postgres
from tests.services.proxy import Proxy
from tests.services.rabbitmq import LocalServer, local_broker
from tests.services.stack import NAMESPACE, Stack

STEPS = ("stage_data", "run_workflow", "organize_output", "save_output")
PARTS = ("server", "server-2", "lando", "lando-2", "watcher", "watcher-2")
RETRIES = 20
"""Infrastructure retries of a step: the harness deletes and kills far more than a cluster does, and wants to see each
fault survived."""
RESYNC_S = 10
ONLY_READ = (Fault.REFUSE_410, Fault.REFUSE_HTML)
"""What a cluster answers to nothing but lists and watches."""
HISTORY = 50
"""Changes that the cluster keeps for watches that resume: those of a few seconds."""
WORKFLOW = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "id": "#main",
    "doc": "Its steps are played by a shell script.",
    "baseCommand": "true",
    "inputs": [],
    "outputs": [],
}


class Weather:
    """How the requests to one service fare: for each fault, the share of requests that meet it."""

    def __init__(self) -> None:
        self._shares: Mapping[Fault, float] = {}
        self._dice = random.Random()

    def change(self, shares: Mapping[Fault, float], seed: int = 0) -> None:
        """From now on; an empty mapping is fair weather."""
        self._dice = random.Random(seed)
        self._shares = shares

    def choose(self, method: str, path: str, is_watch: bool) -> Fault | None:
        for fault, share in self._shares.items():
            fits = is_watch if fault in OF_STREAMS else not (fault in ONLY_READ and method != "GET")
            if fits and self._dice.random() < share:
                return fault
        return None


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
        self.cluster_weather, self.api_weather = Weather(), Weather()
        self.api_http = FaultyHttp(
            [self.stack.url_of(name) for name in ("server", "server-2")], self.api_weather.choose, retry_after_s=1
        )
        self.stack.daemons_api_url = self.users_url = self.api_http.url
        self.disturbances: list[Disturbance] = []
        self.garbage: list[bytes] = []
        """What the broker has confirmed."""
        self.garbage_tried: set[bytes] = set()
        self.recorder = Recorder(broker)

    def start(self) -> None:
        """Start everything and wait until it works."""
        self.prepare()
        self.recorder.begin()
        for name in PARTS:
            self.stack.start_process(name)
        for name in PARTS:
            self.stack.wait_for(f"{self.stack.url_of(name)}/readyz")

    def prepare(self) -> None:
        """All that comes before the daemons and servers."""
        for name in ("plans", "locks"):
            (self.plans / name).mkdir(parents=True)
        self.journal.touch()
        self._play_steps()
        self.start_cluster()
        place = self.stack.cluster
        self.cluster = KubernetesApi(
            place["url"], Path(place["ca_file"]), Path(place["token_file"]).read_text().strip(), NAMESPACE
        )
        self.cluster_http = FaultyHttp(
            [place["url"]], self.cluster_weather.choose, verify=place["ca_file"], retry_after_s=1
        )
        self.stack.cluster = place | {"url": self.cluster_http.url}
        self.stack.write_config(infrastructure_retries=RETRIES, patience_s=3600, resync_s=RESYNC_S)

    def start_cluster(self) -> None:
        self.stack.start_cluster("--history", str(HISTORY))

    def close(self) -> None:
        self.recorder.close()
        self.api_http.close()
        if hasattr(self, "cluster_http"):
            self.cluster_http.close()
            self.cluster.session.close()

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

    def restart(self, name: str, **environment: str) -> None:
        """End the process as a crash does and have it there again."""
        self.stack.kill(name)
        self.stack.start_process(name, **environment)

    def publish(self, bodies: Sequence[bytes]) -> int:
        """Put messages into the daemons' queue; returns how many came there, because the broker may be away."""
        published = 0
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            connection = pika.BlockingConnection(pika.URLParameters(self.broker.url()))
            channel = connection.channel()
            channel.confirm_delivery()
            for body in bodies:
                marked = pika.BasicProperties(delivery_mode=2, headers={OWN: True})
                channel.basic_publish("", QUEUE, body, marked)
                published += 1
            connection.close()
        return published

    def publish_garbage(self, bodies: Sequence[bytes]) -> int:
        """The same, with messages that have to be put aside."""
        self.garbage_tried |= set(bodies)
        count = self.publish(bodies)
        self.garbage += bodies[:count]
        return count


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
        parts.callback(made.close)
        parts.enter_context(made.stack)
        made.start()
        yield made


def now() -> float:
    """Seconds since the epoch; what journal, database and schedule are compared by."""
    return time.time()

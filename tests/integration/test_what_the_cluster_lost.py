"""Faults of the cluster under a whole site in this process: the step is done again, its history says why, and
nothing of the broken attempt stays."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando import embedded
from lando.client import LandoClient
from lando.client.views import RunView
from lando.config import ClusterSettings
from lando.embedded import NAMESPACE, EmbeddedStack
from lando.errors import NotFound
from lando.home import Home
from lando.k8s.cluster import KubernetesCluster
from lando.local.node.evictions import EvictionManager, Space
from tests.services.providing import wait_until

pytestmark = pytest.mark.timeout(180)

PATIENCE_S = 60.0
STEP = "stage_data"
PROGRAM = """#!/bin/sh
# In the place of Lando's own steps: python -m lando.steps.<step>
step=${2##*.}
echo "$step begins"
if [ "$step" = stage_data ]; then
  while [ -e HOLD ]; do sleep 0.05; done
fi
if [ "$step" = save_output ]; then
  printf '{"project_id": "p", "readme_file_id": "r"}' >"$LANDO_TERMINATION_LOG"
fi
"""
WORKFLOW = {
    "cwlVersion": "v1.2",
    "$graph": [{"class": "Workflow", "id": "#main", "inputs": [], "outputs": [], "steps": []}],
}


class Site:
    """A stack whose steps are a small script; ``hold`` keeps the first one at work."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.hold = folder / "hold"
        self.hold.touch()
        self.free: int | None = None
        """Bytes that are free on the node's disk; None: enough."""
        programs = folder / "programs"
        programs.mkdir()
        (programs / "python").write_text(PROGRAM.replace("HOLD", shlex.quote(str(self.hold))))
        (programs / "python").chmod(0o755)
        self.home.cluster.mkdir(parents=True)
        image = {"pattern": "lando-steps*", "env": {"PATH": f"{programs}:/usr/bin:/bin"}}
        (self.home.cluster / "images.yaml").write_text(yaml.safe_dump({"images": [image]}))
        self.stack: EmbeddedStack | None = None

    def start(self) -> None:
        self.stack = EmbeddedStack(self.home)
        self.stack.start()
        kubeconfig = str(self.home.cluster / "kubeconfig")
        self.cluster = KubernetesCluster(ClusterSettings(namespace=NAMESPACE, kubeconfig=kubeconfig))

    def stop(self) -> None:
        if self.stack is not None:
            self.cluster.close()
            self.stack.stop()
            self.stack = None

    @property
    def client(self) -> LandoClient:
        assert self.stack is not None
        return LandoClient(self.stack.client.url, self.stack.client.token)

    def begin(self) -> int:
        """A run whose first step is at work."""
        self.hold.touch()
        with self.client as client:
            tag = client.add_workflow("held", WORKFLOW)
            run = client.create_job(tag=tag, name="held", job_order={}, stage_group=client.create_stage_group())
            client.start(run)
        self.reach(run, lambda view: self.at_work(view) == 1)
        return run

    def at_work(self, view: RunView) -> int | None:
        """The number of the attempt of the first step that is at work, its program too."""
        newest = view.attempts[-1] if view.attempts else None
        if newest is None or newest.step != STEP or newest.state != "Running":
            return None
        pods = self.cluster.list("Pod", f"bespin-job-id={view.id}")
        if [pod["status"].get("phase") for pod in pods] != ["Running"]:
            return None
        try:
            log = self.cluster.pod_log(pods[0]["metadata"]["name"], pods[0]["spec"]["containers"][0]["name"])
        except NotFound:
            return None  # gone since
        return newest.number if log == f"{STEP} begins\n" else None

    def reach(self, run: int, test: Callable[[RunView], Any]) -> RunView:
        """The run as soon as ``test`` holds."""
        with self.client as client:
            wait_until(lambda: test(client.run(run)), PATIENCE_S, what="what the run was to come to")
            return client.run(run)

    def name(self, kind: str, run: int) -> str:
        """Of the only object of this kind that the run has."""
        (item,) = self.cluster.list(kind, f"bespin-job-id={run}")
        return str(item["metadata"]["name"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))

    def space(_folder: Path) -> Space:
        return Space(total=2**40, free=2**39 if made.free is None else made.free)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EvictionManager.__init__.__kwdefaults__, "space", space)  # type: ignore[arg-type, index]
        made.start()
        yield made
        made.stop()


@pytest.fixture
def site(running: Site, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Site]:
    """The one site of these tests; with a parameter started anew with so many retries."""
    retries = getattr(request, "param", None)
    if retries is not None:
        running.stop()
        monkeypatch.setattr(embedded, "INFRASTRUCTURE_RETRIES", retries)
        running.start()
    yield running
    if retries is not None:
        running.stop()
        monkeypatch.undo()
        running.start()


def delete_pod(site: Site, run: int) -> None:
    site.cluster.delete("Pod", site.name("Pod", run))


def delete_job(site: Site, run: int) -> None:
    site.cluster.delete("Job", site.name("Job", run))


def evict(site: Site, run: int) -> None:
    uid = site.cluster.get("Pod", site.name("Pod", run))["metadata"]["uid"]
    site.free = 2**20

    def is_evicted() -> bool:
        pods = [pod for pod in site.cluster.list("Pod") if pod["metadata"]["uid"] == uid]
        return all(pod["status"].get("reason") == "Evicted" for pod in pods)

    wait_until(is_evicted, PATIENCE_S, what="the eviction")
    site.free = None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (delete_pod, "was deleted from outside|is gone, so it was probably deleted"),
        (delete_job, "somebody else deleted it|deleted by somebody other than Lando"),
        (evict, "was evicted because its node ran out of disk space"),
    ],
    ids=["pod deleted", "Job deleted", "pod evicted"],
)
def test_the_step_is_done_again_and_the_history_says_why(
    site: Site, fault: Callable[[Site, int], None], said: str
) -> None:
    run = site.begin()
    fault(site, run)
    view = site.reach(run, lambda view: site.at_work(view) == 2)
    assert any(words in view.attempts[0].sentence for words in said.split("|")), view.attempts[0]
    assert (view.attempts[0].state, view.attempts[0].category) == ("Failed", "infrastructure")
    site.hold.unlink()
    ended = site.reach(run, lambda view: view.over)
    assert (ended.state, ended.cause) == ("Finished", "")
    assert [(one.step, one.number, one.state) for one in ended.attempts] == [
        (STEP, 1, "Failed"),
        (STEP, 2, "Complete"),
        *((step, 1, "Complete") for step in ("run_workflow", "organize_output", "save_output")),
    ]
    (retry,) = (row for row in ended.document["activities"] if (row["sentence"] or "").startswith("Attempt 1 ended"))
    assert retry["attempt"] == 2
    with site.client as client:
        first = "".join(client.logs(run, step=STEP, attempt=1))
        second = "".join(client.logs(run, step=STEP, attempt=2))
    assert first == "stage_data begins\n" or first.startswith("[There is no log: ")
    assert second == "stage_data begins\n"


def test_a_canceled_step_leaves_its_log(site: Site) -> None:
    run = site.begin()
    with site.client as client:
        client.cancel(run)
        site.reach(run, lambda view: view.state == "Canceled")
        assert "".join(client.logs(run, step=STEP)) == "stage_data begins\n"
        assert [one.state for one in client.run(run).attempts] == ["Canceled"]


@pytest.mark.parametrize("site", [1], indirect=True)
def test_after_the_limit_the_last_true_cause_is_told_with_the_number_of_tries(site: Site) -> None:
    run = site.begin()
    delete_job(site, run)
    site.reach(run, lambda view: site.at_work(view) == 2)
    delete_pod(site, run)
    # The attempt's own cause is told last.
    ended = site.reach(run, lambda view: view.over and view.cause and all(one.category for one in view.attempts))
    assert ended.state == "Error"
    assert "deleted" in ended.cause
    assert "The cluster has lost the step 2 times" in ended.cause
    assert [(one.number, one.state, one.category) for one in ended.attempts] == [
        (1, "Failed", "infrastructure"),
        (2, "Failed", "infrastructure"),
    ]


@pytest.mark.parametrize("site", [0], indirect=True)
def test_orderly_stops_cost_no_retry(site: Site) -> None:
    run = site.begin()
    for attempt in (2, 3):
        site.stop()
        site.start()
        site.reach(run, lambda view, attempt=attempt: site.at_work(view) == attempt)
    site.hold.unlink()
    ended = site.reach(run, lambda view: view.over)
    assert ended.state == "Finished"
    assert all("stopped in good order" in one.sentence for one in ended.attempts[:2])

"""A runtime of Duke's lando, images and all: a job end to end by the command lines and files of its step programs."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from lando import embedded
from lando.api import models as m
from lando.api import setup
from lando.config import Config, DataStoreSettings, RecordOutputProjectSettings
from lando.embedded import NAMESPACE, EmbeddedStack
from lando.home import Home
from sqlalchemy import select
from sqlalchemy.orm import Session
from tests.services import lando_util_image
from tests.services.lando_util_image.lando_util import PROJECT_ID, README_ID
from tests.services.providing import wait_until

pytestmark = pytest.mark.timeout(180)

PATIENCE_S = 90.0
ACCOUNT, SECRET = "annotation-writer", "ddsclient-agent"
AGENT_KEY = "agent-5f7c"
COMMANDS = {
    "stage_data": ["python", "-m", "lando_util.stagedata"],
    "run_workflow": ["calrissian", "--debug"],
    "organize_output": ["python", "-m", "lando_util.organize_project"],
    "save_output": ["python", "-m", "lando_util.upload"],
    "record_output_project": ["oc"],  # the original runs sh in its place
}
WORKFLOW = {
    "cwlVersion": "v1.0",
    "$graph": [{"class": "Workflow", "id": "#main", "inputs": {"reads": "File"}, "outputs": [], "steps": []}],
}


class DukeSite:
    """The embedded stack with a runtime, a storage and settings as Duke's site has them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = Home(folder / "home")
        self.storage = folder / "storage"
        self.storage.mkdir()
        (self.storage / "5b0f").write_text("ACGT")
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name, module in {"calrissian": "calrissian", "oc": "annotate", "kubectl": "annotate"}.items():
            (self.programs / name).write_text(f'#!/bin/sh\nexec python -m lando_util.{module} "$@"\n')
            (self.programs / name).chmod(0o755)
        ensure, config = setup.ensure_embedded_site, embedded._config

        def ensure_with_runtime(session: Session, **arguments: Any) -> setup.EmbeddedSite:
            site = ensure(session, **arguments)
            _give_runtime(session)
            return site

        def config_of_duke(*arguments: Any) -> Config:
            ours = config(*arguments)
            return dataclasses.replace(
                ours,
                work_queue=dataclasses.replace(ours.work_queue, message_format="pickle"),
                data_store_settings=DataStoreSettings(secret_name=SECRET),
                record_output_project_settings=RecordOutputProjectSettings(service_account_name=ACCOUNT),
            )

        monkeypatch.setattr(setup, "ensure_embedded_site", ensure_with_runtime)
        monkeypatch.setattr(embedded, "_config", config_of_duke)
        self.stack = EmbeddedStack(self.home)

    def __enter__(self) -> DukeSite:
        self.stack.start()
        kubeconfig = yaml.safe_load((self.home.cluster / "kubeconfig").read_text())
        self._cluster = f"{kubeconfig['clusters'][0]['cluster']['server']}/api/v1/namespaces/{NAMESPACE}"
        path = os.pathsep.join([str(self.programs), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
        env = {
            "PATH": path,
            "PYTHONPATH": str(Path(lando_util_image.__path__[0])),
            "CLUSTER_URL": self._cluster,
            "CLUSTER_CA": str(self.home.cluster / "ca.crt"),
            "CLUSTER_TOKEN_FILE": str(self.home.cluster / "token"),
        }
        images = [{"pattern": pattern, "env": env} for pattern in ("dukegcb/*", "calrissian:*")]
        (self.home.cluster / "images.yaml").write_text(yaml.safe_dump({"images": images}))
        conf = f"url: file://{self.storage}\nagent_key: {AGENT_KEY}\nuser_key: user-1a2b\n"
        self.create("secrets", {"metadata": {"name": SECRET}, "stringData": {"config": conf}})
        self.create("serviceaccounts", {"metadata": {"name": ACCOUNT}})
        return self

    def __exit__(self, *_error: object) -> None:
        self.stack.stop()

    def create(self, resource: str, document: dict[str, Any]) -> None:
        token = (self.home.cluster / "token").read_text().strip()
        answer = requests.post(
            f"{self._cluster}/{resource}",
            json=document,
            headers={"Authorization": f"Bearer {token}"},
            verify=str(self.home.cluster / "ca.crt"),
            timeout=10,
        )
        assert answer.ok, answer.text

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": f"Token {self.stack.client.token}"}
        url = f"{self.stack.client.url}/api/{path}"
        answer = requests.request(method, url, headers=headers, timeout=30, **arguments)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create_job(self) -> int:
        """A job with an input of the data service."""
        tag = self.call("POST", "lando/v1/workflows", json={"name": "count", "packed": WORKFLOW})["tag"]
        group = self.call("POST", "v2/job-file-stage-groups/", json={})["id"]
        credential = self.call("GET", "v2/dds-user-credentials/")[0]["id"]
        file = {"stage_group": group, "project_id": "p", "file_id": "5b0f", "dds_user_credentials": credential}
        place = {"destination_path": "reads.fastq", "size": 4, "sequence_group": 0, "sequence": 0}
        self.call("POST", "v2/dds-job-input-files/", json={**file, **place})
        order = {"reads": {"class": "File", "path": "reads.fastq"}}
        job = {"tag": tag, "name": "count them", "fund_code": "F-1", "stage_group": group, "job_order": order}
        return int(self.call("POST", "v2/job-templates/create-job", json=job)["job"])


def _give_runtime(session: Session) -> None:
    [strategy] = session.scalars(select(m.JobStrategy))
    strategy.job_settings.lando_connection.message_format = "pickle"
    runtime = strategy.job_settings.runtime
    flavor_id = runtime.steps[0].flavor_id
    runtime.steps = [
        m.JobRuntimeStep(
            step_type=step,
            image_name="calrissian:0.9" if step == "run_workflow" else "dukegcb/lando-util:0.5.4",
            base_command=command,
            flavor_id=flavor_id,
        )
        for step, command in COMMANDS.items()
    ]
    [group] = session.scalars(select(m.ShareGroup))
    group.users = [m.StorageUser(name="ada", dds_id="1c1c")]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DukeSite]:
    with DukeSite(tmp_path, monkeypatch) as site:
        yield site


def test_a_job_runs_by_the_originals_images(site: DukeSite, caplog: pytest.LogCaptureFixture) -> None:
    job = site.create_job()
    site.call("POST", f"v2/jobs/{job}/start/", json={})
    ended: dict[str, Any] = {}

    def has_ended() -> bool:
        ended.update(site.call("GET", f"v2/jobs/{job}/"))
        return ended["state"] in "FEC"

    wait_until(has_ended, PATIENCE_S, what="the job's end")
    assert (ended["state"], ended["job_errors"]) == ("F", [])
    run = site.call("GET", f"lando/v1/runs/{job}")
    # From the annotations of the record step's pod: nothing else told them.
    assert (run["outputs"], run["readme"]) == (PROJECT_ID, README_ID)
    [saved] = (site.storage / "projects").iterdir()
    assert json.loads((saved / "results/sizes.json").read_text()) == {"reads": 4}
    assert json.loads((saved / "told.json").read_text()) == {
        "share": {"dds_user_ids": ["1c1c"]},
        "used": ["version-of-5b0f"],
    }
    activities = site.call("GET", f"job-activities/?job={job}")
    assert [(one["state"], one["step"]) for one in activities if one["state"] == "R"] == [
        ("R", step) for step in ("", "V", "S", "R", "o", "O", "P")
    ]
    assert AGENT_KEY not in caplog.text

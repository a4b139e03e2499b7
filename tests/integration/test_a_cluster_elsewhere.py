"""Daemons here, the cluster in another network, behind TLS with an authority of its own: the link is cut, the token
rotates, and nothing is lost."""

from __future__ import annotations

import secrets
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from lando.client import LandoClient
from lando.client.views import RunView
from tests.services import certificates
from tests.services.elsewhere import Elsewhere, elsewhere
from tests.services.providing import end_group, start_group, wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.service("netns"), pytest.mark.timeout(180)]

PATIENCE_S = 90.0
PROGRAM = """#!/bin/sh
# In the place of Lando's own steps: python -m lando.steps.<step>
step=${2##*.}
if [ "$step" = stage_data ]; then
  while [ -e HOLD ]; do sleep 0.05; done
  touch HOLD.over
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
    """The stack, the other network, and in it the cluster with its front."""

    def __init__(self, stack: Stack, network: Elsewhere) -> None:
        self.stack = stack
        self.network = network
        self.hold = stack.folder / "hold"
        self.home = stack.folder / "cluster"
        self._front: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        programs = self.stack.folder / "programs"
        programs.mkdir()
        (programs / "python").write_text(PROGRAM.replace("HOLD", shlex.quote(str(self.hold))))
        (programs / "python").chmod(0o755)
        self.home.mkdir()
        image = {"pattern": "lando-steps*", "env": {"PATH": f"{programs}:/usr/bin:/bin"}}
        (self.home / "images.yaml").write_text(yaml.safe_dump({"images": [image]}))
        self.stack.start_cluster(within=self.network.within)
        inside = self.stack.cluster
        files = certificates.make(self.stack.folder / "tls", address=self.network.there)
        command = [sys.executable, "-m", "tests.services.elsewhere", "0", str(files.server), str(files.server_key)]
        command += [str(urlsplit(inside["url"]).port), inside["ca_file"]]
        root = Path(__file__).parents[2]
        self._front = start_group([*self.network.within, *command], cwd=root, stdout=subprocess.PIPE)
        assert self._front.stdout is not None
        port = int(self._front.stdout.readline())
        self.token_files = {name: self.stack.folder / f"{name}.token" for name in ("lando", "watcher")}
        self.show_token()
        self.stack.cluster = {
            "url": f"https://{self.network.there}:{port}",
            "ca_file": str(files.ca),
            "namespace": inside["namespace"],
            "token_files": self.token_files,
        }
        self.stack.start()

    def show_token(self) -> None:
        """Write the token of the cluster where the daemons look for it."""
        for file in self.token_files.values():
            file.write_text((self.home / "token").read_text())

    def rotate(self) -> None:
        """Give the cluster another token, as only a restart does here, and the daemons' files too."""
        self.stack.kill("cluster", signal.SIGTERM)
        (self.home / "token").write_text(secrets.token_urlsafe(32))
        known = self.stack.cluster
        self.stack.start_cluster(within=self.network.within)
        self.stack.cluster = known
        self.show_token()

    def close(self) -> None:
        if self._front is not None:
            end_group(self._front)
            if self._front.stdout:
                self._front.stdout.close()

    def begin(self, client: LandoClient) -> int:
        tag = client.add_workflow("held", WORKFLOW)
        run = client.create_job(tag=tag, name="held", job_order={}, stage_group=client.create_stage_group())
        client.start(run)
        return run


@pytest.fixture
def site(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str) -> Iterator[Site]:
    with elsewhere() as network, Stack(tmp_path, rabbitmq.url, queue_name) as stack:
        made = Site(stack, network)
        try:
            made.start()
            yield made
        finally:
            made.close()


def reach(client: LandoClient, run: int, test: Any) -> RunView:
    wait_until(lambda: bool(test(client.run(run))), PATIENCE_S, what="what the run was to come to")
    return client.run(run)


def has_finished_at_once(view: RunView) -> bool:
    """Over well, each step by its first attempt."""
    if view.over:
        assert (view.state, {one.number for one in view.attempts}) == ("Finished", {1}), view.document
    return view.over


def test_a_cut_link_and_a_new_token_cost_nothing_but_time(site: Site) -> None:
    stack, over = site.stack, site.hold.with_name("hold.over")
    with LandoClient(stack.url, stack.signin.user) as client:
        site.hold.touch()
        first = site.begin(client)
        reach(client, first, lambda view: view.attempts and view.attempts[-1].state == "Running")

        site.network.cut()
        site.hold.unlink()
        wait_until(over.exists, PATIENCE_S, what="the end of the step behind the link")
        second = site.begin(client)
        assert client.run(first).attempts[-1].state == "Running", "nobody here can know yet"
        site.network.heal()
        reach(client, first, has_finished_at_once)
        reach(client, second, has_finished_at_once)

        site.rotate()
        third = site.begin(client)
        reach(client, third, has_finished_at_once)
        assert "a credential was refused; its file holds a new one" in stack.log("lando")
    doctor = stack.command("doctor", str(stack.config_file("lando")), check=False)
    assert doctor.returncode == 0, doctor.stdout
    assert "the certificate is trusted" in doctor.stdout

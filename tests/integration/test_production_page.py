"""docs/production.md: each of its commands is run, in order, against real services.

RabbitMQ and PostgreSQL are real, kubectl too; the embedded cluster stands in for Kubernetes, a script for systemd and a
folder for the bucket. A block that says in the page's source why it is not run here is run or checked elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from lando.api.setup import EMBEDDED_IMAGE
from tests.services.kubectl import find_kubectl, find_kustomize
from tests.services.postgres import LocalPostgres
from tests.services.providing import end_group, free_port, need_programs, start_group
from tests.services.rabbitmq import LocalServer

pytestmark = [
    pytest.mark.service("rabbitmq"),
    pytest.mark.service("postgres"),
    pytest.mark.service("kubectl"),
    pytest.mark.timeout(480),
]
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "production.md"
_BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+?) -->\n)?```sh\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = ("not run:", "real cluster:")

SUDO = """#!/bin/bash
# Whoever is to run a command: here it is the user who runs the test.
while [[ $1 == -* ]]; do [[ $1 != -u ]] || shift; shift; done
exec "$@"
"""
SYSTEMCTL = """#!/bin/bash
# `systemctl enable --now UNIT…` starts what the units say, as systemd would.
[[ $1 == enable ]] || exit 0
for unit in "${@:3}"; do
  file=UNITS/${unit/@*/@}.service instance=${unit#*@}
  environment=$(sed -n "s/^Environment=//p" "$file")
  command=$(sed -n "s/%i/$instance/g; s/^ExecStart=//p" "$file")
  env $environment $command >UNITS/$unit.log 2>&1 </dev/null &
done
"""


def blocks() -> list[tuple[str, str]]:
    """The page's commands by fenced block, each with what the page's source says before it."""
    return [(found["mark"] or "", found["script"]) for found in _BLOCK.finditer(PAGE.read_text())]


@pytest.fixture
def broker(rabbitmq_server: LocalServer) -> Iterator[LocalServer]:
    yield rabbitmq_server
    gone = ("rabbit_vhost:delete", "rabbit_auth_backend_internal:delete_user")
    rabbitmq_server.control("eval", ", ".join(f'{forget}(<<"lando">>, <<"test">>)' for forget in gone) + ".")


@pytest.fixture
def database(postgres_server: LocalPostgres) -> LocalPostgres:
    """A server whose administrator is called postgres, as that of a distribution."""
    import psycopg

    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE postgres SUPERUSER LOGIN")
    with psycopg.connect(postgres_server.url().replace("lando@", "postgres@"), autocommit=True) as connection:
        connection.execute("ALTER ROLE lando RENAME TO somebody")
    return postgres_server


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An embedded cluster; two of its users stand in for the accounts of the daemons."""
    command = [sys.executable, "-m", "lando.local", "--home", str(tmp_path / "cluster"), "--namespace", "default"]
    command += ["--user", "lando", "--user", "lando-watcher"]
    with (tmp_path / "cluster.log").open("wb") as log:
        process = start_group(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        end_group(process)
        process.stdout.close()


def test_each_command_of_the_page_does_what_it_says(
    tmp_path: Path, broker: LocalServer, database: LocalPostgres, cluster: dict[str, str]
) -> None:
    need_programs("curl", "jq", "openssl")
    etc, units, programs, here = (tmp_path / name for name in ("etc", "units", "bin", "here"))
    for folder in (etc, units, programs, here, tmp_path / "var", tmp_path / "store"):
        folder.mkdir()
    for name, text in (
        ("sudo", SUDO),
        ("systemctl", SYSTEMCTL.replace("UNITS", str(units))),
        ("rabbitmqctl", f'#!/bin/bash\nexec {broker.shell_command()} "$@"\n'),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "kubectl").symlink_to(find_kubectl())
    (here / "examples").symlink_to(ROOT / "examples")
    # What the blocks that are not run here leave behind.
    for account in ("lando", "lando-watcher"):
        (etc / f"{account}.token").write_text((tmp_path / "cluster" / "users" / account / "token").read_text())
    (etc / "cluster-ca.crt").write_text(Path(cluster["ca_file"]).read_text())
    (etc / "store.json").write_text("{}")

    ports = {name: str(free_port()) for name in ("8000", "9108", "9109")}
    replaced = {
        # Names of hosts, of the bucket and of the image; the servers here are without TLS.
        "amqps://": "amqp://",
        "mq.example.org": f"127.0.0.1:{broker.port}",
        "db.example.org": f"127.0.0.1:{database.port}",
        "https://lando.example.org": f"http://127.0.0.1:{ports['8000']}",
        "https://api.cluster.example.org:6443": cluster["url"],
        "gs://example-lando": (tmp_path / "store").as_uri(),
        "registry.example.org/lando:1.0.0": EMBEDDED_IMAGE,
        # Folders and ports of the machine, and its group.
        "/etc/lando/": f"{etc}/",
        "/etc/systemd/system/": f"{units}/",
        "/var/lib/lando": str(tmp_path / "var"),
        "/opt/lando/bin": str(Path(sys.executable).parent),
        "chgrp lando ": "test -f ",
        **ports,
        # The API server is on loopback here, from where pods fetch only if told so.
        "log_level: INFO\n": "log_level: INFO\nstaging: {allow_local_addresses: true}\n",
    }
    script = "set -euo pipefail\n" + "".join(text for mark, text in blocks() if not mark.startswith(NOT_HERE))
    assert [words for words in replaced if words not in script] == [], "no longer on the page"
    # In one go: what comes in place of one may hold the digits of another.
    script = re.sub("|".join(map(re.escape, replaced)), lambda found: replaced[found[0]], script)
    environment = {
        "PATH": f"{programs}:{database.programs}:{os.environ.get('PATH', '/usr/bin:/bin')}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "KUBECONFIG": cluster["kubeconfig"],
        **{"PGHOST": "127.0.0.1", "PGPORT": str(database.port), "PGUSER": "postgres"},
    }
    with (tmp_path / "page.log").open("w+b") as log:
        shell = start_group(["bash", "-x", "-c", script], env=environment, cwd=here, stdout=log, stderr=log)
        try:
            status = shell.wait(420)
        finally:
            end_group(shell)
        log.seek(0)
        told = log.read().decode()
    daemons = "".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in units.glob("*.log"))
    assert status == 0, told[-6000:] + daemons

    assert (here / "results" / "results" / "summary.tsv").read_text().count("\n") == 5
    assert "fastq-qc/1.0.0/default" in told
    assert "quorum" in broker.control("list_queues", "--vhost", "lando", "name", "type")


@pytest.mark.service("kubernetes")
def test_the_commands_for_a_real_cluster_give_each_daemon_its_account_and_token(
    tmp_path: Path, kubeconfig: Path
) -> None:
    """By hand, as CI has none: LANDO_TEST_KUBECONFIG or LANDO_TEST_CONTROL_PLANE name a cluster."""
    namespace = f"lando-{uuid.uuid4().hex[:8]}"
    own = tmp_path / "kubeconfig"  # the page changes its context
    own.write_bytes(kubeconfig.read_bytes())
    chosen = [text for mark, text in blocks() if mark.startswith("real cluster:") or "kubectl create namespace" in text]
    script = "set -euo pipefail\n" + "".join(chosen)
    script = script.replace("lando-job-runner", namespace).replace("/etc/lando/", f"{tmp_path}/")
    kubectl = [find_kustomize(), "--kubeconfig", str(own)]
    try:
        done = subprocess.run(
            ["bash", "-x", "-c", script],
            env={**os.environ, "KUBECONFIG": str(own)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for account, verb, told in (("lando", "create", "yes"), ("lando-watcher", "create", "no")):
            asking = [*kubectl, "--token", (tmp_path / f"{account}.token").read_text(), "--namespace", namespace]
            asked = subprocess.run(
                [*asking, "auth", "can-i", verb, "jobs"], capture_output=True, text=True, timeout=60, check=False
            )
            assert asked.stdout.strip() == told
        assert "BEGIN CERTIFICATE" in (tmp_path / "cluster-ca.crt").read_text()
    finally:
        subprocess.run([*kubectl, "delete", "namespace", namespace, "--wait=false"], timeout=60, check=True)

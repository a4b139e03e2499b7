"""Secrets planted wherever a site has some stay where they belong, through whole jobs and refused logins, at DEBUG."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from tests.services.health import asked
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.rabbitmq import LocalServer, RabbitMQ
from tests.services.stack import NAMESPACE, Stack
from tests.services.user import User

pytestmark = [pytest.mark.service("rabbitmq"), pytest.mark.timeout(300)]

BROKER = 'broker-s3cret/p@ss:w%rd"#1'
WRONG_BROKER = "wrong-broker-s3cret-2"
WRONG_API = "9" * 39 + "b"
WRONG_CLUSTER = "wrong-cluster-s3cret-3"
STORE = "store-s3cret-AKIA-4"
LOGIN = "url-passw0rd-5"
SIGNATURE = "url-s1gnature-6"
SECRET_NAME = "store-credential"
KINDS = ("jobs", "pods", "configmaps", "persistentvolumeclaims", "events")


class Told:
    """Everything that anybody said, by where."""

    def __init__(self) -> None:
        self._texts: dict[str, set[str]] = {}

    def add(self, where: str, text: str) -> None:
        self._texts.setdefault(where, set()).add(text)

    def where(self, secret: str) -> set[str]:
        """The places that show ``secret``, as it is or as a URL spells it."""
        forms = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        return {place for place, texts in self._texts.items() for text in texts if any(form in text for form in forms)}

    def __len__(self) -> int:
        return len(self._texts)


@contextmanager
def files_with_a_login() -> Iterator[str]:
    """A server of files whose URLs carry a login and a signature; what lies below ``refused`` it refuses."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_refused = self.path.startswith("/refused") or "Authorization" not in self.headers
            self.send_response(403 if is_refused else 200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"input")

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://ada:{LOGIN}@127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@contextmanager
def secret_login(server: LocalServer, url: str) -> Iterator[str]:
    """A URL of the broker with a password to be kept; all messages are traced meanwhile."""
    server.control("add_user", "kept", BROKER)
    server.control("set_permissions", "kept", ".*", ".*", ".*")
    server.control("trace_on")
    broker = urlsplit(url)
    yield f"amqp://kept:{quote(BROKER, safe='')}@{broker.hostname}:{broker.port}/"
    server.control("trace_off")
    server.control("delete_user", "kept")


@pytest.fixture
def site(tmp_path: Path, rabbitmq: RabbitMQ, rabbitmq_server: LocalServer, queue_name: str) -> Iterator[Stack]:
    with secret_login(rabbitmq_server, rabbitmq.url) as url, Stack(tmp_path, url, queue_name) as stack:
        stack.start_cluster()
        settings(stack)
        for name in ("server", "lando", "watcher"):
            stack.start_process(name, LANDO_API_LOG_LEVEL="DEBUG", LANDO_API_LOG_FORMAT="json")
        for name in ("server", "lando", "watcher"):
            stack.wait_for(f"{stack.url_of(name)}/readyz")
        yield stack


def settings(stack: Stack, **changes: Any) -> None:
    """The daemons' settings, as talkative as can be."""
    store = {"url": stack.results.as_uri(), "secret_name": SECRET_NAME}
    stack.write_config(log_level="DEBUG", log_format="json", data_store_settings=store, **changes)


def add_input(user: User, job: int, url: str) -> None:
    body = {"stage_group": user.job(job)["stage_group"], "url": url, "destination_path": "extra.txt"}
    user.call("POST", "/api/v2/url-job-input-files/", json={**body, "sequence_group": 0, "sequence": 99})


def drain(channel: Any, queue: str, told: Told) -> None:
    while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
        _, properties, body = got
        told.add("messages", f"{properties.headers}{body!r}")


def test_planted_secrets_show_up_nowhere(site: Stack, rabbitmq: RabbitMQ) -> None:
    user, told, ended = User(site), Told(), threading.Event()
    token = Path(site.cluster["token_file"]).read_text().strip()
    cluster = KubernetesApi(site.cluster["url"], Path(site.cluster["ca_file"]), token, NAMESPACE)
    credential = f"[default]\naws_access_key_id = x\naws_secret_access_key = {STORE}\n"
    secret = {"metadata": {"name": SECRET_NAME}, "stringData": {"config": credential}, "kind": "Secret"}
    cluster.session.post(f"{cluster.url}/api/v1/namespaces/{NAMESPACE}/secrets", json=secret).raise_for_status()

    def watch_manifests() -> None:
        while not ended.wait(0.1):
            for kind in KINDS:
                for item in cluster.session.get(cluster.url + cluster.path(kind)).json()["items"]:
                    told.add(f"{kind} {item['metadata']['name']}", json.dumps(item))

    watching = threading.Thread(target=watch_manifests)
    with files_with_a_login() as files, rabbitmq.connect() as connection:
        channel = connection.channel()
        trace = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(trace, "amq.rabbitmq.trace", "#")
        watching.start()
        query = f"X-Amz-Signature={SIGNATURE}&token={SIGNATURE}"
        jobs = {"kept": user.create_job("fastq-qc"), "refused": user.create_job("fastq-qc")}
        for folder, job in jobs.items():
            add_input(user, job, f"{files}/{folder}/data.txt?{query}")
            user.act(job, "start")
        try:
            assert [user.wait_for_end(job)["state"] for job in jobs.values()] == ["F", "E"]
            drain(channel, trace, told)
        finally:
            ended.set()
            watching.join(30)

    for job in jobs.values():
        told.add("the job", json.dumps(user.job(job)))
        told.add("the run", json.dumps(user.run(job)))
        for part in ("logs", "evidence"):
            told.add(f"its {part}", site.request("GET", f"/api/lando/v1/runs/{job}/{part}").text)
        for words in (("status", str(job)), ("explain", str(job)), ("logs", str(job))):
            done = site.command(*words, check=False)
            told.add(f"lando {words[0]}", done.stdout + done.stderr)
    refused = json.dumps(user.job(jobs["refused"])["job_errors"])
    assert "403" in refused, refused

    go_wrong(site, told)
    for name in ("server", "lando", "watcher"):
        for path in ("metrics", "healthz", "readyz"):
            told.add(f"{path} of {name}", requests.get(f"{site.url_of(name)}/{path}", timeout=10).text)
    for name in ("server", "lando", "watcher", "cluster", "lando-2", "lando-3", "lando-4"):
        assert site.log(name) or name == "cluster", f"{name} said nothing"
        told.add(f"log of {name}", site.log(name))
    for file in (path for path in (site.folder / "archive").rglob("*") if path.is_file()):
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        told.add(f"archive {file.name}", content.decode("utf-8", "replace"))

    assert len(told) > 40, "something was heard from everybody"
    key = (site.folder / "home" / "server.key").read_text().strip()
    nowhere = [BROKER, WRONG_BROKER, WRONG_API, WRONG_CLUSTER, STORE, token, key, *vars(site.signin).values()]
    assert {secret: told.where(secret) for secret in nowhere if told.where(secret)} == {}
    only_where_it_is_fetched = told.where(LOGIN) | told.where(SIGNATURE)
    staged = {f"configmaps stage-data-{job}-ada" for job in jobs.values()}
    assert only_where_it_is_fetched, "the pods were told where to fetch"
    assert only_where_it_is_fetched <= staged


def go_wrong(site: Stack, told: Told) -> None:
    """Daemons with credentials that are refused by broker, API and cluster; each says so."""
    broker = {**site._config["work_queue"], "password": WRONG_BROKER}
    api = {**site._config["bespin_api"], "token": WRONG_API}
    wrong_token = site.folder / "wrong-token"
    wrong_token.write_text(WRONG_CLUSTER)
    settings(site, work_queue=broker)
    site.start_process("lando-2")
    settings(site, bespin_api=api)
    site.start_process("lando-3")
    settings(site)
    site.cluster["token_files"]["lando"] = str(wrong_token)
    site.start_process("lando-4")
    for name, sign in (("lando-2", "refused user 'kept'"), ("lando-3", "401"), ("lando-4", "nauthorized")):

        def refused(name: str = name, sign: str = sign) -> bool:
            try:
                status, body = asked(f"{site.url_of(name)}/readyz")
            except OSError:
                return False
            told.add(f"readyz of {name}", body)
            return status == 503 and sign in body

        wait_until(refused, 60, what=f"the refusal of {name}")
        told.add(f"metrics of {name}", requests.get(f"{site.url_of(name)}/metrics", timeout=10).text)
        done = site.command("doctor", str(site.config_file(name)), check=False)
        assert done.returncode == 1, done.stdout
        told.add(f"doctor of {name}", done.stdout + done.stderr)

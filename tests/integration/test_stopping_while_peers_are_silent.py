"""SIGTERM and SIGINT end a daemon in order whatever it waits for; what it had in hand is handed back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
import yaml
from lando.stopping import GRACE_S
from tests.services.providing import end_group, free_port, start_group, wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.silent import SilentPeer, silent_peer
from tests.services.vectors import GOOD

START = GOOD["V1"]  # a legacy start of a job
SLACK_S = 30.0  # on top of the grace, for a machine under load

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def silent() -> Iterator[SilentPeer]:
    with silent_peer() as peer:
        yield peer


@pytest.fixture
def config(tmp_path: Path, silent: SilentPeer) -> dict[str, Any]:
    """Settings with which every peer is silent."""
    return {
        "work_queue": {
            "host": "127.0.0.1",
            "port": silent.port,
            "username": "guest",
            "password": "guest",
            "listen_queue": "lando",
        },
        "cluster_api_settings": {"host": f"http://127.0.0.1:{silent.port}", "namespace": "n", "token": "t0ken"},
        "bespin_api": {"url": f"http://127.0.0.1:{silent.port}/api/v2", "token": "t0ken"},
        "archive": {"url": (tmp_path / "archive").as_uri()},
        "log_level": "INFO",
        "record_output_project_settings": {},
    }


@pytest.fixture
def start(tmp_path: Path, config: dict[str, Any]) -> Iterator[Start]:
    """Starts ``lando`` or ``watcher`` with the settings as they are by then; ended afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def run(name: str, file: Path | None = None) -> subprocess.Popen[bytes]:
        if file is None:
            file = tmp_path / "k8s.config"
            file.write_text(yaml.safe_dump(config))
        with (tmp_path / f"{name}.log").open("ab") as log:
            process = start_group(
                [sys.executable, "-m", f"lando.k8s.{name}", str(file)],
                stdout=log,
                stderr=log,
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            )
        started.append(process)
        return process

    yield run
    for process in started:
        end_group(process, first=signal.SIGKILL)


@pytest.fixture
def log(tmp_path: Path) -> Callable[[str], str]:
    return lambda name: (tmp_path / f"{name}.log").read_text()


def told_to_end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(GRACE_S + SLACK_S)


def use(config: dict[str, Any], rabbitmq: RabbitMQ, queue: str) -> None:
    """Have the broker of ``config`` be the real one."""
    broker = pika.URLParameters(rabbitmq.url)
    config["work_queue"] |= {
        "host": broker.host,
        "port": broker.port,
        "username": broker.credentials.username,
        "password": broker.credentials.password,
        "virtual_host": broker.virtual_host,
        "listen_queue": queue,
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["lando", "watcher"])
def test_a_daemon_whose_peers_are_silent_ends_when_it_is_told_to(
    start: Start, log: Callable[[str], str], silent: SilentPeer, name: str, number: signal.Signals
) -> None:
    process = start(name)
    assert silent.asked.wait(60)
    assert told_to_end(process, number) == 0
    assert "Traceback" not in log(name)


@pytest.mark.parametrize("name", ["lando", "watcher"])
def test_a_daemon_whose_peers_are_away_ends_when_it_is_told_to(
    start: Start, log: Callable[[str], str], config: dict[str, Any], name: str
) -> None:
    nobody = free_port()
    config["work_queue"]["port"] = nobody
    config["cluster_api_settings"]["host"] = f"http://127.0.0.1:{nobody}"
    process = start(name)
    wait_until(lambda: "Connection refused" in log(name), 60, what="the refusal")
    assert told_to_end(process) == 0
    assert "Traceback" not in log(name)


@pytest.mark.parametrize("name", ["lando", "watcher"])
def test_a_daemon_that_is_told_to_end_while_it_starts_ends_in_order(
    start: Start, log: Callable[[str], str], config: dict[str, Any], tmp_path: Path, name: str
) -> None:
    file = tmp_path / "slow.config"
    os.mkfifo(file)
    process = start(name, file)
    with file.open("w") as slow:  # which waits until the daemon reads
        process.send_signal(signal.SIGTERM)
        slow.write(yaml.safe_dump(config))
    assert process.wait(GRACE_S + SLACK_S) == 0
    assert "Traceback" not in log(name)


@pytest.mark.service("rabbitmq")
def test_a_message_in_hand_is_handed_back_when_the_api_stays_silent(
    start: Start, config: dict[str, Any], silent: SilentPeer, rabbitmq: RabbitMQ, queue_name: str
) -> None:
    use(config, rabbitmq, queue_name)
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        channel.queue_declare(queue_name, durable=True)
        channel.basic_publish("", queue_name, START, pika.BasicProperties(delivery_mode=2))

        def ready() -> int:
            return int(channel.queue_declare(queue_name, passive=True).method.message_count)

        wait_until(lambda: ready() == 1, 20, what="the message")
        process = start("lando")
        wait_until(lambda: ready() == 0 and silent.asked.is_set(), 60, what="the daemon's look")

        assert told_to_end(process) == 0
        wait_until(lambda: ready() == 1, 20, what="the message's return")
        method, properties, body = channel.basic_get(queue_name, auto_ack=True)
    assert body == START
    assert not properties.headers, "a stop is no failure of the message"
    assert method.redelivered


@pytest.mark.service("rabbitmq")
def test_a_second_signal_ends_a_daemon_at_once(
    start: Start, config: dict[str, Any], silent: SilentPeer, rabbitmq: RabbitMQ, queue_name: str, log: Any
) -> None:
    use(config, rabbitmq, queue_name)
    process = start("lando")
    wait_until(lambda: "Active on" in log("lando"), 60, what="being active")
    with rabbitmq.connect() as connection:
        connection.channel().basic_publish("", queue_name, START)
    assert silent.asked.wait(60)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in log("lando"), 20, what="the orderly end to begin")
    process.send_signal(signal.SIGTERM)
    assert process.wait(SLACK_S) == 128 + signal.SIGTERM

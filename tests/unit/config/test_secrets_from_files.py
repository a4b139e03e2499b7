from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest
from lando import config, logs
from lando.config import WorkQueueSettings
from lando.config.secrets import Credential, FileSecret, current
from lando.queues.rabbitmq.parameters import Brokers


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first-secret\n")
    return path


def test_a_secret_of_the_configuration_remembers_its_file(token_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "k8s.config"
    file.write_text(
        "work_queue: {listen_queue: lando, url: 'memory://x'}\n"
        "cluster_api_settings: {host: 'https://k8s', namespace: n, token: in-the-file}\n"
        f"bespin_api: {{url: 'https://bespin/api/v2', token_file: {token_file}}}\n"
    )
    settings = config.load(file, environ={})
    token_file.write_text("second-secret\n")

    assert settings.bespin_api.token == "first-secret"
    assert current(settings.bespin_api.token) == "second-secret"
    assert current(settings.cluster_api_settings.token or "") == "in-the-file"


def test_a_refused_secret_is_read_again_and_told_from_one_that_is_simply_wrong(token_file: Path) -> None:
    credential = Credential(FileSecret("first-secret", str(token_file)))
    assert not credential.renewed("first-secret")

    token_file.write_text("second-secret")
    assert credential.value == "first-secret", "read when refused, not before"
    assert credential.renewed("first-secret")
    assert credential.value == "second-secret"
    assert credential.renewed("first-secret"), "another thread that used the old one tries again, too"
    assert not credential.renewed("second-secret")


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_that_is_just_being_replaced_leaves_the_known_secret_in_use(
    token_file: Path, content: bytes | None
) -> None:
    credential = Credential(FileSecret("first-secret", str(token_file)))
    token_file.unlink()
    if content is not None:
        token_file.write_bytes(content)
    assert not credential.renewed("first-secret")
    assert credential.value == "first-secret"


def test_many_threads_that_are_refused_at_once_all_come_to_the_new_secret(token_file: Path) -> None:
    credential = Credential(FileSecret("first-secret", str(token_file)))
    token_file.write_text("second-secret")
    renewed: list[bool] = []
    threads = [threading.Thread(target=lambda: renewed.append(credential.renewed("first-secret"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert renewed == [True] * 8


def test_a_secret_read_later_is_masked_in_logs(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="INFO", secrets=["first-secret"])
    token_file.write_text("second-secret")
    current(FileSecret("first-secret", str(token_file)))
    logging.getLogger("x").info("first-secret and second-secret")
    assert "secret" not in capsys.readouterr().out


def test_the_brokers_password_and_url_are_read_for_each_connection(token_file: Path, tmp_path: Path) -> None:
    with_password = Brokers(
        WorkQueueSettings(
            listen_queue="q", host="rabbit", username="u", password=FileSecret("first-secret", str(token_file))
        )
    )
    url_file = tmp_path / "url"
    url_file.write_text("amqp://u:one@rabbit/")
    with_url = Brokers(WorkQueueSettings(listen_queue="q", url=FileSecret("amqp://u:one@rabbit/", str(url_file))))
    token_file.write_text("second-secret")
    url_file.write_text("amqp://u:two@elsewhere/")

    assert with_password.now()[0].credentials.password == "second-secret"
    assert [(one.host, one.credentials.password) for one in with_url.now()] == [("elsewhere", "two")]

    url_file.write_text("no url")
    assert [(one.host, one.credentials.password) for one in with_url.now()] == [("elsewhere", "two")]

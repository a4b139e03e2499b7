"""Log lines are for people or programs, and never show a secret."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from lando import logs
from lando.config import load, log_as_told
from lando.masking import Masker


def logged(log_format: str, *secrets: str, level: str | int = "INFO") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    logs.configure(level=level, log_format=log_format, secrets=secrets, stream=stream)
    return logging.getLogger("lando.test"), stream


def test_a_console_line_has_time_level_name_text_and_context() -> None:
    logger, stream = logged("console")
    logger.info("step is over", extra={"run_id": 42})
    line = stream.getvalue()
    assert line.endswith("Z INFO lando.test: step is over [run_id=42]\n")


def test_a_json_line_has_the_same_as_keys() -> None:
    logger, stream = logged("json")
    logger.warning("step %s is over", "S", extra={"run_id": 42})
    entry = json.loads(stream.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {"level": "WARNING", "logger": "lando.test", "message": "step S is over", "run_id": 42}


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_known_secrets_are_masked_in_text_context_and_tracebacks(log_format: str) -> None:
    logger, stream = logged(log_format, "hunter22")
    try:
        raise ValueError("login hunter22 failed")
    except ValueError:
        logger.exception("no hunter22", extra={"login": "hunter22"})
    assert "hunter22" not in stream.getvalue()
    assert "ValueError: login **** failed" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Token 0123456789abcdef", "Authorization: Token ****"),
        ("Authorization: Bearer eyJhbGciOi.J9-_x", "Authorization: Bearer ****"),
        ("amqp://lando:s3cret@mq:5672/", "amqp://lando:****@mq:5672/"),
        ("GET /f?expires=1&signature=abc%3D", "GET /f?expires=1&signature=****"),
        ("the token belongs to nobody", "the token belongs to nobody"),
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str, masked: str) -> None:
    assert Masker().mask(text) == masked


def test_what_work_is_about_stands_on_every_line_of_it_also_in_a_pool() -> None:
    logger, stream = logged("json")
    with logs.about(run_id=42, step=None), logs.Pool(1) as pool:
        pool.submit(logger.info, "in the pool").result(5)
        with logs.about(step="save_output", run_id=43):
            logging.getLogger("a.library").warning("within", extra={"attempt": 2})
    logger.info("after")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    found = [(line["message"], line.get("run_id"), line.get("step"), line.get("attempt")) for line in lines]
    assert found == [("in the pool", 42, None, None), ("within", 43, "save_output", 2), ("after", None, None, None)]


def test_a_secret_is_masked_however_it_is_spelled() -> None:
    secret = "p@ss/w\"or\\d'"
    masker = Masker([secret])
    for spelled in (secret, repr(secret), json.dumps({"x": secret}), f"amqp://u:{quote(secret, safe='')}@mq"):
        assert "w%22or" not in masker.mask(spelled)
        assert 'w"or' not in masker.mask(spelled).replace("\\", "")


def test_a_thread_that_ends_unforeseen_leaves_one_line_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    _, stream = logged("json", "hunter22")

    def work() -> None:
        raise RuntimeError("no hunter22")

    thread = threading.Thread(target=work, name="worker-1")
    thread.start()
    thread.join(5)
    [line] = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["message"] == "The thread worker-1 ended: RuntimeError('no ****')"
    assert "Traceback" in line["exception"]
    assert "hunter22" not in stream.getvalue()


def test_lines_below_the_level_are_left_out() -> None:
    logger, stream = logged("console", level="30")
    logger.info("quiet")
    logger.warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_more_connections_than_are_kept_warm_are_nobody_s_concern() -> None:
    _, stream = logged("console")
    logging.getLogger("urllib3.connectionpool").warning("Connection pool is full, discarding connection")
    assert not stream.getvalue()


def test_warnings_about_the_daemons_file_have_the_form_that_it_asks_for(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    load(write(add="patience: 5\nlog_format: json\n"), environ={}, set_up=log_as_told)
    assert "did you mean patience_s?" in json.loads(capsys.readouterr().out)["message"]


def test_a_file_of_logs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    file = tmp_path / "lando.log"
    logs.configure(level="INFO", file=file)
    for number in range(200):
        logging.getLogger("lando.test").info("line %d", number)
    logs.configure(stream=io.StringIO())
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) <= 4000
    assert "line 199" in file.read_text()

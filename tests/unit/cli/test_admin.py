"""What an operator does on the server's database, by the command line."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest


def test_a_new_site_is_made_usable_and_again_without_harm(lando: Any) -> None:
    first = json.loads(lando("admin", "setup", "ada", "--broker", "amqp://mq").out)
    again = json.loads(lando("admin", "setup", "ada", "--broker", "amqp://mq").out)
    assert first == again
    assert len(first["daemon_token"]) == 40
    names = [user["name"] for user in json.loads(lando("admin", "users", "--json").out)]
    assert names == ["ada", "lando"]


def test_setup_says_what_to_do_next_and_takes_another_image_when_repeated(lando: Any) -> None:
    first = lando("admin", "setup", "ada", "--broker", "amqp://mq", "--queue", "commands")
    assert "commands is work_queue.listen_queue" in first.err
    assert "set yours with --image" in first.err
    named = lando("admin", "setup", "ada", "--broker", "amqp://mq", "--image", "example.org/lando:1")
    assert "--image" not in named.err
    kept = lando("admin", "setup", "ada", "--broker", "amqp://mq")
    assert "--image" not in kept.err


def test_a_repeated_setup_changes_what_is_named_and_keeps_the_rest(lando: Any) -> None:
    def default() -> tuple[int, str]:
        (flavor,) = [row for row in json.loads(lando("admin", "flavors", "--json").out) if row["name"] == "default"]
        return flavor["cpus"], flavor["memory"]

    setup = ("admin", "setup", "ada", "--broker", "amqp://mq")
    lando(*setup)
    assert default() == (1, "1Gi")
    lando(*setup, "--memory", "16Gi")
    assert default() == (1, "16Gi")
    lando(*setup, "--cpus", "8")
    assert default() == (8, "16Gi")
    lando(*setup)
    assert default() == (8, "16Gi")
    outcome = lando(*setup, "--memory", "plenty")
    assert (outcome.code, outcome.err) == (2, "lando: 'plenty' is no amount of memory; write 16Gi or 512Mi.\n")


def test_a_flavor_is_changed_by_name(lando: Any) -> None:
    lando("admin", "setup", "ada", "--broker", "amqp://mq")
    assert lando("admin", "set-flavor", "step", "--memory", "512Mi").out == "step: 1 CPUs, 512Mi\n"
    outcome = lando("admin", "set-flavor", "large", "--cpus", "8")
    assert outcome.err == "lando: There is no flavor 'large'; there are: default, step.\n"
    assert lando("admin", "set-flavor", "step").err.startswith("lando: Say what the flavor should have")


@pytest.mark.parametrize("broker", ["mq.example.org", "http://mq", "amqp://"])
def test_a_broker_that_is_none_is_refused_before_anything_is_made(lando: Any, broker: str) -> None:
    outcome = lando("admin", "setup", "ada", "--broker", broker)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "amqps://user:password@host/vhost" in outcome.err


def test_a_user_gets_a_token_that_can_be_renewed(lando: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("p4ssword\n"))
    token = lando("admin", "add-user", "bob", "--staff", "--password-stdin").out
    assert lando("admin", "token", "bob").out == token
    renewed = lando("admin", "token", "bob", "--renew").out
    assert renewed != token
    assert lando("admin", "token", "bob").out == renewed
    assert lando("admin", "users").out.splitlines()[1].split() == ["bob", "yes", "yes"]


def test_bad_input_is_one_sentence(lando: Any) -> None:
    outcome = lando("admin", "token", "nobody")
    assert (outcome.code, outcome.err) == (2, "lando: There is no user 'nobody'.\n")
    lando("admin", "add-user", "bob")
    outcome = lando("admin", "add-user", "bob")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1


def test_a_workflow_is_added_with_its_inputs_and_listed(lando: Any, tmp_path: Path) -> None:
    tool = tmp_path / "count.cwl"
    tool.write_text("cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [wc]\ninputs: {text: File}\noutputs: []\n")
    add = ("admin", "add-workflow", tool, "--tag", "count", "--url", "https://files.example.org/count.cwl")
    outcome = lando(*add, "--version", "1")
    assert outcome.code == 2
    assert "run 'lando admin setup' first" in outcome.err

    lando("admin", "setup", "ada", "--broker", "amqp://mq")
    assert lando(*add, "--version", "1").out == "count/1/default\n"
    assert lando(*add, "--version", "2").out == "count/2/default\n"
    again = lando(*add, "--version", "2")
    assert (again.code, again.err) == (2, "lando: There is a version '2' of 'count' already.\n")
    listed = json.loads(lando("admin", "workflows", "--json").out)
    assert [one["tag"] for one in listed] == ["count/1/default", "count/2/default"]


def test_a_workflow_without_a_url_is_kept_by_the_server(lando: Any, tmp_path: Path) -> None:
    tool = tmp_path / "count.cwl"
    inputs = "{text: File, lines: {type: int, default: 3}}"
    tool.write_text(f"cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: [wc]\ninputs: {inputs}\noutputs: []\n")
    with zipfile.ZipFile(tmp_path / "flows.zip", "w") as archive:
        archive.write(tool, "flows/count.cwl")
    lando("admin", "setup", "ada", "--broker", "amqp://mq")
    for file, version in ((tool, "1"), (tmp_path / "flows.zip", "2")):
        outcome = lando("admin", "add-workflow", file, "--tag", "count", "--version", version)
        assert outcome.out == f"count/{version}/default\n", outcome.err
    urls = [row["url"] for row in json.loads(lando("admin", "workflows", "--json").out)]
    assert [url.rpartition("/")[2] for url in urls] == ["count.cwl", "flows.zip"]
    assert all(url.startswith("/api/lando/v1/files/") for url in urls)
    (tmp_path / "flows.zip").write_bytes(b"no archive")
    outcome = lando("admin", "add-workflow", tmp_path / "flows.zip", "--tag", "count", "--version", "3")
    assert (outcome.code, outcome.err) == (2, "lando: flows.zip can't be unpacked: File is not a zip file.\n")


def test_a_user_with_an_address_that_is_none_is_refused(lando: Any) -> None:
    outcome = lando("admin", "add-user", "bob", "--email", "bob")
    assert (outcome.code, outcome.err) == (2, "lando: 'bob' is no mail address.\n")
    assert "bob" not in lando("admin", "users").out


def test_the_database_is_migrated(lando: Any) -> None:
    assert lando("admin", "migrate").out.endswith(" (was empty)\n")
    assert "was" not in lando("admin", "migrate").out


def test_the_database_is_taken_back_to_a_version_that_there_is(lando: Any) -> None:
    newest = lando("admin", "migrate").out.split()[5]
    assert lando("admin", "migrate", "--to", "0003").out == f"the database is at version 0003 (was {newest})\n"
    outcome = lando("admin", "migrate", "--to", "3")
    assert outcome.code == 2
    assert "There is no version 3 of the schema; this program knows 0001, 0002, " in outcome.err


def test_a_site_is_saved_and_put_back_in_another_home(
    lando: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lando("admin", "setup", "ada", "--broker", "amqp://mq")
    token = lando("admin", "token", "ada").out
    saved = tmp_path / "saved"
    assert lando("admin", "backup", saved).out.startswith(f"saved into {saved}: ")
    assert lando("admin", "restore", saved).err == "lando: The database is not empty: restore into a new one.\n"
    monkeypatch.setenv("LANDO_HOME", str(tmp_path / "elsewhere"))
    assert lando("admin", "restore", saved).out == f"restored from {saved}: the next job gets the id 1001\n"
    assert lando("admin", "skip-ids", "10").out == "the next job gets the id 1011\n"
    assert lando("admin", "token", "ada").out == token

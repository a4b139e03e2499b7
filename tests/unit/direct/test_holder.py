"""Who holds a Lease, and whether this machine knows that they are gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from lando.direct import holder as holders
from lando.direct.holder import Holder
from lando.local.node.process_table import read_process


@pytest.fixture
def other() -> Iterator[tuple[Holder, subprocess.Popen[bytes]]]:
    """Another process of this machine, as a holder."""
    program = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE) as process:
        known = read_process(process.pid)
        assert known is not None
        yield replace(Holder.here(), pid=process.pid, started=known.started), process
        process.kill()


def test_a_holder_is_read_as_it_was_written() -> None:
    here = Holder.here()

    assert Holder.parse(str(here)) == here
    assert here.pid == os.getpid()
    assert here != Holder.here()  # two runs of one process are two
    assert f"process {os.getpid()}" in here.described


@pytest.mark.parametrize("identity", ["", "somebody", "a/b/c/d/e/f", "a/1/2/d/e", "a/1/2/d/e/f/g"])
def test_of_another_form_of_identity_nothing_is_known(identity: str) -> None:
    assert Holder.parse(identity) is None


def test_names_that_could_not_be_read_back_are_made_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "EVIL/ö\n" + "x" * 500)

    here = Holder.here()

    assert here.who.startswith("EVIL___x")
    assert Holder.parse(str(here)) == here


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise KeyError("no such uid")

    monkeypatch.setattr(holders.getpass, "getuser", fails)
    assert Holder.here().who.startswith(f"{os.getuid()}@")


def test_a_process_that_lives_is_not_gone() -> None:
    assert not Holder.here().is_gone()


def test_a_process_that_ended_is_gone_also_before_its_parent_has_noticed(
    other: tuple[Holder, subprocess.Popen[bytes]],
) -> None:
    holder, process = other
    assert not holder.is_gone()
    assert process.stdin is not None
    process.stdin.close()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert holder.is_gone()  # a zombie
    process.wait()
    assert holder.is_gone()


def test_a_later_process_of_the_same_number_is_another(other: tuple[Holder, subprocess.Popen[bytes]]) -> None:
    assert replace(other[0], started=other[0].started - 1).is_gone()


@pytest.mark.parametrize("change", [{"boot": "other"}, {"boot": ""}, {"numbers": "7"}, {"numbers": ""}, {"who": "u@x"}])
def test_of_another_machine_start_or_container_nothing_is_known(change: dict[str, str]) -> None:
    assert not replace(Holder.here(), pid=2**30, **change).is_gone()
    assert replace(Holder.here(), pid=2**30).is_gone()

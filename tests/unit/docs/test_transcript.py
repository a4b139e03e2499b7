"""Pages whose commands are run and whose output is written in."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.services.providing import wait_until

ROOT = Path(__file__).parents[3]
PAGE = """# A page

```yaml
$ not: a command
```

```console
$ first
old output
$ second  # refused
```

The end.
"""


@pytest.fixture(scope="module")
def transcript() -> Any:
    """The script, which lies beside the pages and in no package."""
    spec = importlib.util.spec_from_file_location("transcript", ROOT / "docs" / "transcript.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["transcript"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_output_is_replaced_and_everything_else_stays(transcript: Any) -> None:
    def run(commands: Sequence[str]) -> list[Any]:
        assert commands == ["first", "second  # refused"]
        return [transcript.Outcome("new\noutput", 0), transcript.Outcome("", 1)]

    expected = PAGE.replace("old output", "new\noutput")
    assert transcript.rewritten(PAGE, run) == expected
    assert transcript.rewritten(expected, run) == expected


@pytest.mark.parametrize("statuses", [(1, 1), (0, 0)])
def test_a_command_that_ends_otherwise_than_the_page_says_is_an_error(
    transcript: Any, statuses: tuple[int, int]
) -> None:
    def run(_commands: Sequence[str]) -> list[Any]:
        return [transcript.Outcome("said", status) for status in statuses]

    with pytest.raises(transcript.TranscriptError, match="ended with status"):
        transcript.rewritten(PAGE, run)


def test_a_file_of_the_page_is_there_for_the_commands_after_it(transcript: Any) -> None:
    page = """<!-- file: ~/a/b.py -->
```python
print("$HOME" + '\\n')
```

```console
$ cat a/b.py
```
"""
    shown = page.replace("cat a/b.py\n", "cat a/b.py\nprint(\"$HOME\" + '\\n')\n")
    assert transcript.rewritten(page, transcript.run_in_shell) == shown


def test_a_program_that_is_left_running_ends_with_the_page(transcript: Any) -> None:
    (outcome, _) = transcript.run_in_shell(["sleep 1000 >/dev/null & echo $!", "true"])

    def has_ended() -> bool:
        try:
            return psutil.Process(int(outcome.text)).status() == psutil.STATUS_ZOMBIE  # whom its new parent forgot
        except psutil.NoSuchProcess:
            return True

    wait_until(has_ended, 30, what="the end of the program")


def test_commands_share_a_shell_and_have_a_home_of_their_own(transcript: Any) -> None:
    outcomes = transcript.run_in_shell(["export A=1", "echo $A $HOME", "echo bad >&2; false"])
    assert [(outcome.text, outcome.status) for outcome in outcomes] == [("", 0), ("1 /home/you", 0), ("bad", 1)]

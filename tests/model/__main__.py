"""The model by hand: ``python -m tests.model --examples 100000``; ends with how often each rule and fault was met."""

from __future__ import annotations

import argparse
import logging
import sys

import hypothesis
from tests.model.machine import Machine, seen
from tests.model.searching import search


def main() -> int:
    """Exit status 1, and the shortest history that was found, when one breaks the promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--examples", type=int, default=2000, help="histories to try (2000)")
    parser.add_argument("--seed", type=int, default=None, help="repeats a search; at random when not given")
    parser.add_argument("--first", action="store_true", help="do not look for a shorter history than the first")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    try:
        search(Machine, examples=arguments.examples, seed=arguments.seed, shrink=not arguments.first)
    except Exception as error:  # noqa: BLE001 - whatever a history ends with
        print(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            print(note)
        return 1
    finally:
        for what, times in seen.most_common():
            print(f"{times:8d}  {what}")
    print(f"{arguments.examples} histories, hypothesis {hypothesis.__version__}: all ended right")
    return 0


if __name__ == "__main__":
    sys.exit(main())

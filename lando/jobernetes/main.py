"""The command ``jobernetes``: the model in the current folder, run to its end (phases contract, 1)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from lando.direct.events import Outcome
from lando.errors import ConfigError
from lando.jobernetes import lines
from lando.jobernetes.logging_setup import setup_logging
from lando.jobernetes.running import execute, read_here

DESCRIPTION = """\
Run the Kubernetes Jobs that a model file orders in phases, to their end.

Reads jobermodel.yaml and, if there is one, logging.yaml from the current folder, from where the paths in the model
count, too. The cluster is the one of KUBECONFIG or ~/.kube/config, or, inside a pod, its own. Started again, it goes on
where it was. `lando phases` has more: a live view, JSON, graphs, cleanup.
"""
EPILOG = """\
exit codes: 0 all Jobs are complete; 1 the model, or something in the cluster, is in the way, and nothing was created;
2 a Job failed; 3 the cluster can't be reached; 130, 143 interrupted: the Jobs go on, start it again to go on, too.
"""


class _Parser(argparse.ArgumentParser):
    """Wrong usage is none of a Job."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(Outcome.REFUSED.value, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command with ``arguments``, or those of the process, and exit."""
    parser = _Parser(
        prog="jobernetes", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", default="jobermodel.yaml", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="only check the model and its files; contact nothing")
    options = parser.parse_args(arguments)
    try:
        setup_logging()
    except ConfigError as error:
        print(f"jobernetes: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(Outcome.REFUSED.value)
    try:
        code = _run(options.model, check_only=options.check)
    except KeyboardInterrupt:  # while the model was read
        code = Outcome.INTERRUPTED.value
    sys.exit(code)


def _run(path: str, *, check_only: bool) -> int:
    lines.jobmodel.info("Reading the model %s", path)
    model, findings = read_here(path)
    lines.problems(path, findings)
    if model is None:
        return Outcome.REFUSED.value
    lines.loaded(model)
    if check_only:
        lines.jobmodel.info("%s can be run", path)
        return Outcome.COMPLETE.value
    return execute(model, lines.Lines())

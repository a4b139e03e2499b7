"""From a model file to the end of its run: what the commands ``jobernetes`` and ``lando phases run`` have in common."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lando.direct import preflight
from lando.direct.connecting import connect, doubt
from lando.direct.events import Ended, Listener, Outcome, Problem, Trouble
from lando.direct.runner import run
from lando.errors import LandoError, Unavailable
from lando.jobernetes.lines import refusal
from lando.phases.files import Folder
from lando.phases.model import Finding, Model
from lando.phases.reading import read
from lando.stopping import told_to_stop


def read_here(path: str) -> tuple[Model | None, list[Finding]]:
    """The model at ``path``, whose own paths count from the current folder; None if a finding is an error."""
    return read(Folder(Path()), path)


def refused(path: str, findings: Sequence[Finding], listener: Listener, *, left: str = "created") -> int:
    """Tell of a model that can't be used, ``left`` as of :func:`.lines.refusal`; returns the exit code."""
    for finding in findings:
        listener.tell(Problem(finding=finding))
    errors = sum(finding.is_error for finding in findings)
    listener.tell(Ended(outcome=Outcome.REFUSED, sentence=refusal(path, errors, left=left)))
    return Outcome.REFUSED.value


def execute(
    model: Model,
    listener: Listener,
    *,
    kubeconfig: Path | None = None,
    context: str | None = None,
    changed: bool = False,
    on_call: Callable[[str, str], None] | None = None,
    at_once: Callable[[], None] = lambda: None,
) -> int:
    """Run ``model`` to its end, or until a signal; returns the exit code (phases contract, 1).

    ``listener`` is told everything; ``on_call`` of each call to the cluster, by verb and kind; ``at_once`` is called
    when a second signal ends the process.
    """
    watches = logging.getLogger("lando.k8s.reflector")
    if watches.level == logging.NOTSET:  # unless logging.yaml wants them
        watches.setLevel(logging.CRITICAL)  # what they meet is told as events
    with told_to_stop(tells_signal=True, at_once=at_once) as stop:
        try:
            with connect(model.settings, kubeconfig=kubeconfig, context=context, on_call=on_call) as cluster:
                if sentence := doubt(model.settings, cluster):
                    listener.tell(Trouble(sentence=sentence))
                check = partial(preflight.check, changed=changed)
                return run(model, cluster, listener=listener, stop=stop, changed=changed, check=check).value
        except LandoError as error:
            outcome = Outcome.UNREACHABLE if isinstance(error, Unavailable) else Outcome.REFUSED
            listener.tell(Ended(outcome=outcome, sentence=str(error)))
            return outcome.value

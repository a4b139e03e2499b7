"""The page of metrics: ``python -m lando.api.metrics_page > docs/metrics.md`` renews it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lando.api.metrics import Metrics
from lando.k8s import metrics as daemons
from lando.metrics import PROCESS, Figures

_INTRODUCTION = """\
# Metrics

<!-- Written by `python -m lando.api.metrics_page`; change the declarations in the modules named metrics.py instead. -->

Each process serves its own at `/metrics` in Prometheus' text form, together with `process_*` and `python_*` of the
Prometheus client: the API server on its port, the daemons on `metrics_port`; `lando up` serves all of them on the
server's port. Histograms come as `_bucket`, `_sum` and `_count`. The rules that read
them are in [alerts.yaml](alerts.yaml), explained in [operations.md](operations.md).
"""


def chapters() -> tuple[tuple[str, Figures], ...]:
    """Every part with its title, in the order of the page."""
    return (
        ("Every process", PROCESS),
        ("The API server", Metrics().parts[0]),
        ("Both daemons", daemons.BOTH),
        ("The lando daemon", daemons.LANDO),
        ("The watcher", daemons.WATCHER),
    )


def page() -> Iterator[str]:
    """The lines of the page."""
    yield from _INTRODUCTION.splitlines()
    for title, figures in chapters():
        yield from ("", f"## {title}", "", "| Metric | Kind | Labels | Meaning |", "|---|---|---|---|")
        for one in figures.declared:
            labels = ", ".join(f"`{label}`" for label in one.labels)
            yield f"| `{one.name}` | {one.kind} | {labels} | {one.meaning} |"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in page())

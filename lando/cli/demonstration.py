"""``lando demo``: a real workflow over real data, from submission to saved results, shown step by step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import typer

from lando import home as homes
from lando.cli import FAILED, rendering, stack
from lando.cli.following import follow
from lando.client import LandoClient
from lando.client.views import RunView
from lando.errors import InputError, LandoError
from lando.local.node.sandbox import SandboxMode

EXAMPLE = Path("examples", "fastq-qc")
REPORT = "docs/README.md"


def demo(home: Path | None, workflow: Path | None, job_order: Path | None, sandbox: SandboxMode = "auto") -> int:
    """Run the example, or ``workflow`` with ``job_order``; returns the exit code."""
    from lando import submission

    workflow_path, order_path = _what_to_run(workflow, job_order)
    place = homes.find(home)
    with _client(place, sandbox) as client:
        typer.echo(f"packing {workflow_path.name} and checking {order_path.name}")
        name = "quality control of lambda phage reads" if workflow is None else None
        prepared = submission.prepare(workflow_path, order_path, name=name, runs_here=True)
        run_id = submission.send(client, prepared, progress=typer.echo)
        typer.echo(f'run {run_id} "{prepared.name}" is started at {client.url}')
        run = follow(client, run_id)
        if run.state != "Finished":
            return FAILED
        _show_results(client, run)
    return 0


def _what_to_run(workflow: Path | None, job_order: Path | None) -> tuple[Path, Path]:
    if workflow is not None and job_order is not None:
        return workflow, job_order
    if workflow is not None or job_order is not None:
        raise InputError("Give --workflow and --job-order together, or neither for the example.")
    for folder in _places_of_the_example():
        if (folder / "workflow.cwl").is_file():
            return folder / "workflow.cwl", folder / "job-order.yaml"
    raise InputError(
        f"The example is not here ({EXAMPLE} of Lando's repository): run it from a clone, "
        "or name a workflow of your own by --workflow and --job-order."
    )


def _places_of_the_example() -> Iterator[Path]:
    """In the clone that this installation was made from; below the current folder; where a wheel puts it."""
    yield Path(__file__).parents[2] / EXAMPLE
    yield Path.cwd() / EXAMPLE
    yield Path(sys.prefix) / "share" / "lando" / EXAMPLE


@contextmanager
def _client(place: homes.Home, sandbox: SandboxMode) -> Iterator[LandoClient]:
    """A client of the stack that runs in this home, or of one that is started for as long as it is needed."""
    running = _running(place)
    if running is not None:
        with running as client:
            typer.echo(f"using the Lando that is up at {client.url}")
            yield client
        return
    from lando.embedded import EmbeddedStack

    place.prepare()
    typer.echo(f"starting Lando in this process; its home is {place.path}")
    with (
        stack.logged_to(place.log),
        stack.told_to_stop_as_interrupt(),
        EmbeddedStack(place, sandbox=sandbox) as embedded,
        LandoClient(embedded.client.url, embedded.client.token) as client,
    ):
        yield client


def _running(place: homes.Home) -> LandoClient | None:
    known = place.read_client()
    if known is None:
        return None
    client = LandoClient(known.url, known.token, timeout_s=5.0)
    try:
        client.current_user()
    except LandoError:
        client.close()
        return None
    client.close()
    return LandoClient(known.url, known.token)


def _show_results(client: LandoClient, run: RunView) -> None:
    files = client.outputs(run.id)
    report = next((file.path for file in files if file.path.endswith(REPORT)), None)
    typer.echo("")
    if report is not None:
        typer.echo(client.output_text(run.id, report).rstrip())
        typer.echo("")
    for line in rendering.outputs_table(files):
        typer.echo(line)
    typer.echo("")
    for line in rendering.steps_table(run):
        typer.echo(line)
    typer.echo(f"results: {_local_path(run.results)}")


def _local_path(url: str) -> str:
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else url

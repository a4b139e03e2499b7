"""``lando up``, ``demo`` and ``serve``: what starts servers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import HomeFolder, MountMode

app = typer.Typer()

Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port of the server. [default: 8080, or any free one]"),
]


@app.command()
def up(
    home: HomeFolder = None,
    port: Port = None,
    sandbox: MountMode = "auto",
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to the terminal, no live view.")] = False,
) -> None:
    """Start everything in one process.

    API server, queue, cluster and daemons; needs nothing but this installation. In a terminal it shows the latest runs.
    Ctrl-C ends it; unfinished runs go on at the next start.
    """
    from lando.cli import stack

    stack.up(home, port, sandbox, verbose=verbose)


@app.command()
def demo(
    home: HomeFolder = None,
    workflow: Annotated[Path | None, typer.Option("--workflow", help="Another workflow than the example.")] = None,
    job_order: Annotated[Path | None, typer.Option("--job-order", help="Its inputs.")] = None,
    sandbox: MountMode = "auto",
) -> None:
    """Run the example on real data, here and now.

    Starts the stack, or uses one that runs. The last line says where the results are.
    """
    from lando.cli import demonstration

    raise typer.Exit(demonstration.demo(home, workflow, job_order, sandbox))


@app.command()
def serve(
    config: Annotated[Path | None, typer.Argument(metavar="FILE", help="The API server's settings, YAML.")] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port to listen on.")] = None,
    daemons: Annotated[
        Path | None,
        typer.Option("--daemons", metavar="FILE", help="The daemons' file: shows logs of running steps, too."),
    ] = None,
) -> None:
    """Run the API server alone, for production.

    Its settings come from FILE, then from LANDO_API_… in the environment, then from options; the later wins.

    Example: lando serve --host 0.0.0.0 --daemons k8s.config
    """
    from lando.cli import stack

    stack.serve(config, host, port, daemons)

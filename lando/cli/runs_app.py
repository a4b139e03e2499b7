"""The commands about runs, from ``lando submit`` to ``lando outputs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson, RunId, Token, Url

app = typer.Typer()

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="A CWL file.")]
JobOrderFile = Annotated[Path, typer.Argument(metavar="JOB-ORDER", help="Its inputs, YAML or JSON.")]


@app.command()
def submit(
    workflow: WorkflowFile,
    job_order: JobOrderFile,
    name: Annotated[str | None, typer.Option("--name", help="What to call the run.")] = None,
    priority: Annotated[
        int, typer.Option("--priority", min=-1000, max=1000, help="Below 0: let your other runs go first.")
    ] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 unless it finished.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Check a workflow and its inputs, and start a run.

    Packs the workflow, checks the job order against it, uploads the files that it names, and starts. Paths in the job
    order count from its folder; http(s), gs and s3 addresses are fetched by the run itself.

    \b
    Examples:
      lando submit workflow.cwl job-order.yaml --name "batch 17" --wait
      lando submit workflow.cwl job-order.yaml --json | jq .id
    """
    from lando.cli import runs

    raise typer.Exit(
        runs.submit(url, token, workflow, job_order, name=name, priority=priority, wait=wait, as_json=as_json)
    )


@app.command()
def jobs(
    state: Annotated[list[str] | None, typer.Option("--state", help="Only runs in this state, e.g. Running.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List your runs.

    Example: lando jobs --state Running --state Error
    """
    from lando.cli import runs

    runs.jobs(url, token, tuple(state or ()), as_json=as_json)


@app.command()
def status(
    run_id: RunId,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end; exit 1 unless it finished.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Every change and attempt, with its Job and cause.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show a run's steps.

    With their times and attempts, why it failed, and what it waits for. --json has its history, too.

    \b
    Examples:
      lando status 1 --watch
      lando status 1 --history
    """
    from lando.cli import runs

    raise typer.Exit(runs.status(url, token, run_id, watch=watch, history=history, as_json=as_json))


@app.command()
def logs(
    run_id: RunId,
    step: Annotated[str | None, typer.Option("--step", help="E.g. run_workflow; without it all of them.")] = None,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="One attempt only; without it all.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the step, or the run, ends.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the log of a run, or of one of its steps or attempts.

    \b
    Examples:
      lando logs 1                               all steps so far
      lando logs 1 --step run_workflow --follow  what the workflow says, as it says it
      lando logs 1 --step run_workflow --attempt 1   what its first attempt said
    """
    from lando.cli import runs

    runs.logs(url, token, run_id, step=step, attempt=attempt, follow=follow)


@app.command()
def explain(
    run_id: RunId,
    step: Annotated[
        str | None, typer.Option("--step", help="Every attempt of this step that failed or waited.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show what the sentence about a failure or wait was read from.

    The rule that spoke, the Job's and its pods' conditions, container states, events, and the log's last lines.

    \b
    Examples:
      lando explain 1                      why it failed, and how that is known
      lando explain 1 --step stage_data    each attempt of one step
    """
    from lando.cli import explaining

    explaining.explain(url, token, run_id, step=step, as_json=as_json)


@app.command()
def cancel(run_id: RunId, url: Url = None, token: Token = None) -> None:
    """Stop a run and remove what it has in the cluster.

    Its logs stay. A canceled run can be restarted from its beginning.
    """
    from lando.cli import runs

    runs.cancel(url, token, run_id)


@app.command()
def restart(
    run_id: RunId,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end; exit 1 unless it finished.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Run a failed or canceled run again.

    A failed one from the step that failed, a canceled one from its beginning.
    """
    from lando.cli import runs

    raise typer.Exit(runs.restart(url, token, run_id, wait=wait))


@app.command()
def priority(
    run_id: RunId,
    number: Annotated[int, typer.Argument(metavar="PRIORITY", min=-1000, max=1000, help="The highest goes first.")],
    url: Url = None,
    token: Token = None,
) -> None:
    """Put a run before or behind others that wait for their turn.

    Every run begins with 0. Staff may set any run's, others only lower their own.

    Example: lando priority 12 -- -5
    """
    from lando.cli import runs

    runs.set_priority(url, token, run_id, number)


@app.command()
def outputs(
    run_id: RunId,
    download: Annotated[Path | None, typer.Option("--download", metavar="DIR", help="Save all of them here.")] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List a run's results, or download them.

    Example: lando outputs 1 --download results/
    """
    from lando.cli import runs

    runs.outputs(url, token, run_id, download=download, as_json=as_json)

"""``lando dead``: what the daemons put aside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lando.cli.options import AsJson, Token, Url

app = typer.Typer(help="Dead letters: messages that could not be handled, or failed to the end.", no_args_is_help=True)

DaemonsFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="The daemons' file: ask its broker; else the server is asked."),
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Which, as 'lando dead list' names them.")]
Run = Annotated[int | None, typer.Option("--run", min=0, metavar="ID", help="Only those about this run.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only those whose reason holds TEXT.")]
All = Annotated[bool, typer.Option("--all", help="All there are.")]


@app.command("list")
def list_letters(
    run: Run = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Look at so many of each queue.")] = 100,
    config: DaemonsFile = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List dead letters, oldest first.

    They stay where they are. Without --config the server is asked, which takes a token of staff.

    \b
    Examples:
      lando dead list
      lando dead list --reason "version" --config k8s.config
    """
    from lando.cli import dead

    with dead.desk(config, url, token) as desk:
        dead.list_letters(desk, limit=limit, run=run, reason=reason, as_json=as_json)


@app.command()
def show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As 'lando dead list' names it.")],
    config: DaemonsFile = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show one dead letter.

    Why it was put aside, what became of it before, and its message; what nobody can read is shown in base64. Nothing of
    it is ever executed.
    """
    from lando.cli import dead

    with dead.desk(config, url, token) as desk:
        dead.show(desk, identity, as_json=as_json)


@app.command()
def retry(
    ids: Ids = None,
    everything: All = False,
    run: Run = None,
    reason: Reason = None,
    config: DaemonsFile = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Put dead letters back on the command queue.

    They are handled as if they had never failed; what they went through before stays with them. Safe to repeat.

    \b
    Examples:
      lando dead retry 3f1c09a2b7de
      lando dead retry --reason "not available"
    """
    from lando.cli import dead

    with dead.desk(config, url, token) as desk:
        chosen = dead.choose(desk, ids or [], everything=everything, run=run, reason=reason)
        dead.settle(desk, "retry", chosen, as_json=as_json)


@app.command()
def drop(
    ids: Ids = None,
    everything: All = False,
    run: Run = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: DaemonsFile = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Remove dead letters for good.

    Example: lando dead drop --all --yes
    """
    from lando.cli import dead

    with dead.desk(config, url, token) as desk:
        chosen = dead.choose(desk, ids or [], everything=everything, run=run, reason=reason)
        if chosen and not yes:
            dead.confirm_drop(len(chosen))
        dead.settle(desk, "drop", chosen, as_json=as_json)

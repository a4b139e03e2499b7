"""``lando admin``: what an operator does on the server's own database."""

from __future__ import annotations

import typer

app = typer.Typer(help="Users, tokens, workflows: on the server's database.", no_args_is_help=True)

"""What commands print on standard output: lines with their style in a terminal, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import typer

from lando.cli.rendering import Line


def print_lines(lines: Iterable[Line]) -> None:
    """Each with its style where that can be shown."""
    if not sys.stdout.isatty():
        for line in lines:
            typer.echo(line.text)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for line in lines:
        console.print(line.text, style=line.style, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """For people who read it, too."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))

"""``lando config check``."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from lando import config
from lando.cli import USAGE


def check(file: Path, *, strict: bool) -> int:
    """Print every finding to standard error, and one line of good news if there is any; returns the exit code."""
    reading = config.read(file)
    errors = reading.errors + (reading.unknown_keys if strict else ())
    warnings = (() if strict else reading.unknown_keys) + reading.warnings
    for warning in warnings:
        typer.echo(f"warning: {warning}", file=sys.stderr)
    for error in errors:
        typer.echo(f"error: {error}", file=sys.stderr)
    if errors:
        return USAGE
    typer.echo(f"{file} is fine." if not warnings else f"{file} can be used.")
    return 0

"""The names and the command of the original (phases contract, 1 and 11)."""

from __future__ import annotations

from lando.jobernetes.logging_setup import setup_logging

__all__ = ["setup_logging"]

"""How the command logs: as a file says, or plain lines on standard error (phases contract, 10)."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lando.errors import ConfigError

FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"

LOGGERS = ("jobernetes", "jobernetes.jobmodel", "jobernetes.jobconfig", "jobernetes.jobexecutor")

log = logging.getLogger("jobernetes")


def setup_logging(path: str = "logging.yaml", default_level: int = logging.INFO) -> None:
    """Log as the file ``path`` says (the content of :func:`logging.config.dictConfig`); without such a file, lines of
    ``default_level`` and above on standard error.

    A log file that can't be written is done without, and said so. What can't be written later, as the disk is full or
    nobody reads standard output any more, is lost without a word; the run goes on.

    Raises:
        ConfigError: The file can't be read, or is no such content.
    """
    logging.raiseExceptions = False
    if not Path(path).exists():
        logging.basicConfig(level=default_level, format=FORMAT)
        return
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} says nothing of logging: it must hold what Python's logging.config.dictConfig takes."
        )
    unwritable = dict(_unwritable(content))
    for name in unwritable:
        _without(content, name)
    try:
        logging.config.dictConfig(content)
    except (ValueError, TypeError, AttributeError, ImportError, LookupError, OSError) as error:
        because = f": {error.__cause__}" if error.__cause__ else ""
        raise ConfigError(f"{path} can't be used: {error}{because}") from error
    for name in LOGGERS:  # they exist already, which is no reason to silence them (disable_existing_loggers)
        logging.getLogger(name).disabled = False
    for sentence in unwritable.values():
        log.warning("%s", sentence)


def _unwritable(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Handlers whose file can't be written, and why."""
    handlers = content.get("handlers")
    for name, handler in handlers.items() if isinstance(handlers, dict) else ():
        file = handler.get("filename") if isinstance(handler, dict) else None
        if not isinstance(file, str):
            continue
        try:
            with Path(file).open("ab"):
                pass
        except OSError as error:
            yield name, f"The log file {file} can't be written ({error.strerror or error}); it goes without."


def _without(content: dict[str, Any], handler: str) -> None:
    """Take a handler out, and out of every logger."""
    del content["handlers"][handler]
    loggers = content.get("loggers")
    for logger in (content.get("root"), *(loggers.values() if isinstance(loggers, dict) else ())):
        if isinstance(logger, dict) and isinstance(names := logger.get("handlers"), list):
            logger["handlers"] = [name for name in names if name != handler]

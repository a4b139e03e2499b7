"""The command line: ``lando``.

:mod:`.app` joins the families of commands; the modules ``…_app`` name each command with its options and import nothing
heavy, so that ``lando --help`` is there at once. The module that does the work is imported when the command is called.
"""

from __future__ import annotations

import sys

from lando.errors import LandoError, PeerError, Unavailable

FAILED = 1
"""Exit code: the run that was waited for did not end well."""
USAGE = 2
"""Exit code: wrong usage or bad input."""
UNREACHABLE = 3
"""Exit code: the server can't be reached, or is at fault."""
INTERRUPTED = 130
"""Exit code: the user pressed Ctrl-C."""


def main() -> None:
    """Run the command in ``sys.argv``; what Lando foresaw becomes a sentence on standard error and an exit code."""
    from lando.cli.app import app

    try:
        app()
    except Unavailable as error:
        _complain(error)
        sys.exit(UNREACHABLE)
    except LandoError as error:
        _complain(error)
        sys.exit(USAGE)
    except BrokenPipeError:  # the reader of our output has gone, e.g. `lando jobs | head`
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:  # a full disk, a file that may not be written, …
        place = f"{error.filename}: " if error.filename else ""
        print(f"lando: {place}{error.strerror or error}.", file=sys.stderr)  # noqa: T201
        sys.exit(USAGE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _complain(error: LandoError) -> None:
    text = str(error)
    if isinstance(error, PeerError):
        text = text.removeprefix(f"{error.peer}: ")  # the sentence names the server already
    print(f"lando: {text}" if "\n" not in text else f"lando:\n{text}", file=sys.stderr)  # noqa: T201

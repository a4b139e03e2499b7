"""``python -m lando`` is ``lando``."""

from __future__ import annotations

from lando.cli import main

if __name__ == "__main__":
    main()

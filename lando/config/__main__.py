"""``python -m lando.config`` prints the reference of all settings (docs/configuration.md)."""

from __future__ import annotations

import sys

from lando.config.reference import pages

if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in pages())

"""``python -m lando.jobernetes`` is ``jobernetes``."""

from __future__ import annotations

from lando.jobernetes.main import main

if __name__ == "__main__":
    main()

"""From a person's workflow and job order to a job on a server: packed, checked, files found, uploaded, created.

Everything that can be wrong with what a person hands in is found before the first byte is sent:
:mod:`.workflow` packs and validates, :mod:`.joborder` checks values against inputs, :mod:`.files` finds files.
"""

from __future__ import annotations

from lando.submission.sending import Submission, prepare, send

__all__ = ["Submission", "prepare", "send"]

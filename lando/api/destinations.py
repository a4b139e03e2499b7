"""Where inputs may be put in a job's folder. Pure."""

from __future__ import annotations

RESERVED_FILES = ("job-order.json", "workflow-input-files-metadata.json")
RESERVED_FOLDER = "workflow"


def problem(path: str) -> str | None:
    """Why an input may not be put at ``path`` (relative to the job's folder); None when it may."""
    parts = path.split("/")
    if "\0" in path:
        return "The path may not hold NUL characters."
    if not path or path.startswith("/"):
        return "The path must be relative to the job's folder and not empty."
    if any(part in ("", ".", "..") for part in parts):
        return 'The path may not have empty parts, "." or "..".'
    if path in RESERVED_FILES or parts[0] == RESERVED_FOLDER or parts[0] in RESERVED_FILES:
        return f"The name {parts[0]!r} is used by the job itself; choose another."
    return None


def clash(path: str, others: list[str]) -> str | None:
    """Why ``path`` can't lie beside ``others``: the same file, or one would be a folder of the other."""
    for other in others:
        if path == other:
            return "Another file of this stage group has this destination."
        if path.startswith(other + "/") or other.startswith(path + "/"):
            return f"The destination {other!r} of this stage group would have to be file and folder at once."
    return None

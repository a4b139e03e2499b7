"""The fourth step: bring the results into the store, with the record of what made them.

``python -m lando.steps.save_output COMMAND_FILE OUTFILE [--outfile-format annotate_script|json]``

The job has a project of its own in the store, a folder found again by its recorded name, never by its title. It gets
the results (only what differs is sent), ``activity.json`` (what was used, what was generated, when) and, where people
were named, ``share.json``. The ids of project and report leave through the termination message and OUTFILE.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lando.errors import ConfigError, InputError
from lando.steps.activity import Activity
from lando.steps.program import UsageError, log, read_command_file, required, run_program
from lando.stores import DUKEDS_SCHEMES, Store, open_store, relative_path
from lando.stores.dukeds import DukedsProject, open_api
from lando.stores.transfer import LocalFile, Uploaded, files_below, upload, with_retries
from lando.stores.urls import masked
from lando.units import decimal_size

USAGE = "python -m lando.steps.save_output COMMAND_FILE OUTFILE [--outfile-format annotate_script|json]"
TELL_EVERY_S = 5.0  # seconds between two progress lines
ACTIVITY_FILE = "activity.json"
SHARE_FILE = "share.json"


@dataclass(frozen=True, kw_only=True)
class Command:
    """The command file."""

    store_url: str
    project: str
    """The project's folder below the store's URL."""
    recorded: str | None
    """The id of the project that an earlier attempt made."""
    title: str
    paths: tuple[Path, ...]
    readme: str
    """Path of the report in the project."""
    activity: Activity
    share: dict[str, Any]

    @classmethod
    def read(cls, path: str) -> Command:
        """Raises: InputError: a key is missing or of the wrong type; ConfigError: no store is configured."""
        command = read_command_file(path)
        store = command.get("store") or {}
        if not store.get("url"):
            raise ConfigError(
                "No store is configured for results; set data_store_settings.url in lando's configuration."
            )
        url = str(store["url"]).rstrip("/")
        recorded = command.get("project_id")
        recorded = recorded if isinstance(recorded, str) and recorded else None
        if recorded and recorded.startswith(f"{url}/"):
            project = recorded.removeprefix(f"{url}/")
        else:
            project = required(store, "project", str, f"{path}, store")
        try:
            relative_path(project)
        except ValueError as error:
            raise InputError(f"{path}: {error}.", field="project") from error
        title = required(command, "destination", str, path)
        paths = tuple(Path(item) for item in required(command, "paths", list, path))
        readme = required(command, "readme_file_path", str, path)
        activity = Activity.read(command.get("activity") or {}, title)
        if paths:
            activity = activity.with_times_of(paths[0].parent / Path(readme).parent / "logs/job-data.json")
        return cls(
            store_url=url,
            project=project,
            recorded=recorded,
            title=title,
            paths=paths,
            readme=readme,
            activity=activity,
            share=command.get("share") or {},
        )


@dataclass(kw_only=True)
class _Meter:
    """Says how much of the whole has been moved, at most every :data:`TELL_EVERY_S` seconds."""

    total: int
    done: int = 0
    told_at: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, size: int) -> None:
        with self.lock:  # stores send several files at once
            self.done += size
            now = time.monotonic()
            if now - self.told_at < TELL_EVERY_S:
                return
            self.told_at = now
            log(f"  {min(100 * self.done // max(self.total, 1), 100)} % of {decimal_size(self.total)}")


def save(command: Command, store: Store) -> dict[str, Any]:
    """Bring the results into ``store``'s project; the termination message with its ids.

    Args:
        store: Opened at the project's own URL.
    """
    files = _files(command)
    log(f"Saving {len(files)} files ({decimal_size(sum(file.size for file in files))}) to {masked(store.url)}.")
    record = _recorded(store, command.title)
    # Written first: whatever breaks off later, the next attempt knows which files are this job's.
    ours = sorted({*record, *(file.path for file in files)})
    _put_json(store, ACTIVITY_FILE, command.activity.begun(command.title, ours))
    meter = _Meter(total=sum(file.size for file in files))
    saved = upload(store, files, meter)
    for path in sorted(set(ours) - {file.path for file in files}):
        log(f"  removing {path}, which an earlier attempt left")
        with_retries(lambda path=path: store.delete(path))  # type: ignore[misc]
    done = command.activity.done(command.title, saved, command.paths)
    _put_json(store, ACTIVITY_FILE, done)
    readme_url = _readme_url(command, saved)
    if command.share.get("dds_user_ids"):
        _put_json(store, SHARE_FILE, _share(command))
    if isinstance(store, DukedsProject):
        _tell_dukeds(command, store, done)
        ids = {"project_id": store.project_id, "readme_file_id": store.id_of(command.readme)}
    else:
        ids = {"project_id": store.url, "readme_file_id": readme_url}
    sent = sum(1 for file in saved if file.sent)
    log(f"Saved: {sent} files sent, {len(saved) - sent} were there already.")
    return ids


def _tell_dukeds(command: Command, store: DukedsProject, done: dict[str, Any]) -> None:
    """Let the Duke Data Service know in its own terms what ``activity.json`` and ``share.json`` say."""
    used = [str(item["version_id"]) for item in done["used"] if item.get("version_id")]
    generated = [store.version_of(file["path"]) for file in done["generated"] if file["output"]]
    keys = ("name", "description", "started_on", "ended_on")
    store.record({key: done[key] for key in keys}, used, generated)
    if users := command.share.get("dds_user_ids"):
        share = _share(command)
        store.share(users, share["auth_role"], share["user_message"], log)
        log(f"Shared with {len(users)} user{'' if len(users) == 1 else 's'}.")


def _files(command: Command) -> list[LocalFile]:
    def skipped(path: Path) -> None:
        log(f"warning: {path} is a link to a folder, out of the results or to nowhere, or no file; it is not saved")

    found: list[LocalFile] = []
    for path in command.paths:
        if not path.exists():
            raise InputError(f"{path} does not exist, so it can't be saved.")
        found.extend(files_below(path, path.name, skipped))
    return found


def _recorded(store: Store, title: str) -> list[str]:
    """The files that earlier attempts put, or meant to put, into the project.

    Raises:
        InputError: The project is another job's.
    """
    if with_retries(lambda: store.entry(ACTIVITY_FILE)) is None:
        return []
    try:
        record = json.loads(with_retries(lambda: b"".join(store.read(ACTIVITY_FILE))))
    except ValueError:
        return []
    if not isinstance(record, dict):
        return []
    if record.get("project", title) != title:  # job numbers begin again with a new database
        raise InputError(
            f"{masked(store.url)} holds the results of another job ({record['project']!r}); move them away, or set "
            "another data_store_settings.url, and restart."
        )
    files = record.get("files")
    return [path for path in files if isinstance(path, str) and _fits(path)] if isinstance(files, list) else []


def _fits(path: str) -> bool:
    """Whether a recorded path is one that this step may remove."""
    try:
        return relative_path(path) not in (ACTIVITY_FILE, SHARE_FILE)
    except ValueError:
        return False


def _readme_url(command: Command, saved: Sequence[Uploaded]) -> str:
    for file in saved:
        if file.path == command.readme:
            return file.url
    raise InputError(f"The report {command.readme} is not among the results; the step before should have made it.")


def _share(command: Command) -> dict[str, Any]:
    return {
        "users": list(command.share["dds_user_ids"]),
        "auth_role": command.share.get("auth_role") or "project_admin",
        "user_message": command.share.get("user_message") or f"The results of {command.activity.name} are ready.",
    }


def _put_json(store: Store, path: str, content: dict[str, Any]) -> None:
    data = json.dumps(content, indent=1).encode()  # ASCII, as names of files need not be text
    with_retries(lambda: store.put_bytes(data, path))


def _open_project(command: Command) -> Store:
    """The job's own part of the store: a folder of its name, or a project of the Duke Data Service."""
    if urlsplit(command.store_url).scheme in DUKEDS_SCHEMES:
        elsewhere = command.recorded is not None and "/" in command.recorded  # the store of an earlier configuration
        return DukedsProject.of_job(open_api(), command.title, command.project, None if elsewhere else command.recorded)
    return open_store(f"{command.store_url}/{command.project}")


def write_outfile(path: Path, ids: dict[str, Any], outfile_format: str) -> None:
    """OUTFILE: the ids as JSON, or as the shell line that annotates the pod ``$MY_POD_NAME`` with them."""
    if outfile_format == "json":
        text = json.dumps(ids)
    else:
        notes = " ".join(shlex.quote(f"{key}={value}") for key, value in ids.items())
        text = f'kubectl annotate --overwrite pod "$MY_POD_NAME" {notes}'
    part = path.with_name(f".{path.name}.lando-part")
    part.write_text(f"{text}\n", encoding="utf-8")
    os.replace(part, path)


def _work(argv: Sequence[str]) -> dict[str, Any]:
    arguments, outfile_format = list(argv), "annotate_script"
    if "--outfile-format" in arguments:
        at = arguments.index("--outfile-format")
        outfile_format = arguments[at + 1] if at + 1 < len(arguments) else ""
        del arguments[at : at + 2]
    if len(arguments) != 2 or outfile_format not in ("annotate_script", "json"):
        raise UsageError("two arguments and a known format are expected.")
    command = Command.read(arguments[0])
    ids = save(command, _open_project(command))
    write_outfile(Path(arguments[1]), ids, outfile_format)
    return ids


def main() -> int:
    """The container's program."""
    return run_program("save_output", USAGE, _work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

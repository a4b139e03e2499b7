"""Reading a run's results below its output project, and nothing beside it."""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lando.errors import ConfigError, NotFound, PeerError, Unavailable
from lando.stores import open_store

MAX_FILES = 20_000
"""A longer listing is cut; the answer says so."""
_PEER = "result store"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ResultFile:
    """One file of the results."""

    path: str
    """Relative to the output project, with ``/``."""
    size: int
    """Bytes."""


class Results:
    """The files of one output project, at a ``file:`` URL, a path or the URL of a store.

    Raises :class:`Unavailable` when this server can't speak to that store, or has no credential for it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.local: Path | None = Path(unquote(parts.path)) if parts.scheme in ("", "file") else None
        if self.local is None:
            with _store_errors(""):
                self._store = open_store(url)

    def files(self) -> Iterator[ResultFile]:
        """Every file, by path; links that lead out of the project are left out."""
        if self.local is not None:
            root = self.local.resolve()
            for path in sorted(self.local.rglob("*")):
                try:
                    if path.is_file() and path.resolve().is_relative_to(root):
                        yield ResultFile(path=_shown(path.relative_to(self.local)), size=path.stat().st_size)
                except (OSError, RuntimeError):
                    continue  # gone meanwhile, not to be read, or a link that leads to itself
            return
        with _store_errors(""):
            for entry in self._store.list():
                yield ResultFile(path=entry.path, size=entry.size)

    def local_file(self, path: str) -> Path | None:
        """The file ``path`` on this machine; None for a store elsewhere. Raises NotFound."""
        inside = safe_path(path)
        if self.local is None:
            return None
        try:
            file = (self.local / inside).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise NotFound(_PEER, f"has no file {path}") from error
        if not file.is_file() or not file.is_relative_to(self.local.resolve()):
            raise NotFound(_PEER, f"has no file {path}")
        return file

    def size(self, path: str) -> int:
        """Bytes of a file of a store elsewhere; raises NotFound or Unavailable."""
        with _store_errors(path):
            entry = self._store.entry(safe_path(path))
        if entry is None:
            raise NotFound(_PEER, f"has no file {path}")
        return entry.size

    def open(self, path: str) -> Iterator[bytes]:
        """The content of a file of a store elsewhere; raises NotFound or Unavailable."""
        with _store_errors(path):
            yield from self._store.read(safe_path(path))


@contextmanager
def _store_errors(path: str) -> Iterator[None]:
    """A store's errors without its address, and a refusal of this server's credential as the fault that it is."""
    try:
        yield
    except NotFound as error:
        raise NotFound(_PEER, f"has no file {path}") from error
    except (ConfigError, PeerError) as error:
        log.warning("results can't be read: %s", error)
        raise Unavailable(_PEER, "can't be read now; the server's log says why") from error


def safe_path(path: str) -> str:
    """``path`` if it stays below a folder; raises NotFound otherwise."""
    parts = PurePosixPath(path).parts
    if not parts or "\0" in path or "\\" in path or parts[0] == "/" or any(part in ("..", ".") for part in parts):
        raise NotFound(_PEER, "has no such file")
    return "/".join(parts)


def is_below(url: str, roots: Sequence[str]) -> bool:
    """Whether ``url`` lies below one of ``roots`` (URLs or paths), so that it may be served; a root itself does not."""
    place = _place(url)
    return place is not None and any(
        (base := _place(root)) is not None and base[:2] == place[:2] and base[2] in place[2].parents for root in roots
    )


def media_type(path: str) -> str:
    """The content type that a file's name suggests."""
    return mimetypes.guess_type(path)[0] or "application/octet-stream"


def _place(url: str) -> tuple[str, str, PurePosixPath] | None:
    parts = urlsplit(url)
    path = PurePosixPath("/" + unquote(parts.path).strip("/"))
    if ".." in path.parts or parts.query or parts.fragment:
        return None
    return parts.scheme or "file", parts.netloc, path


def _shown(path: Path) -> str:
    """A path as JSON can hold it: names need not be Unicode."""
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")

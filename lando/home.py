"""The folder in which everything of an embedded Lando lies: ``$LANDO_HOME``, else ``~/.local/share/lando``.

One stack at a time uses a home: it holds a lock on the file ``lock``, which the kernel gives back however the process
ends. ``client.json`` tells the command line where the server is and who it is (mode 0600).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lando.errors import ConfigError

VARIABLE = "LANDO_HOME"


@dataclass(frozen=True, kw_only=True)
class ClientSettings:
    """What a client needs to reach a server."""

    url: str
    token: str = field(repr=False)
    pid: int | None = None
    """The process of the stack that wrote the file; None when a person did."""


@dataclass(frozen=True)
class Home:
    """Names in one home folder; nothing is created before it is asked for."""

    path: Path

    @property
    def database(self) -> Path:
        """The API server's SQLite file."""
        return self.path / "lando.db"

    @property
    def server_key(self) -> Path:
        """The API server's secret key."""
        return self.path / "server.key"

    @property
    def files(self) -> Path:
        """Uploaded workflows and inputs."""
        return self.path / "files"

    @property
    def cluster(self) -> Path:
        """State of the embedded cluster: objects, certificates, volumes."""
        return self.path / "cluster"

    @property
    def archive(self) -> Path:
        """Logs and termination messages of ended steps."""
        return self.path / "archive"

    @property
    def results(self) -> Path:
        """One folder per run."""
        return self.path / "results"

    @property
    def definitions(self) -> Path:
        """The job definitions, where there are any."""
        return self.path / "definitions.yaml"

    @property
    def log(self) -> Path:
        """What the stack logs while it runs."""
        return self.path / "lando.log"

    @property
    def client_file(self) -> Path:
        """Where the command line finds URL and token."""
        return self.path / "client.json"

    def prepare(self) -> None:
        """Make the folder, closed to other users, and make sure that it can be written.

        Raises:
            ConfigError: it can't be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(f"The folder {self.path} can't be made: {error.strerror}; set {VARIABLE}.") from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(f"The folder {self.path} can't be written; set {VARIABLE} to another.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the home for this process.

        Raises:
            ConfigError: another process holds it; names its pid.
        """
        self.prepare()
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
                whose = f" (process {holder})" if holder else ""
                raise ConfigError(
                    f"Another Lando{whose} uses {self.path}; stop it, or set {VARIABLE} to another folder."
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def write_client(self, settings: ClientSettings) -> None:
        """Replace ``client.json`` at once, readable by its owner only from its first byte."""
        partial = self.client_file.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(asdict(settings), stream)
        partial.replace(self.client_file)

    def read_client(self) -> ClientSettings | None:
        """What ``client.json`` says, or None when there is none.

        Raises:
            ConfigError: it is there but can't be used.
        """
        try:
            document = json.loads(self.client_file.read_text(encoding="utf-8"))
            return ClientSettings(url=document["url"], token=document["token"], pid=document.get("pid"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            advice = "remove it and start 'lando up' again"
            raise ConfigError(f"{self.client_file} can't be used ({type(error).__name__}); {advice}.") from error


def find(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Home:
    """The home at ``path``, or the one that the environment names, or the usual one."""
    environ = os.environ if environ is None else environ
    chosen = path or Path(environ.get(VARIABLE) or Path.home() / ".local" / "share" / "lando")
    return Home(Path(os.path.abspath(chosen.expanduser())))

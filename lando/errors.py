"""Every error Lando raises on purpose, in one tree.

::

    LandoError
    ├── ConfigError              a configuration file, option or environment variable is wrong
    ├── InputError               what a person handed in (workflow, job order, form) can't be used
    ├── Refused                  what is there already forbids to begin: another run, another's object
    ├── MessageError             a message that no retry can make good: it goes to ``<queue>.dead``
    │   ├── UnreadableMessage      neither of our JSON nor a legacy pickle
    │   ├── UnsafeMessage          names code or types that are never loaded (a security event)
    │   ├── UnsupportedVersion     another major version of the format
    │   ├── UnknownCommand         readable, but no command of ours
    │   └── UnknownRun             names a run that its source does not know
    ├── StepError                a step's own work failed; carries the cause for its owner
    └── PeerError                what another system answered, or that it did not
        ├── Unavailable            connection, time-out, 401, 403, 429, 5xx: not the run's fault; wait
        ├── NotFound               404
        ├── Conflict               409: exists already, or was changed meanwhile (412)
        ├── Expired                410: a list or watch must start over
        ├── QuotaExceeded          403 of a quota: waited for, then a ``resources`` failure
        └── Rejected               400, 422 and the like: an answer, asking again is no use

The message of each is one sentence for the person who reads it: what was wrong, where, what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lando.runs import Cause


class LandoError(Exception):
    """Base of all errors below; catching it means "anything Lando foresaw"."""


class ConfigError(LandoError):
    """A setting is missing, unknown or of the wrong type; says file, line and key. Mend it and start again."""


class InputError(LandoError):
    """A workflow, job order or request can't be used as given; ``field`` names the part at fault, if one is."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class Refused(LandoError):
    """What is there already forbids to begin: another run of the same Jobs, an object of somebody else."""


class MessageError(LandoError):
    """A message that can never be handled; its sentence becomes the reason in ``<queue>.dead``."""


class UnreadableMessage(MessageError):
    """The body is no message of any form we know, is cut short, or lacks a needed field."""


class UnsafeMessage(MessageError):
    """A pickle names something other than the listed message classes; nothing of it was loaded or called."""


class UnsupportedVersion(MessageError):
    """The sender speaks another major version; update the older side."""


class UnknownCommand(MessageError):
    """The message is well formed, but no command that belongs on this queue."""


class UnknownRun(MessageError):
    """The API does not know the run that the message names; nothing was deleted or created."""


class StepError(LandoError):
    """A step can't be done for a reason that lies in the run itself."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.sentence)
        self.cause = cause
        self.step: str | None = None
        """Which, where that is known."""


class PeerError(LandoError):
    """Another system (``peer``: "Bespin API", "cluster", "broker", …) refused or could not be reached."""

    def __init__(self, peer: str, message: str, *, status: int | None = None, reason: str | None = None) -> None:
        super().__init__(f"{peer}: {message}")
        self.peer = peer
        self.status = status
        """HTTP status, if it came to an answer."""
        self.reason = reason
        """The machine-readable reason of the answer, e.g. ``AlreadyExists`` of a Kubernetes Status."""


class Unavailable(PeerError):
    """The peer can't do its work now; pause, probe and go on. Never counted as an attempt of a run."""

    def __init__(
        self,
        peer: str,
        message: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(peer, message, status=status, reason=reason)
        self.retry_after_s = retry_after_s
        """Seconds the peer asked us to wait, if it said."""


class NotFound(PeerError):
    """The object is not there (404)."""


class Conflict(PeerError):
    """The object exists already, or was changed since it was read (409, 412)."""


class Expired(PeerError):
    """The list or watch position is too old (410): list again."""


class QuotaExceeded(PeerError):
    """A quota forbids the object for now (403 with the quota's words)."""


class Rejected(PeerError):
    """The peer looked at the request and said no (400, 405, 413, 422, admission)."""

"""Where the API's pod logs come from: the kubelet registers a source with the server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol


class LogSource(Protocol):
    """Reads what a container wrote to standard output and standard error."""

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
    ) -> Iterator[bytes]:
        """The log in pieces of at most 64 KiB.

        ``tail_lines`` and ``since_time`` choose where it begins, ``limit_bytes`` where it ends; ``previous`` is the
        log of the container's incarnation before a restart. With ``follow`` the iterator goes on until the container
        ends, and yields ``b""`` at least once a second while there is nothing new, so that the reader can stop. The
        caller closes the iterator. Raises ApiError: 404 when the pod or its log is not
        there, 400 when the container has not started or has no previous incarnation.
        """
        ...

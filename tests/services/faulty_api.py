"""A Kubernetes API whose next lists and watches are spoiled as a test says; each fault spoils one answer."""

from __future__ import annotations

from collections import deque

from tests.services.faulty_http import Fault, FaultyHttp
from tests.services.kubernetes_api import KubernetesApi

ON_LISTS = (Fault.REFUSE_410, Fault.REFUSE_429, Fault.REFUSE_500, Fault.REFUSE_HTML, Fault.HANG_UP, Fault.CUT)


class FaultyApi(FaultyHttp):
    """Stands before ``api``."""

    def __init__(self, api: KubernetesApi) -> None:
        self.on_lists: deque[Fault] = deque()
        self.on_watches: deque[Fault] = deque()
        super().__init__([api.url], self._next, verify=str(api.ca_file))

    def _next(self, _method: str, _path: str, is_watch: bool) -> Fault | None:
        faults = self.on_watches if is_watch else self.on_lists
        return faults.popleft() if faults else None

"""The official client's objects, by which a manager calls its cluster. Every request has a time-out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import urllib3
from kubernetes import client
from kubernetes.config import ConfigException

if TYPE_CHECKING:
    from lando.k8s.cluster_session import ClusterSession

TIMEOUTS_S = (5.0, 60.0)
"""To connect, and to wait for each part of an answer."""


class _Retries(urllib3.Retry):
    """Of calls that change nothing when they come twice: where the connection breaks, not where the cluster is silent.
    One that is to be asked again in an hour is away: nobody waits for it here."""

    def increment(self, *args: Any, **kwargs: Any) -> Self:
        if isinstance(error := kwargs.get("error"), urllib3.exceptions.ReadTimeoutError):
            raise error
        return super().increment(*args, **kwargs)


RETRIES = _Retries(3, respect_retry_after_header=False)


class _Client(client.ApiClient):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rest_client.pool_manager.connection_pool_kw.setdefault("retries", RETRIES)

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        """Raises urllib3's HTTPError for what no Kubernetes API answers, such as a proxy's page."""
        try:
            found = super().deserialize(*args, **kwargs)
        except (ValueError, TypeError, AttributeError) as error:
            raise _no_answer() from error
        if found is None or (not isinstance(found, client.V1Status) and getattr(found, "metadata", found) is None):
            raise _no_answer()
        return found

    def call_api(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("_request_timeout") is None:
            kwargs["_request_timeout"] = TIMEOUTS_S
        try:
            return super().call_api(*args, **kwargs)
        except ValueError as error:
            if "header" not in str(error):
                raise
            # Its words hold the header, which is the login.
            raise ConfigException(
                "the login to the cluster is none that can be sent, such as one of two lines"
            ) from None


class _Manifest(client.V1Job):
    """A manifest that is sent as it is.

    Recent releases of the client hold a dictionary against their own types, which refuse fields of a newer Kubernetes
    and whole numbers as quantities (``cpu: 1``). What is a valid Job is the cluster's to say.
    """

    _document: Any = None

    def to_dict(self, serialize: bool = False) -> dict[str, Any]:
        return dict(self._document)


def parsed(answer: Any) -> dict[str, Any]:
    """The JSON object that a call without ``_preload_content`` answers. Raises urllib3's HTTPError for what is none."""
    try:
        found = json.loads(answer.data)
    except ValueError as error:
        raise _no_answer() from error
    if not isinstance(found, dict):
        raise _no_answer()
    return found


def _no_answer() -> urllib3.exceptions.HTTPError:
    return urllib3.exceptions.HTTPError("what answers in its place is no Kubernetes API")


def body_of(job: Any) -> Any:
    """What to give to the client for a V1Job or a dictionary."""
    if not isinstance(job, Mapping) or not hasattr(client.V1Job, "model_construct"):
        return job
    manifest = _Manifest.model_construct()
    manifest._document = job
    return manifest


def job_of(document: Mapping[str, Any]) -> Any:
    """The V1Job of a Job as the API's JSON has it."""
    if hasattr(client.V1Job, "from_dict"):
        return client.V1Job.from_dict(dict(document))
    connected: Any = client.ApiClient()  # of the releases before, which have only this way
    return connected.deserialize(SimpleNamespace(data=json.dumps(document)), "V1Job")


class Connection:
    """To the cluster of the process-wide default configuration.

    The objects are made for one call each, so that a configuration which is loaded later takes effect.
    """

    @contextmanager
    def batch(self) -> Iterator[Any]:
        """Jobs."""
        with self._connected() as connected:
            yield client.BatchV1Api(connected)

    @contextmanager
    def core(self) -> Iterator[Any]:
        """Pods, their logs, ConfigMaps and events."""
        with self._connected() as connected:
            yield client.CoreV1Api(connected)

    @contextmanager
    def _connected(self) -> Iterator[_Client]:
        with _Client() as connected:
            try:
                yield connected
            finally:
                connected.rest_client.pool_manager.clear()


class OwnConnection(Connection):
    """To the cluster of ``session``, as current in its login, with one warm session of its own; the process-wide
    configuration is left alone."""

    def __init__(self, session: ClusterSession) -> None:
        self._client = _Client(session.client_configuration())
        self._pool = self._client.rest_client.pool_manager
        self._client.rest_client.pool_manager = _Renewing(self._pool, session)  # type: ignore[assignment]

    def close(self) -> None:
        """Drop the idle connections."""
        self._pool.clear()

    @contextmanager
    def _connected(self) -> Iterator[_Client]:
        yield self._client


class _Renewing:
    """In the place of the client's urllib3 pool: sends once more what the cluster did not let in, with another login
    where there is one by now."""

    def __init__(self, pool: urllib3.PoolManager, session: ClusterSession) -> None:
        self._pool = pool
        self._session = session

    def request(self, method: str, url: str, *, headers: Mapping[str, str], **more: Any) -> urllib3.BaseHTTPResponse:
        response = self._pool.request(method, url, headers=headers, **more)
        login = self._session.login_instead(headers) if response.status == 401 else None
        if login is None:
            return response
        response.drain_conn()
        return self._pool.request(method, url, headers={**headers, **login}, **more)


DEFAULT = Connection()
"""What the library uses unless it is given another."""

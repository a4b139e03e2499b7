"""An API server over a store in memory, and its clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lando.local.http.access import Access, Grant
from lando.local.http.server import ApiServer
from lando.local.http.tls import Certificates, ensure_certificates
from lando.local.store.objects import ObjectStore
from tests.services.kubernetes_api import KubernetesApi

OWNER = Grant(user="owner", namespaces=frozenset({"ns"}))
READER = Grant(user="reader", verbs=frozenset({"get", "list", "watch"}), namespaces=frozenset({"ns"}))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return ensure_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(store: ObjectStore, certificates: Certificates) -> Iterator[ApiServer]:
    server = ApiServer(store, Access({"all": Grant(user="admin"), "own": OWNER, "some": READER}), certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def api(server: ApiServer, certificates: Certificates) -> Iterator[KubernetesApi]:
    api = KubernetesApi(server.url, certificates.ca_file, "all", "ns")
    yield api
    api.session.close()

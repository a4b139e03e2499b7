"""A configuration file that can be used, to be changed by each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

VALID = """\
work_queue:
  host: mq.example.org
  username: lando
  password: s3cret-broker
  worker_username: worker
  worker_password: s3cret-worker
  listen_queue: lando
cluster_api_settings:
  host: https://cluster.example.org:6443
  token: s3cret-cluster
  namespace: lando-job-runner
  verify_ssl: true
  ssl_ca_cert: /etc/lando/ca.crt
bespin_api:
  url: https://bespin.example.org/api/v2
  token: s3cret-bespin
data_store_settings:
  secret_name: ddsclient-agent
run_workflow_settings:
  system_data_volume:
    volume_claim_name: system-data
    mount_path: /bespin/system/
record_output_project_settings:
  service_account_name: annotation-writer
storage_class_name: fast
base_stage_data_volume_size_in_g: 1
log_level: INFO
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the valid file with some texts replaced and some lines added."""

    def write_file(*replacements: tuple[str, str], add: str = "") -> Path:
        text = VALID
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "k8s.config"
        path.write_text(text + add, encoding="utf-8")
        return path

    return write_file

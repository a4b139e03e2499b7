"""Volumes where the manifest says, with mounts and without."""

from __future__ import annotations

import gzip
import json
import os
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from lando.errors import ConfigError
from lando.local.node import sandbox
from lando.local.node.sandbox import Substitution, choose_sandbox, probe_bubblewrap
from tests.services.local_node import Cluster, phase, state
from tests.services.providing import wait_until


def volume(name: str, path: str, source: dict[str, Any], **mount: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"name": name, **source}, {"name": name, "mountPath": path, **mount}


def run(cluster: Cluster, script: str, *volumes: tuple[dict[str, Any], dict[str, Any]], **container: Any) -> str:
    """The log of a pod that runs ``script`` with these volumes."""
    declared = list({source["name"]: source for source, _ in volumes}.values())
    mounts = [mount for _, mount in volumes]
    name = f"p{len(cluster.store.list('pods').raw_items)}"
    cluster.pod(name, script, container={"volumeMounts": mounts, **container}, volumes=declared)
    pod = cluster.ended(name)
    log = cluster.log(name)
    assert phase(pod) == "Succeeded", (state(pod), log)
    return log


def claim(name: str, **options: Any) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name, **options}}


def test_what_one_pod_writes_to_a_claim_another_one_reads(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    run(sandboxed, "echo kept > /bespin/job-data/f", volume("d", "/bespin/job-data", claim("data")))
    read = volume("d", "/elsewhere/data", claim("data", readOnly=True))
    assert run(sandboxed, "cat /elsewhere/data/f", read) == "kept\n"
    assert not Path("/bespin/job-data").exists()


def test_a_mount_path_with_a_slash_at_its_end(sandboxed: Cluster) -> None:
    sandboxed.claim("system")
    mounted = volume("s", "/bespin/system/", claim("system"))
    assert run(sandboxed, "touch /bespin/system/f; ls /bespin/system", mounted) == "f\n"


def test_a_mount_below_a_folder_of_the_machine_leaves_that_folder_as_it_is(sandboxed: Cluster) -> None:
    sandboxed.create("secrets", "agent", stringData={"config": "token: x"})
    mounted = volume("s", "/etc/ddsclient-test", {"secret": {"secretName": "agent"}})
    log = run(sandboxed, "cat /etc/ddsclient-test/config; test -e /etc/passwd", mounted)
    assert log == "token: x"
    assert not Path("/etc/ddsclient-test").exists()


def test_config_maps_are_files_with_the_chosen_items(sandboxed: Cluster) -> None:
    sandboxed.create(
        "configmaps", "files", data={"a.txt": "A", "b.txt": "B"}, binaryData={"c.bin": b64encode(b"C").decode()}
    )
    everything = volume("all", "/config", {"configMap": {"name": "files"}})
    items = [{"key": "b.txt", "path": "sub/renamed.txt", "mode": 0o600}]
    some = volume("some", "/some", {"configMap": {"name": "files", "items": items}})
    script = "cat /config/*; echo; find /some -type f -perm 600 -exec basename {} \\;; cat /some/sub/renamed.txt"
    assert run(sandboxed, script, everything, some) == "ABC\nrenamed.txt\nB"


def test_paths_inside_a_config_map_lead_to_the_volumes(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    command = {"items": [{"dest": "/bespin/job-data/in/x.txt"}]}
    sandboxed.create(
        "configmaps",
        "stage",
        data={"stage.json": json.dumps(command)},
        binaryData={"stage.json.gz": b64encode(gzip.compress(json.dumps(command).encode())).decode()},
    )
    script = """
        python3 - /bespin/config/stage.json /bespin/config/stage.json.gz <<'END'
import gzip, json, pathlib, sys
for name in sys.argv[1:]:
    text = gzip.open(name, "rt").read() if name.endswith(".gz") else open(name).read()
    for item in json.loads(text)["items"]:
        place = pathlib.Path(item["dest"])
        place.parent.mkdir(exist_ok=True)
        with place.open("a") as file:
            file.write("staged ")
END
        cat /bespin/job-data/in/x.txt
    """
    data = volume("d", "/bespin/job-data", claim("data"))
    config = volume("c", "/bespin/config", {"configMap": {"name": "stage"}})
    assert run(sandboxed, script, data, config) == "staged staged "
    assert (sandboxed.claim_folder("data") / "in" / "x.txt").read_text(encoding="utf-8") == "staged staged "


def test_paths_in_environment_and_working_directory_lead_to_the_volumes(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    mounted = volume("d", "/bespin/output-data", claim("data"))
    log = run(
        sandboxed,
        "echo there > $OUT/f; cat f",
        mounted,
        env=[{"name": "OUT", "value": "/bespin/output-data/results"}],
        workingDir="/bespin/output-data/results",
    )
    assert log == "there\n"
    assert (sandboxed.claim_folder("data") / "results" / "f").exists()


def test_a_working_directory_that_is_nowhere_is_a_start_error_without_mounts(cluster: Cluster) -> None:
    cluster.pod("lost", container={"workingDir": "/nowhere/at/all"})
    ended = state(cluster.ended("lost"))["terminated"]
    assert ended["reason"] == "StartError"
    assert "/nowhere/at/all does not exist" in ended["message"]


def test_a_sub_path_is_a_part_of_the_volume(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    sandboxed.create("configmaps", "one", data={"tool.conf": "setting\n", "other": "x"})
    part = volume("d", "/part", claim("data"), subPath="run-1/a")
    file = volume("c", "/srv-test/tool.conf", {"configMap": {"name": "one"}}, subPath="tool.conf")
    assert run(sandboxed, "touch /part/f; cat /srv-test/tool.conf", part, file) == "setting\n"
    assert (sandboxed.claim_folder("data") / "run-1" / "a" / "f").exists()


def test_a_sub_path_made_of_variables(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    mounted = volume("d", "/part", claim("data"), subPathExpr="$(WHO)")
    run(sandboxed, "touch /part/f", mounted, env=[{"name": "WHO", "value": "me"}])
    assert (sandboxed.claim_folder("data") / "me" / "f").exists()


def test_a_sub_path_never_leads_out_of_its_volume(cluster: Cluster) -> None:
    cluster.claim("data")
    cluster.wait("persistentvolumeclaims", "data", lambda each: each["status"].get("phase") == "Bound")
    (cluster.claim_folder("data") / "out").symlink_to("/etc")
    source, mount = volume("d", "/part", claim("data"), subPath="out")
    cluster.pod("sly", "ls /part", container={"volumeMounts": [mount]}, volumes=[source])
    assert "leads out of the volume" in cluster.wait_event("sly", "Failed")


def test_a_volume_inside_of_another(sandboxed: Cluster) -> None:
    sandboxed.claim("data")
    outer = volume("d", "/data", claim("data"))
    inner = volume("e", "/data/scratch", {"emptyDir": {}})
    run(sandboxed, "touch /data/outer /data/scratch/inner", outer, inner)
    assert not (sandboxed.claim_folder("data") / "scratch" / "inner").exists()
    assert (sandboxed.claim_folder("data") / "outer").exists()


def test_the_downward_api_and_projected_volumes(sandboxed: Cluster) -> None:
    sandboxed.create("configmaps", "one", data={"k": "from-map "})
    sandboxed.create("secrets", "two", stringData={"k": "from-secret "})
    downward = {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.name"}}]}
    sources = [
        {"configMap": {"name": "one", "items": [{"key": "k", "path": "a"}]}},
        {"secret": {"name": "two", "items": [{"key": "k", "path": "b"}]}},
        {"downwardAPI": downward},
    ]
    mounted = volume("p", "/all", {"projected": {"sources": sources}})
    assert run(sandboxed, "cat /all/a /all/b /all/labels", mounted) == "from-map from-secret p0"


def test_secret_files_are_readable_by_their_owner_only_if_so_chosen(sandboxed: Cluster) -> None:
    sandboxed.create("secrets", "agent", stringData={"config": "x"})
    mounted = volume("s", "/s", {"secret": {"secretName": "agent", "defaultMode": 0o400}})
    assert run(sandboxed, "stat -c %a /s/config", mounted) == "400\n"


@pytest.mark.service("bubblewrap")
@pytest.mark.usefixtures("bubblewrap")
def test_read_only_mounts_refuse_writing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "bwrap").start()
    try:
        cluster.claim("data")
        cluster.create("configmaps", "one", data={"k": "v"})
        by_claim = volume("d", "/by-claim", claim("data", readOnly=True))
        by_mount = volume("e", "/by-mount", {"emptyDir": {}}, readOnly=True)
        config = volume("c", "/config", {"configMap": {"name": "one"}})
        script = "for d in by-claim by-mount config; do touch /$d/f 2>/dev/null || echo $d refuses; done"
        log = run(cluster, script, by_claim, by_mount, config)
        assert log.splitlines() == ["by-claim refuses", "by-mount refuses", "config refuses"]
    finally:
        cluster.stop()


@pytest.mark.service("bubblewrap")
@pytest.mark.usefixtures("bubblewrap")
def test_the_root_of_a_container_is_its_own(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "bwrap").start()
    try:
        run(cluster, "mkdir /made-in-a-container; touch /made-in-a-container/f")
        assert not Path("/made-in-a-container").exists()
    finally:
        cluster.stop()


def test_without_bubblewrap_paths_are_substituted_or_it_is_said_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    probe_bubblewrap.cache_clear()
    try:
        with closing(choose_sandbox("auto", tmp_path)) as chosen:
            assert isinstance(chosen, Substitution)
        with pytest.raises(ConfigError, match="apt install bubblewrap"):
            choose_sandbox("bwrap", tmp_path)
    finally:
        probe_bubblewrap.cache_clear()


def test_a_bubblewrap_that_does_not_work_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    probe_bubblewrap.cache_clear()
    try:
        with closing(choose_sandbox("auto", tmp_path)) as chosen:
            assert chosen.name == "substitute"
        with pytest.raises(ConfigError, match="No permissions to create new namespace"):
            choose_sandbox("bwrap", tmp_path)
    finally:
        sandbox.probe_bubblewrap.cache_clear()


@pytest.mark.service("bubblewrap")
@pytest.mark.usefixtures("bubblewrap")
def test_a_volume_that_cannot_be_mounted_is_a_start_error_and_not_the_programs_fault(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "bwrap").start()
    try:
        cluster.create("configmaps", "one", data={"k": "v"})
        source, mount = volume("c", "/etc/passwd", {"configMap": {"name": "one"}})
        cluster.pod("odd", "exit 1", container={"volumeMounts": [mount]}, volumes=[source])
        ended = state(cluster.ended("odd"))["terminated"]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert "volumes could not be mounted" in ended["message"]
        assert "bwrap" in cluster.log("odd")
        cluster.pod("plain", "exit 1")
        assert state(cluster.ended("plain"))["terminated"]["reason"] == "Error"
    finally:
        cluster.stop()


def test_folders_that_programs_made_unwritable_go_with_their_claim(cluster: Cluster) -> None:
    cluster.claim("data")
    run(cluster, "mkdir -p /d/a/b; touch /d/a/b/f; chmod 500 /d/a/b /d/a", volume("d", "/d", claim("data")))
    folder = cluster.claim_folder("data")
    assert (folder / "a" / "b" / "f").exists()
    metadata: dict[str, Any] = {"metadata": {"finalizers": []}}
    cluster.store.patch("persistentvolumeclaims", "default", "data", metadata)
    cluster.store.delete("persistentvolumeclaims", "default", "data")
    wait_until(lambda: not folder.exists(), what="the end of the claim's folder")

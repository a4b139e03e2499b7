"""lando-jobs contract, 1, 5 and 6, with its own example: job 42 of ada@example.org."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from typing import Any

import kubernetes_validate
import pytest
from lando.bespin import letters
from lando.bespin.documents import BespinJob, MethodsDocument, ShareGroup, StageGroup, read
from lando.config import (
    BespinApiSettings,
    ClusterSettings,
    Config,
    DataStoreSettings,
    PodSettings,
    RecordOutputProjectSettings,
    RunWorkflowSettings,
    StepSettings,
    SystemDataVolume,
    WorkQueueSettings,
)
from lando.errors import StepError
from lando.plans import Making, StepTimes
from lando.plans.cwl import CwlPlanner
from lando.runs import Run
from lando.steps import volume

L2 = {"bespin-job": "true", "bespin-job-id": "42"}
BASE_COMMANDS = {
    "stage_data": ["python", "-m", "lando_util.stagedata"],
    "run_workflow": ["calrissian"],
    "organize_output": ["python", "-m", "lando_util.organize_project"],
    "save_output": ["python", "-m", "lando_util.upload"],
    "record_output_project": [],
}
CONFIG = Config(
    work_queue=WorkQueueSettings(listen_queue="lando", url="memory://test"),
    cluster_api_settings=ClusterSettings(namespace="test", host="https://127.0.0.1", token="t"),
    bespin_api=BespinApiSettings(url="http://127.0.0.1/api/v2", token="t"),
    data_store_settings=DataStoreSettings(secret_name="ddsclient-agent"),
    run_workflow_settings=RunWorkflowSettings(
        system_data_volume=SystemDataVolume(volume_claim_name="system-data", mount_path="/bespin/system/")
    ),
    record_output_project_settings=RecordOutputProjectSettings(service_account_name="annotation-writer"),
    storage_class_name="fast",
)
STAGE_GROUP = {
    "dds_files": [{"file_id": "5b0f", "destination_path": "dds_proj_a.fastq", "size": 2147483653}],
    "url_files": [{"url": "https://files.example.org/b.bed", "destination_path": "b.bed", "size": 10}],
}


def document(*, ours: bool = False, **changes: Any) -> dict[str, Any]:
    steps = [
        {
            "step_type": name,
            "image_name": f"image-{name}:1",
            "flavor": {"name": "small", "cpus": 1, "memory": "2Gi"},
            "base_command": ["python", "-m", f"lando.steps.{name}"] if ours else command,
        }
        for name, command in BASE_COMMANDS.items()
    ]
    return {
        "id": 42,
        "workflow_version": {
            "id": 7,
            "workflow": 3,
            "name": "Exome analysis",
            "type": "packed",
            "workflow_path": "#main",
            "url": "https://files.example.org/flows/exome-packed.cwl?expires=1&signature=x",
            "version": "4.1.0",
            "methods_document": 5,
        },
        "user": {"id": 11, "username": "ada@example.org"},
        "name": "batch 17",
        "created": "2026-03-04T15:06:07.123456Z",
        "state": "R",
        "step": "",
        "job_settings": {"id": 2, "job_runtime_openstack": None, "job_runtime_k8s": {"id": 1, "steps": steps}},
        "job_flavor": {"name": "m.large", "cpus": 8, "memory": "16Gi"},
        "job_order": '{"threads": 4}',
        "output_project": {"id": 19, "job": 42, "project_id": "", "dds_user_credentials": 1},
        "stage_group": 23,
        "volume_size": 107,
        "share_group": 6,
        **changes,
    }


def make_run(**changes: Any) -> Run:
    job = read(BespinJob, document(**changes))
    state = letters.state_of(job.state)
    return Run(
        id=42,
        kind="cwl",
        owner=job.user.username,
        name=job.name,
        state=state,
        steps=letters.steps_of(state, ""),
        document=job,
    )


def objects(step: str, inputs: Any = None, *, config: Config = CONFIG, **changes: Any) -> dict[str, Any]:
    times = {"run_workflow": StepTimes(started="2026-03-04T15:10:00Z", finished="2026-03-04T16:10:00Z")}
    making = Making(attempt=2, record_uid="uid-record", inputs=inputs, times=times)
    return {item["kind"]: item for item in CwlPlanner(config).objects(make_run(**changes), step, making)}


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def volumes(job: dict[str, Any]) -> dict[str, Any]:
    return {volume.pop("name"): volume for volume in json.loads(json.dumps(job["spec"]["template"]["spec"]["volumes"]))}


def group(**changes: Any) -> StageGroup:
    return read(StageGroup, {**STAGE_GROUP, **changes})


def test_the_input_volume_has_room_for_base_and_inputs() -> None:
    claim = objects("create_volume", group())["PersistentVolumeClaim"]
    assert claim["metadata"]["name"] == "job-data-42-ada"
    assert claim["metadata"]["labels"] == L2
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": "4Gi"}},
        "storageClassName": "fast",
    }


def test_the_run_job_is_that_of_the_contract() -> None:
    made = objects("run_workflow")
    assert made["PersistentVolumeClaim"]["spec"]["resources"] == {"requests": {"storage": "107Gi"}}
    job = made["Job"]
    labels = {**L2, "bespin-job-step": "run_workflow"}
    assert job["metadata"]["name"] == "run-workflow-42-ada"
    assert job["metadata"]["labels"] == labels
    assert job["spec"]["template"]["metadata"]["name"] == "run-workflow-42-adaspec"
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    main = container(job)
    assert main["name"] == "run-workflow-42-ada"
    assert main["command"] == [
        "calrissian",
        "--cachedir",
        "/bespin/output-data/tmpout/",
        "--outdir",
        "/bespin/output-data/results/",
        "--max-ram",
        "16Gi",
        "--max-cores",
        "8",
        "--usage-report",
        "/bespin/output-data/job-42-ada-resource-usage.json",
        "--stdout",
        "/bespin/output-data/bespin-workflow-output.json",
        "--stderr",
        "/bespin/output-data/bespin-workflow-output.log",
        "/bespin/job-data/workflow/exome-packed.cwl#main",
        "/bespin/job-data/job-order.json",
    ]
    assert main["args"] == []
    assert main["env"] == [{"name": "CALRISSIAN_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    assert main["resources"] == {"requests": {"cpu": 1, "memory": "2Gi"}}
    assert main["volumeMounts"] == [
        {"name": "job-data-42-ada", "mountPath": "/bespin/job-data"},
        {"name": "output-data-42-ada", "mountPath": "/bespin/output-data"},
        {"name": "system-data-42-ada", "mountPath": "/bespin/system/"},
    ]
    assert volumes(job) == {
        "job-data-42-ada": {"persistentVolumeClaim": {"claimName": "job-data-42-ada", "readOnly": True}},
        "output-data-42-ada": {"persistentVolumeClaim": {"claimName": "output-data-42-ada", "readOnly": False}},
        "system-data-42-ada": {"persistentVolumeClaim": {"claimName": "system-data", "readOnly": True}},
    }


def test_stage_data_stages_workflow_job_order_and_every_input() -> None:
    made = objects("stage_data", group())
    config = json.loads(made["ConfigMap"]["data"]["stagedata.json"])
    assert config == {
        "items": [
            {
                "type": "url",
                "source": "https://files.example.org/flows/exome-packed.cwl?expires=1&signature=x",
                "dest": "/bespin/job-data/workflow/exome-packed.cwl",
            },
            {"type": "write", "source": '{"threads": 4}', "dest": "/bespin/job-data/job-order.json"},
            {"type": "DukeDS", "source": "5b0f", "dest": "/bespin/job-data/dds_proj_a.fastq"},
            {"type": "url", "source": "https://files.example.org/b.bed", "dest": "/bespin/job-data/b.bed"},
        ]
    }
    main = container(made["Job"])
    assert main["command"] == ["python", "-m", "lando_util.stagedata"]
    assert main["args"] == [
        "/bespin/config/stagedata.json",
        "/bespin/job-data/workflow-input-files-metadata.json",
    ]
    assert main["env"] == [{"name": "DDSCLIENT_CONF", "value": "/etc/ddsclient/config"}]
    assert volumes(made["Job"]) == {
        "job-data-42-ada": {"persistentVolumeClaim": {"claimName": "job-data-42-ada", "readOnly": False}},
        "stage-data-42-ada": {
            "configMap": {
                "name": "stage-data-42-ada",
                "items": [{"key": "stagedata.json", "path": "stagedata.json"}],
            }
        },
        "data-store-42-ada": {"secret": {"secretName": "ddsclient-agent"}},
    }


def test_a_zipped_workflow_is_unpacked_and_run_from_inside() -> None:
    version = document()["workflow_version"] | {
        "type": "zipped",
        "workflow_path": "exome/main.cwl",
        "url": "https://h/x.zip",
    }
    made = objects("stage_data", group(), workflow_version=version)
    first = json.loads(made["ConfigMap"]["data"]["stagedata.json"])["items"][0]
    assert first["unzip_to"] == "/bespin/job-data/workflow"
    job = objects("run_workflow", workflow_version=version)["Job"]
    assert container(job)["command"][-2] == "/bespin/job-data/workflow/exome/main.cwl"
    organize = objects("organize_output", workflow_version=version)["ConfigMap"]["data"]["organizeoutput.json"]
    told = json.loads(organize)
    assert told["downloaded_workflow_path"] == "/bespin/job-data/workflow/x.zip"
    assert told["workflow_to_read"] == "/bespin/job-data/workflow/exome/main.cwl"


def test_organize_output_gets_its_file_with_methods_and_times() -> None:
    made = objects("organize_output", read(MethodsDocument, {"id": 5, "content": "# Methods\n..."}))
    assert json.loads(made["ConfigMap"]["data"]["organizeoutput.json"]) == {
        "bespin_job_id": 42,
        "destination_dir": "/bespin/output-data/results",
        "downloaded_workflow_path": "/bespin/job-data/workflow/exome-packed.cwl",
        "workflow_to_read": "/bespin/job-data/workflow/exome-packed.cwl",
        "workflow_type": "packed",
        "job_order_path": "/bespin/job-data/job-order.json",
        "bespin_workflow_stdout_path": "/bespin/output-data/bespin-workflow-output.json",
        "bespin_workflow_stderr_path": "/bespin/output-data/bespin-workflow-output.log",
        "methods_template": "# Methods\n...",
        "additional_log_files": ["/bespin/output-data/job-42-ada-resource-usage.json"],
        "bespin_workflow_started": "2026-03-04T15:10:00Z",
        "bespin_workflow_finished": "2026-03-04T16:10:00Z",
    }
    assert container(made["Job"])["args"] == ["/bespin/config/organizeoutput.json"]
    assert "env" not in container(made["Job"]) or container(made["Job"])["env"] == []


@pytest.mark.parametrize("version", ["4.1.0", "v4.1.0"])
def test_save_output_names_the_project_with_one_v(version: str) -> None:
    made = objects(
        "save_output",
        read(ShareGroup, {"users": [{"id": 2, "name": "G", "dds_id": "1c1c"}]}),
        workflow_version=document()["workflow_version"] | {"version": version},
    )
    told = json.loads(made["ConfigMap"]["data"]["saveoutput.json"])
    assert told == {
        "destination": "Bespin Exome analysis v4.1.0 batch 17 2026-03-04",
        "readme_file_path": "results/docs/README.md",
        "paths": ["/bespin/output-data/results"],
        "share": {"dds_user_ids": ["1c1c"]},
        "activity": {
            "name": "batch 17 - Bespin Job 42",
            "description": "Bespin Job 42 - Workflow Exome analysis v4.1.0",
            "started_on": "2026-03-04T15:10:00Z",
            "ended_on": "2026-03-04T16:10:00Z",
            "input_file_versions_json_path": "/bespin/job-data/workflow-input-files-metadata.json",
            "workflow_output_json_path": "/bespin/output-data/bespin-workflow-output.json",
        },
    }
    main = container(made["Job"])
    assert main["args"] == ["/bespin/config/saveoutput.json", "/bespin/output-data/annotate_project_details.sh"]
    assert main["workingDir"] == "/bespin/output-data/results"
    assert volumes(made["Job"])["stage-data-42-ada"]["configMap"]["name"] == "save-output-42-ada"
    assert volumes(made["Job"])["data-store-42-ada"] == {"secret": {"secretName": "ddsclient-agent"}}


def test_the_record_job_runs_the_script_under_its_own_account() -> None:
    job = objects("record_output_project")["Job"]
    main = container(job)
    assert (main["command"], main["args"]) == (["sh"], ["/bespin/output-data/annotate_project_details.sh"])
    assert main["env"] == [{"name": "MY_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "annotation-writer"
    assert volumes(job) == {
        "output-data-42-ada": {"persistentVolumeClaim": {"claimName": "output-data-42-ada", "readOnly": True}}
    }


@pytest.mark.parametrize("step", BASE_COMMANDS)
def test_only_programs_that_call_the_cluster_get_its_token(step: str) -> None:
    pod = objects(step, group() if step == "stage_data" else None)["Job"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is (step in ("run_workflow", "record_output_project"))
    if step != "record_output_project":
        own = objects(step, None, ours=True)["Job"]["spec"]["template"]["spec"]
        assert own["automountServiceAccountToken"] is False


@pytest.mark.parametrize("step", BASE_COMMANDS)
def test_every_object_is_owned_by_the_record_and_every_job_counts_its_attempt_once(step: str) -> None:
    for item in objects(step).values():
        assert item["metadata"]["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "lando-run-42", "uid": "uid-record"}
        ]
    job = objects(step)["Job"]
    assert job["spec"]["backoffLimit"] == 0
    assert job["metadata"]["annotations"] == {"lando.attempt": "2"}


def test_our_own_images_are_told_policy_sizes_and_store() -> None:
    config = replace(CONFIG, data_store_settings=DataStoreSettings(url="file:///results"))
    made = objects("stage_data", group(), config=config, ours=True)
    told = json.loads(made["ConfigMap"]["data"]["stagedata.json"])
    assert told["policy"] == {
        "schemes": ["http", "https", "gs", "s3", "dds"],
        "file_roots": [],
        "store_roots": [],
        "allow_local_addresses": False,
        "max_bytes": None,
        "timeout_s": 60.0,
    }
    assert told["items"][3]["size"] == 10
    known = {"id": 19, "project_id": "file:///results/42-batch-17"}
    saved = objects("save_output", None, config=config, ours=True, output_project=known)["ConfigMap"]["data"]
    told = json.loads(saved["saveoutput.json"])
    assert told["store"] == {"url": "file:///results", "project": "42-batch-17"}
    assert told["project_id"] == "file:///results/42-batch-17"


@pytest.mark.parametrize("step", ["run_workflow", "organize_output", "save_output"])
def test_our_own_images_are_told_which_volume_to_measure_against_which_size(step: str) -> None:
    def told(*, ours: bool) -> dict[str, str]:
        (container,) = objects(step, None, ours=ours)["Job"]["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}

    mine = told(ours=True)
    assert {name: mine[name] for name in (volume.PATH, volume.SIZE)} == {
        "LANDO_VOLUME": "/bespin/output-data",
        "LANDO_VOLUME_BYTES": str(107 * 2**30),
    }
    assert volume.PATH not in told(ours=False)


def test_ten_thousand_inputs_go_compressed_to_our_image_and_are_refused_for_others() -> None:
    files = [
        {
            "url": f"https://files.example.org/reads/{number:05d}.fastq.gz?signature={'x' * 40}",
            "destination_path": f"reads/{number:05d}.fastq.gz",
            "size": 1,
        }
        for number in range(10_000)
    ]
    many = group(url_files=files)
    made = objects("stage_data", many, ours=True)
    packed = made["ConfigMap"]["binaryData"]["stagedata.json.gz"]
    assert len(packed) < 1024 * 1024
    assert len(json.loads(gzip.decompress(base64.b64decode(packed)))["items"]) == 10_003
    assert container(made["Job"])["args"][0] == "/bespin/config/stagedata.json.gz"
    with pytest.raises(StepError, match=r"stagedata\.json has \d+ bytes"):
        objects("stage_data", many)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "job-order.json", "workflow/x", "a\0b"])
def test_a_path_that_leaves_its_place_is_refused(path: str) -> None:
    bad = group(url_files=[{"url": "https://h/x", "destination_path": path, "size": 1}])
    for step in ("create_volume", "stage_data"):
        with pytest.raises(StepError, match="destination path"):
            objects(step, bad)


def test_a_run_without_files_has_no_stage_group_and_simply_runs() -> None:
    assert objects("create_volume", None, stage_group=None)["PersistentVolumeClaim"]["spec"]["resources"] == {
        "requests": {"storage": "1Gi"}
    }
    assert len(json.loads(objects("stage_data", None)["ConfigMap"]["data"]["stagedata.json"])["items"]) == 2


@pytest.mark.parametrize(
    ("username", "suffix"),
    [
        ("ada@example.org", "42-ada"),
        ("ada", "42-ada"),
        ("Ada.Byron_1+x@example.org", "42-ada-byron-1-x"),
        ("-ada-", "42-ada"),
        ("@example.org", "42-user"),
        ("x" * 80, "42-" + "x" * 38),
    ],
)
def test_user_names_become_parts_of_object_names(username: str, suffix: str) -> None:
    job = objects("record_output_project", user={"id": 1, "username": username})["Job"]
    assert job["metadata"]["name"] == f"record-output-project-{suffix}"
    assert len(job["metadata"]["name"]) <= 63


def test_the_overlay_of_the_configuration_stands_on_every_pod() -> None:
    config = replace(
        CONFIG,
        pods=PodSettings(
            node_selector={"disk": "ssd"},
            tolerations=[{"key": "batch", "operator": "Exists"}],
            priority_class="low",
            image_pull_secrets=["pull"],
            env={"HTTPS_PROXY": "http://proxy:3128"},
            limits={"memory": "8Gi"},
        ),
        steps={"run_workflow": StepSettings(deadline_s=60, limits={"memory": "4Gi"}, image_pull_policy="Always")},
    )
    job = objects("run_workflow", config=config)["Job"]
    pod = job["spec"]["template"]["spec"]
    assert job["spec"]["activeDeadlineSeconds"] == 60
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "batch", "operator": "Exists"}]
    assert pod["priorityClassName"] == "low"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    main = container(job)
    assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in main["env"]
    assert main["resources"]["limits"] == {"memory": "4Gi"}
    assert main["imagePullPolicy"] == "Always"


@pytest.mark.parametrize(("security", "user"), [("restricted", 1000), ("openshift", None), ("legacy", None)])
def test_pods_run_with_the_least_rights_that_the_site_allows(security: str, user: int | None) -> None:
    job = objects("run_workflow", config=replace(CONFIG, pods=PodSettings(security=security)))["Job"]
    context = job["spec"]["template"]["spec"].get("securityContext", {})
    assert context.get("runAsUser") == user
    if security == "legacy":
        assert "securityContext" not in container(job)
    else:
        assert context["runAsNonRoot"] is True
        assert container(job)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workflow_version": None}, "workflow version"),
        ({"output_project": None}, "output project"),
        ({"job_settings": {"job_runtime_k8s": None}}, "Kubernetes runtime"),
        ({"job_settings": {"job_runtime_k8s": {"steps": []}}}, "runtime step organize_output"),
    ],
)
def test_a_missing_part_is_a_problem_of_the_plan_that_names_it(changes: dict[str, Any], named: str) -> None:
    problem = CwlPlanner(CONFIG).plan(make_run(**changes)).problem
    assert problem is not None
    assert named in problem.sentence


def test_without_a_record_step_the_plan_relies_on_what_save_output_reports() -> None:
    settings = document()["job_settings"]
    settings["job_runtime_k8s"]["steps"].pop()
    last = CwlPlanner(CONFIG).plan(make_run(job_settings=settings)).steps[-1]
    assert last.spared_by == "save_output"
    assert last.problem is not None
    known = {"id": 19, "project_id": "p"}
    last = CwlPlanner(CONFIG).plan(make_run(job_settings=settings, output_project=known)).steps[-1]
    assert last.job is None


@pytest.mark.parametrize("step", ["create_volume", *BASE_COMMANDS])
def test_every_object_is_valid_kubernetes(step: str) -> None:
    for item in objects(step, group() if step == "stage_data" else None).values():
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)

"""The Kubernetes objects of a cwl run's steps (lando-jobs contract, 5): image, command, volumes, environment."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from lando import labels
from lando.bespin.documents import RuntimeStep, StageGroup
from lando.bespin.letters import ORGANIZE_OUTPUT, RECORD_OUTPUT_PROJECT, RUN_WORKFLOW, SAVE_OUTPUT, STAGE_DATA
from lando.config import Config, StepSettings
from lando.plans import Making, Manifest, StepTimes, cwl_files, cwl_names, manifests
from lando.plans.cwl_checks import Runnable
from lando.plans.cwl_names import CwlNames
from lando.plans.manifests import JobSpec, Volume

_COMMAND_FILES = {
    STAGE_DATA: "stagedata.json",
    ORGANIZE_OUTPUT: "organizeoutput.json",
    SAVE_OUTPUT: "saveoutput.json",
}
_OPEN_SCHEMES = ("http", "https", "file", "data")  # fetched without a credential
_OWN_PROGRAMS = "lando.steps"


class StepObjects:
    """Makes the objects of one step of one job."""

    def __init__(self, config: Config, runnable: Runnable, step: str, making: Making) -> None:
        self.config = config
        self.job = job = runnable.job
        self.version = runnable.version
        self.flavor = runnable.flavor
        self.names = CwlNames.of(job)
        self.step = step
        self.making = making
        self.labels = {labels.BESPIN_JOB: "true", labels.BESPIN_JOB_ID: str(job.id)}
        self.owners = manifests.owner(job.id, making.record_uid)

    def objects(self) -> list[Manifest]:
        """Claim, ConfigMap and Job, as far as the step has them; the Job last."""
        match self.step:
            case "create_volume":
                # The files are looked at here, before anything runs on their behalf.
                self._stage_data_file(self.making.inputs)
                return [self._input_claim()]
            case "stage_data":
                return [self._input_claim(), *self._with_file(self._stage_data_file(self.making.inputs))]
            case "run_workflow":
                return [self._claim(self.names.output_data, self.job.volume_size), self._job()]
            case "organize_output":
                document = cwl_files.organize_output(
                    self.job, self.names, self.version, self.making.inputs, self._run_times()
                )
                return self._with_file(document)
            case "save_output":
                store = self.config.data_store_settings if self._is_ours() else None
                document = cwl_files.save_output(self.job, self.version, self.making.inputs, self._run_times(), store)
                return self._with_file(document)
            case "record_output_project":
                return [self._job()]
            case _:
                raise KeyError(self.step)

    def _stage_data_file(self, group: StageGroup | None) -> dict[str, object]:
        policy = self.config.staging if self._is_ours(STAGE_DATA) else None
        return cwl_files.stage_data(self.job, self.version, group, policy)

    def _run_times(self) -> StepTimes:
        return self.making.times.get(RUN_WORKFLOW, StepTimes())

    def _runtime(self, step: str | None = None) -> RuntimeStep:
        return self.job.runtime_steps[step or self.step]

    def _is_ours(self, step: str | None = None) -> bool:
        """Whether the step's program is one of :mod:`lando.steps`, which understands more than the original's."""
        return any(word.startswith(_OWN_PROGRAMS) for word in self._runtime(step).base_command)

    def _input_claim(self) -> Manifest:
        gib = cwl_files.input_volume_gib(self.config.base_stage_data_volume_size_in_g, self.making.inputs)
        return self._claim(self.names.job_data, gib)

    def _claim(self, name: str, gib: int) -> Manifest:
        return manifests.claim(
            name,
            gib,
            object_labels=self.labels,
            owners=self.owners,
            access_mode=self.config.pods.access_mode,
            storage_class=self.config.storage_class_name,
        )

    def _with_file(self, document: Mapping[str, object]) -> list[Manifest]:
        config_map, key = manifests.config_map(
            self.names.step(self.step),
            _COMMAND_FILES[self.step],
            document,
            object_labels=self.labels,
            owners=self.owners,
            may_compress=self._is_ours(),
        )
        return [config_map, self._job(key)]

    def _job(self, key: str = "") -> Manifest:
        runtime = self._runtime()
        command, args = list(runtime.base_command), []
        env: list[dict[str, object]] = []
        working_dir, account, needs_token = None, None, False
        file = f"{cwl_names.CONFIG}/{key}"
        secret = self._secret()
        if secret is not None:
            env.append({"name": "DDSCLIENT_CONF", "value": f"{cwl_names.CREDENTIAL}/config"})
        match self.step:
            case "stage_data":
                args = [file, cwl_names.INPUT_METADATA]
            case "run_workflow":
                command += self._runner_flags()
                env.append(_pod_name("CALRISSIAN_POD_NAME"))
                needs_token = not self._is_ours()
            case "organize_output":
                args = [file]
            case "save_output":
                args = [file, cwl_names.ANNOTATE_SCRIPT]
                working_dir = cwl_names.RESULTS
            case "record_output_project":
                command, args = ["sh"], [cwl_names.ANNOTATE_SCRIPT]
                env.append(_pod_name("MY_POD_NAME"))
                working_dir = cwl_names.RESULTS
                account = self.config.record_output_project_settings.service_account_name
                needs_token = True
        if self._is_ours() and self.step in (RUN_WORKFLOW, ORGANIZE_OUTPUT, SAVE_OUTPUT):
            # As steps/volume.py reads them.
            env.append({"name": "LANDO_VOLUME", "value": cwl_names.OUTPUT_DATA})
            env.append({"name": "LANDO_VOLUME_BYTES", "value": str(self.job.volume_size * 2**30)})
        spec = JobSpec(
            name=self.names.step(self.step),
            labels={**self.labels, labels.BESPIN_JOB_STEP: self.step},
            image=runtime.image_name,
            command=command,
            args=args,
            env=env,
            requests={"cpu": runtime.flavor.cpus, "memory": runtime.flavor.memory},
            volumes=[*self._volumes(key), *([secret] if secret else [])],
            working_dir=working_dir,
            service_account=account,
            needs_cluster_token=needs_token,
        )
        return manifests.job(
            spec,
            attempt=self.making.attempt,
            owners=self.owners,
            pods=self.config.pods,
            step=self.config.steps.get(self.step, StepSettings()),
        )

    def _runner_flags(self) -> list[str]:
        return [
            "--cachedir",
            f"{cwl_names.TMPOUT}/",
            "--outdir",
            f"{cwl_names.RESULTS}/",
            "--max-ram",
            self.flavor.memory,
            "--max-cores",
            str(self.flavor.cpus),
            "--usage-report",
            self.names.usage_report,
            "--stdout",
            cwl_names.RUNNER_STDOUT,
            "--stderr",
            cwl_names.RUNNER_STDERR,
            cwl_names.workflow_argument(self.version),
            cwl_names.JOB_ORDER,
        ]

    def _volumes(self, key: str) -> list[Volume]:
        def data(claim: str, path: str, *, read_only: bool) -> Volume:
            return Volume.claim(claim, claim, path, read_only=read_only)

        volumes = []
        if self.step != RECORD_OUTPUT_PROJECT:
            volumes.append(data(self.names.job_data, cwl_names.JOB_DATA, read_only=self.step != STAGE_DATA))
        if self.step != STAGE_DATA:
            read_only = self.step == RECORD_OUTPUT_PROJECT
            volumes.append(data(self.names.output_data, cwl_names.OUTPUT_DATA, read_only=read_only))
        if key:
            # The original calls the volume of save_output by the name of stage_data; operators' scripts may know it.
            volume = self.names.step(STAGE_DATA if self.step == SAVE_OUTPUT else self.step)
            volumes.append(Volume.config(volume, self.names.step(self.step), key, cwl_names.CONFIG))
        system = self.config.run_workflow_settings.system_data_volume
        if self.step == RUN_WORKFLOW and system is not None:
            volumes.append(
                Volume.claim(self.names.system_data, system.volume_claim_name, system.mount_path, read_only=True)
            )
        return volumes

    def _secret(self) -> Volume | None:
        """The storage credential, only where the step has to talk to the storage."""
        secret = self.config.data_store_settings.secret_name
        if secret is None or not (self.step == SAVE_OUTPUT or (self.step == STAGE_DATA and self._stages_from_store())):
            return None
        return Volume.secret(self.names.data_store, secret, cwl_names.CREDENTIAL)

    def _stages_from_store(self) -> bool:
        """The original's program reads the credential in any case; ours only for files that need it."""
        group = self.making.inputs
        if not self._is_ours() or (group is not None and group.dds_files):
            return True
        urls = [self.version.url, *(file.url for file in group.url_files)] if group else [self.version.url]
        return any(urlsplit(url).scheme not in _OPEN_SCHEMES for url in urls)


def _pod_name(variable: str) -> dict[str, object]:
    return {"name": variable, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}

"""The plan of a cwl run: five steps in a row, as Duke's lando ran them (lando-jobs contract, 1, 5 and 6).

What is missing in a job's description becomes a problem of the plan, told to the owner when the run is to be started;
it never stops a cancel.
"""

from __future__ import annotations

from collections.abc import Mapping

from lando import labels
from lando.bespin.documents import BespinJob
from lando.bespin.letters import (
    CREATE_VOLUME,
    ORGANIZE_OUTPUT,
    RECORD_OUTPUT_PROJECT,
    RUN_WORKFLOW,
    SAVE_OUTPUT,
    STAGE_DATA,
)
from lando.config import Config
from lando.decide import ObjectRef, Plan, PlannedStep
from lando.errors import StepError
from lando.plans import Making, Manifest, manifests
from lando.plans.cwl_checks import runnable
from lando.plans.cwl_names import CwlNames
from lando.plans.cwl_objects import StepObjects
from lando.runs import Category, Cause, Run

_INPUTS = {
    CREATE_VOLUME: "stage_group",
    STAGE_DATA: "stage_group",
    ORGANIZE_OUTPUT: "methods_document",
    SAVE_OUTPUT: "share_group",
}
_NO_IDS = Cause(
    category=Category.USER,
    sentence="The step save_output reported no project id, and the runtime defines no step record_output_project.",
    advice="Ask the administrator to use a save_output image that reports it, or to add that step to the runtime.",
)


class CwlPlanner:
    """Plans Bespin jobs on the settings of one daemon."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def labels(self, run_id: int) -> Mapping[str, str]:
        """The two labels of every object of a job."""
        return {labels.BESPIN_JOB: "true", labels.BESPIN_JOB_ID: str(run_id)}

    def inputs(self, step: str) -> str | None:
        """Input files, methods text or share group."""
        return _INPUTS.get(step)

    def plan(self, run: Run) -> Plan:
        """The steps in a row; the last one needs no Job when save_output reported the ids by itself."""
        job = _document(run)
        names = CwlNames.of(job)
        job_data = ObjectRef("PersistentVolumeClaim", names.job_data)
        output_data = ObjectRef("PersistentVolumeClaim", names.output_data)

        def step_job(step: str) -> ObjectRef:
            return ObjectRef("Job", names.step(step))

        def command_file(step: str) -> tuple[ObjectRef, ...]:
            return (ObjectRef("ConfigMap", names.step(step)),)

        known = bool(job.output_project and job.output_project.project_id)
        has_record_step = RECORD_OUTPUT_PROJECT in job.runtime_steps
        return Plan(
            steps=(
                PlannedStep(name=CREATE_VOLUME, makes=(job_data,)),
                PlannedStep(
                    name=STAGE_DATA,
                    needs=(CREATE_VOLUME,),
                    job=step_job(STAGE_DATA),
                    own=command_file(STAGE_DATA),
                    makes=(job_data,),
                ),
                PlannedStep(
                    name=RUN_WORKFLOW,
                    needs=(STAGE_DATA,),
                    job=step_job(RUN_WORKFLOW),
                    makes=(output_data,),
                    reads=(job_data,),
                ),
                PlannedStep(
                    name=ORGANIZE_OUTPUT,
                    needs=(RUN_WORKFLOW,),
                    job=step_job(ORGANIZE_OUTPUT),
                    own=command_file(ORGANIZE_OUTPUT),
                    reads=(job_data, output_data),
                ),
                PlannedStep(
                    name=SAVE_OUTPUT,
                    needs=(ORGANIZE_OUTPUT,),
                    job=step_job(SAVE_OUTPUT),
                    own=command_file(SAVE_OUTPUT),
                    reads=(job_data, output_data),
                ),
                PlannedStep(
                    name=RECORD_OUTPUT_PROJECT,
                    needs=(SAVE_OUTPUT,),
                    job=step_job(RECORD_OUTPUT_PROJECT) if has_record_step or not known else None,
                    reads=(output_data,),
                    spared_by=SAVE_OUTPUT,
                    problem=None if has_record_step else _NO_IDS,
                ),
            ),
            record=manifests.run_record_ref(run.id),
            problem=_problem(job),
            output_from=(RECORD_OUTPUT_PROJECT, SAVE_OUTPUT),
            output_known=known,
            infrastructure_retries=self._config.infrastructure_retries,
            keep_finished=self._config.retention.finished_s > 0,
        )

    def objects(self, run: Run, step: str, making: Making) -> list[Manifest]:
        """Claim, ConfigMap and Job of a step, as far as it has them."""
        return StepObjects(self._config, runnable(_document(run)), step, making).objects()


def _problem(job: BespinJob) -> Cause | None:
    try:
        runnable(job)
    except StepError as error:
        return error.cause
    return None


def _document(run: Run) -> BespinJob:
    if not isinstance(run.document, BespinJob):
        raise TypeError(f"run {run.id} is no Bespin job")
    return run.document

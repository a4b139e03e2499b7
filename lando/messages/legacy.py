"""The legacy form: ``lando_messaging`` commands (versions 2.x, as pickles) told as :class:`Message` and back.

A legacy message carries no attempt, time or generation; those fields of the message stay empty.
"""

from __future__ import annotations

from collections.abc import Mapping

from lando.errors import UnknownCommand, UnreadableMessage, UnsupportedVersion
from lando.messages import Command, Condition, Evidence, Message
from lando.messages.fields import run_id
from lando.messages.pickle_reader import LegacyRequest, Scalar, read_request
from lando.messages.pickle_writer import VERSION, write_request
from lando.runs import Category, Cause, cut_middle

_COMMANDS: Mapping[str, Command] = {
    "start_job": Command.START,
    "restart_job": Command.RESTART,
    "cancel_job": Command.CANCEL,
    "start_debug": Command.DEBUG,
    "cancel_debug": Command.DEBUG,
}
_STEPS: Mapping[str, str] = {
    "stage_data": "stage_job",
    "run_workflow": "run_job",
    "organize_output": "organize_output",
    "save_output": "store_job_output",
    "record_output_project": "record_output_project",
}
_STEP_COMMANDS: Mapping[str, tuple[str, Condition]] = {
    f"{stem}_{end}": (step, condition)
    for step, stem in _STEPS.items()
    for end, condition in (("complete", Condition.COMPLETE), ("error", Condition.FAILED))
}
_WRITTEN: Mapping[Command, tuple[str, str]] = {
    Command.START: ("start_job", "StartJobPayload"),
    Command.RESTART: ("restart_job", "RestartJobPayload"),
    Command.CANCEL: ("cancel_job", "CancelJobPayload"),
}


def read(body: bytes) -> Message:
    """The message in a legacy body; raises a :class:`lando.errors.MessageError`."""
    request = read_request(body)
    _check_version(request)
    command = request.command
    if not isinstance(command, str):
        raise UnreadableMessage("The pickle has no command.")
    if command in _COMMANDS:
        return Message(command=_COMMANDS[command], run_id=_job_id(request))
    if command not in _STEP_COMMANDS:
        raise UnknownCommand(f"The command {command[:60]!r} does not belong on this queue.")
    step, condition = _STEP_COMMANDS[command]
    log = ""
    if condition is Condition.FAILED:
        text = (request.payload or {}).get("message")
        if not isinstance(text, str):
            raise UnreadableMessage(f"The message {command} lacks the text 'message'.")
        log = cut_middle(text)  # as it would be where it is told; several of them wait in memory
    return Message(
        command=Command.STEP_CHANGED,
        run_id=_job_id(request),
        evidence=Evidence(step=step, condition=condition, log_tail=log),
    )


def is_writable(message: Message) -> bool:
    """Whether the legacy form can say this: cwl runs only, of a step only its end, no debug commands."""
    if message.kind != "cwl":
        return False
    if message.command in _WRITTEN:
        return True
    evidence = message.evidence
    return (
        message.command is Command.STEP_CHANGED
        and evidence is not None
        and evidence.step in _STEPS
        and evidence.condition in (Condition.COMPLETE, Condition.FAILED)
    )


def write(message: Message) -> bytes:
    """The legacy body of ``message``; raises ValueError where the legacy form has no words for it.

    The id is written as text, as the original API and watcher write it. The text of a failed step is what
    a job error shows: cause, then the log's tail.
    """
    if not is_writable(message):
        told = f" of {message.evidence.step} {message.evidence.condition.value}" if message.evidence else ""
        raise ValueError(f"{message.kind} {message.command.value}{told} can't be told as a lando-messaging pickle.")
    if message.command in _WRITTEN:
        command, payload_class = _WRITTEN[message.command]
        return write_request(command, payload_class, {"job_id": str(message.run_id)})
    assert message.evidence is not None  # noqa: S101  (is_writable)
    return _write_step(message.run_id, message.evidence)


def _write_step(job: int, evidence: Evidence) -> bytes:
    payload: dict[str, Scalar] = {"job_id": str(job), "vm_instance_name": None}
    stem = _STEPS[evidence.step]
    if evidence.condition is Condition.FAILED:
        payload["message"] = _error_text(evidence)
        return write_request(f"{stem}_error", "JobStepErrorPayload", payload)
    if evidence.step == "save_output":
        payload["output_project_info"] = None
        return write_request(f"{stem}_complete", "JobStepStoreOutputCompletePayload", payload)
    return write_request(f"{stem}_complete", "JobStepCompletePayload", payload)


def _error_text(evidence: Evidence) -> str:
    if not evidence.cause.strip() and evidence.log_tail.strip():
        return evidence.log_tail
    category = evidence.category or Category.USER
    return Cause(category=category, sentence=evidence.cause, log_tail=evidence.log_tail).text()


def _check_version(request: LegacyRequest) -> None:
    version = request.version
    if isinstance(version, str) and version.split(".", 1)[0] == VERSION.split(".", 1)[0]:
        return
    told = f"version {version[:40]!r}" if isinstance(version, str) else "no version"
    job = (request.payload or {}).get("job_id")
    raise UnsupportedVersion(
        f"The message (command {str(request.command)[:60]!r}, job {str(job)[:40]!r}) is of {told} of lando-messaging; "
        "only 2.x is understood."
    )


def _job_id(request: LegacyRequest) -> int:
    if request.payload is None or "job_id" not in request.payload:
        raise UnreadableMessage(f"The message {str(request.command)[:60]} carries no job_id.")
    return run_id(request.payload["job_id"])

"""The pure core: from what a run should be and what is there to what is to be done.

:func:`decide` knows no letters, no manifests and no client library; resync, a repeated message and a crash are the
same call again.
"""

from lando.decide.core import decide, intent_of
from lando.decide.model import (
    Action,
    AwaitGone,
    Create,
    Delete,
    DeleteRecord,
    EndAttempt,
    EnsureRecord,
    Failure,
    JobPhase,
    NoteFailure,
    Nothing,
    ObjectRef,
    Observed,
    ObservedJob,
    Plan,
    PlannedStep,
    RecordAttempts,
    ReportError,
    RunRecord,
    SetCondition,
    StepRecord,
    StoreOutput,
    Warn,
    Write,
    fail,
)

__all__ = [
    "Action",
    "AwaitGone",
    "Create",
    "Delete",
    "DeleteRecord",
    "EndAttempt",
    "EnsureRecord",
    "Failure",
    "JobPhase",
    "NoteFailure",
    "Nothing",
    "ObjectRef",
    "Observed",
    "ObservedJob",
    "Plan",
    "PlannedStep",
    "RecordAttempts",
    "ReportError",
    "RunRecord",
    "SetCondition",
    "StepRecord",
    "StoreOutput",
    "Warn",
    "Write",
    "decide",
    "fail",
    "intent_of",
]

"""The tables, by family.

Names of columns are Bespin's where the thing is Bespin's, so that a row and its JSON read alike.
"""

from lando.api.models.columns import (
    Base,
    JsonText,
    UtcDateTime,
    now,
)
from lando.api.models.inputs import (
    DdsInputFile,
    StageGroup,
    UploadedFile,
    UrlInputFile,
)
from lando.api.models.jobs import (
    STATES,
    STEPS,
    Job,
    JobActivity,
    JobError,
    JobToken,
    OutputProject,
    PendingCommand,
    StepAttempt,
)
from lando.api.models.notices import (
    EmailMessage,
    EmailTemplate,
    Notice,
)
from lando.api.models.people import (
    ShareGroup,
    ShareGroupUser,
    StorageCredential,
    StorageEndpoint,
    StorageUser,
    Token,
    User,
)
from lando.api.models.runs import (
    STEP_NAME,
    Run,
    RunActivity,
    RunAttempt,
    RunError,
    RunStep,
)
from lando.api.models.runtimes import (
    JobFlavor,
    JobRuntime,
    JobRuntimeStep,
    JobSettings,
    JobStrategy,
    LandoConnection,
)
from lando.api.models.workflows import (
    MethodsDocument,
    ToolDetails,
    Workflow,
    WorkflowConfiguration,
    WorkflowVersion,
)

__all__ = [
    "STATES",
    "STEPS",
    "STEP_NAME",
    "Base",
    "DdsInputFile",
    "EmailMessage",
    "EmailTemplate",
    "Job",
    "JobActivity",
    "JobError",
    "JobFlavor",
    "JobRuntime",
    "JobRuntimeStep",
    "JobSettings",
    "JobStrategy",
    "JobToken",
    "JsonText",
    "LandoConnection",
    "MethodsDocument",
    "Notice",
    "OutputProject",
    "PendingCommand",
    "Run",
    "RunActivity",
    "RunAttempt",
    "RunError",
    "RunStep",
    "ShareGroup",
    "ShareGroupUser",
    "StageGroup",
    "StepAttempt",
    "StorageCredential",
    "StorageEndpoint",
    "StorageUser",
    "Token",
    "ToolDetails",
    "UploadedFile",
    "UrlInputFile",
    "User",
    "UtcDateTime",
    "Workflow",
    "WorkflowConfiguration",
    "WorkflowVersion",
    "now",
]

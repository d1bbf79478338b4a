"""Jobs and documents of a `headrace api` somewhere else: what needs neither database nor code.

from headrace import RemoteClient

async with RemoteClient("https://jobs.example.com") as client:
    job = await client.submit(consensus, Idea("a bridge"))
    decision = await job.result(timeout=60)
"""

from headrace.model.status import (
    ChildStatus,
    ErrorStatus,
    ItemStatus,
    Progress,
    SignalStatus,
    StepStatus,
    WaitStatus,
)
from headrace.remote.client import RemoteClient
from headrace.remote.documents import RemoteDocuments
from headrace.remote.encoding import RemoteSubmitOptions
from headrace.remote.errors import (
    AddressError,
    AuthRequiredError,
    BudgetExhaustedError,
    ClientMissingError,
    ForbiddenError,
    ForeignAnswerError,
    RateLimitedError,
    ServerError,
    ServiceUnavailableError,
    TooLargeError,
    UnsupportedTypeError,
)
from headrace.remote.handle import RemoteJob
from headrace.remote.listing import Listing
from headrace.remote.reviews import RemoteReviews, RemoteRevision
from headrace.remote.values import (
    AddedDocument,
    Chunk,
    DeadLetter,
    DocumentStatus,
    HistoryEntry,
    Hit,
    JobEvent,
    JobStatus,
    JobSummary,
    Page,
    PipelineInfo,
    QueueStatus,
)

__all__ = [
    "AddedDocument",
    "AddressError",
    "AuthRequiredError",
    "BudgetExhaustedError",
    "ChildStatus",
    "Chunk",
    "ClientMissingError",
    "DeadLetter",
    "DocumentStatus",
    "ErrorStatus",
    "ForbiddenError",
    "ForeignAnswerError",
    "HistoryEntry",
    "Hit",
    "ItemStatus",
    "JobEvent",
    "JobStatus",
    "JobSummary",
    "Listing",
    "Page",
    "PipelineInfo",
    "Progress",
    "QueueStatus",
    "RateLimitedError",
    "RemoteClient",
    "RemoteDocuments",
    "RemoteJob",
    "RemoteReviews",
    "RemoteRevision",
    "RemoteSubmitOptions",
    "ServerError",
    "ServiceUnavailableError",
    "SignalStatus",
    "StepStatus",
    "TooLargeError",
    "UnsupportedTypeError",
    "WaitStatus",
]

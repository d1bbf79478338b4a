"""Submit jobs, follow them, and operate them."""

from headrace.client.client import Client
from headrace.client.handle import JobHandle
from headrace.client.operations import Page, Redriven
from headrace.client.options import SubmitOptions
from headrace.client.status import JobStatus
from headrace.model.status import ErrorStatus, ItemStatus, Progress, StepStatus
from headrace.store.reads import DeadLetterFilter, JobFilter

__all__ = [
    "Client",
    "DeadLetterFilter",
    "ErrorStatus",
    "ItemStatus",
    "JobFilter",
    "JobHandle",
    "JobStatus",
    "Page",
    "Progress",
    "Redriven",
    "StepStatus",
    "SubmitOptions",
]

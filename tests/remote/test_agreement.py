"""The client and the API know the same fields, options and codes."""

from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel

from headrace.model import status
from headrace.remote import values
from headrace.remote.encoding import OPTIONS
from headrace.remote.problems import MAKERS
from headrace.web.problems import CODES
from headrace.web.views import around, documents, errors, jobs, operations, signals
from headrace.web.views.submission import NewJobBody

PAIRS: list[tuple[type[Any], type[BaseModel], set[str]]] = [
    (values.JobStatus, jobs.JobView, {"result", "check_status_at"}),
    (values.JobSummary, jobs.JobSummaryView, set()),
    (status.StepStatus, jobs.StepView, set()),
    (status.ItemStatus, jobs.ItemView, set()),
    (status.Progress, jobs.ProgressView, set()),
    (status.ErrorStatus, errors.StepError, set()),
    (status.WaitStatus, around.JobWait, set()),
    (status.SignalStatus, around.JobSignal, set()),
    (status.ChildStatus, around.JobChild, set()),
    (status.SignalInfo, signals.SignalView, set()),
    (status.AwaitingStep, signals.AwaitingStep, set()),
    (values.HistoryEntry, jobs.HistoryView, set()),
    (values.QueueStatus, operations.QueueView, set()),
    (values.PipelineInfo, operations.PipelineDetail, set()),
    (values.PipelineSignal, operations.PipelineSignal, set()),
    (values.PipelineStep, operations.PipelineStep, set()),
    (values.PipelineVersion, operations.PipelineVersion, set()),
    (values.DocumentStatus, documents.DocumentView, set()),
    (values.DocumentProblem, documents.DocumentProblemView, set()),
    (values.AddedDocument, documents.UploadedDocument, set()),
    (values.Chunk, documents.ChunkView, set()),
    (values.Hit, documents.HitView, set()),
]
"""What is read, what is told, and what of that is not read."""
OF_MODELS = {"LLM_AUTH_ERROR", "LLM_CONNECTION_ERROR", "LLM_SERVICE_ERROR"}
OF_PAGES = {"LINK_EXPIRED"}
INTERNAL = {"INTERNAL_ERROR", "OUTPUT_TOO_LARGE", "METHOD_NOT_ALLOWED"} | OF_MODELS | OF_PAGES
"""Codes that are `ServerError`, or that this client cannot provoke."""


class TestAgreement:
    @pytest.mark.parametrize(("kind", "view", "unread"), PAIRS)
    def test_every_field_that_is_told_is_read(
        self, kind: type[Any], view: type[BaseModel], unread: set[str]
    ):
        names = values.NAMES.get(kind, {})
        read = {names.get(field.name, field.name) for field in fields(kind)}
        assert read | unread == set(view.model_fields)

    def test_every_option_of_a_submission_can_be_given(self):
        others = {"pipeline", "payload", "webhook"}
        assert set(OPTIONS.values()) | others == set(NewJobBody.model_fields)

    def test_every_problem_has_its_error(self):
        assert set(MAKERS) | INTERNAL == set(CODES)

"""The pipeline `consensus`: an idea is expanded, reviewed by five personas, and decided.

    from headrace.pipelines.consensus import IdeaInput, app, consensus

    async with app:
        job = await app.submit(consensus, IdeaInput(idea="A tool library for our street."))
        result = await job.result()
        print(result.decision.decision, result.decision.weighted_confidence)

Without a key it answers offline: from the words of the idea, for demonstrations. Settings begin
with HEADRACE_CONSENSUS_.
"""

from headrace import Headrace
from headrace.pipelines.consensus.diff import JobDiff
from headrace.pipelines.consensus.outcomes import ConsensusResult, ExpandResult, QuickResult
from headrace.pipelines.consensus.pipeline import consensus
from headrace.pipelines.consensus.quick import expand_only, quick
from headrace.pipelines.consensus.registry import SCHEMAS
from headrace.pipelines.consensus.reviews import Edit, Prepared, Reviews, Revised
from headrace.pipelines.consensus.samples import sample_ideas
from headrace.pipelines.consensus.schemas import (
    DecisionAggregation,
    DecisionLabel,
    ExpandedProposal,
    IdeaInput,
    Parameters,
    PersonaReview,
    Revision,
)

__all__ = [
    "SCHEMAS",
    "ConsensusResult",
    "DecisionAggregation",
    "DecisionLabel",
    "Edit",
    "ExpandResult",
    "ExpandedProposal",
    "IdeaInput",
    "JobDiff",
    "Parameters",
    "PersonaReview",
    "Prepared",
    "QuickResult",
    "Reviews",
    "Revised",
    "Revision",
    "app",
    "consensus",
    "expand_only",
    "quick",
    "sample_ideas",
]

app = Headrace(pipelines=[consensus, quick, expand_only])
"""Carries these alone; add them to your own: `Headrace(pipelines=[consensus, ...])`."""

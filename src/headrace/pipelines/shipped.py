"""All pipelines that headrace brings, in one app: `headrace dev` runs it where none is named."""

from headrace import Headrace
from headrace.pipelines.consensus import consensus, expand_only, quick
from headrace.pipelines.documents import documents

app = Headrace(pipelines=[documents, consensus, quick, expand_only])
"""Carries them all; your own app carries what you name."""

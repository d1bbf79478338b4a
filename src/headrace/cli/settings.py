"""Settings as commands use them: the environment's, with what the options say on top.

Those of the shipped pipelines count as known to every command: workers of all kinds share an
environment.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from headrace.settings import Settings, UnknownSetting

DOCUMENTS: Final = "HEADRACE_DOCUMENTS_"
CONSENSUS: Final = "HEADRACE_CONSENSUS_"


def settings_for_worker(queues: str | None, concurrency: int | None) -> Settings:
    """The settings of this environment; options win.

    Raises:
        SettingsError: A setting or an option is not accepted.
    """
    from headrace.settings import load_settings

    given = dict(os.environ)
    if queues is not None:
        given["HEADRACE_QUEUES"] = queues
    if concurrency is not None:
        given["HEADRACE_CONCURRENCY"] = str(concurrency)
    return load_settings(given)


def unknown_settings() -> tuple[UnknownSetting, ...]:
    """The `HEADRACE_` variables of this environment that mean nothing to anybody."""
    from headrace import settings

    return settings.unknown_settings(also=_documents_variables() | _consensus_variables())


def _documents_variables() -> frozenset[str]:
    given = frozenset(name for name in os.environ if name.startswith(DOCUMENTS))
    if not given:
        return given  # what takes half a second to import is not needed to know that
    from headrace.errors import SettingsError
    from headrace.variables import variables

    try:
        from headrace.pipelines.documents.settings import DocumentsSettings
    except SettingsError:  # a wrong value is told by whatever works with documents
        return given
    return variables(DocumentsSettings)


def _consensus_variables() -> frozenset[str]:
    given = frozenset(name for name in os.environ if name.startswith(CONSENSUS))
    if not given:
        return given
    from headrace.errors import SettingsError
    from headrace.variables import variables

    try:
        from headrace.pipelines.consensus.settings import ConsensusSettings
    except SettingsError:  # a wrong value is told by whatever reviews ideas
        return given
    return variables(ConsensusSettings)

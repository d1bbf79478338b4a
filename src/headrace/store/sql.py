"""The SQL statements of the engine, by name: `SQL["jobs.finish"]`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace.statements import Statements

SQL: Final = Statements(Path(__file__).parent / "queries")

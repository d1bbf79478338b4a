"""The SQL of the reviews: named statements, and the tables they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from headrace import Statements

SQL: Final = Statements(Path(__file__).parent / "queries")
MIGRATIONS: Final = Path(__file__).parent / "migrations"

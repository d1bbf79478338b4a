"""PostgreSQL: the only truth. All SQL of headrace lives in this package."""

"""`make bench`: headrace, PgQueuer and the floor under the same work, on the same PostgreSQL."""

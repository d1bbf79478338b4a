"""The HTTP API: FastAPI routes over the client, with identity, limits and live events."""

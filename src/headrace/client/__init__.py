"""Submit jobs, follow them, and operate them."""

from headrace.client.client import Client
from headrace.client.handle import JobHandle

__all__ = ["Client", "JobHandle"]

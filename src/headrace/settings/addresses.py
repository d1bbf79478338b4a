"""The address of the database, as the settings say it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from headrace.settings.model import Settings


def address_of(settings: Settings) -> str | None:
    """The address to connect to, password included; None: the embedded database."""
    if settings.embedded:
        return None
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    user = quote(settings.db_user, safe="")
    if settings.db_password is not None:
        user += f":{quote(settings.db_password.get_secret_value(), safe='')}"
    name = quote(settings.db_name, safe="")
    if settings.db_host.startswith("/"):
        host = quote(settings.db_host)
        return f"postgresql://{user}@/{name}?host={host}&port={settings.db_port}"
    return f"postgresql://{user}@{settings.db_host}:{settings.db_port}/{name}"

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from headrace.broker.access import Access
from headrace.broker.clients import open_publisher, open_subscriber
from headrace.broker.setup import set_up
from headrace.broker.topology import Names, topology
from headrace.errors import BrokerUnavailableError


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """The key of a service account that nobody has."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "worker@my-project.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
        "private_key": pem.decode(),
    }
    file = tmp_path / "key.json"
    file.write_text(json.dumps(account))
    return file


class TestRealService:
    def test_clients_are_opened_with_the_key_file(self, key_file: Path) -> None:
        access = Access("my-project", credentials_file=key_file)
        for client in (open_publisher(access), open_subscriber(access)):
            assert client.transport.host == "pubsub.googleapis.com:443"
            client.transport.close()

    @pytest.mark.parametrize("text", [None, "{}", "no JSON"])
    async def test_a_key_file_that_is_none_is_told(self, tmp_path: Path, text: str | None) -> None:
        file = tmp_path / "key.json"
        if text is not None:
            file.write_text(text)
        access = Access("my-project", credentials_file=file)
        with pytest.raises(BrokerUnavailableError, match=r"^no credentials for Pub/Sub: "):
            await set_up(access, topology(Names()))


class TestAccess:
    def test_names_are_of_the_project(self) -> None:
        access = Access("my-project")
        assert access.topic("a") == "projects/my-project/topics/a"
        assert access.subscription("b") == "projects/my-project/subscriptions/b"

"""Where a token goes, and where it never does."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import HeadraceError, RemoteClient
from headrace.errors import SettingsError
from headrace.remote import AddressError, ForeignAnswerError
from headrace.settings import unknown_settings
from tests.remote.wires import answer, script
from tests.web.pipes import double
from tests.web.serving import Api

CANARY = "hr_canary-4711"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "TOKEN", "TOKEN_FILE", "INSECURE"):
        monkeypatch.delenv(f"HEADRACE_API_{name}", raising=False)


class TestAddress:
    @pytest.mark.parametrize(
        "url",
        [
            "jobs.example.com",
            "ftp://jobs.example.com",
            "https://",
            "https://jobs.example.com/?x=1",
            "https://jobs.example.com/#x",
            "https://jobs.example.com:port",
            "https://jobs.example.com\r\nX: y",
            f"https://ann:{CANARY}@jobs.example.com",
        ],
    )
    def test_one_that_cannot_be_used_is_refused_and_shows_no_secret(self, url: str):
        with pytest.raises(AddressError) as refused:
            RemoteClient(url)
        assert CANARY not in str(refused.value)

    def test_a_missing_one_is_asked_for(self):
        with pytest.raises(AddressError, match="HEADRACE_API_URL"):
            RemoteClient()

    @pytest.mark.parametrize("token", ["", "  ", "two words", "ä", "a\r\nX-Other: b"])
    def test_a_token_that_is_none_is_refused_and_not_shown(self, token: str):
        with pytest.raises(AddressError) as refused:
            RemoteClient("https://jobs.example.com", token=token)
        assert not token.strip() or token not in str(refused.value)

    async def test_the_environment_says_what_code_does_not(
        self, api: Api, token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        monkeypatch.setenv("HEADRACE_API_URL", f"{api.url}/")
        monkeypatch.setenv("HEADRACE_API_TOKEN", token)
        async with RemoteClient() as client:
            assert (await client.list_jobs().page()).items == []
        file = tmp_path / "token"
        file.write_text(f"{token}\n")
        monkeypatch.delenv("HEADRACE_API_TOKEN")
        monkeypatch.setenv("HEADRACE_API_TOKEN_FILE", str(file))
        async with RemoteClient() as client:
            assert (await client.list_jobs().page()).items == []
        monkeypatch.setenv("HEADRACE_API_INSECURE", "perhaps")
        with pytest.raises(SettingsError, match="HEADRACE_API_INSECURE"):
            RemoteClient()


class TestPlainHttp:
    @pytest.mark.parametrize("host", ["jobs.example.com", "10.0.0.7", "localhost.example.com"])
    def test_a_token_is_not_sent_to_other_machines_unless_told(
        self, host: str, monkeypatch: pytest.MonkeyPatch
    ):
        url = f"http://{host}:8080"
        with pytest.raises(AddressError, match="plain HTTP"):
            RemoteClient(url, token=CANARY)
        RemoteClient(url, token=CANARY, insecure=True)
        RemoteClient(url)  # nothing to hide
        monkeypatch.setenv("HEADRACE_API_INSECURE", "true")
        RemoteClient(url, token=CANARY)
        with pytest.raises(AddressError):
            RemoteClient(url, token=CANARY, insecure=False)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]"])
    def test_this_machine_may_have_it(self, host: str):
        RemoteClient(f"http://{host}:8080", token=CANARY)

    async def test_a_proxy_of_the_environment_does_not_see_it(
        self, api: Api, token: str, monkeypatch: pytest.MonkeyPatch
    ):
        async with script(answer(200, "[]")) as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            async with RemoteClient(api.url, token=token) as client:
                await client.list_queues()
        assert proxy.requests == []


class TestToken:
    async def test_it_is_in_no_text_and_in_no_log(self, caplog: pytest.LogCaptureFixture):
        caplog.set_level(logging.DEBUG)
        async with (
            script(answer(200, "<html>", "text/html")) as server,
            RemoteClient(server.url, token=CANARY) as client,
        ):
            with pytest.raises(ForeignAnswerError) as error:
                await client.submit(double, 1)
            texts = [repr(client), repr(client._transport.address), repr(error.value)]
        assert server.header("Authorization") == [f"Bearer {CANARY}"]
        assert CANARY not in "".join([*texts, caplog.text])

    async def test_it_does_not_follow_a_redirect(self):
        async with (
            script(answer(200, "[]")) as other,
            script(answer(307, Location=f"{other.url}/v1/queues")) as server,
            RemoteClient(server.url, token=CANARY) as client,
        ):
            with pytest.raises(HeadraceError, match="points to"):
                await client.list_queues()
        assert other.requests == []


class TestImports:
    def test_the_client_is_loaded_when_it_is_used_and_needs_no_database(self):
        code = (
            "import sys\n"
            "sys.modules['asyncpg'] = None\n"
            "import headrace\n"
            "print(any(name.startswith('headrace.remote') for name in sys.modules))\n"
            "headrace.RemoteClient('https://jobs.example.com')\n"
            "print(*sorted({'httpx2', 'headrace.store', 'headrace.client'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.split() == [b"False"]


class TestSettings:
    def test_its_variables_are_known_to_workers(self):
        given = {
            "HEADRACE_API_URL": "https://x",
            "HEADRACE_API_TOKEN_FILE": "/x",
            "HEADRACE_APY": "",
        }
        assert [unknown.name for unknown in unknown_settings(given)] == ["HEADRACE_APY"]

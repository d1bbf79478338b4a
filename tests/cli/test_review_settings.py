"""The settings of reviews, as commands show and refuse them."""

from pathlib import Path

from tests.cli.conftest import Commands

PREFIX = "HEADRACE_CONSENSUS_"
KEY = "sk-canary-0815"


class TestSettings:
    async def test_they_are_shown_and_known(self, bare_commands: Commands, tmp_path: Path) -> None:
        key = tmp_path / "key"
        key.write_text(f"{KEY}\n")
        shown = await bare_commands.run(
            "config", "show", "--json",
            HEADRACE_CONSENSUS_OPENAI_API_KEY_FILE=str(key),
            HEADRACE_CONSENSUS_LLM_BURST_S="0.5",
            HEADRACE_CONSENSUS_LLM_BURTS_S="1",
        )  # fmt: skip
        values = {row["setting"]: row["value"] for row in shown.json()["settings"]}
        assert values[f"{PREFIX}LLM_BURST_S"] == "0.5"
        assert values[f"{PREFIX}LLM_REQUESTS_PER_MIN"] == "500"
        assert values[f"{PREFIX}OPENAI_API_KEY"] == "***"
        assert shown.json()["unknown"] == [f"{PREFIX}LLM_BURTS_S"]
        assert "canary" not in shown.out

    async def test_a_key_that_is_none_stops_the_start(self, bare_commands: Commands) -> None:
        for key in ("", "your-api-key", "sk-..."):
            result = await bare_commands.run(
                "run", "consensus", "--input", "A shed.", HEADRACE_CONSENSUS_OPENAI_API_KEY=key
            )
            assert result.code != 0
            assert result.err.startswith(f"headrace: {PREFIX}OPENAI_API_KEY: ")

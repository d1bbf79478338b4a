"""Documents that another system parses: handed over, waited for, gone on with."""

from __future__ import annotations

from tests.documents.elsewhere import TEXT, parsing_elsewhere


class TestAnAnswer:
    async def test_a_document_waits_for_it_and_goes_on_with_it(self, vector_server: str):
        async with parsing_elsewhere(vector_server, delay_s=0.1) as town:
            sent = await town.send()
            async with town.engine.worker():
                done = await town.until_stage(sent["document_id"], "complete")
            assert done["problem"] is None
            [call] = town.parser.calls
            assert (call.data, call.job) == (TEXT.encode(), sent["job_id"])
            assert [callback.status for callback in town.parser.callbacks] == [204]

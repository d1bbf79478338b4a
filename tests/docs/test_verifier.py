"""The verifier that the page about webhooks gives to receivers: fault W8."""

from __future__ import annotations

import time
from types import ModuleType

import pytest

from headrace.model.signing import derive, secret_text, sign
from tests.docs.pages import ROOT, read_blocks

PAGE = ROOT / "docs" / "how-to" / "webhooks.md"
NEW, OLD = (derive(b"m" * 32, f"webhook:1:{generation}") for generation in (2, 1))
BODY = b'{"type": "job.completed"}'


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    [block] = [one for one in read_blocks(PAGE) if one.file == "verifier.py"]
    module = ModuleType("verifier")
    exec(block.text, vars(module))  # noqa: S102 - our own page
    return module


def sent(*keys: bytes, age_s: float = 0) -> dict[str, str]:
    headers = sign(keys, "event-1", int(time.time() - age_s), BODY)
    return {name.title(): text for name, text in headers.items()}


class TestW8ReferenceVerifier:
    def test_both_secrets_are_good_while_one_is_changed(self, verifier: ModuleType):
        both = [secret_text(NEW), secret_text(OLD)]
        for headers in (sent(NEW), sent(OLD), sent(NEW, OLD)):
            assert verifier.verify(both, headers, BODY) == "event-1"
        for secret in both:
            assert verifier.verify([secret], sent(NEW, OLD), BODY) == "event-1"

    @pytest.mark.parametrize(
        ("key", "age_s", "changes", "body"),
        [
            (OLD, 0, {}, BODY),
            (NEW, 600, {}, BODY),
            (NEW, -600, {}, BODY),
            (NEW, 0, {}, BODY + b" "),
            (NEW, 0, {"Webhook-Id": "event-2"}, BODY),
            (NEW, 0, {"Webhook-Timestamp": "now"}, BODY),
            (NEW, 0, {"Webhook-Signature": "v1,é v2, "}, BODY),
        ],
        ids=["old", "stale", "ahead", "body", "id", "time", "nonsense"],
    )
    def test_what_is_old_or_changed_is_refused(
        self,
        verifier: ModuleType,
        key: bytes,
        *,
        age_s: float,
        changes: dict[str, str],
        body: bytes,
    ):
        # Signed here, not when the tests are collected: minutes may lie between.
        headers = sent(key, age_s=age_s) | changes
        with pytest.raises(verifier.BadSignature):
            verifier.verify([secret_text(NEW)], headers, body)

    def test_what_is_not_signed_is_refused(self, verifier: ModuleType):
        with pytest.raises(verifier.BadSignature):
            verifier.verify([secret_text(NEW)], {}, BODY)

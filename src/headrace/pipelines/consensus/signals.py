"""Words that the offline model goes by: what they are worth to whom, and what it says to them.

They make demonstrations and tests possible, nothing more: a text is not understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

ARCHITECT: Final = "review_architect"
CRITIC: Final = "review_critic"
OPTIMIST: Final = "review_optimist"
SECURITY: Final = "review_security"
ADVOCATE: Final = "review_user_advocate"


@dataclass(frozen=True, slots=True)
class Signal:
    """What a reviewer says where a text has certain words.

    Attributes:
        words: A regular expression; case does not matter.
        worth: Added to the confidence.
        says: A strength where it is worth something, else a concern.
        advice: A recommendation.
        blocking: Whether it must be solved first.
        critical: Whether people's data, money or systems are in danger.
        unless: Words that make it void.
    """

    words: str
    worth: Decimal
    says: str
    advice: str = ""
    blocking: bool = False
    critical: bool = False
    unless: str = ""

    def is_in(self, text: str) -> bool:
        """Whether a text has its words."""
        if re.search(rf"\b(?:{self.words})\b", text, re.IGNORECASE) is None:
            return False
        return not self.unless or re.search(self.unless, text, re.IGNORECASE) is None


SIGNALS: Final = {
    ARCHITECT: (
        Signal("existing|reuses?|pilot", Decimal("0.06"), "It begins with what is there."),
        Signal(
            "blockchain|from scratch",
            Decimal("-0.25"),
            "It needs a platform that a small team cannot keep up.",
            "Use what is already run somewhere, before anything is built anew.",
        ),
        Signal(
            "worldwide|millions|real[- ]time",
            Decimal("-0.20"),
            "It is laid out for a load that nobody has measured.",
            "Begin with one place, measure, and lay it out for ten times of that.",
        ),
    ),
    CRITIC: (
        Signal("pilot|trial|measured?", Decimal("0.05"), "It is tried before it is relied upon."),
        Signal(
            "guarantees?|guaranteed|risk[- ]free",
            Decimal("-0.35"),
            "It promises what nobody can keep.",
            "Say what happens when the promise fails, and who pays for it.",
            blocking=True,
        ),
        Signal(
            "in a week|overnight|at once everywhere",
            Decimal("-0.20"),
            "The time is too short for what is planned.",
            "Plan the first step alone.",
        ),
        Signal(
            "nobody has asked|untested|unproven",
            Decimal("-0.25"),
            "It stands on something that was never tried.",
            "Ask ten people first, and write down what they say.",
        ),
    ),
    OPTIMIST: (
        Signal(
            "neighbou?rs?|volunteers?|share[sd]?", Decimal("0.06"), "People gain by each other."
        ),
        Signal(
            "saves?|free of charge|cheap", Decimal("0.03"), "It leaves people more than it takes."
        ),
        Signal(
            "addictive|gambl\\w+|bets?",
            Decimal("-0.40"),
            "What it earns is lost by those who use it.",
            "Look for a use that people would recommend to a friend.",
        ),
    ),
    SECURITY: (
        Signal("encrypted|consent|sign in", Decimal("0.05"), "Data is guarded from the beginning."),
        Signal(
            "patients?|diagnos\\w+|medical|health data|passwords?|bank details",
            Decimal("-0.30"),
            "Confidential data can be read by people whom it is none of the business of.",
            "Send no content, only a hint; let people sign in to read it, and ask for consent.",
            blocking=True,
            critical=True,
            unless="encrypted.*(?:consent|sign in)|(?:consent|sign in).*encrypted",
        ),
        Signal(
            "camera|tracks?|location|children",
            Decimal("-0.15"),
            "People are watched, and cannot tell by whom.",
            "Collect nothing that is not needed, and delete it after a week.",
        ),
        Signal(
            "anonymous payments?|cash out|coins?",
            Decimal("-0.35"),
            "Money moves without anybody who answers for it.",
            "Have the law on money laundering looked at before anything is built.",
            blocking=True,
            critical=True,
        ),
    ),
    ADVOCATE: (
        Signal(
            "large print|plain language|by telephone|accessible",
            Decimal("0.06"),
            "It can be used by people who are often left out.",
        ),
        Signal(
            "only (?:by|in|with|on) (?:an? |the )?(?:app|newest phones?|smartphones?)",
            Decimal("-0.32"),
            "Whoever has no new telephone is shut out.",
            "Offer a second way: by telephone, or a list on paper.",
        ),
        Signal(
            "addictive|hidden fees?|must install",
            Decimal("-0.35"),
            "It asks more of people than it gives them.",
            "Say in plain language what it costs, before anybody begins.",
        ),
    ),
}
"""By the row of a reviewer."""

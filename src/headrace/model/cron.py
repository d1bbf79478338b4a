"""When a cron expression comes true in a time zone, daylight saving included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from headrace.model.site import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
FIELDS: Final = 5
LONGEST: Final = 200
_LOOKS_BACK: Final = tuple(timedelta(days=days) for days in (1 / 24, 1, 31, 366))
_START: Final = datetime(2024, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(seconds=1)


class CronError(ValueError):
    """A cron expression that cannot be used; the text says why."""


class ZoneError(ValueError):
    """A time zone that is not known here; the text says what to do."""


class Cron:
    """A cron expression in a time zone: a fixed set of moments, here called slots.

    Minute, hour, day of the month, month, day of the week, as in Debian's cron. Where both the
    minute and the hour are fixed, a slot that falls into the hour that is left out in spring comes
    at its end, and one in the hour that is repeated in autumn comes once, the first time. Where one
    of them begins with `*`, slots follow real time: nothing comes in an hour that is left out, and
    both hours have theirs when one is repeated.

    Attributes:
        text: The expression, as it was given.
        timezone: The zone, by its name in the IANA database.
        zone: The same, to make local times.
    """

    __slots__ = ("_expression", "_is_free", "text", "timezone", "zone")

    def __init__(self, text: str, timezone: str) -> None:
        """Read both.

        Raises:
            CronError: The expression is wrong, or never comes true.
            ZoneError: There is no such zone.
        """
        self.text, self.timezone = text, timezone
        self._expression = _checked(text)
        self._is_free = any(field.startswith("*") for field in self._expression.split()[:2])
        self.zone = _zone_of(timezone)
        try:
            first = next(self.walk(_START), None)
        except (CronSimError, AssertionError, TypeError, ValueError) as error:
            raise CronError(f"{text!r} is no cron expression: {_why(error)}; {HOW}") from None
        if first is None:
            raise CronError(f"{text!r} never comes true: there is no such date")

    def __repr__(self) -> str:
        return f"<Cron {self.text} {self.timezone}>"

    def after(self, moment: datetime) -> datetime:
        """The first slot after a moment, in UTC."""
        return next(self.walk(moment))

    def walk(self, moment: datetime) -> Iterator[datetime]:
        """The slots after a moment, in UTC, one after the other."""
        last = moment.astimezone(UTC)
        if self._is_free:
            yield from self._walk_free(last.replace(microsecond=0) + _TICK)
            return
        for found in CronSim(self._expression, last.astimezone(self.zone)):
            slot = found.astimezone(UTC)
            # From within a repeated hour, a fixed time is found in its first half again.
            if slot > last:
                last = slot
                yield slot

    def latest(self, after: datetime, before: datetime) -> datetime | None:
        """The last slot after one moment and before another, in UTC; None where there is none."""
        for back in (*_LOOKS_BACK, before - after):
            start = max(after, before - back)
            found = None
            for slot in self.walk(start):
                if slot >= before:
                    break
                found = slot
            if found is not None or start == after:
                return found
        return None

    def _walk_free(self, begin: datetime) -> Iterator[datetime]:
        """The slots from a moment on, by what clocks show: each change of them begins anew.

        CronSim itself takes changes for those of whole hours.
        """
        while True:
            offset = self._offset(begin)
            for shown in CronSim(self._expression, (begin - _TICK).replace(tzinfo=None) + offset):
                slot = (shown - offset).replace(tzinfo=UTC)
                if self._offset(slot) != offset:
                    begin = self._change(begin, slot)
                    break
                begin = slot
                yield slot
            else:
                return

    def _change(self, before: datetime, after: datetime) -> datetime:
        """When clocks are changed between two moments with different offsets."""
        offset = self._offset(before)
        while after - before > _TICK:
            middle = before + (after - before) // _TICK // 2 * _TICK
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()

    def local(self, slot: datetime) -> datetime:
        """A slot as the clocks of the zone show it."""
        return slot.astimezone(self.zone)


HOW: Final = (
    "write minute, hour, day of the month, month and day of the week, as '5 * * * *', "
    f"or one of {', '.join(ALIASES)}"
)


def _checked(text: object) -> str:
    if not isinstance(text, str) or len(text) > LONGEST:
        raise CronError(f"{str(text)[:40]!r} is no cron expression; {HOW}")
    expression = ALIASES.get(text.strip().lower(), text)
    count = len(expression.split())
    if count != FIELDS:
        raise CronError(f"{text!r} has {count} fields, not {FIELDS}; {HOW}")
    return expression


def _why(error: Exception) -> str:
    """What the parser says, where that is meant for people."""
    if isinstance(error, CronSimError):
        return str(error).lower()
    return "its fields do not go together"


def _zone_of(name: object) -> ZoneInfo:
    if isinstance(name, str):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
            pass
    known = available_timezones()
    if not known:
        raise ZoneError(f"{name!r} is not known: this machine has no time zones; install tzdata")
    hint = did_you_mean(str(name), known) or "; write a name such as 'Europe/Berlin' or 'UTC'"
    raise ZoneError(f"{name!r} is no time zone{hint}")

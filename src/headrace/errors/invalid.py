"""What is wrong with a call or a definition, and will fail again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from headrace.errors.base import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Problem(NamedTuple):
    """One thing that is wrong in a value: where (`$.items[2].price`), and what."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class DefinitionError(InvalidError):
    """A pipeline or a step is defined wrongly; raised where it is defined.

    Attributes:
        where: What is wrong and where it is, as `consensus.decide() at app/pipes.py:31`.
        problem: What is wrong and what would be accepted.
        code: One of the codes of the reference, as `TYPE_MISMATCH`.
    """

    def __init__(self, where: str, problem: str, code: str) -> None:
        super().__init__(where, problem, code)
        self.where, self.problem, self.code = where, problem, code

    def __str__(self) -> str:
        return f"{self.where}: {self.problem} [{self.code}]"


class MarkerUsedError(InvalidError, TypeError):
    """A marker (`Each(...)`, `Use(...)`) was used as if it were the value that it stands for."""

    code = "marker_used"

    def __init__(self, marker: str) -> None:
        super().__init__(marker)
        self.marker = marker

    def __str__(self) -> str:
        return (
            f"{self.marker} is filled by the engine, and only in a job: "
            "a direct call of a step must pass every argument"
        )


class CodecError(InvalidError):
    """A stored or received JSON text is not a value of the type.

    Attributes:
        type_name: The type, as it is written in code.
        problems: Every place that does not fit; never empty.
    """

    code = "undecodable"

    def __init__(self, type_name: str, problems: Sequence[Problem]) -> None:
        super().__init__(type_name, problems)
        self.type_name, self.problems = type_name, tuple(problems)

    def __str__(self) -> str:
        return f"not a {self.type_name}: {'; '.join(map(str, self.problems))}"


class InputError(InvalidError):
    """The input of a job does not fit its pipeline; nothing was stored.

    Attributes:
        pipeline: Name of the pipeline.
        problems: Every place that does not fit; never empty.
    """

    code = "input_invalid"

    def __init__(self, pipeline: str, problems: Sequence[Problem]) -> None:
        super().__init__(pipeline, problems)
        self.pipeline, self.problems = pipeline, tuple(problems)

    def __str__(self) -> str:
        return f"input of {self.pipeline}: {'; '.join(map(str, self.problems))}"


class OptionError(InvalidError):
    """An option of a call is not accepted; nothing was stored.

    Attributes:
        option: Its name, as `due`.
        problem: What is wrong, and what would be accepted.
    """

    code = "option_invalid"

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(option, problem)
        self.option, self.problem = option, problem

    def __str__(self) -> str:
        return f"{self.option}: {self.problem}"


class OutputError(InvalidError):
    """A value cannot be stored, or would not come back equal; it was not stored.

    Attributes:
        type_name: The type by which it would be stored, as it is written in code.
        path: The place in the value, as `$.reviews[2].score`; `$` is the value itself.
        reason: What is wrong there.
    """

    code = "output_not_storable"

    def __init__(self, type_name: str, path: str, reason: str) -> None:
        super().__init__(type_name, path, reason)
        self.type_name, self.path, self.reason = type_name, path, reason

    def __str__(self) -> str:
        return f"cannot be stored as {self.type_name}: {self.path}: {self.reason}"


class MessageRefusedError(InvalidError):
    """A message that the broker will never take; nothing of it was published.

    Attributes:
        topic: Where it was to go.
        problem: What is wrong with it.
    """

    code = "message_refused"

    def __init__(self, topic: str, problem: str) -> None:
        super().__init__(topic, problem)
        self.topic, self.problem = topic, problem

    def __str__(self) -> str:
        return f"the topic {self.topic} does not take this message: {self.problem}"


class OutputTooLargeError(InvalidError):
    """An output is larger than what can be stored; nothing was cut, nothing was stored.

    Attributes:
        size: Bytes of the encoded output.
        limit: The most bytes that are accepted.
    """

    code = "output_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size, self.limit = size, limit

    def __str__(self) -> str:
        return f"the output takes {self.size:,} bytes; at most {self.limit:,} can be stored"


class CheckpointCorruptError(InvalidError):
    """A stored output is missing or is not what was stored; no step can go on with it.

    Attributes:
        path: Where the artifact should be.
        reason: What was found.
    """

    code = "CHECKPOINT_CORRUPT"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the artifact {self.path} cannot be used: {self.reason}"


class ItemsError(InvalidError):
    """The items of a fan-out cannot be used: too many, or two of one key."""

    code = "items_invalid"

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(parameter, reason)
        self.parameter, self.reason = parameter, reason

    def __str__(self) -> str:
        return f"items of {self.parameter}: {self.reason}"


class SettingsError(InvalidError):
    """Settings are missing, unknown or out of range; each problem names its setting."""

    code = "settings_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))

"""From the worker's pipelines to the same pipelines in another process, by import and name."""

from __future__ import annotations

import importlib
import runpy
import sys
from dataclasses import asdict, dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from headrace.errors import DefinitionError
from headrace.model.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    from headrace.model.step import Step

    AnyPipeline: TypeAlias = Pipeline[Any, Any]

MAIN: Final = "__main__"
MISMATCH: Final = "STEP_PROCESS_MISMATCH"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a new process must import to know the steps.

    Attributes:
        path: The worker's `sys.path`.
        app: Reference of the app, `module:attribute`; None where only the modules are known.
        modules: Where the functions are defined that run in processes.
        script: The file of the worker's main module, if functions are defined there.
    """

    path: tuple[str, ...]
    app: str | None
    modules: tuple[str, ...]
    script: str | None

    @classmethod
    def of(cls, app: str | None, pipelines: Mapping[str, AnyPipeline]) -> Origin:
        """Where the pipelines of this process come from."""
        modules = {
            step.function.__module__
            for pipeline in pipelines.values()
            for step in pipeline.steps.values()
            if step.runs_in == "process"
        }
        script = None
        if MAIN in modules:
            modules.discard(MAIN)
            main = sys.modules[MAIN]
            spec = getattr(main, "__spec__", None)
            if spec is not None:  # started with `python -m`
                modules.add(spec.name)
            else:
                script = getattr(main, "__file__", None)
        return cls(tuple(sys.path), app, tuple(sorted(modules)), script)

    def as_json(self) -> dict[str, Any]:
        """As JSON can say it."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Origin:
        """The inverse of `as_json`."""
        return cls(tuple(fields["path"]), fields["app"], tuple(fields["modules"]), fields["script"])


class Catalogue:
    """The pipelines of this process, after the import."""

    def __init__(self, origin: Origin) -> None:
        """Nothing is imported before `load`."""
        self._origin = origin
        self._known: dict[str, AnyPipeline] = {}
        self._compared: set[tuple[str, str]] = set()
        self.is_loaded = False

    def load(self) -> None:
        """Import the app, once.

        Raises:
            Exception: Whatever the import raised.
        """
        if self.is_loaded:
            return
        origin = self._origin
        if origin.script is not None:
            # As multiprocessing does it: the guarded part of the script does not run.
            module = ModuleType("__mp_main__")
            module.__dict__.update(runpy.run_path(origin.script, run_name="__mp_main__"))
            sys.modules[MAIN] = sys.modules["__mp_main__"] = module
        if origin.app is not None:
            self._known = _pipelines_of(origin.app)
        for name in origin.modules:
            importlib.import_module(name)
        self.is_loaded = True

    @property
    def pipelines(self) -> Mapping[str, AnyPipeline]:
        """Those that were found so far, by name."""
        return self._known

    def find(self, pipeline: str, step: str, definition: str) -> Step:
        """The step as this process defines it.

        Raises:
            DefinitionError: It is not there, or the pipeline is not the one that the worker has.
        """
        found = self._known.get(pipeline)
        if found is None:
            found = self._known[pipeline] = self._search(pipeline, step, definition)
        if step not in found.steps:
            raise _mismatch(pipeline, f"has no step {step}")
        if (pipeline, definition) not in self._compared:
            if found.definition_hash != definition:
                raise _mismatch(pipeline, "is defined otherwise than in the worker")
            self._compared.add((pipeline, definition))
        return found.steps[step]

    def _search(self, pipeline: str, step: str, definition: str) -> AnyPipeline:
        names = self._origin.modules
        here = [sys.modules[name] for name in names if name in sys.modules]
        found = [
            one
            for one in _pipelines_in([*here, *list(sys.modules.values())])
            if one.name == pipeline and step in one.steps
        ]
        if not found:
            where = ", ".join(names)
            raise _mismatch(pipeline, f"is in no module that defines it (looked in {where})")
        # A module may define it in several ways, of which the worker carries one.
        return next((one for one in found if one.definition_hash == definition), found[0])


def _pipelines_of(reference: str) -> dict[str, AnyPipeline]:
    module, _, attributes = reference.partition(":")
    app: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        app = getattr(app, attribute)
    # Not by type: the composition root is above this package. Without them, modules are searched.
    return dict(getattr(app, "_pipelines", {}))


def _pipelines_in(modules: Iterable[ModuleType]) -> Iterator[AnyPipeline]:
    for module in modules:
        for value in list(getattr(module, "__dict__", {}).values()):
            if type(value) is Pipeline:
                yield value


def _mismatch(pipeline: str, problem: str) -> DefinitionError:
    return DefinitionError(
        f"pipeline {pipeline}",
        f"in the process of the step, it {problem}; the module of a step that runs in a process "
        "must define the same when it is imported again: restart the worker if the code changed",
        MISMATCH,
    )

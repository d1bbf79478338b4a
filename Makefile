# Every target sets up what it needs first, so `make demo` is the only command that a newcomer needs.
# `make PYTHON=/path/to/python3 ...` picks the Python that .venv is made from.

VENV := .venv/bin
TESTS ?= tests
export PYTHON
# The tests start a thousand Pythons, and without its cached bytecode each takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-system check crash bench format lock clean

help: # this list
	@echo "make targets (each one sets up what it needs first):"
	@sed -n 's/^\([a-z-]*\):[^#]*## /  \1  /p' $(MAKEFILE_LIST) | \
		while read -r name text; do printf '  %-12s %s\n' "$$name" "$$text"; done

demo: .venv/.run ## run the main job on real input, on a database of its own
	@$(VENV)/headrace demo

test: .venv/.dev ## run all tests on the embedded PostgreSQL (TESTS=tests/store for a part)
	@$(VENV)/python -m pytest -q -n 3 $(TESTS)

test-system: .venv/.dev ## try Debian's PostgreSQL 15, Google's pstest and chromium (installs them, needs root)
	@scripts/test_system.sh

check: .venv/.dev ## lint, format, types, layers, sizes, dependencies
	@scripts/check.sh

crash: .venv/.dev ## kill workers and the database in the middle of work; fuzz and flood the API
	@$(VENV)/python -m tests.crash.run
	@$(VENV)/python -m tests.crash.run --scaled --no-measure --pubsub
	@$(VENV)/python -m tests.crash.doorbell
	@$(VENV)/python -m tests.crash.outage
	@$(VENV)/python -m tests.crash.breakers
	@$(VENV)/python -m tests.crash.operations
	@$(VENV)/python -m tests.crash.limits
	@$(VENV)/python -m tests.crash.waits
	@$(VENV)/python -m pytest -q tests/cli/push_lives.py
	@$(VENV)/python -m pytest -q -n 2 --every-write-point tests/documents/test_crashes.py \
	  tests/models/test_review_crashes.py tests/schedules/test_crashes.py \
	  tests/examples/test_order_crashes.py
	@$(VENV)/python -m tests.crash.consensus
	@$(VENV)/python -m tests.web.fuzz
	@$(VENV)/python -m tests.web.idle

bench: .venv/.dev ## measure throughput and latency
	@$(VENV)/python -m bench

format: .venv/.dev ## lay out the code and fix what the linter can fix
	@$(VENV)/ruff format -q . && $(VENV)/ruff check -q --fix .

lock: .venv/.dev ## raise the pinned packages in requirements/ to their newest versions
	@scripts/lock.sh

clean: ## remove the environment and all caches
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The stamps. The dev packages contain the run packages, so the second set-up never undoes the first.
.venv/.run: requirements/run.txt requirements/uv.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh run
	@touch $@

.venv/.dev: requirements/dev.txt requirements/uv.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh dev
	@touch .venv/.run $@

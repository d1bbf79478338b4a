#!/bin/bash
# make check: all checks that need no database, two at a time. Prints a line for each, and the whole
# of what a failed one said.
set -u
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

run() {
    local name=$1 started=$EPOCHREALTIME status=0
    shift
    "$@" >"$results/$name.out" 2>&1 || status=$?
    local took
    took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if [ "$status" -eq 0 ]; then
        printf 'ok      %-14s %5s s\n' "$name" "$took"
    else
        printf 'FAILED  %-14s %5s s\n' "$name" "$took"
        sed 's/^/        /' "$results/$name.out"
        touch "$results/$name.failed"
    fi
}

run mypy mypy &
{
    run ruff ruff check --quiet --output-format=concise .
    run format ruff format --quiet --check .
    run sizes python scripts/check_sizes.py
    run layers lint-imports --no-cache --no-logo
    run dependencies deptry --no-ansi src
} &
wait
! compgen -G "$results/*.failed" >/dev/null

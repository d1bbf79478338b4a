#!/bin/sh
# Compiles requirements/*.txt from pyproject.toml: one universal, hashed file a set, for pip and uv.
set -eu
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || { echo "headrace: uv is not in .venv; run make clean, then make lock" >&2; exit 1; }

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --no-header --upgrade --universal --python-version 3.11 \
        --generate-hashes --output-file "requirements/$output.txt" "$@"
}

echo uv | compile uv -
# What `make demo` needs; the tests add what speaks to servers elsewhere.
compile run pyproject.toml --extra embedded --extra server --extra documents --extra embeddings \
    --extra pubsub --group build
compile dev pyproject.toml --all-extras --group build --group dev --constraints requirements/run.txt
compile browser --group browser --constraints requirements/dev.txt
if grep -n "://" requirements/*.txt; then
    echo "headrace: a lock file names an address; it must work with any registry" >&2
    exit 1
fi

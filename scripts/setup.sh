#!/bin/sh
# Brings .venv to the locked packages of one set, by package registries alone:
#     scripts/setup.sh run     what headrace itself needs (make demo)
#     scripts/setup.sh dev     that, and the tools of this repository (make test, make check)
#     scripts/setup.sh browser what drives a browser, beside one of the others (make test-system)
# It needs python3 (3.11 or newer) with pip or venv, and nothing else. uv does the work when it can
# be had, since it is ten times faster; pip does it otherwise, from the same hashed file.
set -eu
cd "$(dirname "$0")/.."
set_name=${1:?which set: run or dev}
lock=requirements/$set_name.txt
log=.venv/setup.log
started=$(date +%s)

fail() {
    echo "headrace: $*" >&2
    exit 1
}

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail "needs Python 3.11 or newer; set PYTHON to one, e.g. make PYTHON=/path/to/python3"
}

# Debian takes ensurepip out of python3 and puts it into python3-venv. Without it an environment can
# still be made, and be filled by the system's own pip (22.3 or newer: it has --python).
make_environment() {
    rm -rf .venv
    if "$python" -m pip --python "$python" --version >/dev/null 2>&1 &&
        "$python" -m venv --without-pip .venv >/dev/null 2>&1; then
        return
    fi
    "$python" -m venv .venv >/dev/null 2>&1 ||
        fail "$python has neither pip nor venv: apt-get install python3-venv"
}

# pip, for the environment: its own where it has one, else the one that belongs to $python.
pip_install() {
    if .venv/bin/python -c 'import pip' 2>/dev/null; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
    else
        "$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check "$@"
    fi
}

with_uv() {
    [ -z "${HEADRACE_SETUP_WITHOUT_UV:-}" ] || return 1
    [ -x .venv/bin/uv ] || pip_install --require-hashes -r requirements/uv.txt || return 1
    .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r "$lock" &&
        .venv/bin/uv pip install --quiet --python .venv/bin/python \
            --no-deps --no-build-isolation --offline -e .
}

with_pip() {
    pip_install --require-hashes -r "$lock" && pip_install --no-deps --no-build-isolation -e .
}

python=$(find_python) || exit 1
echo "headrace: setting up .venv ($set_name packages; the first time this takes a while)"
.venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    make_environment
if ! with_uv >"$log" 2>&1; then
    echo "headrace: uv could not be used here, going on with pip (slower)"
    with_pip >>"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        fail "could not install the packages; everything that was said is in $log"
    }
fi
echo "headrace: ready after $(($(date +%s) - started)) s"

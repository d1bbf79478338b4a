#!/bin/bash
# make test-system: what others made that headrace has to get on with, from Debian's packages.
# - The engine's tests on the oldest PostgreSQL that headrace supports, 15.
# - The conformance suite of Pub/Sub on pstest, Google's own fake, which is built from its source.
# Installs what is missing (as root), and runs a throw-away cluster as an unprivileged user.
# Further arguments go to pytest; then it is PostgreSQL alone.
set -euo pipefail
cd "$(dirname "$0")/.."
version=15
bin=/usr/lib/postgresql/$version/bin
go_sources=/usr/share/gocode

say() { echo "headrace: $*"; }

install_packages() {
    apt-get -q update || return 1
    local configuration=/etc/postgresql-common/createcluster.conf
    if [ ! -e $configuration ]; then
        # The cluster that Debian would start by itself takes memory and is not wanted.
        apt-get -q install -y --no-install-recommends postgresql-common || return 1
        sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' $configuration || return 1
    fi
    apt-get -q install -y --no-install-recommends "${missing[@]}"
}

install_missing() {
    [ "$(id -u)" -eq 0 ] || { say "needs root to install ${missing[*]}" >&2; exit 1; }
    say "installing Debian's ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    local log
    log=$(mktemp)
    if ! install_packages >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        say "could not install ${missing[*]}" >&2
        exit 1
    fi
    rm -f "$log"
}

missing=()
[ -x "$bin/initdb" ] || missing+=("postgresql-$version")
if [ $# -eq 0 ]; then
    command -v go >/dev/null || missing+=(golang-go)
    [ -d "$go_sources/src/cloud.google.com/go/pubsub/pstest" ] || missing+=(golang-google-cloud-dev)
fi
[ ${#missing[@]} -eq 0 ] || install_missing

failed=()
as_user=()
cluster=$(mktemp -d /tmp/headrace-pg.XXXXXX)
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$cluster"
    as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
stop() {
    (cd / && "${as_user[@]}" "$bin/pg_ctl" -D "$cluster/data" -m immediate -w stop) >/dev/null 2>&1 || true
    rm -rf "$cluster"
}
trap stop EXIT
trap 'exit 129' HUP INT TERM

(
    cd /
    "${as_user[@]}" "$bin/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8
    "${as_user[@]}" "$bin/pg_ctl" -D "$cluster/data" -l "$cluster/log" -w start -o \
        "-k $cluster -c listen_addresses='' -c max_connections=200 -c timezone=UTC"
) >"$cluster/setup.log" 2>&1 || { tail -n 15 "$cluster"/*log >&2; exit 1; }

say "PostgreSQL $("$bin/postgres" --version | awk '{ print $3 }') is up"
export HEADRACE_TEST_DATABASE_URL="postgresql://postgres@/postgres?host=$cluster"
# Pages and the API's own behaviour are the same on any PostgreSQL: of the API, what is SQL is tried.
parts=(tests/broker tests/cli tests/client tests/crash tests/documents tests/engine tests/proof tests/store tests/telemetry
    tests/unit tests/worker tests/web/test_api_keys.py tests/web/test_events.py tests/web/test_keys.py
    tests/web/test_wall.py)
.venv/bin/python -m pytest -q -n 2 --only-database "${@:-${parts[@]}}" || failed+=(PostgreSQL)

if [ $# -eq 0 ]; then
    # Modules off: they would be fetched; the sources are those of Debian's packages.
    GO111MODULE=off GOPATH=$go_sources GOCACHE=$cluster/go-cache GOFLAGS="-ldflags=-s" \
        go build -o "$cluster/pstest" ./tests/pubsub/pstest || exit 1
    say "Google's pstest is built"
    HEADRACE_TEST_PSTEST=$cluster/pstest \
        .venv/bin/python -m pytest -q -n 2 tests/pubsub/conformance || failed+=(pstest)
fi
if [ ${#failed[@]} -gt 0 ]; then
    say "failed with ${failed[*]}" >&2
    exit 1
fi

#!/bin/bash
# make test-system: what others made that headrace has to get on with, from Debian's packages.
# - What depends on the server's version, on the oldest PostgreSQL that headrace supports, 15.
# - The conformance suite of Pub/Sub on pstest, Google's own fake, which is built from its source.
# - The pages of links to signals in chromium, driven by Playwright, which brings no browser here.
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
    command -v chromium >/dev/null || missing+=(chromium)
fi
[ ${#missing[@]} -eq 0 ] || install_missing

failed=()
as_user=()
# In memory where there is room: tests/memory.py says why.
place=/tmp
room=$(df --output=avail -B1M /dev/shm 2>/dev/null | tail -n 1)
free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "${room:-0}" -lt 2048 ] || [ "${free:-0}" -lt 2048 ] || place=/dev/shm
forgetful="-c fsync=off -c full_page_writes=off -c max_wal_size=512MB"
cluster=$(mktemp -d $place/headrace-pg.XXXXXX)
made=$(mktemp -d /tmp/headrace-pstest.XXXXXX)
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$cluster"
    as_user=(setpriv --reuid=postgres --regid=postgres --clear-groups --)
fi
stop() {
    (cd / && "${as_user[@]}" "$bin/pg_ctl" -D "$cluster/data" -m immediate -w stop) >/dev/null 2>&1 || true
    rm -rf "$cluster" "$made"
}
trap stop EXIT
trap 'exit 129' HUP INT TERM

(
    cd /
    "${as_user[@]}" "$bin/initdb" -D "$cluster/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8
    "${as_user[@]}" "$bin/pg_ctl" -D "$cluster/data" -l "$cluster/log" -w start -o \
        "-k $cluster -c listen_addresses='' -c max_connections=200 -c timezone=UTC $forgetful"
) >"$cluster/setup.log" 2>&1 || { tail -n 15 "$cluster"/*log >&2; exit 1; }

say "PostgreSQL $("$bin/postgres" --version | awk '{ print $3 }') is up"
export HEADRACE_TEST_DATABASE_URL="postgresql://postgres@/postgres?host=$cluster"
# Statements, and what they hold to under concurrency, are the server's: the store, claims, checkpoints,
# recovery, the outbox and the inbox, row-level security, LISTEN and NOTIFY, presence. What the engine
# and the API do above that (processes, failpoints, commands, HTTP, documents, telemetry) meets the
# same rows on any PostgreSQL, and `make test` tries it on 18.
parts=(tests/broker tests/client tests/inbox tests/outbox tests/proof tests/store
    tests/engine/test_{cancel,claims,fan_out,ledger,ledger_in_worker,limits,once,outputs}.py
    tests/engine/test_{retries,steps,transactions,versions,waits}.py
    tests/worker/test_{janitor,presence,presence_connections,reaper}.py
    tests/web/test_{api_keys,events,keys,wall}.py
    tests/cli/test_doctor.py tests/cli/test_documents.py)
.venv/bin/python -m pytest -q -n 3 --only-database "${@:-${parts[@]}}" || failed+=(PostgreSQL)

if [ $# -eq 0 ]; then
    # Modules off: they would be fetched; the sources are those of Debian's packages.
    GO111MODULE=off GOPATH=$go_sources GOCACHE=$made/go-cache GOFLAGS="-ldflags=-s" \
        go build -o "$made/pstest" ./tests/pubsub/pstest || exit 1
    say "Google's pstest is built"
    HEADRACE_TEST_PSTEST=$made/pstest \
        .venv/bin/python -m pytest -q -n 3 tests/pubsub/conformance || failed+=(pstest)
    scripts/setup.sh browser || exit 1
    .venv/bin/python -m pytest -q -n 0 tests/browser/links.py tests/browser/order.py || failed+=(chromium)
fi
if [ ${#failed[@]} -gt 0 ]; then
    say "failed with ${failed[*]}" >&2
    exit 1
fi

#!/usr/bin/env bash
#
# Builds the release server and the load harness, and runs the harness. What it prints is explained in
# docs/benchmarks.md.
#
#   scripts/bench.sh [--profile PROFILE] [FLAG...]
#
# --profile PROFILE   which builds are measured: release, unless given, or release-ci, which builds in half the time
# FLAG                for the harness: --quick, --scenario NAME, --strict, --list, --help

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=release
if [[ ${1:-} == --profile ]]; then
    profile=${2:?a profile has to follow --profile}
    shift 2
fi

scripts/docker.sh
scripts/functions.sh fixture
scripts/databases.sh
cargo build --locked --profile "$profile" --package hearth --package hearth-bench

# A Postgres as it comes: what it commits is on the disk. Removed with this script, whatever ends it.
postgres=$(docker run --detach --rm --label hearth.bench=postgres --publish 127.0.0.1::5432 \
    --env POSTGRES_PASSWORD=secret hearth/postgres:test)
trap 'docker rm --force --volumes "$postgres" >/dev/null' EXIT
psql() { docker exec --env PGPASSWORD=secret "$postgres" psql --quiet --host=127.0.0.1 --username=postgres "$@"; }
deadline=$((SECONDS + 120))
until psql --command='SELECT 1' >/dev/null 2>&1; do
    if ((SECONDS > deadline)); then
        docker logs "$postgres" >&2
        exit 1
    fi
    sleep 0.2
done
for number in {1..16}; do
    psql --command="CREATE DATABASE bench_$number"
done

# A signal is the harness's to handle: it stops the server and removes every container.
trap : INT TERM
"${CARGO_TARGET_DIR:-target}/$profile/hearth-bench" --output "${CARGO_TARGET_DIR:-target}/bench" \
    --postgres "postgres://postgres:secret@$(docker port "$postgres" 5432)" "$@" &
harness=$!
# A signal ends a wait, not the harness.
while kill -0 "$harness" 2>/dev/null; do
    wait "$harness" && code=0 || code=$?
done
exit "$code"

#!/usr/bin/env bash
#
# Builds the server and the torture harness, and runs the harness: asynchronous calls, while servers, the engine,
# containers and databases are killed. docs/async.md says how to read the verdicts. Takes root, for an engine of its own.
#
#   scripts/torture.sh [--profile PROFILE] [FLAG...]
#
# --profile PROFILE   which build is tortured: dev, unless given, whose overflows and assertions are checked
# FLAG                for the harness: --store NAME, --seed N, --calls N, --kills N, --help

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=dev directory=debug
if [[ ${1:-} == --profile ]]; then
    profile=${2:?a profile has to follow --profile} directory=$2
    shift 2
fi

((EUID == 0)) || {
    printf 'torture: an engine of its own takes root: sudo make torture\n' >&2
    exit 1
}
scripts/docker.sh
scripts/functions.sh fixture
scripts/databases.sh
scripts/need.sh redis-server:redis-server
cargo build --locked --profile "$profile" --package hearth --package hearth-torture
# A signal is the harness's to handle: it ends everything that it started.
exec "${CARGO_TARGET_DIR:-target}/$directory/hearth-torture" --output "${CARGO_TARGET_DIR:-target}/torture" "$@"

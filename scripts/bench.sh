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
cargo build --locked --profile "$profile" --package hearth --package hearth-bench
# A signal is the harness's to handle: it stops the server and removes every container.
exec "${CARGO_TARGET_DIR:-target}/$profile/hearth-bench" --output "${CARGO_TARGET_DIR:-target}/bench" "$@"

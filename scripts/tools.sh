#!/usr/bin/env bash
#
# Sees to it that the named tools of cargo are there, and installs what is missing: rustfmt and clippy with rustup,
# nextest and deny by building them (minutes, once).
#
#   scripts/tools.sh rustfmt clippy nextest deny

set -euo pipefail

say() { printf 'tools: %s\n' "$*" >&2; }

component() {
    local name=$1 program=$2
    command -v "$program" >/dev/null && "$program" --version >/dev/null 2>&1 && return
    if ! command -v rustup >/dev/null; then
        say "$name is missing, and so is rustup to install it"
        exit 1
    fi
    say "installing $name"
    rustup component add "$name"
}

# A version that is there already is taken as it is. Unoptimised these tools build in a third of the time (cargo-deny in
# two minutes instead of five on two busy processors) and still do their work in seconds.
built() {
    local crate=$1 version=$2
    command -v "$crate" >/dev/null && return
    say "building $crate $version, which takes minutes"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --version "$version" "$crate"
}

for tool in "$@"; do
    case $tool in
        rustfmt) component rustfmt rustfmt ;;
        clippy) component clippy cargo-clippy ;;
        nextest) built cargo-nextest 0.9.143 ;;
        deny) built cargo-deny 0.20.2 ;;
        *)
            say "unknown: $tool"
            exit 64
            ;;
    esac
done

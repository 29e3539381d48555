#!/usr/bin/env bash
#
# Builds the function images: static binaries first, then an image FROM scratch for each.
#
#   scripts/functions.sh             all of them
#   scripts/functions.sh fixture     hearth/fixture:test, :healthy and :unhealthy, which the tests use
#   scripts/functions.sh samples     hearth/hello, hearth/crunch and hearth/upper (examples/functions)
#
# Safe to run again. An image carries the hash of what it was made of, and is left alone while that stays the same.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly label=hearth.content
readonly samples=(hello crunch upper)

say() { printf 'functions: %s\n' "$*" >&2; }

main() {
    local -a names
    case ${1:-all} in
        all) names=(fixture "${samples[@]}") ;;
        fixture) names=(fixture) ;;
        samples) names=("${samples[@]}") ;;
        *)
            say "unknown: $1 (all, fixture or samples)"
            exit 64
            ;;
    esac

    build_binaries "${names[@]}"
    local name stage
    for name in "${names[@]}"; do
        if [[ $name == fixture ]]; then
            for stage in test healthy unhealthy; do
                build_image fixture "hearth/fixture:$stage" docker/functions/fixture/Dockerfile "$stage"
            done
        else
            build_image "$name" "hearth/$name:latest" "examples/functions/$name/Dockerfile"
        fi
    done
}

# A static binary needs no operating system around it. With an explicit --target the flag applies to what runs in
# the container only, and the host's own build artefacts stay as they are.
build_binaries() {
    triple=$(rustc -vV | sed -n 's/^host: //p')
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
        cargo build --quiet --release --target "$triple" "${@/#/--package=hearth-}"
}

# build_image NAME IMAGE DOCKERFILE [STAGE]
build_image() {
    local name=$1 image=$2 dockerfile=$3 stage=${4:-}
    local binary=${CARGO_TARGET_DIR:-target}/$triple/release/hearth-$name
    local content
    content=$(cat "$binary" "$dockerfile" | sha256sum | cut -d' ' -f1)
    if [[ $(image_field "$image" "{{index .Config.Labels \"$label\"}}") == "$content" ]]; then
        say "$image is up to date"
        return
    fi
    local before output
    before=$(image_field "$image" '{{.Id}}')
    # The build context goes in as an archive of exactly two files.
    output=$(
        context "$binary" "$dockerfile" |
            docker build --tag "$image" --label "$label=$content" ${stage:+--target "$stage"} - 2>&1
    ) || {
        printf '%s\n' "$output" >&2
        say "could not build $image"
        exit 1
    }
    say "$image is built"
    # The one it replaces has no name now; it stays only as long as a container uses it.
    if [[ -n $before ]]; then
        docker image rm "$before" >/dev/null 2>&1 || say "$before is still in use"
    fi
}

# Prints nothing when there is no such image.
image_field() { docker image inspect --format "$2" "$1" 2>/dev/null || true; }

context() {
    local binary=$1 dockerfile=$2
    tar --create --owner=0 --group=0 \
        --directory "$(realpath "$(dirname "$binary")")" "$(basename "$binary")" \
        --directory "$(realpath "$(dirname "$dockerfile")")" "$(basename "$dockerfile")"
}

main "$@"

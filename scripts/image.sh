#!/usr/bin/env bash
#
# Builds the server as a static binary, and an image of it.
#
#   scripts/image.sh binary [PROFILE]          the binary; prints its path
#   scripts/image.sh image TAG [PROFILE]       the image TAG around it
#
# PROFILE is cargo's (release). The binary is linked with musl, whose resolver needs no file of the system it runs on: a
# static glibc would load the modules that /etc/nsswitch.conf names, and only those of its own version.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly label=hearth.content
readonly dockerfile=docker/server/Dockerfile
# Of Debian and its kin, of Fedora and its kin, of Alpine.
readonly authorities=(/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem)

say() { printf 'image: %s\n' "$*" >&2; }

main() {
    case ${1:-} in
        binary) build_binary "${2:-release}" ;;
        image) build_image "${2:?a tag is needed}" "${3:-release}" ;;
        *)
            say "unknown: ${1:-} (binary or image)"
            exit 64
            ;;
    esac
}

# Prints the path of the binary.
build_binary() {
    local profile=$1 triple directory
    triple=$(uname -m)-unknown-linux-musl
    scripts/need.sh cc:gcc,libc6-dev musl-gcc:musl-tools
    rustup target list --installed 2>/dev/null | grep --quiet --line-regexp "$triple" ||
        rustup target add "$triple" >&2 || {
        say "the Rust toolchain lacks the target $triple: rustup target add $triple"
        exit 1
    }
    # Of the machine's own target, only what runs while building is shared; nobody debugs this one.
    CARGO_PROFILE_DEV_DEBUG=none cargo build --locked --quiet --profile "$profile" --target "$triple" --bin hearth
    directory=$profile
    # cargo's own name for it.
    [[ $profile != dev ]] || directory=debug
    printf '%s\n' "${CARGO_TARGET_DIR:-target}/$triple/$directory/hearth"
}

build_image() {
    local tag=$1 profile=$2 binary bundle content output
    binary=$(build_binary "$profile")
    bundle=$(certificates)
    content=$(cat "$binary" "$bundle" "$dockerfile" | sha256sum | cut -d' ' -f1)
    if [[ $(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$tag" 2>/dev/null) == "$content" ]]; then
        say "$tag is up to date"
        return
    fi
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    cp "$dockerfile" "$binary" "$context"
    cp "$bundle" "$context/ca-certificates.crt"
    output=$(docker build --tag "$tag" --label "$label=$content" "$context" 2>&1) || {
        printf '%s\n' "$output" >&2
        say "could not build $tag"
        exit 1
    }
    say "$tag is built: $(docker image inspect --format '{{.Size}}' "$tag") bytes"
}

certificates() {
    local bundle
    for bundle in "${authorities[@]}"; do
        if [[ -r $bundle ]]; then
            printf '%s\n' "$bundle"
            return
        fi
    done
    say "this machine has no certificates of authorities (on Debian: apt-get install ca-certificates)"
    exit 1
}

main "$@"

#!/usr/bin/env bash
#
# Builds the images of the example functions in shell, Python, Node and Go (examples/functions), and what they stand on.
#
#   scripts/examples.sh           the base images, then hearth/example-shell, -python, -node, -go, -python-fdk, -node-fdk, and
#                                 hearth/kit-python:test and -node:test, functions of the tests on the kits of the last two
#   scripts/examples.sh bases     the base images: busybox, python:3.11-slim, node:18-slim, golang:1.19
#
# Base images come from a registry where one can be reached. Elsewhere stand-ins of the same names are made out of Debian
# packages, which takes two minutes or so, once, as root. Safe to run again: an image carries the hash of what it was made
# of, and is left alone while that stays the same.
#
# HEARTH_DEBIAN_MIRROR   where the packages come from (http://deb.debian.org/debian)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly label=hearth.content
readonly suite=bookworm
readonly mirror=${HEARTH_DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly runtimes=(python:3.11-slim node:18-slim golang:1.19)
readonly examples=(shell python node go python-fdk node-fdk)
# That of Debian's suite, and of the image python:3.11-slim.
readonly python_version=3.11

say() { printf 'examples: %s\n' "$*" >&2; }

give_up() {
    printf '%s\n' "$@" >&2
    exit 1
}

main() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    bases
    case ${1:-all} in
        bases) ;;
        all)
            local name
            for name in "${examples[@]}"; do
                function_image "hearth/example-$name:latest" "examples/functions/$name"
            done
            for name in python node; do
                function_image "hearth/kit-$name:test" "docker/functions/kits/$name"
            done
            ;;
        *)
            say "unknown: $1 (bases, or nothing)"
            exit 64
            ;;
    esac
}

# === what examples stand on ===

bases() {
    local image
    local -a missing=()
    for image in busybox "${runtimes[@]}"; do
        docker image inspect "$image" >/dev/null 2>&1 || missing+=("$image")
    done
    for image in "${missing[@]}"; do
        # Where the first cannot be had, none can.
        pull "$image" || {
            stand_ins
            return
        }
    done
}

pull() { timeout 300 docker pull --quiet "$1" >/dev/null 2>&1; }

stand_ins() {
    ((EUID == 0)) || give_up "No registry can be reached, and making images without one takes root: sudo $0"
    scripts/need.sh mmdebstrap:mmdebstrap,debian-archive-keyring
    say "no registry can be reached: making stand-ins for ${missing[*]} out of Debian packages"
    local image
    for image in "${missing[@]}"; do
        if [[ $image == busybox ]]; then
            busybox
        else
            docker image inspect hearth/runtimes:base >/dev/null 2>&1 || debian
            docker tag hearth/runtimes:base "$image"
        fi
    done
}

# One file, and a name for each of its programs.
busybox() {
    local package=$work/busybox
    mkdir "$package"
    (cd "$package" && apt-get -qq download busybox-static) || give_up "busybox-static could not be downloaded."
    dpkg-deb --extract "$package"/*.deb "$package/root"
    mkdir "$package/image" "$package/image/bin" "$package/image/tmp"
    mv "$package/root/bin/busybox" "$package/image/bin"
    # It installs what it has, as it would in the container.
    chroot "$package/image" /bin/busybox --install -s /bin
    tar --create --directory "$package/image" . | docker import --change 'CMD ["sh"]' - busybox:latest >/dev/null
}

# All runtimes in one file system, so that they are downloaded and unpacked once.
debian() {
    local output
    output=$(
        mmdebstrap --quiet --variant=minbase --include=python3,nodejs,golang-go \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/go-*/test/*' \
            "$suite" "$work/runtimes.tar" "$mirror" 2>&1
    ) || give_up "$output" "The packages could not be put together."
    docker import "$work/runtimes.tar" hearth/runtimes:base >/dev/null
    rm "$work/runtimes.tar"
}

# === functions ===

# function_image IMAGE DIRECTORY
function_image() {
    local image=$1 source=$2 content output
    content=$(cat "$source"/* scripts/examples.sh | sha256sum | cut -d' ' -f1)
    if [[ $(docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$image" 2>/dev/null) == "$content" ]]; then
        say "$image is up to date"
        return
    fi
    rm -rf "$work/context"
    cp -r "$source" "$work/context"
    packages "$work/context"
    output=$(docker build --tag "$image" --label "$label=$content" "$work/context" 2>&1) ||
        give_up "$output" "examples: could not build $image"
    say "$image is built"
}

# packages DIRECTORY: fetches what the function there names, for the interpreter in the image, whatever this machine has.
packages() {
    if [[ -e $1/requirements.txt ]]; then
        scripts/need.sh python3:python3 pip3:python3-pip
        python3 -m pip install --quiet --disable-pip-version-check --target "$1/packages" --requirement "$1/requirements.txt" \
            --python-version "$python_version" --only-binary :all: --no-compile --root-user-action ignore ||
            give_up "The packages of $1/requirements.txt could not be fetched."
    fi
    if [[ -e $1/package.json ]]; then
        scripts/need.sh npm:npm
        npm install --silent --no-audit --no-fund --no-package-lock --ignore-scripts --prefix "$1" ||
            give_up "The packages of $1/package.json could not be fetched."
    fi
}

main "$@"

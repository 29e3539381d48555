#!/usr/bin/env bash
#
# Sees to it that the images of the databases are there, which tests start: hearth/postgres:test and hearth/mariadb:test.
#
# They come from a registry where one can be reached. Elsewhere they are made out of Debian packages, which takes about
# two minutes, once: an image carries the hash of what it was made of, and is left alone while that stays the same.
#
#   scripts/databases.sh         the images
#   scripts/databases.sh serve   also a server of each, for as long as the caller runs. Called by nextest, which hands the
#                                URLs of the servers to the tests.
#
# HEARTH_DEBIAN_MIRROR   where the packages come from (http://deb.debian.org/debian)

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly label=hearth.content
readonly owner=hearth.databases.caller
readonly suite=bookworm
readonly mirror=${HEARTH_DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly context=docker/databases
declare -rA pulled=([postgres]=postgres:15 [mariadb]=mariadb:10.11)

say() { printf 'databases: %s\n' "$*" >&2; }

main() {
    images
    case ${1:-images} in
        images) ;;
        serve) serve ;;
        *)
            say "unknown: $1 (images or serve)"
            exit 64
            ;;
    esac
}

images() {
    base=$(sha256sum <scripts/databases.sh | cut -d' ' -f1)
    content=$(cat "$context"/* scripts/databases.sh | sha256sum | cut -d' ' -f1)
    local name
    for name in postgres mariadb; do
        if [[ $(image_label "hearth/$name:test") == "$content" ]]; then
            say "hearth/$name:test is up to date"
        else
            pull "$name" || build "$name"
        fi
    done
}

# pull NAME: fails where there is no registry.
pull() {
    local image=${pulled[$1]}
    timeout 300 docker pull --quiet "$image" >/dev/null 2>&1 || return 1
    printf 'FROM %s\n' "$image" | docker_build "hearth/$1:test" -
    say "hearth/$1:test is $image"
}

# build NAME: out of Debian packages.
build() {
    [[ $(image_label hearth/databases:base) == "$base" ]] || build_base
    docker_build "hearth/$1:test" --target "$1" "$context"
    say "hearth/$1:test is built"
}

build_base() {
    ((EUID == 0)) || {
        say "no registry can be reached, and making the images without one takes root: sudo scripts/databases.sh"
        exit 1
    }
    scripts/need.sh mmdebstrap:mmdebstrap,debian-archive-keyring
    say "no registry can be reached: making the images out of Debian packages"
    local output
    # In the hooks $1 is for the shell that runs them.
    # shellcheck disable=SC2016
    local -ar hooks=(
        --essential-hook='mkdir -p "$1/etc/postgresql-common"'
        --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"'
        --customize-hook='rm -rf "$1/var/lib/mysql"/* "$1/var/lib/postgresql"/*'
    )
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    # Nothing but the programs: no cluster made at installation, no manuals, no translations.
    output=$(
        mmdebstrap --quiet --variant=minbase --include=postgresql,mariadb-server \
            "${hooks[@]}" \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --dpkgopt='path-exclude=/usr/share/locale/*' \
            "$suite" "$work/base.tar" "$mirror" 2>&1
    ) || {
        printf '%s\n' "$output" >&2
        say "the packages could not be put together"
        exit 1
    }
    docker import --change "LABEL $label=$base" "$work/base.tar" hearth/databases:base >/dev/null
}

# docker_build IMAGE ARGUMENT...
docker_build() {
    local image=$1 output
    shift
    output=$(docker build --tag "$image" --label "$label=$content" "$@" 2>&1) || {
        printf '%s\n' "$output" >&2
        say "could not build $image"
        exit 1
    }
}

# Prints nothing when there is no such image.
image_label() { docker image inspect --format "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null || true; }

serve() {
    local name
    sweep
    # Nothing on these servers outlives them, so nothing needs to reach a disk.
    # A password in clear text saves each connection of a debug build a third of a second of hashing.
    run postgres 5432 -e POSTGRES_PASSWORD=secret -e POSTGRES_HOST_AUTH_METHOD=password --tmpfs /var/lib/postgresql/data -- \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off
    run mariadb 3306 -e MARIADB_ROOT_PASSWORD=secret --tmpfs /var/lib/mysql -- \
        --innodb-flush-log-at-trx-commit=0 --skip-log-bin
    for name in postgres mariadb; do
        remove_with_caller "${ids[$name]}"
    done
    ready postgres pg_isready --quiet --host=127.0.0.1
    ready mariadb mariadb-admin --silent --host=127.0.0.1 --user=root --password=secret ping
    {
        printf 'HEARTH_TEST_POSTGRES=postgres://postgres:secret@%s/postgres\n' "$(docker port "${ids[postgres]}" 5432)"
        printf 'HEARTH_TEST_MARIADB=mysql://root:secret@%s/mysql\n' "$(docker port "${ids[mariadb]}" 3306)"
    } >>"$NEXTEST_ENV"
}

declare -A ids

# run NAME PORT OPTION... -- ARGUMENT...
run() {
    local name=$1 port=$2 options=()
    shift 2
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    ids[$name]=$(docker run --detach --rm --label "$owner=$PPID" --publish "127.0.0.1::$port" "${options[@]}" \
        "hearth/$name:test" "$@")
}

# ready NAME COMMAND...: waits until the command succeeds in the server's container.
ready() {
    local name=$1 deadline=$((SECONDS + 120))
    shift
    until docker exec "${ids[$name]}" "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            docker logs "${ids[$name]}" >&2
            say "$name does not answer"
            exit 1
        fi
        sleep 0.1
    done
}

# remove_with_caller ID: a process of its own waits for the end of whoever called this script, and then removes it.
remove_with_caller() {
    setsid --fork bash -c "tail --pid=$PPID --follow /dev/null; docker rm --force --volumes $1" \
        </dev/null >/dev/null 2>&1
}

# Removes the servers of callers that are gone, if ever a machine stopped between the two.
sweep() {
    local id caller
    while read -r id caller; do
        kill -0 "$caller" 2>/dev/null || docker rm --force --volumes "$id" >/dev/null
    done < <(docker ps --all --filter "label=$owner" --format "{{.ID}} {{.Label \"$owner\"}}")
}

main "$@"

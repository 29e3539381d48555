#!/usr/bin/env bash
#
# Holds a live server to api-spec/v1.yaml and v2.yaml: schemathesis makes up requests that a document allows and requests
# that it does not, and judges every response. Fails when it finds anything, or when the server calls anything a failure of its own.
#
#   scripts/schemathesis.sh [ARGUMENTS OF schemathesis run]
#
# It needs a built server (cargo build --package hearth), Docker and the images of scripts/functions.sh samples.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly version=4.32.5
readonly spec=$PWD/api-spec
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
readonly target
readonly tools=$target/schemathesis-$version
readonly server_binary=$target/debug/hearth
readonly start_seconds=60

scratch=$(mktemp -d)
server=
fn_id=

say() { printf 'schemathesis: %s\n' "$*" >&2; }

give_up() {
    say "$1"
    tail -n 50 "$scratch/log" >&2 || true
    exit 1
}

main() {
    trap clean_up EXIT
    install_tools
    start_server
    deploy
    # It leaves notes of its findings where it runs.
    cd "$scratch"
    hold v1.yaml schemathesis.toml "$@"
    hold v2.yaml schemathesis-v2.toml "$@"
    refuse_own_failures
}

hold() {
    local document=$1 config=$2
    shift 2
    say "$document"
    SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$spec PYTHONDONTWRITEBYTECODE=1 HEARTH_FN_ID=$fn_id \
        "$tools/bin/schemathesis" --config-file "$spec/$config" \
        run "$spec/$document" --url "$url" --no-color "$@"
}

# The environment is kept in the target directory, and made anew for another version.
install_tools() {
    [[ -x $tools/bin/schemathesis ]] && return
    scripts/need.sh python3:python3
    python3 -c 'import ensurepip' 2>/dev/null || scripts/need.sh no-ensurepip:python3-venv
    say "installing schemathesis $version"
    rm -rf "$tools"
    python3 -m venv "$tools"
    # What is installed last is what is looked for: a broken installation is begun anew.
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "schemathesis==$version"
}

# It listens where the system chooses, on a directory of its own.
start_server() {
    FN_DATA_DIR=$scratch/data FN_MEMORY=2GiB "$server_binary" serve --listen 127.0.0.1 --port 0 2>"$scratch/log" &
    server=$!
    local deadline=$((SECONDS + start_seconds))
    until url=$(sed -n 's|.*listening on \(http://[0-9.:]*\).*|\1|p' "$scratch/log") && [[ -n $url ]] &&
        curl --silent --fail --output /dev/null "$url/ready"; do
        kill -0 "$server" 2>/dev/null || give_up "the server ended at once"
        ((SECONDS < deadline)) || give_up "the server is not ready after $start_seconds s"
        sleep 0.1
    done
}

# One route that is called and waited for, and one that is queued. The first is a function and a trigger of API v2.
deploy() {
    put hello '{"route": {"image": "hearth/hello", "format": "http"}}'
    put '' '{"route": {"image": "hearth/hello", "format": "http", "type": "async"}}'
    local app_id
    app_id=$(first_id 'apps?name=kept')
    fn_id=$(first_id "fns?app_id=$app_id&name=hello")
}

# The id of the first of a list of API v2.
first_id() {
    local list
    list=$(curl --silent --show-error --fail-with-body "$url/v2/$1") || give_up "$1 cannot be listed"
    [[ $list =~ '"items":[{"id":"'([0-9A-Z]+) ]] || give_up "$1 is empty"
    printf '%s' "${BASH_REMATCH[1]}"
}

put() {
    curl --silent --show-error --fail-with-body --output /dev/null --request PUT --data "$2" \
        "$url/v1/apps/kept/routes/$1" || give_up "the route /$1 could not be made"
}

refuse_own_failures() {
    if grep --extended-regexp 'panicked|internal server error|ERROR' "$scratch/log" >&2; then
        give_up "the server calls something its own failure"
    fi
}

clean_up() {
    if [[ -n $server ]]; then
        kill -s TERM "$server" 2>/dev/null || true
        wait "$server" || true
    fi
    rm -rf "$scratch"
}

main "$@"

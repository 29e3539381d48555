#!/usr/bin/env bash
#
# From a clone to a call: starts Docker where needed, builds and starts the server, deploys the sample functions,
# calls them, shows what is recorded of a call, and serves until Ctrl-C.
#
# PORT            where the server listens on 127.0.0.1 (8080)
# HEARTH_BINARY   a server that is built already

# Traps call some of the functions, which shellcheck takes for unreachable:
# shellcheck disable=SC2317

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PORT=${PORT:-8080}
readonly url=http://127.0.0.1:$PORT
readonly server_binary=${HEARTH_BINARY:-${CARGO_TARGET_DIR:-target}/debug/hearth}
# A debug build on a busy machine, with a database to migrate, is up in a second or two.
readonly start_seconds=60

server=
stopping=
scratch=$(mktemp -d)

say() { printf '\n\e[1m%s\e[0m\n' "$*"; }

give_up() {
    # After a signal things fail because they are meant to.
    [[ -n $stopping ]] || printf '%s\n' "$@" >&2
    exit 1
}

main() {
    trap 'forward INT' INT
    trap 'forward TERM' TERM
    trap clean_up EXIT

    scripts/need.sh cc:gcc,libc6-dev curl:curl
    scripts/docker.sh
    refuse_taken_port
    say "Building the server and the sample functions"
    [[ -n ${HEARTH_BINARY:-} ]] || cargo build --package hearth
    scripts/functions.sh samples

    say "Starting the server"
    start_server
    deploy
    demonstrate
    say_what_next
    exit_with_server
}

# === the server's life ===

# The server gets a process group of its own: Ctrl-C in the terminal reaches this script alone, which passes it on
# once. The server would take a second one as the wish to stop without cleaning up.
start_server() {
    set -m
    # Flags win over FN_LISTEN and FN_PORT, with which it would listen where this script does not ask.
    "$server_binary" serve --listen 127.0.0.1 --port "$PORT" &
    server=$!
    set +m
    local deadline=$((SECONDS + start_seconds))
    until curl --silent --fail --output /dev/null "$url/version"; do
        kill -0 "$server" 2>/dev/null || {
            printf 'The server ended at once; its own words are above.\n' >&2
            exit_with_server
        }
        ((SECONDS < deadline)) || give_up "The server does not answer at $url/version after $start_seconds s."
        sleep 0.1
    done
}

refuse_taken_port() {
    if curl --silent --output /dev/null --max-time 5 "$url/version"; then
        give_up "Something answers at $url already. Stop it, or choose another port: PORT=8081 make run"
    fi
}

forward() {
    if [[ -z $server ]]; then
        # Nothing runs yet that would have to stop first.
        exit $((128 + $(kill -l "$1")))
    fi
    stopping=yes
    # It may have ended this very moment.
    kill -s "$1" "$server" 2>/dev/null || true
}

# A signal interrupts a wait, so one wait is not enough.
wait_for_server() {
    while kill -0 "$server" 2>/dev/null; do
        wait "$server" || true
    done
    wait "$server"
}

exit_with_server() {
    local code=0
    wait_for_server || code=$?
    server=
    exit "$code"
}

# However this script ends, the server ends first, and its containers with it. A step that a signal cut short has
# failed, but what counts then is how the server ended.
clean_up() {
    local code=$?
    rm -rf "$scratch"
    if [[ -n $server ]]; then
        if [[ -n $stopping ]]; then
            code=0
            wait_for_server || code=$?
        else
            kill -s TERM "$server" 2>/dev/null || true
            wait_for_server || true
        fi
    fi
    exit "$code"
}

# === the demonstration ===

# api METHOD PATH [JSON]: prints the answer's body; fails on a status other than 2xx, or 409, "there already".
api() {
    local method=$1 path=$2 body=${3:-} status
    status=$(curl --silent --show-error --request "$method" ${body:+--data "$body"} \
        --output "$scratch/answer" --write-out '%{http_code}' "$url$path")
    case $status in
        2?? | 409) cat "$scratch/answer" ;;
        *) give_up "$method $path was answered with $status:" "$(cat "$scratch/answer")" ;;
    esac
}

route() { printf '{"route": {"image": "hearth/%s", "format": "%s"}}' "$1" "$2"; }

deploy() {
    say "Creating the app 'demo' and a route for each function"
    api POST /v1/apps '{"app": {"name": "demo"}}' >/dev/null
    api PUT /v1/apps/demo/routes/hello "$(route hello http)" >/dev/null
    api PUT /v1/apps/demo/routes/crunch "$(route crunch json)" >/dev/null
    api PUT /v1/apps/demo/routes/upper "$(route upper default)" >/dev/null
}

demonstrate() {
    say "curl -d Ada $url/r/demo/hello"
    call hello Ada
    say "curl -d '' $url/r/demo/crunch    (three seconds of work)"
    call crunch ''
    local id
    id=$(sed -n 's/^fn_call_id: *\([0-9A-Za-z]*\).*/\1/Ip' "$scratch/head")
    [[ -n $id ]] || give_up "The answer has no Fn_call_id header:" "$(cat "$scratch/head")"
    say "What is recorded of that call: $url/v1/apps/demo/calls/$id"
    api GET "/v1/apps/demo/calls/$id" | pretty
    say "Its log: $url/v1/apps/demo/calls/$id/log"
    api GET "/v1/apps/demo/calls/$id/log" | pretty
}

call() {
    local name=$1 body=$2
    curl --silent --show-error --fail-with-body --dump-header "$scratch/head" --data "$body" "$url/r/demo/$name" ||
        give_up "The call of $name failed."
}

pretty() {
    if command -v jq >/dev/null; then
        jq .
    else
        cat
    fi
}

say_what_next() {
    say "Serving at $url until Ctrl-C. In another terminal, try"
    cat <<-EOT
	  curl -i -d '{"name": "Grace"}' $url/r/demo/hello     # hot: no container is started
	  curl -d 'whisper' $url/r/demo/upper                  # cold: one is, for this call
	  curl -d 10 $url/r/demo/crunch                        # ten seconds of work
	  curl $url/v1/apps/demo/calls                         # all calls, newest first
	  curl $url/v1/apps/demo/routes                        # what can be called
	  curl $url/metrics                                    # for Prometheus
	The functions are in examples/functions, the data is in ./data.
	EOT
}

main "$@"

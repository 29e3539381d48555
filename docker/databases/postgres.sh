#!/bin/bash
#
# Starts Postgres like the official image does: POSTGRES_PASSWORD is needed, POSTGRES_USER and POSTGRES_DB are postgres
# and POSTGRES_HOST_AUTH_METHOD is scram-sha-256 if nothing else is said; arguments that begin with a dash are the
# server's.

set -euo pipefail

bin=$(echo /usr/lib/postgresql/*/bin)
export PGDATA=${PGDATA:-/var/lib/postgresql/data}
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; }

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    : "${POSTGRES_PASSWORD:?is needed}"
    install -d -o postgres -g postgres -m 700 "$PGDATA"
    install -o postgres -g postgres -m 600 /dev/null /tmp/password
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    as_postgres "$bin/initdb" --no-sync --username="$user" --pwfile=/tmp/password \
        --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    rm /tmp/password
    printf 'host all all all %s\n' "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    if [[ $database != postgres ]]; then
        printf 'CREATE DATABASE "%s"\n' "$database" | as_postgres "$bin/postgres" --single -j postgres >/dev/null
    fi
fi
[[ ${1:-} == postgres ]] && shift
exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$bin/postgres" -c listen_addresses='*' \
    -c unix_socket_directories=/tmp "$@"

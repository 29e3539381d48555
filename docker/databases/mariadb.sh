#!/bin/bash
#
# Starts MariaDB like the official image does: MARIADB_ROOT_PASSWORD is needed, MARIADB_DATABASE is made if it is named;
# arguments that begin with a dash are the server's.

set -euo pipefail

readonly data=/var/lib/mysql

if [[ ! -d $data/mysql ]]; then
    : "${MARIADB_ROOT_PASSWORD:?is needed}"
    install -d -o mysql -g mysql -m 700 "$data"
    mariadb-install-db --user=mysql --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
    {
        printf "ALTER USER root@localhost IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_PASSWORD"
        printf "DROP USER IF EXISTS root@'127.0.0.1', root@'::1', root@'%s';\n" "$HOSTNAME"
        printf "CREATE USER root@'%%' IDENTIFIED BY '%s';\n" "$MARIADB_ROOT_PASSWORD"
        printf "GRANT ALL ON *.* TO root@'%%' WITH GRANT OPTION;\n"
        [[ -z ${MARIADB_DATABASE:-} ]] || printf "CREATE DATABASE \`%s\`;\n" "$MARIADB_DATABASE"
    } >/tmp/init.sql
    chown mysql /tmp/init.sql
    set -- --init-file=/tmp/init.sql "$@"
fi
[[ ${1:-} == mariadbd ]] && shift
install -d -o mysql -g mysql /run/mysqld
exec mariadbd --user=mysql --datadir="$data" --bind-address='*' --skip-name-resolve "$@"

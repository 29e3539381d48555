#!/usr/bin/env bash
#
# Gets a Docker engine running, or says exactly what is missing.
#
# Does nothing when an engine already answers. As root it starts one, and on Debian and Ubuntu installs it
# first. Safe to run again, and safe to run several times at once: one run does the work, the others wait.
#
#   scripts/docker.sh
#
# HEARTH_DOCKER_WAIT   seconds to wait for the engine to answer (60)
# HEARTH_DOCKER_LOG    where a dockerd started here writes its log (/var/log/hearth-dockerd.log)

set -euo pipefail

readonly wait_seconds=${HEARTH_DOCKER_WAIT:-60}
readonly log=${HEARTH_DOCKER_LOG:-/var/log/hearth-dockerd.log}
readonly lock=/run/hearth-docker.lock
readonly engine_pid_file=/run/docker.pid
readonly containerd_pid_file=/run/docker/containerd/containerd.pid

say() { printf 'docker: %s\n' "$*" >&2; }

# Prints its arguments, one line each, and ends the script.
give_up() {
    printf '%s\n' "$@" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The client exits with 0 only when it reached an engine. A hung engine must not hang this script.
engine_version() { timeout 15 docker version --format '{{.Server.Version}}' 2>&1; }

engine_answers() { have docker && engine_version >/dev/null; }

main() {
    if engine_answers; then
        say "engine $(engine_version) answers"
        return
    fi
    refuse_what_only_the_user_can_do

    # Whoever comes second waits here and usually finds the work done.
    exec 9>"$lock"
    flock 9
    if ! engine_answers; then
        install_engine
        start_engine
    fi
    say "engine $(engine_version) answers"
}

refuse_what_only_the_user_can_do() {
    if [[ -n ${DOCKER_HOST:-} ]]; then
        have docker || give_up "DOCKER_HOST is set, but the docker command is not installed."
        give_up "DOCKER_HOST is set, but no engine answers there:" \
            "  $(engine_version | sed '/^$/d')" \
            "Start that engine, or unset DOCKER_HOST to use one on this machine."
    fi
    [[ $(uname -s) == Linux ]] || give_up \
        "No Docker engine answers. Hearth runs functions in Linux containers: start Docker Desktop" \
        "(or colima, or another engine), check that 'docker version' shows a server, then try again."
    if ((EUID != 0)); then
        if [[ -S /run/docker.sock && ! -w /run/docker.sock ]]; then
            give_up "A Docker engine is here, but this user may not use it. Either" \
                "  sudo usermod -aG docker $(id -un)    # then log in again; membership equals root" \
                "or run the same command as root."
        fi
        give_up "No Docker engine answers, and starting one takes root. Run" \
            "  sudo ${BASH_SOURCE[0]}" \
            "  sudo usermod -aG docker $(id -un)    # then log in again; membership equals root" \
            "and try again."
    fi
}

install_engine() {
    if have dockerd && have docker; then
        return
    fi
    have apt-get || give_up \
        "No Docker engine is installed, and this is neither Debian nor Ubuntu." \
        "Install one (https://docs.docker.com/engine/install/), then run this again."
    say "installing docker.io with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    # Another apt-get may be running, at the start of a fresh machine for one: wait for it.
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
    # The lock must not outlive this script in a service that the package starts.
    "${apt[@]}" update 9>&- || give_up "apt-get update failed; the lines above say why."
    # From Debian 13 on the client is a package of its own.
    local packages=(docker.io)
    if apt-cache show docker-cli >/dev/null 2>&1; then
        packages+=(docker-cli)
    fi
    local output
    output=$("${apt[@]}" install -y --no-install-recommends "${packages[@]}" 2>&1 9>&-) ||
        give_up "$output" "apt-get could not install ${packages[*]}; the lines above say why."
    hash -r
}

start_engine() {
    if [[ -d /run/systemd/system ]]; then
        say "starting docker.service"
        systemctl start docker.service 9>&- || {
            journalctl --no-pager -n 40 -u docker.service >&2 || true
            give_up "docker.service did not start; its last lines are above."
        }
        wait_for_engine true || {
            journalctl --no-pager -n 40 -u docker.service >&2 || true
            give_up "docker.service did not answer within ${wait_seconds} s; its last lines are above."
        }
        return
    fi

    local pid
    if pid=$(running_pid "$engine_pid_file" dockerd); then
        say "dockerd (pid $pid) is starting; waiting for it"
        wait_for_engine runs "$pid" dockerd || give_up "dockerd (pid $pid) does not answer after ${wait_seconds} s."
        return
    fi
    # Left behind by a machine that went down, these name a process that is gone or someone else's by now;
    # dockerd looks only at whether the number is taken, and then refuses to start or waits for nothing.
    rm -f "$engine_pid_file"
    running_pid "$containerd_pid_file" containerd >/dev/null || rm -f "$containerd_pid_file"

    say "starting dockerd, log in $log"
    local from
    from=$(($(stat -c %s "$log" 2>/dev/null || echo 0) + 1))
    # A session of its own: Ctrl-C in the terminal that ran this must not stop the engine.
    setsid dockerd --host=unix:///run/docker.sock --pidfile="$engine_pid_file" \
        </dev/null >>"$log" 2>&1 9>&- &
    pid=$!
    wait_for_engine kill -0 "$pid" || {
        say "dockerd did not come up; the end of its log:"
        tail -c "+$from" "$log" | tail -n 40 >&2
        give_up "The whole log is in $log."
    }
}

# Prints the process id a pid file names, if that process is alive and is the named program.
running_pid() {
    local file=$1 program=$2 pid=
    [[ -r $file ]] || return 1
    # dockerd writes no newline, so read reports the end of the file; what was read counts.
    read -r pid <"$file" || true
    runs "$pid" "$program" && printf '%s\n' "$pid"
}

# Whether a process is alive and is the named program. A zombie (where nobody reaps orphans, as in many
# containers) still has its name and takes signals, but is dead.
runs() {
    local pid=$1 program=$2 stat
    [[ $pid =~ ^[0-9]+$ ]] && read -r stat 2>/dev/null <"/proc/$pid/stat" || return 1
    [[ $stat =~ ^[0-9]+\ \((.*)\)\ (.) && ${BASH_REMATCH[1]} == "$program" && ${BASH_REMATCH[2]} != [ZX] ]]
}

# Waits until the engine answers, as long as the given command says that it still may.
wait_for_engine() {
    local deadline=$((SECONDS + wait_seconds))
    until engine_answers; do
        "$@" 2>/dev/null && ((SECONDS < deadline)) || return 1
        sleep 0.2
    done
}

main "$@"

#!/usr/bin/env bash
#
# Sees to it that commands are there, each given as COMMAND:PACKAGE[,PACKAGE...]. As root on Debian and Ubuntu what is missing is
# installed; elsewhere this says what to install.
#
#   scripts/need.sh cc:gcc,libc6-dev curl:curl

set -euo pipefail

missing=()
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null && continue
    IFS=, read -ra packages <<<"${pair#*:}"
    missing+=("${packages[@]}")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    printf 'Missing: %s. Install with your package manager, for example\n  sudo apt-get install %s\n' \
        "${missing[*]}" "${missing[*]}" >&2
    exit 1
fi
printf 'need: installing %s\n' "${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# Another apt-get may be running: wait for it.
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
"${apt[@]}" update
output=$("${apt[@]}" install -y --no-install-recommends "${missing[@]}" 2>&1) || {
    printf '%s\n' "$output" >&2
    exit 1
}

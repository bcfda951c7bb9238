#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs the benchmarks one after the other and writes what they measured to a folder: results.json, results.txt and
# one chart for each table. A comparison that this machine cannot make is left out and named; nothing here fails
# a test run.
#
#   run.sh [--full] [FOLDER]      FOLDER: default BUILD/bench. --full: more rounds, some twenty minutes
#
# Everything happens in network namespaces and child cgroups that the benchmarks make for themselves.
set -uo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${SW_BUILD:-$top/build}
full=()
[ "${1-}" != --full ] || { full=(--full) && shift; }
folder=${1:-$build/bench}
programs=(xdp_run xdp_veth connect egress tls_stream events daemon)
export SW_BUILD=$build LC_ALL=C.UTF-8
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH

say() {
	printf '%s\n' "$*" >&2
}

if [ "$(id -u)" -ne 0 ]; then
	say "bench: this needs root: it loads programs into the kernel and makes network namespaces"
	exit 1
fi
mkdir -p "$folder" || exit 1
rows=$(mktemp) || exit 1
child=
stop() {
	[ -z "$child" ] || kill "$child" 2>/dev/null
	wait 2>/dev/null
	rm -f "$rows"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for name in "${programs[@]}"; do
	[ -x "$build/tests/bench/$name" ] || continue
	began=$SECONDS
	"$build/tests/bench/$name" "${full[@]}" </dev/null >>"$rows" &
	child=$!
	wait "$child" || say "bench: $name ended with status $?; what it had measured by then is kept"
	child=
	say "bench: $name took $((SECONDS - began)) s"
done
"$top/tests/bench/render.py" "$rows" "$folder" "${full[0]-quick}"

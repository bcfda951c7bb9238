#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs tests inside other kernels than this machine's, in software emulation, and prints one TAP
# stream. Needs the binaries built; the kernels are fetched once and kept in build/vm.
#
#   run.sh [--short] [--limit SECONDS] [VERSION...]       default: 6.1 and 6.12
# --short runs what `make check` can afford: in the newer kernel what depends on it most.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${SW_BUILD:-$top/build}
vm=$top/build/vm
jobs=prog,2,3,5,6,16,17,18,21,22,23
# So many random ones the gate has to decide in this kernel as it does outside.
dialogues=250000
# So many by chance the edge has to answer alike on both of its ways.
packets=20000
limit=5400
memory=1024
short=
image=base
# One for each of two machines is the quickest here; two show races as well.
cpus=2

while [ $# -gt 0 ]; do
	case $1 in
	--short) short=1 image=programs jobs=prog-quick dialogues=25000 packets=4000 limit=900 cpus=1 ;;
	--limit) limit=$2 && shift ;;
	--jobs) jobs=$2 && shift ;;
	-*) echo "usage: run.sh [--short] [--limit SECONDS] [--jobs LIST] [VERSION...]" >&2 && exit 2 ;;
	*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || set -- 6.1 6.12

# The guest's TAP with the kernel's version in each name; what stands between the marks of a job but
# is no TAP stays visible as a comment. A job that ends badly without a `not ok`, a plan that is not
# kept and a machine that goes away before its end are failures of their own.
read_console() { # VERSION
	tr -d '\r' | awk -v version="$1" '
		function result(what, name) { print what " - " version " " name; fflush() }
		/^@start / { job = $2; planned = -1; seen = bad = 0; next }
		/^@end / {
			if (planned < 0 || planned != seen)
				result("not ok", job " printed " seen " results of " (planned < 0 ? "no plan" : planned))
			else if ($3 != 0 && !bad)
				result("not ok", job " ended with status " $3)
			print "# " version " " job " took " $4 " s"
			job = ""
			next
		}
		/^@kernel / { print "# " version " is " $2; next }
		/^@fail / { result("not ok", substr($0, 7)); next }
		/^@done/ { done = 1; next }
		job && /^1\.\.[0-9]+/ { planned = substr($1, 4) + 0; if (!planned) result("ok", job " # " substr($0, index($0, "#") + 1)); next }
		job && /^(not )?ok / {
			seen++
			what = /^not ok/ ? "not ok" : "ok"
			if (/# (skip|SKIP)/) what = "ok"; else if (what == "not ok") bad = 1
			line = $0
			sub(/^(not )?ok [0-9]* *(- )?/, "", line)
			result(what, job " " line)
			next
		}
		{ print "# " version ": " $0; fflush() }
		END { if (!done) result("not ok", "the machine ended before its tests did") }'
}

boot() { # VERSION
	local kernel=$vm/$1 jobs=$jobs
	[ -z "$short" ] || [ "$1" = 6.1 ] || jobs=prog-some
	# In the foreground: what ends this script ends the machine. A panic does, too.
	timeout --foreground -k 5 "$limit" qemu-system-x86_64 -accel tcg -cpu max -smp "${SW_VM_CPUS:-$cpus}" -m "$memory" \
		-nodefaults -no-user-config -no-reboot -display none -serial stdio \
		-kernel "$kernel"/boot/vmlinuz-* -initrd "$scratch/initrd-$1" \
		-append "console=ttyS0 quiet loglevel=1 panic=-1 rdinit=/init jobs=$jobs dialogues=$dialogues packets=$packets limit=$((limit - 60))" \
		</dev/null 2>&1
}

number() {
	awk '/^(not )?ok / { n++; sub(/ok /, "ok " n " ") } /^not ok/ { bad = 1 } { print; fflush() }
		END { print "1.." n + 0; exit bad }'
}

run() {
	local message
	for version; do
		if ! message=$("$top/tests/vm/kernels.sh" "$vm" "$version" 2>&1); then
			echo "ok - $version # skip $message"
			continue
		fi
		"$top/tests/vm/image.sh" modules "$vm/$version" "$scratch/modules"
		cat "$scratch/base" "$scratch/modules" >"$scratch/initrd-$version"
		boot "$version" | tee "$vm/console-$version.log" | read_console "$version" &
	done
	wait
}

if ! command -v qemu-system-x86_64 >/dev/null; then
	echo "1..0 # skip qemu-system-x86_64 is not installed"
	exit 0
fi
mkdir -p "$vm"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$top/tests/vm/image.sh" "$image" "$build" "$scratch/base"
run "$@" | number

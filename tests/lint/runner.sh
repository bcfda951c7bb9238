#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# tests/run itself: what must count as a failure does.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# The last line and the status of a run of one program with this body.
sums() { # EXPECTED-LINE EXPECTED-STATUS SCRIPT
	local said status last
	rm -rf "$scratch/build" && mkdir -p "$scratch/tests" "$scratch/build/tests/unit"
	cp tests/run "$scratch/tests/"
	printf '#!/bin/bash\n%s\n' "$3" >"$scratch/build/tests/unit/program"
	chmod +x "$scratch/build/tests/unit/program"
	said=$(SW_BUILD=$scratch/build ASAN_OPTIONS='' "$scratch/tests/run" unit 2>&1)
	status=$?
	last=${said##*$'\n'}
	[ "$last" = "$1" ] && [ "$status" -eq "$2" ] || printf 'status %s, said:\n%s\n' "$status" "$said"
}

# A run of everything has each program run once, whichever lane it is in.
each_once() {
	local rung name want=()
	rm -rf "$scratch/tests" "$scratch/build"
	for rung in lint unit golden prog fuzz vm; do
		want+=("$rung/program")
	done
	for name in 1-a 2-b 3-c 19-d 30-e 37-f controls; do
		want+=("net/$name")
	done
	for name in "${want[@]}"; do
		mkdir -p "$scratch/tests/${name%/*}"
		printf '#!/bin/bash\necho 1..1; echo ok 1\n' >"$scratch/tests/$name.sh"
		chmod +x "$scratch/tests/$name.sh"
	done
	cp tests/run "$scratch/tests/"
	SW_BUILD=$scratch/build "$scratch/tests/run" | awk '$2 == 1 && $3 == "passed" { print $1 }' | sort |
		diff - <(printf '%s\n' "${want[@]}" | sort)
}

ok_unless "a passing program" \
	sums "2 passed, 0 failed, 0 skipped" 0 'echo 1..2; echo ok 1 - a; echo ok 2 - b'
ok_unless "a failing test" \
	sums "1 passed, 1 failed, 0 skipped" 1 'echo 1..2; echo ok 1; echo not ok 2; exit 1'
ok_unless "a failing test in a program that ends well" \
	sums "0 passed, 1 failed, 0 skipped" 1 'echo 1..1; echo not ok 1'
ok_unless "a skip, as bats and as cmocka write it" \
	sums "0 passed, 0 failed, 2 skipped" 0 'echo 1..2; echo "ok 1 a # skip why"; echo "not ok 2 # SKIP b"'
ok_unless "a program skipped whole" \
	sums "0 passed, 0 failed, 1 skipped" 0 'echo "1..0 # skip no such tool"'
ok_unless "a crash" \
	sums "1 passed, 1 failed, 0 skipped" 1 'echo 1..2; echo ok 1; kill -SEGV $$'
ok_unless "a crash behind the last result" \
	sums "1 passed, 1 failed, 0 skipped" 1 'echo 1..1; echo ok 1; kill -SEGV $$'
ok_unless "no plan" \
	sums "1 passed, 1 failed, 0 skipped" 1 'echo ok 1'
ok_unless "no output" \
	sums "0 passed, 1 failed, 0 skipped" 1 ':'
ok_unless "two groups with a plan each" \
	sums "2 passed, 0 failed, 0 skipped" 0 'echo 1..1; echo ok 1; echo 1..1; echo ok 1'
ok_unless "a sanitizer's report in a program that ends well" \
	sums "1 passed, 1 failed, 0 skipped" 1 'echo 1..1; echo ok 1; p=${ASAN_OPTIONS#log_path=}; echo leak >"${p%%:*}.1"'
ok_unless "an unknown rung" \
	bash -c 'tests/run nonsense 2>/dev/null; [ $? -eq 2 ]'
ok_unless "each program once when all are run" each_once
finish

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make run` (daemon/run.sh), on a child cgroup beside whatever runs: from the policy it takes to the
# command that it says takes enforcement off again.
#
# shellcheck disable=SC2154 # lib.bash

load lib

setup() {
	world_up
	out=$D/run.out
	: >"$out"
}

teardown() {
	world_down
}

options() {
	echo --cgroup "$CG" --run-dir "$D/run" --state-dir "$D/state" --pin-dir "$D/bpf/pin"
}

# Starts run.sh as a terminal would: a script that is started with SIGINT ignored cannot react to it.
# $runner is its pid.
run_start() { # POLICY
	: >"$out" # what an earlier run said does not count
	# shellcheck disable=SC2046 # words are wanted
	(exec nsenter --net="/run/netns/$ID-near" env --default-signal=INT SW_BUILD="$SW_BUILD" POLICY="$1" \
		"$top/daemon/run.sh" $(options) </dev/null >"$out" 2>&1 3>&-) &
	runner=$!
	remember "$runner"
	wait_for enforced_or_over "$runner"
	# Whatever becomes of the script, its daemon ends with the world.
	for daemon in $(daemons_of "$runner"); do
		remember "$daemon"
	done
}

daemons_of() { # PID
	pgrep -P "$1" -x smtpwalld
}

enforced_or_over() { # PID
	grep -q '^In force:' "$out" || dead "$1"
}

said() { # TEXT
	grep -qF -- "$1" "$out" || {
		echo "run.sh did not say: $1" >&2
		cat "$out" >&2
		return 1
	}
}

ends_with() { # CODE PID
	local code=0
	wait_for dead "$2"
	wait "$2" || code=$?
	[ "$code" -eq "$1" ] || {
		echo "exit code $code, not $1" >&2
		cat "$out" >&2
		return 1
	}
}

interrupt() { # PID
	kill -INT "$1"
	ends_with 0 "$1"
}

small_policy() {
	cat >"$D/small.policy" <<-'E'
		mode enforce
		who mta = user mail
		host {
		    port 25 {
		        allow from mta
		        reject "Not here."
		    }
		}
	E
}

@test "run: it says what it will refuse, refuses it, shows it, and tells how to take it off" {
	small_policy
	run_start "$D/small.policy"
	said "Policy: $D/small.policy"
	said "TCP port 25, of every process in $CG"
	said 'mta (user mail): may connect'
	said 'everybody else: is refused: "Not here."'
	[ "$(grep -n '^In force:' "$out" | cut -d: -f1)" -gt "$(grep -n 'everybody else' "$out" | cut -d: -f1)" ]

	expect_refused -u www-data connect "$FAR4" 25
	expect_refused connect "$FAR6" 25
	expect_connected -u mail connect "$FAR4" 25
	wait_for grep -q "$FAR4.*www-data\|www-data.*$FAR4" "$out"
	wait_for grep -q "$FAR6" "$out"

	interrupt "$runner"
	said 'The policy stays in force'
	run ! daemon_answers
	expect_refused -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR4" 25

	# What it says, word for word.
	off=$(sed -n 's/^  to take it off: *//p' "$out")
	[[ $off == *--detach* ]]
	# shellcheck disable=SC2086 # words are wanted
	in_ns near $off
	expect_connected -u www-data connect "$FAR4" 25
}

@test "run: started again it goes on where it was" {
	small_policy
	run_start "$D/small.policy"
	said 'In force:'
	interrupt "$runner"
	run_start "$D/small.policy"
	said 'In force:'
	expect_refused -u www-data connect "$FAR4" 25
	interrupt "$runner"
}

@test "run: a shipped policy as it is" {
	run_start "$top/policies/workstation.policy"
	said 'everybody, to this machine itself: may connect'
	expect_refused connect "$FAR4" 25
	expect_refused connect "$FAR6" 25
	sink_start near near "$NEAR4" 25 "$NEAR6" 25
	expect_connected -u nobody connect "$NEAR4" 25
	expect_connected -u nobody connect "$NEAR6" 25
	interrupt "$runner"
}

@test "run: observing refuses nobody" {
	run_start "$top/policies/observe.policy"
	said 'Nothing is refused: what would be is recorded'
	expect_connected -u www-data connect "$FAR4" 25
	wait_for has_event user www-data
	interrupt "$runner"
}

@test "run: a second one beside it is refused and changes nothing" {
	small_policy
	run_start "$D/small.policy"
	first=$runner
	out=$D/second.out
	run_start "$top/policies/observe.policy"
	ends_with 1 "$runner"
	said 'smtpwalld runs here already'
	expect_refused -u www-data connect "$FAR4" 25
	interrupt "$first"
}

@test "run: when the daemon dies it says so, and enforcement goes on" {
	small_policy
	run_start "$D/small.policy"
	kill -KILL "$(daemons_of "$runner")"
	ends_with 137 "$runner"
	said 'smtpwalld ended by itself'
	expect_refused -u www-data connect "$FAR4" 25
}

@test "run: a policy with an error changes nothing" {
	printf 'mode enforce\nhost {\n    port 25 {\n        alow\n    }\n}\n' >"$D/broken.policy"
	run_start "$D/broken.policy"
	ends_with 1 "$runner"
	said 'broken.policy:4:9: error:'
	said 'nothing was changed'
	[ ! -e "$D/bpf/pin" ]
	expect_connected -u www-data connect "$FAR4" 25
}

# ---- where it cannot run ----

@test "run: without root it says so before anything else" {
	install -d -m 755 "$D/tree/daemon"
	install -m 755 "$top/daemon/run.sh" "$D/tree/daemon/"
	run -4 setpriv --reuid nobody --regid nogroup --clear-groups "$D/tree/daemon/run.sh"
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *'needs root: sudo make run'* ]]
}

@test "run: an old kernel is told before anything else" {
	setarch --uname-2.6 true 2>/dev/null || skip 'setarch cannot show another version here'
	run -4 setarch --uname-2.6 "$top/daemon/run.sh"
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *'needs 6.1 or newer'* ]]
}

@test "run: without cgroup2 it says so before anything else" {
	run -4 unshare --mount --propagation private sh -c \
		"umount -l '$(cgroup2_root)'; exec '$top/daemon/run.sh'"
	[ "${#lines[@]}" -eq 1 ]
	[[ $output == *'no cgroup2 file system is mounted'* ]]
}

@test "run: what is no option is told" {
	run -2 "$top/daemon/run.sh" --nonsense
	[[ $output == *'--nonsense is not an option'* ]]
	run -2 "$top/daemon/run.sh" --cgroup
	[[ $output == *'--cgroup needs a value'* ]]
	run -0 "$top/daemon/run.sh" --help
	[[ $output == *'POLICY=FILE'* ]]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A list of a million prefixes: how much memory it takes, what it says of itself, and that the kernel
# decides by it. How long it takes is printed and decides nothing.

load lib

lines=1000000

# Prefixes that cover none of the far side's addresses.
million() {
	awk -v n=$lines 'BEGIN {
		for (i = 0; i < n; i += 2) {
			printf "10.%d.%d.%d\n", i / 65536 % 256, i / 256 % 256, i % 256
			printf "2001:db8:a:%x:%x::/80\n", i / 65536, i % 65536
		}
	}'
}

setup_file() {
	world_up
	million >"$D/open.list"
	echo "$FAR4" >>"$D/open.list"
	policy <<-END
		mode enforce
		net open = { file "open.list" }
		host {
		    port 25 {
		        allow to open
		        reject
		    }
		}
	END
	daemon_start
}

teardown_file() {
	world_down
}

setup() {
	mark
}

# KiB that the largest child used at its peak, then the seconds that it took.
measure() { # COMMAND...
	python3 - "$@" <<-'END'
		import resource, subprocess, sys, time
		began = time.monotonic()
		code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
		print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, f"{time.monotonic() - began:.2f}")
		sys.exit(code)
	END
}

@test "check and apply take less than 200 MiB each, the daemon too" {
	local kib seconds peak
	[ "$SW_BUILD" = "${SW_BUILD%-sanitize}" ] || skip "sanitizers use memory of their own"
	read -r kib seconds < <(measure "$SW_BUILD/smtpwall" check "$D/policy")
	echo "# check: $seconds s, $kib KiB" >&3
	[ "$kib" -lt 204800 ]
	echo 192.0.2.200 >>"$D/open.list"
	read -r kib seconds < <(measure "$SW_BUILD/smtpwall" --run-dir "$D/run" apply "$D/policy")
	peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$(daemon_pid)/status")
	echo "# apply: $seconds s, $kib KiB; the daemon at its peak: $peak KiB" >&3
	[ "$kib" -lt 204800 ]
	[ "$peak" -lt 204800 ]
}

@test "the kernel decides by the list" {
	expect_connected -u nobody connect "$FAR4" 25
	mark
	expect_refused -u nobody connect "$SECOND4" 25
	expect_refused -u nobody connect "$FAR6" 25
	nothing_arrived
}

@test "a wrong line among them is named, and what is in force stays" {
	sed '700001s/.*/10.1.2.300/' "$D/open.list" >"$D/wrong.list"
	sed 's/open.list/wrong.list/' "$D/policy" >"$D/wrong.policy"
	run smtpwall apply "$D/wrong.policy"
	[ "$status" -eq 1 ]
	[[ $output == *"wrong.list:700001:"*"10.1.2.300"* ]]
	expect_connected -u nobody connect "$FAR4" 25
}

@test "reading it shows a bar on a terminal and nothing in a pipe" {
	local bar
	script -qec "'$SW_BUILD/smtpwall' check '$D/policy'" /dev/null </dev/null >"$D/terminal"
	bar=$(tr '\r' '\n' <"$D/terminal" | grep -c 'open.list.*%' || true)
	[ "$bar" -gt 0 ]
	"$SW_BUILD/smtpwall" check "$D/policy" 2>"$D/pipe"
	[ ! -s "$D/pipe" ]
}

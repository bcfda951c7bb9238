#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Recorded without loss: whatever happens, what the kernel counted is recorded, or told as suppressed,
# lost or missing, to the last event. What counts as the truth is the number of connects that a program
# saw refused (tools/storm.c).
# shellcheck disable=SC2154,SC2030,SC2031 # lib.bash, and what `run` sets in each test

load lib

setup_file() {
	world_up
	install -m 755 "$TOOLS/storm" "$D/"
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow to local
		        reject "Port 25 is closed here."
		    }
		}
	END
}

teardown_file() {
	[ ! -e "$D/stopped" ] || kill -CONT "$(cat "$D/stopped")" || true
	world_down
}

# A daemon with nothing behind it: no counters, no store.
fresh() { # OPTIONS of smtpwalld
	stop_daemon
	"$SW_BUILD/smtpwalld" --detach --run-dir "$D/run" --pin-dir "$D/bpf/pin" >/dev/null
	rm -rf "${D:?}"/state/* "$D/events.json"
	daemon_start "$@"
}

stop_daemon() {
	[ ! -e "$D/daemon.pid" ] || ! alive "$(daemon_pid)" || daemon_kill TERM
}

storm() { # PER_SECOND SECONDS
	client -p "$D/storm" "$FAR4" 25 "$1" "$2" 4096
}

storm_start() { # PER_SECOND SECONDS
	client -p "$D/storm" "$FAR4" 25 "$1" "$2" 4096 >"$D/storm.out" 2>&1 3>&- 4>&- &
	storm_pid=$!
	remember "$storm_pid"
}

sink() { # MEMBER OF: of a sink in `status`
	smtpwall status --json | python3 -c '
import json, sys
print([one[sys.argv[1]] for one in json.load(sys.stdin)["sinks"] if one["sink"] == sys.argv[2]][0])' "$1" "$2"
}

# COUNT decisions are told, and what the ring had is in every sink.
all_written() {
	smtpwall status --json >"$D/status.json" && python3 - "$D/status.json" "$1" <<-'END'
		import json, sys
		status = json.load(open(sys.argv[1]))
		counters = status["counters"]
		told = counters["events"] + counters["lost"] + counters["suppressed"]
		taken = counters["events"] + counters["pretended"]
		sys.exit(told < int(sys.argv[2]) or counters["taken"] != taken
		         or any(sink["position"] != status["newest"] or sink["problem"] for sink in status["sinks"]))
	END
}

# The sums; what they are made of is shown.
reconcile() { # REFUSED [EVENTS.json [METRICS.txt]]
	wait_for all_written "$1"
	run "$top/tests/net/tools/ledger.py" "$D/status.json" "$D/state/events.db" "${@:2}"
	echo "$output" | tee /dev/fd/3
	[ "$status" -eq 0 ]
	[ "$(status_number refused)" -eq "$1" ]
}

refused() { # of storm's words
	sed -n 's/^refused \([0-9]*\) other 0 .*/\1/p' <<<"$1"
}

@test "50,000 events a second for 30 s: counters, store, JSON and metrics agree to the last event" {
	fresh --json-file "$D/events.json" --metrics "unix:$D/run/metrics"
	run storm 50000 30
	echo "# $output" >&3
	[ -n "$(refused "$output")" ]
	wait_for all_written "$(refused "$output")"
	curl -sS --max-time 60 --unix-socket "$D/run/metrics" http://localhost/metrics >"$D/metrics.txt"
	reconcile "$(refused "$output")" "$D/events.json" "$D/metrics.txt"
}

@test "the same with the daemon stopped until the ring buffer is overrun" {
	fresh --json-file "$D/events.json"
	storm_start 20000 4
	kill -STOP "$(daemon_pid)"
	daemon_pid >"$D/stopped"
	wait "$storm_pid"
	kill -CONT "$(daemon_pid)"
	rm "$D/stopped"
	reconcile "$(refused "$(cat "$D/storm.out")")" "$D/events.json"
	[ "$(status_number lost)" -gt 0 ]
}

@test "the same with somebody who reads the store stopped in the middle" {
	fresh --store-size 16M
	run storm 2000 1
	[ -n "$(refused "$output")" ]
	local first so_far
	first=$(refused "$output")
	wait_for all_written "$first"
	python3 - "$D/state/events.db" "$D/reading" >"$D/reader.out" 2>&1 3>&- 4>&- <<-'END' &
		import os, signal, sqlite3, sys
		db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
		db.execute("BEGIN")
		db.execute("SELECT count(*) FROM events").fetchone()
		open(sys.argv[2], "w").close()
		os.kill(os.getpid(), signal.SIGSTOP)
	END
	echo $! >"$D/stopped"
	remember $!
	wait_for test -e "$D/reading"
	run storm 20000 8
	so_far=$((first + $(refused "$output")))
	wait_for recording_stopped
	smtpwall status | grep -i 'read' >&3
	# Enforcement is untouched.
	expect_refused -u nobody connect "$FAR4" 25
	[ "$(du -cb "$D"/state/events.db* | tail -n 1 | cut -f 1)" -le $((20 << 20)) ]
	kill -KILL "$(cat "$D/stopped")"
	rm "$D/stopped"
	wait_for all_written $((so_far + 1))
	# Retention may have removed some of them: what is asked is that all were accounted for.
	accounted
}

recording_stopped() {
	[ "$(sink problem store)" != None ]
}

# The store's own account: written and missing, whatever was removed since.
accounted() {
	run python3 - "$D/status.json" "$D/state/events.db" <<-'END'
		import json, sqlite3, sys
		status = json.load(open(sys.argv[1]))
		db = sqlite3.connect(f"file:{sys.argv[2]}?mode=ro", uri=True)
		accounted = db.execute("SELECT accounted FROM meta").fetchone()[0]
		told = status["counters"]["events"] + status["counters"]["pretended"]
		print(f"accounted {accounted} told {told}")
		sys.exit(accounted != told)
	END
	echo "# $output" >&3
	[ "$status" -eq 0 ]
}

@test "killed in the middle: what is missing is told by the next daemon" {
	local n refused
	fresh
	: >"$D/daemon.log"
	storm_start 20000 8
	for n in 1 2 3; do
		wait_for has_recorded $((n * 5000))
		daemon_kill KILL
		daemon_start
	done
	wait "$storm_pid"
	refused=$(refused "$(cat "$D/storm.out")")
	[ -n "$refused" ]
	reconcile "$refused"
	grep -q 'were not recorded, as the smtpwalld before was killed' "$D/daemon.log"
}

has_recorded() { # COUNT
	[ "$(python3 -c '
import sqlite3, sys
print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("SELECT events FROM meta").fetchone()[0])' \
		"$D/state/events.db" 2>/dev/null)" -ge "$1" ] 2>/dev/null
}

@test "disk full: recording stops and says so, enforcement goes on, recording resumes by itself" {
	local refused
	stop_daemon
	mount -t tmpfs -o size=12M,mode=750 tmpfs "$D/state"
	fresh
	run storm 2000 1
	refused=$(refused "$output")
	wait_for all_written "$refused"
	dd if=/dev/zero of="$D/state/ballast" bs=64k 2>/dev/null || true
	run storm 10000 2
	refused=$((refused + $(refused "$output")))
	wait_for recording_stopped
	[[ $(sink problem store) == *"disk is full"* ]]
	wait_for grep -q 'disk is full' "$D/daemon.log"
	smtpwall status | grep 'disk is full' >&3
	expect_refused -u nobody connect "$FAR4" 25
	rm "$D/state/ballast"
	wait_for recording_goes_on
	wait_for grep -q 'events are written again' "$D/daemon.log"
	reconcile $((refused + 1))
	stop_daemon
	umount "$D/state"
}

recording_goes_on() {
	[ "$(sink problem store)" = None ]
}

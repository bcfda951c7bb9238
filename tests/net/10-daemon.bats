#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon itself: what it may do, with whom it shares what, what it starts from, and what it does
# not do when it cannot start.

load lib

setup_file() {
	world_up
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow to local
		        allow from user mail
		        reject "Port 25 is closed here."
		    }
		}
	END
	daemon_start
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
	cp "$D/policy" "$D/policy.good"
}

teardown() {
	cp "$D/policy.good" "$D/policy"
}

# Runs one to its end, which must come by itself.
# shellcheck disable=SC2154 # lib.bash
daemon_try() { # OPTIONS...
	# shellcheck disable=SC2046 # words are wanted
	in_ns near timeout "$limit" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy" "$@"
}

value_of() { # MEMBER: of /proc/PID/status
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$(daemon_pid)/status"
}

is_pinned() {
	[ -d "$D/bpf/pin" ] && [ -n "$(find "$D/bpf/pin" -type f)" ]
}

# TCP would repeat a dropped SYN for minutes; the daemon ends the socket instead.
@test "a connection whose first packet is dropped fails at once" {
	in_ns near nft -f - 2>/dev/null <<-END || skip "no nft, or no NAT in this kernel"
		table ip n {
			chain o {
				type nat hook output priority -100
				tcp dport 2600 dnat to $FAR4:25
			}
		}
	END
	run attempt -u www-data connect "$FAR4" 2600
	in_ns near nft flush ruleset
	[[ $output == *ECONNABORTED* ]]
	nothing_arrived
}

@test "it keeps CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and no other capability" {
	local kept
	kept=$(printf '%016x' $((1 << 39 | 1 << 38 | 1 << 12)))
	[ "$(value_of CapPrm)" = "$kept" ]
	[ "$(value_of CapEff)" = "$kept" ]
	[ "$(value_of CapBnd)" = "$kept" ]
	[ "$(value_of CapInh)" = 0000000000000000 ]
	[ "$(value_of CapAmb)" = 0000000000000000 ]
	[ "$(value_of NoNewPrivs)" = 1 ]
}

@test "a second one in the same run or pin folder names the first and ends" {
	local pid
	pid=$(daemon_pid)
	run -1 daemon_try
	[[ $output == *"process $pid"* ]]
	mkdir "$D/run2"
	run -1 daemon_try --run-dir "$D/run2"
	[[ $output == *"process $pid"* ]]
	run -1 in_ns near "$SW_BUILD/smtpwalld" --detach --run-dir "$D/run" --pin-dir "$D/bpf/pin"
	[[ $output == *"process $pid"* ]]
	expect_refused -u www-data connect "$FAR4" 25
}

@test "what is pinned for one cgroup is not used for another" {
	daemon_kill TERM
	mkdir -p "$CG/clients/sub"
	run -4 daemon_try --cgroup "$CG/clients/sub"
	[[ $output == *"another cgroup"* ]]
	expect_refused -u www-data connect "$FAR4" 25
	daemon_start
}

@test "addresses that come and go are local as long as they are there" {
	sink_start alias near 0.0.0.0 25
	in_ns near ip address add 192.0.2.77/32 dev lo
	wait_for expect_connected -u www-data connect 192.0.2.77 25
	in_ns near ip address delete 192.0.2.77/32 dev lo
	wait_for expect_refused -u www-data connect 192.0.2.77 25
}

@test "started with a broken or missing policy, it goes on with the one in force" {
	local before
	before=$(generation)
	daemon_kill KILL
	printf 'mode enforce\nhost {\n' >"$D/policy"
	daemon_start
	[ "$(generation)" = "$before" ]
	expect_refused -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR4" 25
	run smtpwall status
	[[ $output == *"$D/policy has errors"* ]]
	run -1 smtpwall why --port 25 --user mail
	daemon_kill KILL
	rm "$D/policy"
	daemon_start
	[ "$(generation)" = "$before" ]
	expect_refused -u www-data connect "$FAR4" 25
	cp "$D/policy.good" "$D/policy"
	kill -HUP "$(daemon_pid)"
	wait_for smtpwall why --port 25 --user mail
}

@test "started with another policy than last time, it puts that in force" {
	local before
	before=$(generation)
	daemon_kill TERM
	sed 's/user mail/user nobody/' "$D/policy.good" >"$D/policy"
	daemon_start
	[ "$(generation)" -gt "$before" ]
	expect_refused -u mail connect "$FAR4" 25
	daemon_kill TERM
	cp "$D/policy.good" "$D/policy"
	daemon_start
	expect_connected -u mail connect "$FAR4" 25
}

@test "a policy that was applied from another file survives a crash" {
	local before
	sed 's/user mail/user nobody/' "$D/policy.good" >"$D/applied"
	smtpwall apply "$D/applied"
	before=$(generation)
	daemon_kill KILL
	daemon_start
	[ "$(generation)" = "$before" ]
	expect_refused -u mail connect "$FAR4" 25
	smtpwall why --port 25 --user nobody
	smtpwall apply "$D/policy"
	expect_connected -u mail connect "$FAR4" 25
}

@test "a policy not confirmed while no daemon ran is taken back by the next start" {
	local before
	before=$(generation)
	sed 's/user mail/user nobody/' "$D/policy.good" >"$D/applied"
	smtpwall apply "$D/applied" --confirm 1
	daemon_kill KILL
	expect_refused -u mail connect "$FAR4" 25
	wait_for is_time "$(($(date +%s) + 2))"
	daemon_start
	[ "$(generation)" = "$before" ]
	expect_connected -u mail connect "$FAR4" 25
}

is_time() { # SECONDS since 1970
	[ "$(date +%s)" -ge "$1" ]
}

@test "pins that are not whole are replaced, and nothing passes meanwhile" {
	load_start
	for _ in 1 2 3; do
		wait_for_load
		daemon_kill TERM
		rm "$D/bpf/pin/names"
		daemon_start
	done
	wait_for_load
	load_stop
	# Client 1 is user mail over IPv4 and client 3 over group www-data: both may.
	[ "$(outcome EACCES 2 4)" -eq "$(totals 2 4)" ]
	[ "$(outcome far 1 3)" -gt 0 ]
	[ "$(outcome EACCES 1 3)" -eq 0 ]
	is_pinned
	expect_refused -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR4" 25
}

@test "nothing pinned and a broken policy: exit 1, nothing attached" {
	smtpwall stop --detach
	wait_for dead "$(daemon_pid)"
	printf 'mode enforce\nhost {\n' >"$D/policy"
	run -1 daemon_try
	[[ $output == *error:* ]]
	run ! is_pinned
	expect_connected -u www-data connect "$FAR4" 25
}

@test "a kernel that refuses: exit 4, what is missing is named, nothing stays" {
	run -4 in_ns near setpriv --bounding-set=-bpf,-sys_admin "$SW_BUILD/smtpwalld" \
		--foreground --cgroup "$CG" --run-dir "$D/run" --state-dir "$D/state" \
		--pin-dir "$D/bpf/pin" --policy "$D/policy"
	[[ $output == *CAP_BPF* ]]
	run ! is_pinned
	run -4 daemon_try --pin-dir "$D/pin-here"
	[[ $output == *"mount -t bpf"* ]]
	run -4 daemon_try --cgroup "$D"
	[[ $output == *cgroup2* ]]
	expect_connected -u www-data connect "$FAR4" 25
}

@test "smtpwalld --detach takes off what a daemon left" {
	daemon_start
	daemon_kill KILL
	expect_refused -u www-data connect "$FAR4" 25
	run -0 in_ns near "$SW_BUILD/smtpwalld" --detach --run-dir "$D/run" --pin-dir "$D/bpf/pin"
	expect_connected -u www-data connect "$FAR4" 25
	run ! is_pinned
	run -0 in_ns near "$SW_BUILD/smtpwalld" --detach --run-dir "$D/run" --pin-dir "$D/bpf/pin"
	[[ $output == *"nothing was in force"* ]]
}

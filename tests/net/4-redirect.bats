#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `redirect` ends at the local mail server, and the program that was redirected sees what it asked
# for.

load lib

setup_file() {
	world_up
	install -m 755 "$D/try" "$D/mta"
	policy <<-END
		mode enforce
		who mta = exe "$D/mta" user mail
		who web = user www-data
		who v4  = user nobody
		who v6  = user list
		host {
		    port 25 {
		        allow to local
		        allow from mta
		        redirect 127.0.0.1:25, [::1]:2526 from web
		        redirect 127.0.0.1:25 from v4
		        redirect [::1]:2526 from v6
		        reject "Port 25 is closed here."
		    }
		}
	END
	daemon_start
	sink_start local near 127.0.0.1 25 ::1 2526
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
	wc -l <"$D/local/log" >"$D/local/mark"
}

redirected() { # OPTIONS peer|peer-v4mapped ADDRESS SEEN
	local seen=${*: -1}
	run attempt "${@:1:$#-1}" 25
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "peer $seen 25" ]
	[ "${lines[1]}" = "server local" ]
	[ "$(local_accepts)" -eq 1 ]
	nothing_arrived
}

@test "IPv4: local server, getpeername shows what was asked for" {
	redirected -u www-data peer "$FAR4" "$FAR4"
}

@test "IPv6: local server, getpeername shows what was asked for" {
	redirected -u www-data peer "$FAR6" "$FAR6"
}

@test "an IPv4 address over an IPv6 socket" {
	redirected -u www-data peer-v4mapped "$FAR4" "::ffff:$FAR4"
}

@test "the mail server itself is not redirected" {
	run attempt -u mail -p "$D/mta" peer "$FAR4" 25
	[ "${lines[0]}" = "peer $FAR4 25" ]
	[ "${lines[1]}" = "server far" ]
	run attempt -u mail -p "$D/mta" peer "$FAR6" 25
	[ "${lines[1]}" = "server far" ]
}

@test "who is named by no rule is refused, not redirected" {
	expect_refused -u root connect "$FAR4" 25
	nothing_arrived
	[ "$(local_accepts)" -eq 0 ]
}

# An IPv6 socket can speak to an IPv4 address, an IPv4 socket to no IPv6 address.
@test "an IPv4 target alone serves IPv6 connections as well" {
	redirected -u nobody peer "$FAR4" "$FAR4"
	mark
	run attempt -u nobody peer "$FAR6" 25
	[ "${lines[0]}" = "peer $FAR6 25" ]
	[ "${lines[1]}" = "server local" ]
	nothing_arrived
}

@test "an IPv6 target alone: IPv4 connections are refused with reason no_target" {
	redirected -u list peer "$FAR6" "$FAR6"
	expect_refused -u list connect "$FAR4" 25
	nothing_arrived
	wait_for has_event reason no_target
}

@test "to this machine's own address: allowed as local, not redirected" {
	run attempt -u www-data peer 127.0.0.1 25
	[ "${lines[0]}" = "peer 127.0.0.1 25" ]
	[ "${lines[1]}" = "server local" ]
}

@test "TCP Fast Open, non-blocking and MPTCP end there as well" {
	local way
	for way in nonblock tfo tfo-connect mptcp; do
		run attempt -u www-data "$way" "$FAR4" 25
		[[ ${lines[-1]} == "connected OK "* || ${lines[-1]} == skipped* ]]
	done
	nothing_arrived
	[ "$(local_accepts)" -ge 3 ]
}

@test "no local server listens: connection refused, not let through" {
	run attempt -n other -u www-data connect "$OTHER4" 25
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]]
	nothing_arrived
}

@test "the event says where to" {
	run attempt -u www-data peer "$FAR4" 25
	wait_for has_event verdict redirect
	[[ $(last_event verdict redirect) == *"127.0.0.1:25"* ]]
}

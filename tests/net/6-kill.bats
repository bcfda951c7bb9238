#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The daemon is killed under load and started again. What it attached stays in force without it.

load lib

setup_file() {
	world_up
	install -m 755 "$D/try" "$D/mta"
	policy <<-END
		mode enforce
		who mta = user mail group mail
		host {
		    port 25 {
		        allow from mta
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
}

teardown() {
	load_kill
}

restart() {
	daemon_start
}

# Client 1 may, clients 2 to 4 may not: there is one right answer for each, whatever the daemon does.
all_right() {
	cat "$D"/load.*
	[ "$(outcome far 1)" -eq "$(totals 1)" ]
	[ "$(outcome EACCES 2 3 4)" -eq "$(totals 2 3 4)" ]
	barrier
	[ "$(since_mark '^accept 25 ')" -eq "$(totals 1)" ]
}

@test "kill -9 under load: everything is still enforced" {
	load_start
	wait_for_load
	daemon_kill KILL
	run -3 smtpwall status
	wait_for_load
	load_stop
	all_right
	# Also for raw sockets and the other ways that no daemon watches.
	mark
	expect_refused -u www-data mptcp "$FAR6" 25
	expect_not_sent raw "$FAR4" 25 "$NEAR4"
	restart
}

@test "killed and started again and again under load: no connection passes that should not" {
	load_start
	for _ in 1 2 3 4 5; do
		wait_for_load
		daemon_kill KILL
		restart
	done
	wait_for_load
	load_stop
	all_right
}

@test "counters go on where they were, those made without a daemon included" {
	local connects refused
	connects=$(status_number connect) refused=$(status_number refused)
	load_start
	wait_for_load
	daemon_kill KILL
	wait_for_load
	restart
	wait_for_load
	load_stop
	all_right
	[ $(($(status_number connect) - connects)) -eq "$(totals 1 2 3 4)" ]
	[ $(($(status_number refused) - refused)) -eq "$(totals 2 3 4)" ]
}

# More than once: in the second after a load the limiter may leave the event out.
refused_and_seen() {
	attempt -u www-data connect "$FAR4" 25 >/dev/null
	has_event user www-data
}

@test "the restarted daemon goes on with the policy in force" {
	local before rules
	before=$(generation)
	rules=$(smtpwall rules --json | grep -o '"text": *"[^"]*"')
	daemon_kill KILL
	restart
	[ "$(generation)" = "$before" ]
	[ "$(smtpwall rules --json | grep -o '"text": *"[^"]*"')" = "$rules" ]
	expect_refused -u www-data connect "$FAR4" 25
	wait_for refused_and_seen
}

@test "an orderly end does not take enforcement off" {
	smtpwall stop
	wait_for dead "$(daemon_pid)"
	expect_refused -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR4" 25
	restart
	daemon_kill TERM
	expect_refused -u www-data connect "$FAR6" 25
	restart
}

@test "a link that somebody took off is put back, and told" {
	local link
	for link in "$D"/bpf/pin/link_*; do
		"$D/detach" "$link"
	done
	wait_for refused_again
	wait_for told_of_repair
	expect_refused -u www-data connect "$FAR6" 25
}

@test "programs that somebody put in place of ours are replaced, and told" {
	"$D/detach" -r "$D"/bpf/pin/link_*
	wait_for refused_again
	wait_for grep -q 'replaced\|another program' "$D/daemon.log"
	expect_refused -u www-data connect "$FAR6" 25
	mark
	expect_not_sent raw "$FAR4" 25 "$NEAR4"
}

@test "a daemon that starts finds other programs on its links: it replaces them, without a gap for the rest" {
	daemon_kill KILL
	"$D/detach" -r "$D/bpf/pin/link_connect6"
	restart
	expect_refused -u www-data connect "$FAR6" 25
	expect_connected -u mail connect "$FAR6" 25
}

# With both connect hooks gone nobody refuses the call, but no packet of it leaves.
@test "without the connect hooks the backstop lets nothing out" {
	daemon_kill KILL
	"$D/detach" "$D"/bpf/pin/link_connect4 "$D"/bpf/pin/link_connect6
	attempt -u www-data connect "$FAR4" 25 >"$D/hung.4" &
	attempt -u www-data tfo "$FAR6" 25 >"$D/hung.6" &
	wait
	nothing_arrived
	cat "$D/hung.4" "$D/hung.6"
	run ! grep -q '^connected' "$D/hung.4"
	restart
	expect_refused -u www-data connect "$FAR4" 25
	expect_refused -u www-data connect "$FAR6" 25
}

refused_again() {
	[[ $(attempt -u www-data connect "$FAR4" 25) == "refused EACCES "* ]]
}

told_of_repair() {
	smtpwall status | grep -qiE 'detach|taken off|attached again|removed' ||
		grep -qiE 'detach|taken off|attached again|removed' "$D/daemon.log"
}

@test "foreign things under the pin folder are not taken over, nothing is changed" {
	daemon_kill TERM
	ln "$D/bpf/pin/hits" "$D/bpf/pin/somebody-else"
	daemon_start_fails
	[[ $output == *somebody-else* ]]
	mv "$D/bpf/pin/somebody-else" "$D/bpf/foreign"
	mv "$D/bpf/pin/events" "$D/bpf/ours"
	mv "$D/bpf/foreign" "$D/bpf/pin/events"
	daemon_start_fails
	[[ $output == *events* ]]
	expect_refused -u www-data connect "$FAR4" 25
	mv -f "$D/bpf/ours" "$D/bpf/pin/events"
	restart
}

@test "pins are never missing: a lost one is made again, enforcement has no gap" {
	load_start
	wait_for_load
	daemon_kill KILL
	rm "$D/bpf/pin/limiter" "$D/bpf/pin/sw_egress"
	restart
	wait_for_load
	load_stop
	all_right
	[ -e "$D/bpf/pin/limiter" ]
	[ -e "$D/bpf/pin/sw_egress" ]
}

@test "stop --detach takes it off, and nothing stays pinned" {
	smtpwall stop --detach
	wait_for dead "$(daemon_pid)"
	expect_connected -u www-data connect "$FAR4" 25
	[ -z "$(find "$D/bpf/pin" -type f 2>/dev/null)" ]
}

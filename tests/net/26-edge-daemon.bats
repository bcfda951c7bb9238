#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Policies come and go at the edge, and so does the daemon, while connections in TLS are under way: what a change
# that fails leaves, what goes back, what ends, what is kept over a restart.
#
# shellcheck disable=SC2154 # lib.bash, edge.bash

load gate
load edge

flows=1000

setup_file() {
	edge_up
	mkdir "$D/taken"
	mkdir "$D/record"
	start far "$D/record.out" "$TOOLS/record" "$D/record" "$(server_hello 0304)" 465
	wait_for test -e "$D/record/ready"
	edge_policy | policy
	daemon_start --flows $flows
}

setup() {
	mark
	use_link plain
}

teardown() {
	crowd_end
	[ ! -e "$D/holder.pid" ] || let_go
}

teardown_file() {
	world_down
}

edge_policy() { # [RULE for port 25 [RULE for 465 [EXISTING [INTERFACES]]]]
	local rule=${1-'reject "Port 25 is closed here."'} interfaces=${4-'"c*"'}
	cat <<-END
		mode enforce
		edge $interfaces {
		    ${3-existing refuse}
		    port 25 {
		        $rule
		    }
		    port 465 {
		        ${2-require tls}
		    }
		}
	END
}

host_policy() {
	printf 'mode enforce\nhost {\n    port 2526 {\n        %s\n    }\n}\n' "${1-allow}"
}

refused_at_25() {
	run attempt connect "$FAR4" 25
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]] || {
		echo "ESCAPED or lost: $output"
		return 1
	}
}

none_on() { # DEVICE...
	local device
	for device; do
		[ -z "$(xdp_on "$device")" ] || return 1
	done
}

has_no_qdisc() { # DEVICE
	! in_ns router tc qdisc show dev "$1" | grep -q clsact
}

all_four() {
	[ "$(edge_number "['interfaces']" | grep -o "'attached': True" | wc -l)" -eq 4 ]
}

# Somebody else's XDP program.
hold() { # DEVICE
	rm -f "$D/holder"
	start router "$D/holder" "$TOOLS/xdp_hold" "$1" somebodys
	echo "$started" >"$D/holder.pid"
	wait_for grep -qs '^ready' "$D/holder"
}

let_go() {
	kill "$(cat "$D/holder.pid")"
	wait_for dead "$(cat "$D/holder.pid")"
	rm "$D/holder.pid"
}

has_problem() { # WORD
	smtpwall status --json | grep -qF "$1"
}

has_no_problem() {
	! has_problem "$1"
}

tls_open() { # COUNT: connections in TLS that go on
	crowd_start "$FAR4" 465
	crowd "open $1 tls"
	[ "$(count_of opened)" -eq "$1" ]
}

all_go_on() { # COUNT
	crowd send what nobody can read
	[ "$(count_of taken)" -eq "$1" ]
}

all_are_reset() { # COUNT
	crowd send what nobody can read
	[ "$(count_of reset)" -eq "$1" ]
}

# ---- changes that fail ----

@test "the third interface carries somebody's program: nothing of the change stays" {
	local n before
	for n in 1 2 3 4; do
		in_ns router ip link add "y$n" type veth peer name "yp$n"
	done
	hold y3
	before=$(generation)
	edge_policy allow 'require tls' 'existing refuse' '"c*", "y1", "y2", "y3", "y4"' >"$D/other"
	run -4 smtpwall apply "$D/other"
	echo "$output"
	[[ $output == *y3* && $output == *"id $(xdp_on y3)"* ]]
	none_on y1 y2 y4
	for n in 1 2 4; do
		has_no_qdisc "y$n"
	done
	[ "$(find "$D/bpf/pin" -name 'link_xdp_*' | wc -l)" -eq 4 ]
	[ "$(generation)" -eq "$before" ]
	refused_at_25
	let_go
	smtpwall apply "$D/other"
	[ -n "$(xdp_on y3)" ]
	smtpwall rollback
	wait_for none_on y1 y2 y3 y4
	for n in 1 2 3 4; do
		in_ns router ip link del "y$n"
	done
	refused_at_25
}

# Who has locked himself out must get back, whatever has become of an interface meanwhile.
@test "a policy that is not confirmed goes, though an interface of the one before cannot be guarded" {
	local before
	edge_policy 'reject "Closed."' 'require tls' 'existing refuse' '"c*", "y*"' | apply >/dev/null
	before=$(generation)
	in_ns router ip link add y1 type veth peer name z1
	wait_for xdp_on_y1
	edge_policy allow >"$D/other"
	smtpwall apply "$D/other" --confirm 1 >/dev/null
	hold y1
	wait_for in_force "$before"
	refused_at_25
	wait_for has_problem "id $(xdp_on y1)"
	# The same for who asks for it.
	smtpwall rollback
	smtpwall rollback
	in_force "$before"
	let_go
	in_ns router ip link del y1
	edge_policy | apply >/dev/null
}

xdp_on_y1() {
	[ -n "$(xdp_on y1)" ]
}

in_force() { # GENERATION
	[ "$(generation)" -eq "$1" ]
}

# ---- what ends and what goes on ----

@test "apply --existing close: what the new policy refuses is reset, what it permits goes on" {
	tls_open 10
	edge_policy 'reject "Closed."' 'require tls 1.2' | apply --existing close >/dev/null
	all_go_on 10
	edge_policy 'reject "Closed."' 'reject "All is closed."' | apply >/dev/null
	all_go_on 10
	edge_policy 'reject "Closed."' 'reject "All of it is closed."' | apply --existing close >/dev/null
	all_are_reset 10
	edge_policy | apply >/dev/null
}

# ---- the daemon comes and goes ----

@test "killed again and again, while policies are applied too: nothing undecided, and connections go on" {
	local round until before
	edge_policy 'reject "Closed."' 'require tls' 'existing keep 10m' | apply >/dev/null
	tls_open 20
	before=$(edge_number "['flows']['used']")
	until=$(edge_number "['interfaces'][0]['kept_until']")
	for round in {1..8}; do
		edge_policy "reject \"Closed, $round.\"" 'require tls' 'existing keep 10m' >"$D/policy"
		smtpwall apply "$D/policy" >/dev/null 2>&1 3>&- 4>&- 9>&- &
		remember $!
		# Somewhere between the first and the last step of it.
		in_ns near "$TOOLS/syns" x1 02:00:00:00:01:01 100.64.1.7 "$FAR4" 25 $((round * 300)) >/dev/null
		daemon_kill KILL
		refused_at_25
		daemon_start --flows $flows 9>&-
		refused_at_25
		wait_for all_four
		[ "$(edge_number "['interfaces'][0]['kept_until']")" = "$until" ]
	done
	all_go_on 20
	[ "$(edge_number "['flows']['used']")" -eq "$before" ]
	[ "$(counter existing)" -eq 0 ]
}

# What lies in the flow table is gone with it; so those that are in TLS must pass as long as after an attach.
@test "another --flows: connections go on for the time of existing keep, and the count of flows is right" {
	edge_policy 'reject "Closed."' 'require tls' 'existing keep 10m' | apply >/dev/null
	tls_open 30
	[ "$(edge_number "['flows']['used']")" -ge 30 ]
	daemon_kill TERM
	daemon_start --flows 2000 9>&-
	[ "$(edge_number "['flows']['room']")" -eq 2000 ]
	[ "$(edge_number "['flows']['used']")" -eq 0 ]
	all_go_on 30
	[ "$(counter existing)" -gt 0 ]
	crowd_end
	tls_open 7
	[ "$(edge_number "['flows']['used']")" -eq 7 ]
	daemon_kill KILL
	daemon_start --flows 2000 9>&-
	[ "$(edge_number "['flows']['used']")" -eq 7 ]
}

# The start that replaces the table gets as far as that, and no further.
@test "another --flows, and the start that brings it fails: the next one lets connections go on as well" {
	edge_policy 'reject "Closed."' 'require tls' 'existing keep 1s' | apply >/dev/null
	wait_for kept_no_longer
	tls_open 12
	daemon_kill TERM
	rm -f "$D/run/control"
	mkdir "$D/run/control"
	# shellcheck disable=SC2046 # words are wanted
	run -4 timeout 60 nsenter --net="/run/netns/$ID-$daemon_ns" "$SW_BUILD/smtpwalld" $(daemon_options) \
		--policy "$D/policy" --flows 4000
	echo "$output"
	rmdir "$D/run/control"
	refused_at_25
	edge_policy 'reject "Closed."' 'require tls' 'existing keep 10m' | policy
	daemon_start --flows 4000 9>&-
	all_go_on 12
}

kept_no_longer() {
	local until
	until=$(edge_number '["interfaces"][0]["kept_until"]')
	[ "$until" = None ] || [ "$(date -u +%FT%T)" \> "$until" ]
}

@test "another --xdp: what is attached stays in its mode, and status says so" {
	daemon_kill TERM
	daemon_start --flows 4000 --xdp native 9>&-
	has_problem 'stays in generic mode'
	[ "$(edge_number "['interfaces'][0]['mode']")" = generic ]
	refused_at_25
	daemon_kill TERM
	daemon_start --flows 4000 9>&-
	has_no_problem 'stays in'
}

# ---- without an edge ----

@test "policies without an edge block: everything is taken off, and its memory given back once none goes back to it" {
	edge_policy | apply >/dev/null
	host_policy | apply >/dev/null
	none_on c1 c2 c3 c4
	smtpwall rollback
	refused_at_25
	host_policy | apply >/dev/null
	host_policy 'reject "No."' | apply >/dev/null
	[ "$(edge_number '')" = None ]
	[ -z "$(find "$D/bpf/pin" -name '*edge*' -o -name 'link_xdp_*' -o -name interfaces -o -name answers)" ]
	daemon_kill KILL
	daemon_start --flows $flows 9>&-
	[ "$(edge_number '')" = None ]
	edge_policy | apply >/dev/null
	refused_at_25
	[ "$(edge_number "['flows']['used']")" -eq 0 ]
	tls_open 3
	[ "$(edge_number "['flows']['used']")" -eq 3 ]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# When tables are full: a thousand places for five thousand live connections, and one machine that sends a
# hundred thousand SYNs.
#
# shellcheck disable=SC2030,SC2031,SC2154 # bats; lib.bash, edge.bash

load gate
load edge

flows=1000 crowd=5000

setup_file() {
	edge_up
	# What was sent is acknowledged at once: so many wait for it, one after the other.
	in_ns far ip route change 100.64.0.0/16 via "$NEAR4" quickack 1
	in_ns far ip -6 route change 2001:db8:c000::/36 via "$NEAR6" quickack 1
	in_ns near sh -c 'echo 10000 65000 >/proc/sys/net/ipv4/ip_local_port_range'
	full_policy 'existing refuse' | policy
	daemon_start --flows $flows
	control
}

# Each test has a server of its own. Its end ends the connections that clients could not: a port that is used
# again would meet the old one there.
setup() {
	mkdir "$D/record"
	start far "$D/record.out" "$TOOLS/record" "$D/record" "$(server_hello 0304)" 465 587
	recorder=$started
	wait_for test -e "$D/record/ready"
}

teardown() {
	crowd_end
	kill "$recorder"
	wait_for dead "$recorder"
	rm -rf "$D/record"
}

teardown_file() {
	world_down
}

full_policy() { # EXISTING
	cat <<-END
		mode enforce
		edge "c*" {
		    $1
		    port 25 {
		        reject "Port 25 is closed here."
		    }
		    port 465, 587 {
		        require tls
		    }
		}
	END
}

# Everything as at the beginning, under another rule for what is not known.
start_anew() { # EXISTING
	smtpwall stop --detach
	wait_for dead "$(daemon_pid)"
	full_policy "$1" | policy
	daemon_start --flows $flows
}

nothing_forbidden() {
	barrier
	! grep -aqE 'AUTH|s3cret' "$D/record/wire" || {
		echo "ESCAPED: the wire has it"
		return 1
	}
	! grep -rlaE 'AUTH|s3cret' "$D/record/taken" || {
		echo "ESCAPED: a server has it"
		return 1
	}
}

used() {
	edge_number '["flows"]["used"]'
}

evicted_tls() {
	edge_number '["flows"]["evicted_tls"]'
}

# ---- the tests ----

@test "five thousand connections in TLS where a thousand have room: those that are forgotten are refused" {
	local opened lost kept
	[ "$(edge_number '["flows"]["room"]')" -eq $flows ]
	crowd_start "$FAR4" 465
	crowd "open $crowd tls"
	opened=$(count_of opened)
	[ "$opened" -eq $crowd ]
	lost=$(evicted_tls)
	kept=$(used)
	echo "used $kept, evicted in TLS $lost"
	[ "$kept" -le $flows ]
	[ "$kept" -ge $((flows * 9 / 10)) ]
	# Each of them is either in the table or counted.
	[ $((kept + lost)) -eq "$opened" ]
	[ "$(counter tls)" -eq "$opened" ]
	# Those whose state is gone are refused, as the policy says; the others go on.
	crowd send more of what nobody can read
	[ "$(count_of taken)" -eq "$kept" ]
	[ "$(count_of reset)" -eq "$lost" ]
	[ "$(counter unknown)" -ge "$lost" ]
	any_event 'e["reason"] == "unattributed" and e["verdict"] == "reset"'
	# What has its place keeps it: the table is not disturbed by what is refused.
	crowd send again
	[ "$(count_of taken)" -eq "$kept" ]
}

@test "those that are forgotten cannot go on in clear" {
	crowd_start "$FAR6" 465
	crowd "open $crowd tls"
	crowd "open 100 tls"
	# In TLS nobody reads what is sent; so only those that are forgotten say it.
	crowd send once more
	echo "left: $(count_of taken)"
	crowd close
	crowd "open 2000 syn"
	crowd send AUTH PLAIN s3cret
	[ "$(count_of taken)" -eq 0 ]
	nothing_forbidden
}

@test "five thousand that came but said nothing: no place is theirs for long, and none says anything in clear" {
	local before
	before=$(edge_number '["flows"]["evicted"]')
	crowd_start "$FAR4" 587
	crowd "open $crowd clear"
	[ "$(edge_number '["flows"]["evicted"]')" -gt "$before" ]
	[ "$(used)" -le $flows ]
	crowd send AUTH PLAIN s3cret
	[ "$(count_of taken)" -eq 0 ]
	[ "$(count_of silent)" -eq 0 ]
	nothing_forbidden
	crowd close
	# And who comes then finds a place. Some may lie too near to each other, for want of gates.
	crowd "open 50 clear"
	[ "$(count_of opened)" -eq 50 ]
	crowd send EHLO x
	[ "$(count_of taken)" -ge 40 ]
	[ "$(count_of silent)" -eq 0 ]
}

flood() { # HOST PORT COUNT
	run in_ns near "$TOOLS/syns" x1 02:00:00:00:01:01 "100.64.1.$1" "$FAR4" "$2" "$3"
	[ "$output" = "sent $3" ]
}

# Where each of the four places of a set is somebody's in TLS, a SYN must take one. From then on it has its
# place there, and the next SYN takes that.
@test "SYNs alone take no place from those in TLS but one of a set" {
	local kept lost before
	crowd_start "$FAR4" 465
	crowd "open 400 tls"
	crowd send before
	kept=$(count_of taken) before=$(evicted_tls)
	flood 77 465 20000
	lost=$(($(evicted_tls) - before))
	crowd send after
	[ "$(count_of taken)" -eq $((kept - lost)) ]
	[ "$lost" -le $((flows / 4)) ]
	kept=$(count_of taken)
	flood 77 465 20000
	crowd send after that
	[ "$(count_of taken)" -eq "$kept" ]
}

@test "existing keep: those that are forgotten go on, and are counted" {
	local lost before
	start_anew 'existing keep 10m'
	before=$(counter existing)
	crowd_start "$FAR4" 465
	crowd "open $crowd tls"
	[ "$(count_of opened)" -eq $crowd ]
	lost=$(evicted_tls)
	echo "evicted in TLS: $lost"
	[ "$lost" -ge $((crowd - flows)) ]
	crowd send on we go
	[ "$(count_of taken)" -eq $crowd ]
	[ $(($(counter existing) - before)) -ge "$lost" ]
	[ "$(counter unknown)" -eq 0 ]
}

kept_no_longer() {
	local until
	until=$(edge_number '["interfaces"][0]["kept_until"]')
	[ "$until" = None ] || [ "$(date -u +%FT%T)" \> "$until" ]
}

@test "existing keep for a time: refused once it is over" {
	start_anew 'existing keep 2s'
	crowd_start "$FAR4" 465
	crowd "open 2000 tls"
	echo "evicted in TLS: $(evicted_tls)"
	[ "$(evicted_tls)" -ge $((2000 - flows)) ]
	wait_for kept_no_longer
	crowd send too late
	[ "$(count_of reset)" -eq "$(evicted_tls)" ]
	[ "$(count_of silent)" -eq 0 ]
}

# ---- one infected machine ----

@test "a hundred thousand SYNs of one machine: a handful of events, and an exact count" {
	local refused before events
	refused=$(counter refused) before=$(counter connect)
	events=$(status_number events)
	flood 77 25 100000
	barrier
	[ $(($(counter connect) - before)) -eq 100000 ]
	[ $(($(counter refused) - refused)) -eq 100000 ]
	events=$(($(status_number events) - events))
	echo "events: $events"
	[ "$events" -ge 1 ]
	[ "$events" -le 30 ]
	[ "$(edge_number '["sources"][0]["source"]')" = 100.64.1.77 ]
	[ "$(edge_number '["sources"][0]["interface"]')" = c1 ]
	# Those to port 465 of before are not refusals.
	[ "$(edge_number '["sources"][0]["refused"]')" -eq 100000 ]
	any_event 'e["src"] == "100.64.1.77" and e["port"] == 25 and e["reason"] == "not_permitted" and e["mac"]'
	# None of them came through.
	[ "$(grep -c '^accept 25' "$D/far/log" || true)" -eq 0 ]
}

refused_and_told() {
	run attempt connect "$FAR4" 25
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]] && any_event 'e["src"] == "100.64.1.2" and e["port"] == 25'
}

@test "a source that floods hides no other" {
	local n
	flood 78 25 20000
	# It may have had its events of this while already.
	wait_for refused_and_told
	n=$(edge_number '["sources"]' | grep -o "'source'" | wc -l)
	[ "$n" -ge 2 ]
}

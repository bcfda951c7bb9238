#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# shellcheck disable=SC2154 # gate.bash sets what is read here
#
# What `replay` says of a capture is what the kernel said of the same packets. Dialogues are played while
# the policy only records, so that all of each comes onto the wire; the capture is taken where the hooks
# are, in near, and replayed by the policy that was in force. Then once more where it is enforced: of what
# came out, replay has nothing of the client's to refuse.

load gate

setup_file() {
	local tool
	for tool in tcpdump /usr/bin/python3; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	gate_up
	write_dialogues
	gate_policy | sed 's/^mode .*/mode audit/' | apply >/dev/null
}

teardown_file() {
	world_down
}

teardown() {
	lose_no_more
}

# ---- what both say ----

# LEAST: connections, about half of those made, as source ports are used again and the last one counts.
compare() { # CAPTURE recorded|enforced LEAST
	capture_end "$1"
	smtpwall flows --json >"$D/flows.json"
	smtpwall events --json >"$D/events.json"
	smtpwall replay "$D/$1.pcap" --policy "$D/policy" --json >"$D/replay.json"
	run "$top/tests/net/tools/compare_replay.py" "$2" "$D"/{flows,events,replay}.json
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[-1]%% *}" -ge "$3" ]
}

# Each of the dialogues of gate.bash, in this way and with these other settings.
play() { # WAY [SETTING...]
	play_dialogues 1 "$(dialogues | wc -l)" "${1// /-}/" "way $1" "${@:2}"
}

# ---- recorded ----

@test "each dialogue, sent in each way: replay says what the kernel said" {
	local way
	capture_start ways near tcp
	for way in one bytes hasty 'split 3' cork; do
		play "$way"
	done | talk -u www-data
	run ! grep -vE $'\tpassed\t' "$D/talked"
	compare ways recorded 160
}

@test "the same over IPv6, and with data in the SYN" {
	capture_start six near tcp
	{
		play one "to $FAR6"
		play one fast-open
	} | talk -u www-data
	compare six recorded 64
}

@test "packets are lost behind the gate and sent again" {
	lose far 'tcp dport { 465, 587, 2001-2007, 2525 }'
	capture_start lost near tcp
	play hasty 'patience 10000' | talk -u www-data
	were_lost far
	compare lost recorded 32
}

# ---- enforced ----

@test "where it is enforced replay has nothing against a client, and against servers what the kernel has" {
	gate_policy | apply >/dev/null
	capture_start enforced near tcp
	{
		play one
		play bytes
	} | talk -u www-data
	compare enforced enforced 64
	grep -q '"from": "server"' "$D/replay.json"
	grep -q '"from": "client"' "$D/events.json"
}

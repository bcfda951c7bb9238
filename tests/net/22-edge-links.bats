#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Interfaces that come, change their names and go while the daemon runs: each that the policy names is guarded,
# and of none is anything left.
#
# shellcheck disable=SC2154 # lib.bash, edge.bash

load gate
load edge

setup_file() {
	edge_up
	command -v bpftool >/dev/null || skip "bpftool is not installed"
	links_policy | policy
	daemon_start
	control
	wait_guarded
	holdings >"$D/holdings"
}

teardown_file() {
	world_down
}

links_policy() {
	cat <<-END
		mode enforce
		edge "c*", "tap*" {
		    existing refuse
		    port 25 {
		        reject "Port 25 is closed here."
		    }
		}
	END
}

# ---- what there is ----

# Names of interfaces that are guarded as the daemon says, and of those that should be, in order.
guarded() {
	edge_number '["interfaces"]' | /usr/bin/python3 -c 'import ast, sys
print(*sorted(i["name"] for i in ast.literal_eval(sys.stdin.read()) if i["attached"] and not i["problem"]))'
}

should_be() {
	in_ns router ip -o link show | sed -n 's/^[0-9]*: \(\(c\|tap\)[^:@]*\)[:@].*/\1/p' | LC_ALL=C sort | xargs
}

all_guarded() {
	[ "$(guarded)" = "$(should_be)" ]
}

wait_guarded() {
	wait_for all_guarded || {
		echo "NOT GUARDED: the daemon says: $(guarded)"
		echo "there are: $(should_be)"
		smtpwall status
		return 1
	}
}

# What the kernel itself says of an interface.
has_both() { # DEVICE
	[ -n "$(xdp_on "$1")" ] && in_ns router tc filter show dev "$1" egress | grep -q bpf
}

has_none() { # DEVICE
	[ -z "$(xdp_on "$1")" ] && ! in_ns router tc filter show dev "$1" egress | grep -q bpf
}

# Everything that a guarded interface costs. Numbers of ours only: others may use the kernel as well.
holdings() {
	echo "descriptors $(find "/proc/$(daemon_pid)/fd" -mindepth 1 | wc -l)"
	echo "pins $(find "$D/bpf/pin" -type f | wc -l)"
	echo "interfaces $(bpftool -j map dump pinned "$D/bpf/pin/interfaces" | grep -o '"key"' | wc -l)"
	echo "links $(bpftool link show | grep -cE " xdp  prog $(bpftool prog show pinned "$D/bpf/pin/sw_edge" | cut -d: -f1) ")"
}

same_holdings() {
	[ "$(holdings)" = "$(cat "$D/holdings")" ]
}

nothing_left() {
	wait_guarded
	wait_for same_holdings || {
		echo "LEAKED: before"
		cat "$D/holdings"
		echo "now"
		holdings
		find "$D/bpf/pin" | sort
		return 1
	}
}

# A customer with an interface of its own: NAME in the router, n-NAME in near.
customer_up() { # NAME NUMBER
	ip link add "$1" netns "$ID-router" type veth peer name "n-$1" netns "$ID-near"
	in_ns router ip link set "$1" up
	in_ns router ip address add "100.65.$2.1/24" dev "$1"
	in_ns near ip link set "n-$1" up
	in_ns near ip address add "100.65.$2.2/24" dev "n-$1"
	in_ns near ip route replace "$FAR4" via "100.65.$2.1" dev "n-$1"
	in_ns far ip route replace 100.65.0.0/16 via "$NEAR4"
}

customer_down() { # NAME
	in_ns near ip route del "$FAR4" dev "n-$1" 2>/dev/null || true
	in_ns near ip link del "n-$1" 2>/dev/null || true
}

# Its connection to port 25 is refused by the edge, and one to another port is not.
refused_at_25() {
	run attempt connect "$FAR4" 25
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]] || {
		echo "ESCAPED or lost: $output"
		return 1
	}
	expect_connected connect "$FAR4" 9
}

passes_at_25() {
	expect_connected connect "$FAR4" 25
}

# ---- the tests ----

@test "a thousand interfaces come, change their names and go" {
	local round n
	for round in {1..10}; do
		for n in {1..25}; do
			echo "link add tap$n type veth peer name peer$n"
			echo "link add other$n type veth peer name po$n"
			echo "link add moved$n type veth peer name pm$n"
			echo "link add tap-v$n type veth peer name tap-w$n"
			echo "link set tap$n up"
		done >"$D/come"
		for n in {1..25}; do
			echo "link set tap$n down"
			echo "link set tap$n name plain$n"
			echo "link set other$n name tap-o$n"
			echo "link set moved$n name tap-m$n"
			echo "link set tap-m$n netns $ID-near"
		done >"$D/change"
		for n in {1..25}; do
			echo "link del plain$n"
			echo "link del tap-o$n"
			echo "link del tap-v$n"
			echo "link del pm$n"
		done >"$D/go"
		in_ns router ip -batch "$D/come"
		# Every other round nobody waits for the daemon: it meets names that are no longer there.
		[ $((round % 2)) -eq 0 ] || wait_guarded
		in_ns router ip -batch "$D/change"
		if [ $((round % 5)) -eq 1 ]; then
			wait_guarded
			has_both tap-o7
			has_both tap-v7
			has_none plain7
			has_none po7
		fi
		in_ns router ip -batch "$D/go"
	done
	nothing_left
	alive "$(daemon_pid)"
}

@test "one that appears is guarded: its SYN to port 25 is refused" {
	customer_up tap-a 1
	wait_guarded
	has_both tap-a
	refused_at_25
	customer_down tap-a
	nothing_left
}

@test "one that is renamed into the pattern is guarded, and out of it no longer" {
	customer_up eth-a 2
	passes_at_25
	has_none eth-a
	in_ns router sh -c 'ip link set eth-a down; ip link set eth-a name tap-b; ip link set tap-b up'
	in_ns near ip route replace "$FAR4" via 100.65.2.1 dev n-eth-a
	wait_guarded
	refused_at_25
	in_ns router sh -c 'ip link set tap-b down; ip link set tap-b name eth-a; ip link set eth-a up'
	in_ns near ip route replace "$FAR4" via 100.65.2.1 dev n-eth-a
	wait_guarded
	wait_for has_none eth-a
	passes_at_25
	customer_down eth-a
	nothing_left
}

@test "one that moves to another namespace and back" {
	customer_up tap-c 3
	wait_guarded
	refused_at_25
	in_ns router ip link set tap-c netns "$ID-far"
	wait_guarded
	in_ns far ip link set tap-c netns "$ID-router"
	in_ns router ip link set tap-c up
	in_ns router ip address replace 100.65.3.1/24 dev tap-c
	wait_guarded
	has_both tap-c
	in_ns near ip route replace "$FAR4" via 100.65.3.1 dev n-tap-c
	refused_at_25
	customer_down tap-c
	nothing_left
}

@test "what is taken off behind the daemon's back is put back" {
	customer_up tap-d 4
	wait_guarded
	in_ns router tc qdisc del dev tap-d clsact
	wait_for has_both tap-d
	wait_guarded
	refused_at_25
	customer_down tap-d
	nothing_left
}

problem_of() { # DEVICE
	edge_number '["interfaces"]' | /usr/bin/python3 -c 'import ast, sys
print(*(i["problem"] for i in ast.literal_eval(sys.stdin.read()) if i["name"] == sys.argv[1]))' "$1"
}

problem_names() { # DEVICE WORD
	problem_of "$1" | grep -qF "$2"
}

@test "a foreign XDP program is left alone, and named" {
	local holder id
	customer_up eth-f 5
	start router "$D/holder" "$TOOLS/xdp_hold" eth-f somebodys
	holder=$started
	wait_for grep -qs '^ready' "$D/holder"
	id=$(xdp_on eth-f)
	in_ns router sh -c 'ip link set eth-f down; ip link set eth-f name tap-f; ip link set tap-f up'
	in_ns near ip route replace "$FAR4" via 100.65.5.1 dev n-eth-f
	wait_for problem_names tap-f "id $id"
	[ "$(xdp_on tap-f)" = "$id" ]
	smtpwall status | grep -q 'tap-f'
	# Others are guarded as they were; a policy that needs it does not come into force.
	customer_up tap-g 6
	wait_for has_both tap-g
	refused_at_25
	links_policy | sed 's/25/25, 2526/' >"$D/policy"
	run -4 smtpwall apply "$D/policy"
	[[ $output == *tap-f* && $output == *"id $id"* ]]
	links_policy >"$D/policy"
	# Once it is gone the interface is guarded.
	kill "$holder"
	wait_for dead "$holder"
	customer_down tap-g
	wait_for has_both tap-f
	wait_guarded
	in_ns near ip route replace "$FAR4" via 100.65.5.1 dev n-eth-f
	refused_at_25
	customer_down eth-f
	nothing_left
}

@test "apply says which interfaces a block is for" {
	run -0 smtpwall apply "$D/policy"
	[[ $output == *$'\n  edge "c*", "tap*", port 25\n'* ]]
}

@test "interfaces that came, went or changed while no daemon ran" {
	customer_up tap-h 7
	customer_up tap-i 8
	wait_guarded
	daemon_kill KILL
	has_both tap-h
	# Enforced without a daemon, as before.
	in_ns near ip route replace "$FAR4" via 100.65.7.1 dev n-tap-h
	run attempt connect "$FAR4" 25
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]]
	customer_down tap-i
	customer_up tap-j 9
	daemon_start
	wait_guarded
	refused_at_25
	customer_down tap-h
	customer_down tap-j
	wait_guarded
}

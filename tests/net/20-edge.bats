#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A router between customers and the Internet, with real mail programs on both sides: who may use port 25
# does, everybody else is refused before anything of theirs has left; with TLS every session works, without
# it none does. Over IPv4 and IPv6, on Ethernet, VLAN, QinQ and PPPoE. What counts is what was on the wires
# at both ends.
#
# shellcheck disable=SC2154 # lib.bash, servers.bash, tls.bash, clients.bash, edge.bash

load lib
load servers
load tls
load clients
load edge

setup_file() {
	local tool
	for tool in swaks curl msmtp openssl; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "aiosmtpd is not installed"
	servers_get
	edge_up
	servers_start aiosmtpd postfix exim clear
	message_make clear >/dev/null
	edge_policy | policy
	daemon_start
}

teardown_file() {
	[ ! -e "$D/postfix/conf" ] || postfix_stop
	world_down
}

setup() {
	mark
	use_link plain
}

refusal='Port 25 is closed on this network. Submit to port 587.'

edge_policy() { # [RULE for port 25 [RULE for the others [MORE]]]
	local link rule=${1-"reject \"$refusal\""}
	echo 'mode enforce'
	for link in "${links[@]}"; do
		printf '%s, %s, ' "$(at4 "$link" "$permitted")" "$(at6 "$link" "$permitted")"
	done | sed 's/^/net permitted = { /; s/, $/ }\n/'
	cat <<-END
		edge "c*" {
		    port 25 {
		        allow from permitted
		        $rule
		    }
		    port 465, 587, 2525 {
		        ${2-require tls}
		    }
		}
		${3-}
	END
}

enforce() { # as edge_policy
	edge_policy "$@" | apply >/dev/null
}

# ---- one session ----

sessions=0

# As the link's ordinary customer.
delivers() { # by_NAME WAY SERVER FAMILY PORT [LOGIN]
	local id=$1-$2-$3-$4-$5-$BATS_TEST_NUMBER-$((++sessions)) file
	file=$(message_make "$id")
	run run_client "$1" "$2" "$("far$4" "$3")" "$5" "$file" "${@:6}"
	[ "$status" -eq 0 ] || {
		echo "$*: status $status"
		echo "$output"
		return 1
	}
	arrived_whole "$3" "$id"
}

delivers_25() { # by_NAME FAMILY: to the sink, in clear
	local id=$1-25-$2-$BATS_TEST_NUMBER-$((++sessions)) file
	file=$(message_make "$id")
	run run_client "$1" clear "$(far_at "$2")" 25 "$file"
	[ "$status" -eq 0 ] || {
		echo "$*: status $status"
		echo "$output"
		return 1
	}
	wait_for grep -q "^end $id" "$D/far/mail"
}

# The client ends by itself, and says that nobody listens there.
refused_25() { # by_NAME FAMILY
	run run_client "$1" clear "$(far_at "$2")" 25 "$D/message.clear"
	if [ "$status" -eq 0 ] || [ "$status" -eq 124 ] || [[ ${output,,} != *"connection refused"* ]]; then
		echo "ESCAPED or hung: $*: status $status"
		echo "$output"
		return 1
	fi
}

# The client ends by itself, not for want of patience; and it was the gate.
fails_at_once() { # by_NAME SERVER FAMILY PORT [LOGIN]
	local before
	before=$(counter condemned)
	run run_client "$1" clear "$("far$3" "$2")" "$4" "$D/message.clear" "${@:5}"
	if [ "$status" -eq 0 ] || [ "$status" -eq 124 ] || [[ $output =~ 'timed out'|'Timeout (' ]] ||
		[ "$(counter condemned)" -le "$before" ]; then
		echo "ESCAPED or hung: $*: status $status, condemned $before before"
		echo "$output"
		return 1
	fi
}

way_of() { # PORT
	if [ "$1" -eq 465 ]; then
		echo implicit
	else
		echo starttls
	fi
}

login_of() { # PORT
	if [ "$1" -eq 2525 ]; then
		echo login
	else
		echo plain
	fi
}

# ---- port 25 ----

@test "Postfix: from a permitted address it delivers, from others the connection is refused; each kind of link" {
	local domain domains
	postfix_client_start "sent $permitted" "refused $ordinary"
	wire_start postfix
	mapfile -t domains < <(sed 's/ .*//' "$D/postfix/routes")
	for domain in "${domains[@]}"; do
		postfix_send "$domain" "somebody@$domain"
	done
	for domain in "${domains[@]}"; do
		wait_for postfix_said "$domain"
		run -0 postfix_said "$domain"
		echo "$output"
		case $domain in
		sent-*)
			[[ $output == *status=sent* ]]
			grep -q "^Subject: $domain\$" "$D/far/mail"
			;;
		*)
			[[ $output == *status=deferred*"Connection refused"* ]]
			! grep -q "^Subject: $domain\$" "$D/far/mail"
			;;
		esac
	done
	wire_end postfix
	# Nothing of those who were refused, and everything of the others.
	expect_segments 0 postfix far "dport == 25 && src ~ /[.:]$ordinary\$/"
	expect_segments 8 postfix far "dport == 25 && flags == \"S\" && src ~ /[.:]$permitted\$/"
}

@test "curl and swaks: the RST comes back in the frame of its link, and nothing has come to the far side" {
	local link syns who family
	for link in "${links[@]}"; do
		use_link "$link"
		wire_start "refused-$link"
		for who in by_curl by_swaks; do
			for family in 4 6; do
				refused_25 "$who" $family
			done
		done
		wire_end "refused-$link"
		expect_segments 0 "refused-$link" far 'dport == 25 || sport == 25'
		syns=$(count_segments "refused-$link" near 'flags == "S" && dport == 25')
		[ "$syns" -ge 4 ]
		expect_segments "$syns" "refused-$link" near "flags == \"RA\" && sport == 25 && link == \"${link_words[$link]}\" && \
payload == 0 && seq == 0 && sums == \"ok\""
		expect_segments "$syns" "refused-$link" near 'sport == 25'
	done
}

@test "events name link, customer, rule and text" {
	wait_for any_event "e['verdict'] == 'reject' and e['reason'] == 'not_permitted' and e['src'] == '$(at4 plain 2)' and \
e['dst'] == '$FAR4' and e['dst_port'] == 25 and e['interface'] == 'c1' and e['mac'] == '02:00:00:00:01:02' and \
e['vlan'] == [] and e['pppoe_session'] is None and e['text'] == '$refusal' and e['scope'] == 'edge' and e['line'] == 6 and \
e['pid'] is None and e['exe'] is None and e['user'] is None"
	wait_for any_event "e['interface'] == 'c2' and e['vlan'] == [10] and e['src'] == '$(at4 vlan 2)'"
	wait_for any_event "e['interface'] == 'c3' and e['vlan'] == [100, 10] and e['src'] == '$(at4 qinq 2)'"
	wait_for any_event "e['interface'] == 'c4' and e['pppoe_session'] == 77 and e['src'] == '$(at4 pppoe 2)'"
	wait_for any_event "e['interface'] == 'c4' and e['src'] == '$(at6 pppoe 2)' and e['dst'] == '$FAR6'"
}

@test "drop: no answer, and nothing has come to the far side" {
	local client before
	enforce drop
	use_link vlan 3
	before=$(counter refused)
	wire_start drop vlan
	run_client by_curl clear "$FAR4" 25 "$D/message.clear" >"$D/drop.out" 2>&1 3>&- 4>&- &
	client=$!
	remember $client
	wait_for any_event "e['verdict'] == 'drop' and e['src'] == '$(at4 vlan 3)' and e['interface'] == 'c2'"
	# It waits; and a later packet of its is dropped as well.
	wait_for counter_above refused $((before + 1))
	alive $client
	kill -KILL $client
	wire_end drop
	expect_segments 2+ drop near 'flags == "S" && dport == 25'
	expect_segments 0 drop near 'sport == 25'
	expect_segments 0 drop far 'dport == 25'
	enforce
}

# ---- TLS ----

@test "where it is allowed a client sends in clear, and the search of the wire finds it" {
	enforce reject allow
	capture allowed
	delivers by_swaks clear clear 4 587 plain
	delivers by_curl clear clear 6 465 login
	capture_end allowed
	run found_in_capture allowed
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"AUTH PLAIN"* && $output == *"AUTH LOGIN"* && $output == *"MAIL FROM"* ]]
}

@test "with TLS each client delivers, on each port and each kind of link" {
	local link port who n=0 server condemned tls family
	enforce
	condemned=$(counter condemned) tls=$(counter tls)
	capture tls
	for link in "${links[@]}"; do
		use_link "$link"
		for port in 465 587 2525; do
			who=${clients[n % 4]}
			family=$((n / 2 % 2 ? 4 : 6))
			server=aiosmtpd
			[ $((n % 3)) -ne 1 ] || server=exim
			if [ $((n % 5)) -eq 2 ]; then
				delivers "$who" "$(way_of $port)" postfix $family $port
			else
				delivers "$who" "$(way_of $port)" $server $family $port plain
			fi
			n=$((n + 1))
		done
	done
	capture_end tls
	run -0 found_in_capture tls
	[ "$(counter condemned)" -eq "$condemned" ]
	[ "$(counter tls)" -eq $((tls + 12)) ]
}

@test "without TLS each client is reset at once, and nothing of it was on the far side's wire" {
	local link port who n=0 server family
	enforce
	for link in "${links[@]}"; do
		use_link "$link" 4
		capture "clear-$link"
		wire_start "wire-$link"
		for port in 465 587 2525; do
			who=${clients[n % 4]}
			family=$((n % 2 ? 4 : 6))
			# On 465 the others would wait for TLS, and the client for a greeting.
			server=aiosmtpd
			[ $port -ne 465 ] || server=clear
			fails_at_once "$who" $server $family $port "$(login_of $port)"
			n=$((n + 1))
		done
		fails_at_once by_swaks exim 4 587
		fails_at_once by_curl postfix 6 2525
		wire_end "wire-$link"
		capture_end "clear-$link"
		run -0 found_in_capture "clear-$link"
		expect_segments 5+ "wire-$link" near "flags ~ /R/ && sport != 25 && src !~ /[.:]4\$/ && sums == \"ok\" && \
link == \"${link_words[$link]}\""
	done
	[ -z "$(body_of clear "$(taken_by clear)")$(body_of clear "$(taken_by aiosmtpd)")$(body_of clear "$(taken_by exim)")" ]
}

@test "events of the gate name the command, and nothing behind it" {
	use_link plain 5
	fails_at_once by_curl aiosmtpd 4 587 plain
	wait_for any_event "e['verdict'] == 'reset' and e['reason'] == 'cleartext_command' and e['verb'] == 'AUTH PLAIN' and \
e['from'] == 'client' and e['tls'] == 'none' and e['src'] == '$(at4 plain 5)' and e['dst'] == '$(far4 aiosmtpd)' and \
e['dst_port'] == 587 and e['interface'] == 'c1' and e['line'] == 9"
	use_link qinq 5
	fails_at_once by_swaks exim 4 2525
	wait_for any_event "e['verb'] == 'MAIL' and e['src'] == '$(at4 qinq 5)' and e['vlan'] == [100, 10]"
	use_link pppoe 5
	fails_at_once by_smtplib clear 4 587
	wait_for any_event "e['reason'] == 'starttls_stripped' and e['src'] == '$(at4 pppoe 5)' and e['pppoe_session'] == 77"
	run ! grep -F "$password" <<<"$(smtpwall events --json)"
}

# ---- what is shown ----

@test "one source with thousands of SYNs: a handful of events, and every one of them counted" {
	local before events
	before=$(counter refused)
	run -0 in_ns near "$top/tests/net/tools/edge_raw.py" x1 02:00:00:00:01:01 "$(at4 plain 7)" "$FAR4" 25 flood 3000
	echo "$output"
	[[ $output == "sent 3000 answers 3000 RA largest "* ]]
	[ "$(counter refused)" -eq $((before + 3000)) ]
	[ "$(edge_number "['sources'][0]['source']")" = "$(at4 plain 7)" ]
	[ "$(edge_number "['sources'][0]['refused']")" -eq 3000 ]
	[ "$(edge_number "['sources'][0]['interface']")" = c1 ]
	wait_for any_event "e['src'] == '$(at4 plain 7)'"
	events=$(count_events "e['src'] == '$(at4 plain 7)'")
	echo "$events events"
	[ "$events" -le 12 ]
	run -0 smtpwall status
	[[ $output == *"$(at4 plain 7)"* ]]
}

@test "why, rules, status: what they say of the edge" {
	local before
	why="--port 25 --from $(at4 plain 2) --iface c1" why guarded=True verdict=reject reason=not_permitted line=6 \
		"text=$refusal" answer=False
	[ "$status" -eq 1 ]
	why="--port 25 --from $(at6 pppoe 9) --iface c4" why verdict=allow line=5
	[ "$status" -eq 0 ]
	why="--port 587 --from $(at4 vlan 2) --iface c2" why verdict=allow line=9
	why="--port 25 --from $(at4 plain 2) --iface up0" why guarded=False verdict=allow
	run smtpwall why --port 25 --from "$(at4 plain 2)" --iface c1
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"$refusal"* ]]
	before=$(hits_of 6)
	refused_25 by_curl 4
	[ "$(hits_of 6)" -eq $((before + 1)) ]
	run -0 smtpwall rules
	echo "$output"
	[[ $output == *reject* && $output == *edge* ]]
	run -0 smtpwall status
	echo "$output"
	[[ $output == *c1* && $output == *c4* && $output == *generic* ]]
	[ "$(edge_number "['interfaces']" | grep -o "'attached': True" | wc -l)" -eq 4 ]
	[ "$(edge_number "['flows']['room']")" -eq $((1 << 20)) ]
}

hits_of() { # LINE
	smtpwall rules --json | /usr/bin/python3 -c 'import json, sys
print(sum(rule["hits"] for rule in json.load(sys.stdin)["rules"] if rule["line"] == int(sys.argv[1])))' "$1"
}

@test "flows shows a connection in TLS: whose, on which link, to whom" {
	mkfifo "$D/keep"
	exec 9<>"$D/keep"
	use_link vlan 6
	(client_exec -u www-data openssl s_client -quiet -starttls smtp -servername "$mail_name" -connect "$(far4 exim):587" \
		<"$D/keep" >"$D/held" 2>&1 3>&- 4>&- 9>&-) &
	remember $!
	wait_for any_flow "e['live'] and e['src'] == '$(at4 vlan 6)' and e['dst'] == '$(far4 exim)' and e['dst_port'] == 587 and \
e['interface'] == 'c2' and e['tls'] == 'starttls' and e['state'] == 'tls' and e['pid'] is None and e['line'] == 9"
	run -0 smtpwall flows
	echo "$output"
	[[ $output == *"$(at4 vlan 6)"* ]]
	printf 'QUIT\r\n' >&9
	exec 9>&-
	wait_for no_live_flow "e['src'] == '$(at4 vlan 6)'"
}

no_live_flow() { # EXPRESSION
	! any_flow "e['live'] and $1"
}

# ---- the daemon comes and goes ----

large=5900 # lines of 900 letters and a line end: a little more than 5 MiB

# In the background, as fast as the option says; $sender is its pid. It has begun.
send_large() { # ID SERVER FAMILY PORT CURL-OPTION...
	local id=$1 server=$2 family=$3 port=$4 file
	shift 4
	file=$(message_make "$id" $large)
	[ "$(stat -c %s "$file")" -ge $((5 << 20)) ]
	curl_more="$*" run_client by_curl "$(way_of "$port")" "$("far$family" "$server")" "$port" "$file" \
		>"$D/$id.out" 2>&1 3>&- 4>&- &
	sender=$!
	remember $sender
	wait_for grep -q 'MAIL FROM' "$D/$id.out"
}

gates_in_use() { # COUNT
	[ "$(edge_number "['gates']['used']")" -eq "$1" ]
}

@test "a gate is in use as long as its connection, not until another takes it" {
	local before session
	enforce
	before=$(edge_number "['gates']['used']")
	coproc session { in_ns near bash -c 'exec 3<>"/dev/tcp/$0/587" && read -r _ <&3 && printf "EHLO a.example\r\n" >&3 &&
		read -r _ <&3 && echo said && read -r _' "$(far4 postfix)" 3>&- 4>&-; }
	read -r -t 60 -u "${session[0]}" _
	gates_in_use $((before + 1))
	echo >&"${session[1]}"
	wait_for gates_in_use "$before"
}

@test "kill -9: still enforced; after a restart too, and what runs goes on" {
	local sender link
	enforce
	use_link pppoe
	send_large killed aiosmtpd 4 587 --limit-rate 2M
	daemon_kill KILL
	capture killed "and not host $(far4 aiosmtpd)"
	for link in plain vlan pppoe; do
		use_link "$link"
		refused_25 by_curl 4
		refused_25 by_swaks 6
		delivers by_smtplib implicit exim 6 465 plain
		run run_client by_swaks clear "$(far4 postfix)" 587 "$D/message.clear"
		[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	done
	daemon_start
	refused_25 by_curl 6
	wait $sender
	arrived_whole aiosmtpd killed
	capture_end killed
	run -0 found_in_capture killed
	fails_at_once by_curl exim 6 2525 plain
	[ "$(edge_number "['interfaces']" | grep -o "'attached': True" | wc -l)" -eq 4 ]
}

@test "policies change while 5 MiB are under way: unharmed" {
	local sender applied=0
	enforce
	use_link qinq
	send_large changing exim 6 2525 --limit-rate 700k
	while alive $sender && [ $applied -lt 12 ]; do
		enforce 'drop' 'require tls 1.2'
		! alive $sender || applied=$((applied + 1))
		enforce 'allow' 'require tls starttls'
		! alive $sender || applied=$((applied + 1))
		enforce
		! alive $sender || applied=$((applied + 1))
	done
	wait $sender
	echo "$applied policies"
	[ "$applied" -ge 3 ]
	arrived_whole exim changing
	refused_25 by_curl 4
}

@test "rollback brings the policy before back" {
	enforce allow allow
	delivers_25 by_curl 4
	smtpwall rollback
	refused_25 by_curl 4
	fails_at_once by_swaks aiosmtpd 4 587 plain
	smtpwall rollback
	delivers_25 by_swaks 6
	enforce
	refused_25 by_swaks 6
}

@test "a policy without an edge block takes the programs off, one with it puts them on" {
	printf 'mode enforce\nhost {\n    port 25 {\n        allow\n    }\n}\n' | apply >/dev/null
	wait_for none_on c1 c2 c3 c4
	delivers_25 by_curl 4
	smtpwall rollback
	refused_25 by_curl 4
	[ -n "$(xdp_on c1)" ]
}

none_on() { # DEVICE...
	local device
	for device; do
		[ -z "$(xdp_on "$device")" ] || return 1
	done
}

@test "stop --detach takes it off, connections that are older than the next start go on" {
	local sender
	enforce
	use_link vlan
	send_large detached exim 4 465 --limit-rate 400K
	smtpwall stop --detach
	wait_for dead "$(daemon_pid)"
	none_on c1 c2 c3 c4
	[ -z "$(in_ns router tc filter show dev c1 egress 2>/dev/null)" ]
	delivers_25 by_curl 4
	daemon_start
	refused_25 by_curl 4
	wait $sender
	arrived_whole exim detached
	[ "$(counter existing)" -gt 0 ]
}

@test "mode audit: nothing is refused, and all of it is recorded" {
	local refused condemned resets audited
	enforce
	refused=$(counter refused) condemned=$(counter condemned) resets=$(counter resets) audited=$(counter audited)
	edge_policy | sed 's/^mode enforce/mode audit/' | apply >/dev/null
	use_link plain 8
	delivers_25 by_curl 4
	use_link vlan 8
	delivers by_swaks clear aiosmtpd 4 587 plain
	use_link pppoe 8
	delivers by_curl clear exim 4 2525 plain
	wait_for any_event "e['verdict'] == 'audit' and e['reason'] == 'not_permitted' and e['src'] == '$(at4 plain 8)'"
	wait_for any_event "e['verdict'] == 'audit' and e['reason'] == 'cleartext_command' and e['verb'] == 'AUTH PLAIN' and \
e['src'] == '$(at4 vlan 8)'"
	wait_for any_event "e['verdict'] == 'audit' and e['verb'] == 'AUTH PLAIN' and e['src'] == '$(at4 pppoe 8)'"
	[ "$(counter refused)" -eq "$refused" ]
	[ "$(counter condemned)" -eq "$condemned" ]
	[ "$(counter resets)" -eq "$resets" ]
	[ "$(counter audited)" -eq $((audited + 3)) ]
	enforce
}

# ---- other programs, other blocks ----

@test "an interface with somebody else's program: apply fails and names it, and nothing changes" {
	local before
	in_ns router ip link add z5 type veth peer name z6
	start router "$D/hold" "$TOOLS/xdp_hold" z5 somebody
	wait_for grep -qs '^ready' "$D/hold"
	before=$(generation)
	edge_policy allow allow | sed 's/edge "c\*"/edge "c*", "z*"/' >"$D/foreign"
	run smtpwall apply "$D/foreign"
	echo "$output"
	[ "$status" -eq 4 ]
	[[ $output == *z5* && $output == *"id $(xdp_on z5)"* ]]
	[ "$(generation)" -eq "$before" ]
	[ -z "$(xdp_on z6)" ]
	refused_25 by_curl 4
	fails_at_once by_swaks aiosmtpd 4 587 plain
	# Without it the same policy does.
	kill "$started"
	wait_for dead "$started"
	smtpwall apply "$D/foreign"
	[ -n "$(xdp_on z5)" ]
	delivers_25 by_curl 4
	enforce
	wait_for none_on z5 z6
}

@test "a policy for the router's own processes and for its customers" {
	local own=(-n router -u www-data)
	enforce 'reject "customers"' 'require tls' 'host {
    port 25 {
        reject "processes"
    }
    port 587 {
        require tls
    }
}'
	refused_25 by_curl 4
	run client "${own[@]}" -p "$D/try" connect "$FAR4" 25
	[[ $output == "refused EACCES"* ]]
	run client "${own[@]}" -p "$D/try" connect "$FAR4" 9
	[[ $output == "connected OK"* ]]
	delivers by_curl starttls exim 4 587 plain
	wait_for any_event "e['text'] == 'customers'"
	wait_for has_event text processes
	why="--port 25 --from $(at4 plain 2) --iface c1" why text=customers
	why="--port 25 --user www-data" why text=processes
	enforce
}

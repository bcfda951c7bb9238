#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `reject "..." answer`: who is refused reads why in the log of his own mail program. At the edge the
# sentence comes from the router itself, without anything of the connection going on and without
# anything being kept for it; on the host side from the daemon.
#
# shellcheck disable=SC2030,SC2031,SC2154 # lib.bash, servers.bash, tls.bash, clients.bash, edge.bash

load lib
load servers
load tls
load clients
load edge

setup_file() {
	local tool
	for tool in swaks curl msmtp bpftool; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	servers_get
	edge_up
	mkdir -p "$D/tls"
	message_make clear >/dev/null
	answering | policy
	daemon_start
}

teardown_file() {
	local dir
	for dir in "$D/postfix" "$D/host/postfix"; do
		[ ! -e "$dir/conf" ] || D=${dir%/postfix} postfix_stop
	done
	world_down
}

setup() {
	mark
	use_link plain
}

sentence='Port 25 is closed on this network. See https://example.net/port25 or call 0800 555 0100.'
processes='Processes of this machine may not send mail.'

answering() {
	cat <<-END
		mode enforce
		edge "c*" {
		    port 25 {
		        allow from $(at4 plain "$permitted"), $(at6 plain "$permitted")
		        reject "$sentence" answer
		    }
		}
		host {
		    port 25 {
		        allow to local
		        allow from user root
		        reject "$processes" answer
		    }
		}
	END
}

# ---- real programs ----

# Of what was captured on a link: all that passed is what the router itself has said, and nothing went on.
expect_answers() { # NAME LINK COUNT
	local name=$1 link=${link_words[$2]} largest
	expect_segments 0 "$name" far 'dport == 25 || sport == 25'
	expect_segments "$3+" "$name" near "sport == 25 && flags == \"SA\" && link == \"$link\" && sums == \"ok\" && payload == 0"
	expect_segments "$3+" "$name" near "sport == 25 && payload == $((10 + ${#sentence} + 2)) && link == \"$link\" && \
sums == \"ok\" && flags ~ /F/ && index(\$0, \"554 5.7.1 $sentence\")"
	# The answer to a SYN is not larger than it.
	largest=$(segments "$name" near 'sport == 25 && flags == "SA" { print frame }' | sort -n | tail -n 1)
	expect_segments 0 "$name" near "dport == 25 && flags == \"S\" && frame < $largest && src !~ /:/"
	expect_segments 0 "$name" near "sport == 25 && flags == \"SA\" && frame > 78 + 20 && src !~ /:/"
}

@test "Postfix logs the sentence; each kind of link, and no packet of it has gone on" {
	local domain domains link
	postfix_client_start "refused $ordinary"
	wire_start postfix pppoe
	use_link pppoe
	mapfile -t domains < <(sed 's/ .*//' "$D/postfix/routes")
	for domain in "${domains[@]}"; do
		postfix_send "$domain" "somebody@$domain"
	done
	for domain in "${domains[@]}"; do
		wait_for postfix_said "$domain"
		run -0 postfix_said "$domain"
		echo "$output"
		[[ $output == *"554 5.7.1 $sentence"* && $output != *status=sent* ]]
	done
	wire_end postfix
	expect_answers postfix pppoe 2
}

@test "swaks and curl show the sentence; each kind of link" {
	local link who family
	for link in "${links[@]}"; do
		use_link "$link"
		wire_start "answer-$link"
		for who in by_swaks by_curl; do
			for family in 4 6; do
				run run_client $who clear "$(far_at $family)" 25 "$D/message.clear"
				echo "$output"
				[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
				[[ $output == *"554 5.7.1 $sentence"* ]]
			done
		done
		wire_end "answer-$link"
		expect_answers "answer-$link" "$link" 4
	done
}

@test "Exim logs the sentence; each kind of link" {
	local link family
	for family in 4 6; do
		rm -rf "$D/exim"
		exim_start "$(far_at $family | sed 's/:/::/g')"
		for link in "${links[@]}"; do
			use_link "$link"
			# It remembers hosts that did not want its mail, and does not ask them again soon.
			rm -rf "$D/exim/spool/db"
			exim_send "exim-$link-$family"
		done
		cat "$D/exim/log/mainlog"
		[ "$(grep -cF "554 5.7.1 $sentence" "$D/exim/log/mainlog")" -ge 4 ]
		run ! grep -E '=>' "$D/exim/log/mainlog"
	done
}

@test "msmtp ends with the sentence, and nothing else has come to the far side in all that time" {
	run run_client by_msmtp clear "$FAR4" 25 "$D/message.clear"
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"$sentence"* ]]
	barrier
	[ ! -s "$D/far/mail" ]
	run ! grep -qE '^(accept|mail|syn|tcp) 25' "$D/far/log"
}

@test "who is permitted is served by the other side" {
	use_link plain "$permitted"
	run run_client by_swaks clear "$FAR4" 25 "$D/message.clear"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *'220 far'* ]]
	wait_for saw_since_mark "^accept 25 $(at4 plain "$permitted")" 1
}

@test "events and counters say reject, with the sentence" {
	local refused answers
	refused=$(counter refused) answers=$(counter answers)
	use_link vlan 4
	run run_client by_curl clear "$FAR4" 25 "$D/message.clear"
	wait_for any_event "e['verdict'] == 'reject' and e['reason'] == 'not_permitted' and e['src'] == '$(at4 vlan 4)' and \
e['interface'] == 'c2' and e['vlan'] == [10] and e['text'] == '$sentence' and e['line'] == 5"
	[ "$(counter refused)" -gt "$refused" ]
	[ "$(counter answers)" -gt "$answers" ]
	why="--port 25 --from $(at4 vlan 4) --iface c2" why verdict=reject "text=$sentence" answer=True
}

# ---- by hand ----

by_hand() { # FAMILY HOST WORD...
	local family=$1 host=$2
	shift 2
	run in_ns near "$top/tests/net/tools/edge_raw.py" x1 02:00:00:00:01:01 "$(at plain "$host" "$family")" \
		"$(far_at "$family")" 25 "$@"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "a cookie is checked: only who has seen the answer to his SYN is greeted" {
	local family text=$((10 + ${#sentence} + 2))
	for family in 4 6; do
		by_hand $family 5 cookie
		[ "${lines[0]}" = "syn SA=0" ]
		[ "${lines[1]}" = "ack FPA=$text text" ]
		[ "${lines[2]}" = "data FPA=$text text" ]
		[ "${lines[3]}" = "seen -" ]
		[ "${lines[4]}" = "fin A=0" ]
		[ "${lines[5]}" = "rst -" ]
		[ "${lines[6]}" = "wrong R=0" ]
		[ "${lines[7]}" = "near R=0" ]
		[ "${lines[8]}" = "stolen R=0" ]
		[[ ${lines[9]} =~ ^'no-ack '(R|RA)=0$ ]]
		[ "${lines[10]}" = "again SA=0" ]
		[ ${#lines[@]} -eq 11 ]
	done
}

maps_memory() { # bytes that the maps below the pins take
	local map
	for map in "$D"/bpf/pin/*; do
		bpftool -j map show pinned "$map" 2>/dev/null | grep -o '"bytes_memlock":[0-9]*' || true
	done | awk -F: '{ sum += $2 } END { print sum }'
}

@test "a flood of SYNs: each is answered, nothing is kept, nothing goes on, no answer is larger" {
	local flows gates maps answers family
	mark
	maps=$(maps_memory) flows=$(edge_number "['flows']['used']") gates=$(edge_number "['gates']['used']")
	answers=$(counter refused)
	for family in 4 6; do
		by_hand $family 6 flood 10000
		[[ $output =~ ^'sent 10000 answers 10000 SA largest '(-[0-9]+|0)$ ]]
	done
	[ "$(counter refused)" -eq $((answers + 20000)) ]
	[ "$(edge_number "['flows']['used']")" -eq "$flows" ]
	[ "$(edge_number "['gates']['used']")" -eq "$gates" ]
	[ "$flows" -eq 0 ]
	[ "$(maps_memory)" = "$maps" ]
	barrier
	[ "$(since_mark '^(accept|syn|tcp) 25')" -eq 0 ]
}

@test "kill -9: it still answers; audit: it does not" {
	daemon_kill KILL
	run run_client by_swaks clear "$FAR6" 25 "$D/message.clear"
	[[ $output == *"554 5.7.1 $sentence"* ]]
	daemon_start
	run run_client by_swaks clear "$FAR4" 25 "$D/message.clear"
	[[ $output == *"554 5.7.1 $sentence"* ]]
	answering | sed 's/^mode enforce/mode audit/' | apply >/dev/null
	run run_client by_swaks clear "$FAR4" 25 "$D/message.clear"
	[ "$status" -eq 0 ]
	[[ $output == *'220 far'* ]]
	answering | apply >/dev/null
}

# ---- the host side ----

own_process() { # by_NAME ADDRESS: of the router, as www-data
	local who=$1
	shift
	# shellcheck disable=SC2163 # the function that it names
	export -f "$who" bracketed
	export D mail_name account password patience
	run client -n router -u www-data timeout 150 bash -c "$who"' "$@"' - clear "$1" 25 "$D/message.clear"
	echo "$output"
}

@test "a process of the machine: swaks, curl and msmtp show the sentence, and nothing has left" {
	local who address
	for who in by_swaks by_curl by_msmtp; do
		for address in "$FAR4" "$FAR6"; do
			own_process $who "$address"
			[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
			[[ $output == *"$processes"* ]]
			[ $who = by_msmtp ] || [[ $output == *"554 5.7.1 $processes"* ]]
		done
	done
	barrier
	[ "$(since_mark '^(accept|syn|tcp) 25')" -eq 0 ]
	wait_for has_process_event
	# Who may, does.
	run client -n router -p "$D/try" connect "$FAR4" 25
	[[ $output == "connected OK"* ]]
	wait_for saw_since_mark "^accept 25 $NEAR4" 1
}

has_process_event() {
	smtpwall events --json | any_line "e['kind'] == 'connect' and e['verdict'] == 'reject' and \
e['reason'] == 'not_permitted' and e['user'] == 'www-data' and e['exe'] == '/usr/bin/curl' and e['text'] == '$processes' and \
e['dst'] == '$FAR4' and e['dst_port'] == 25 and e['line'] == 12"
}

@test "a process of the machine: Postfix logs the sentence" {
	local dir=$D/host/postfix
	mkdir -p "$dir"
	postfix_configure "$dir"
	cat >>"$dir/conf/main.cf" <<-END
		myhostname = mail.example.org
		relayhost = [$FAR4]:25
	END
	host_postfix "$cache/postfix/usr/sbin/postfix" start >>"$dir/out" 2>&1 4>&-
	message own | host_postfix "$cache/postfix/usr/sbin/sendmail" -f sender@example.org own@example.net
	wait_for grep -q 'to=<own@example.net>.*status=' "$dir/log"
	run grep 'to=<own@example.net>.*status=' "$dir/log"
	echo "$output"
	[[ $output == *"554 5.7.1 $processes"* && $output != *status=sent* ]]
}

host_postfix() {
	# shellcheck disable=SC2046 # words are wanted
	client -n router -c postfix.service $(postfix_env "$D/host/postfix") "$@"
}

@test "the listener says nothing to who comes to it unasked, and is gone when the rule is" {
	printf 'mode enforce\nhost {\n    port 25 {\n        allow to local\n        reject "%s"\n    }\n}\n' "$processes" |
		apply >/dev/null
	own_process by_curl "$FAR4"
	[[ $output != *"554 "* ]]
	run client -n router -u www-data -p "$D/try" connect "$FAR4" 25
	[[ $output == "refused EACCES"* ]]
	answering | apply >/dev/null
	own_process by_curl "$FAR6"
	[[ $output == *"554 5.7.1 $processes"* ]]
}

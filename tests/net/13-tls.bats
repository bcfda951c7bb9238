#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Ordinary mail clients against real mail servers on 465, 587 and 2525, IPv4 and IPv6. Where TLS is
# required each session with TLS works unharmed, each one without it ends with an error at the client
# at once, and of what came over the wire nothing is a password or a mail command.
#
# shellcheck disable=SC2154 # lib.bash, servers.bash, tls.bash, clients.bash

load lib
load servers
load tls
load clients

setup_file() {
	local tool
	for tool in swaks curl msmtp openssl tcpdump; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "aiosmtpd is not installed"
	servers_get
	world_up
	servers_start "${servers[@]}"
	policy_allows >"$D/policy"
	daemon_start
}

teardown_file() {
	[ ! -e "$D/postfix/conf" ] || postfix_stop
	world_down
}

policy_allows() {
	printf 'mode enforce\nhost {\n    port 465, 587, 2525 {\n        allow\n    }\n}\n'
}

policy_requires() { # [REQUIREMENT]
	printf 'mode enforce\nhost {\n    port 465, 587, 2525 {\n        require tls %s\n    }\n}\n' "${1-}"
}

require_tls() {
	policy_requires | apply >/dev/null
}

way_of() { # PORT
	if [ "$1" -eq 465 ]; then
		echo implicit
	else
		echo starttls
	fi
}

address_of() { # SERVER FAMILY
	"far$2" "$1"
}

offers_login() { # SERVER
	[[ $1 == aiosmtpd || $1 == exim || $1 == clear ]]
}

count_condemned() {
	status_number condemned
}

# ---- one session ----

delivers() { # by_NAME WAY SERVER FAMILY PORT [LOGIN]
	local id=$1-$2-$3-$4-$5-$((++sessions)) file
	file=$(message_make "$id")
	run run_client "$1" "$2" "$(address_of "$3" "$4")" "$5" "$file" "${@:6}"
	[ "$status" -eq 0 ] || {
		echo "$*: status $status"
		echo "$output"
		return 1
	}
	arrived_whole "$3" "$id"
}

# The client ends by itself, long before it would have lost its patience.
fails_at_once() { # by_NAME SERVER FAMILY PORT [LOGIN]
	local began=$SECONDS before
	before=$(count_condemned)
	run run_client "$1" clear "$(address_of "$2" "$3")" "$4" "$D/message.clear" "${@:5}"
	echo "$*: status $status after $((SECONDS - began)) s"
	echo "$output"
	[ "$status" -ne 0 ] && [ "$status" -ne 124 ]
	[ $((SECONDS - began)) -lt $((patience / 2)) ]
	[[ ! $output =~ 'timed out'|'Timeout (' ]]
	# It was the gate, and not something that the client did not like.
	[ "$(count_condemned)" -gt "$before" ]
}

sessions=0

# ---- the control ----

@test "where it is allowed each client sends in clear, and the search of the wire finds it" {
	local who port login found verb
	policy_allows | apply >/dev/null
	capture allowed
	for who in "${clients[@]}"; do
		for port in 465 587 2525; do
			login=plain
			[ $port -ne 2525 ] || login=login
			delivers "$who" clear clear 4 $port $login
			delivers "$who" clear clear 6 $port $login
		done
	done
	capture_end allowed
	run found_in_capture allowed
	[ "$status" -eq 1 ]
	for verb in 'AUTH PLAIN' 'AUTH LOGIN' 'MAIL FROM' 'RCPT TO' DATA; do
		grep -qi "stream of .*$verb" <<<"$output"
	done
	# Behind AUTH LOGIN the password stands alone.
	found=$(printf %s "$password" | base64 | tr -d =)
	grep -qF "b'$found" <<<"$output"
}

# ---- with TLS ----

@test "with TLS each client delivers to each server, on each port" {
	local who server port login n=0 before
	require_tls
	before=$(count_condemned)
	capture tls
	for server in aiosmtpd postfix exim; do
		for port in 465 587 2525; do
			login=()
			! offers_login $server || login=(plain)
			for who in "${clients[@]}" by_openssl; do
				n=$((n + 1))
				delivers "$who" "$(way_of $port)" $server $((n % 2 ? 4 : 6)) $port "${login[@]}"
			done
		done
	done
	capture_end tls
	run -0 found_in_capture tls
	[ "$(count_condemned)" -eq "$before" ]
	[ "$(grep -c '^auth alice TLSv1.3$' "$D/servers/aiosmtpd/log")" -eq 15 ]
}

@test "implicit TLS on a port where STARTTLS is usual" {
	in_ns far ip address add 192.0.2.16/24 dev veth0
	serve "$D/s_server" openssl s_server -accept '192.0.2.16:587' -cert "$D/tls/certificate" -key "$D/tls/key" -quiet
	wait_for greets 192.0.2.16 587
	require_tls
	run client timeout 60 openssl s_client -connect 192.0.2.16:587 -servername "$mail_name" -CAfile "$D/tls/ca.pem" \
		-verify_return_error <<<Q
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"Verify return code: 0 (ok)"* ]]
}

# Debian 12's OpenSMTPD ends each handshake itself, see tls.bash: up to there nothing keeps the client.
@test "OpenSMTPD: the handshake gets as far as without smtpwall, clear commands get nowhere" {
	local before policy port
	message_make clear >/dev/null
	for policy in policy_allows policy_requires; do
		$policy | apply >/dev/null
		before=$(count_condemned)
		for port in 465 587; do
			run run_client by_curl "$(way_of $port)" "$(far4 opensmtpd)" $port "$D/message.clear"
			echo "$output"
			[[ $output == *"TLS handshake, Certificate (11)"*"TLS alert, internal error"* ]]
		done
		[ "$(count_condemned)" -eq "$before" ]
	done
	capture opensmtpd
	fails_at_once by_swaks opensmtpd 4 587
	fails_at_once by_curl opensmtpd 6 2525
	capture_end opensmtpd
	run -0 found_in_capture opensmtpd
}

# ---- without ----

@test "without TLS each client gets an error at once, and nothing of it was on the wire" {
	local who server port family login
	message_make clear >/dev/null
	require_tls
	capture refused
	for who in "${clients[@]}"; do
		for port in 465 587 2525; do
			for family in 4 6; do
				login=plain server=aiosmtpd
				[ $port -ne 2525 ] || login=login
				# On 465 the others would wait for TLS, and the client for a greeting.
				[ $port -ne 465 ] || server=clear
				fails_at_once "$who" $server $family $port $login
			done
		done
		fails_at_once "$who" postfix 4 587
		fails_at_once "$who" exim 6 2525 plain
	done
	capture_end refused
	run -0 found_in_capture refused
	[ -z "$(body_of clear "$(taken_by clear)")$(body_of clear "$(taken_by aiosmtpd)")$(body_of clear "$(taken_by exim)")" ]
}

@test "a server that does not offer STARTTLS: the client that goes on is told apart" {
	message_make clear >/dev/null
	require_tls
	fails_at_once by_smtplib clear 4 587
	wait_for any_event "e['reason'] == 'starttls_stripped' and e['dst'] == '$(far4 clear)' and e['verb'] == 'MAIL'"
}

# Each line of JSON is `e`.
any_line() { # EXPRESSION
	/usr/bin/python3 -c 'import json, sys
sys.exit(not any(eval(sys.argv[1]) for e in map(json.loads, sys.stdin)))' "$1"
}

any_event() { # EXPRESSION
	smtpwall events --json | any_line "e['kind'] == 'gate' and $1"
}

any_flow() { # EXPRESSION
	smtpwall flows --json | any_line "$1"
}

@test "events name program, user and command, and nothing behind it" {
	message_make clear >/dev/null
	require_tls
	fails_at_once by_curl aiosmtpd 4 587 plain
	wait_for any_event "e['exe'] == '/usr/bin/curl' and e['user'] == 'www-data' and e['verb'] == 'AUTH PLAIN' and \
e['verdict'] == 'reset' and e['reason'] == 'cleartext_command' and e['dst_port'] == 587 and e['from'] == 'client'"
	fails_at_once by_msmtp aiosmtpd 6 2525 login
	wait_for any_event "e['exe'] == '/usr/bin/msmtp' and e['verb'] == 'AUTH LOGIN' and e['tls'] == 'none'"
	fails_at_once by_swaks exim 4 2525
	wait_for any_event "e['exe'] == '/usr/bin/perl' and e['verb'] == 'MAIL' and e['dst'] == '$(far4 exim)'"
	run ! grep -F "$password" <<<"$(smtpwall events --json)"
}

# ---- Postfix as a client ----

postfix_client_start() {
	local level port server family ports
	postfix_configure "$D/postfix"
	for level in none may encrypt; do
		echo "$level unix - - n - - smtp -o smtp_tls_security_level=$level"
	done >>"$D/postfix/conf/master.cf"
	echo "wrapper unix - - n - - smtp -o smtp_tls_security_level=encrypt -o smtp_tls_wrappermode=yes" \
		>>"$D/postfix/conf/master.cf"
	for level in none may encrypt wrapper; do
		ports="587 2525"
		[ $level != wrapper ] || ports=465
		for port in $ports; do
			for family in 4 6; do
				server=aiosmtpd
				[ "$port" -ne 2525 ] || server=exim
				echo "$level-$port-$family.test $level:[$(address_of $server $family)]:$port"
			done
		done
	done >"$D/postfix/routes"
	echo "stripped.test may:[$(far4 clear)]:587" >>"$D/postfix/routes"
	cat >>"$D/postfix/conf/main.cf" <<-END
		myhostname = mail.example.org
		transport_maps = texthash:$D/postfix/routes
		smtp_tls_CAfile = $D/tls/ca.pem
		smtp_tls_servername = $mail_name
		smtp_tls_loglevel = 1
	END
	postfix_run
}

postfix_said() { # ADDRESS
	grep "to=<$1>" "$D/postfix/log" | tail -n 1 | grep 'status='
}

@test "Postfix as a client: with smtp_tls_security_level none it is refused, with may and encrypt it delivers" {
	local domain
	require_tls
	postfix_client_start
	capture postfix
	while read -r domain _; do
		postfix_send "$domain" "somebody@$domain"
	done <"$D/postfix/routes"
	while read -r domain _; do
		wait_for postfix_said "somebody@$domain"
		run -0 postfix_said "somebody@$domain"
		echo "$output"
		case $domain in
		none-* | stripped.*)
			[[ $output == *status=deferred* && $output == *"lost connection"* ]]
			;;
		*)
			[[ $output == *status=sent* ]]
			;;
		esac
		[[ $output != *"timed out"* ]]
	done <"$D/postfix/routes"
	capture_end postfix
	run -0 found_in_capture postfix
	[ "$(grep -ch '^Subject: \(may\|encrypt\|wrapper\)-' "$(taken_by aiosmtpd)")" -eq 6 ]
	wait_for any_event "e['exe'].endswith('/postfix/sbin/smtp') and e['user'] == 'news' and e['verb'] == 'MAIL'"
}

# ---- much, and for long ----

large=58200 # lines of 900 letters and a line end: a little more than 50 MiB

# In the background, as fast as the option says; $sender is its pid.
send_large() { # ID WAY SERVER FAMILY PORT CURL-OPTION...
	local file id=$1 way=$2 server=$3 family=$4 port=$5
	shift 5
	ln -f "$D/large" "$D/message.$id"
	curl_more="$*" run_client by_curl "$way" "$(address_of "$server" "$family")" "$port" "$D/message.$id" \
		>"$D/$id.out" 2>&1 3>&- 4>&- &
	sender=$!
	remember $sender
}

has_begun() { # ID: TLS stands
	grep -q 'MAIL FROM' "$D/$1.out"
}

# The same text under several names; what it is marked with is its first name.
large_arrived() { # SERVER
	wait_for has_taken "$1" large
	[ "$(body_of large "$(taken_by "$1")" | sha256sum)" = "$(cat "$D/large.sum")" ]
}

forget_taken() { # SERVER
	: >"$(taken_by "$1")"
}

large_made() {
	[ -e "$D/large.sum" ] || {
		mv "$(message_make large $large)" "$D/large"
		[ "$(stat -c %s "$D/large")" -ge $((50 << 20)) ]
		body_of large "$D/large" | sha256sum >"$D/large.sum"
	}
}

@test "50 MiB with TLS arrive unharmed: three servers, three ports" {
	local server sender
	large_made
	require_tls
	for server in "aiosmtpd starttls 6 587" "postfix implicit 4 465" "exim starttls 4 2525"; do
		# shellcheck disable=SC2086 # words are wanted
		set -- $server
		forget_taken "$1"
		send_large "large-$1" "$2" "$1" "$3" "$4"
		wait "$sender"
		large_arrived "$1"
	done
	wait_for any_flow "e['port'] == 465 and e['user'] == 'www-data' and e['exe'] == '/usr/bin/curl' and \
e['tls'] == 'implicit' and e['sni'] == '$mail_name' and not e['live'] and e['sent'] > 50 << 20"
}

@test "policies change while 50 MiB are under way: unharmed" {
	local sender applied=0 policy
	large_made
	require_tls
	forget_taken aiosmtpd
	send_large changing starttls aiosmtpd 4 587 --limit-rate 16M
	wait_for has_begun changing
	while alive $sender; do
		for policy in "1.2" "starttls" ""; do
			policy_requires "$policy" | apply >/dev/null
		done
		printf 'mode enforce\nhost {\n    port 465, 587, 2525 {\n        reject\n    }\n}\n' | apply >/dev/null
		! alive $sender || applied=$((applied + 4))
	done
	wait $sender
	echo "$applied policies"
	[ "$applied" -ge 4 ]
	large_arrived aiosmtpd
}

@test "kill -9 in the middle: TLS goes on and begins, clear commands still do not leave" {
	local sender
	large_made
	require_tls
	forget_taken aiosmtpd
	send_large killed starttls aiosmtpd 4 587 --limit-rate 16M
	wait_for has_begun killed
	daemon_kill KILL
	# The large one would take long to search.
	capture killed "and not host $(far4 aiosmtpd)"
	message_make clear >/dev/null
	delivers by_smtplib implicit exim 6 465 plain
	# Nobody closes the socket now: the client waits until it has enough.
	patience=3 run run_client by_curl clear "$(far4 postfix)" 587 "$D/message.clear"
	echo "$output"
	[ "$status" -ne 0 ]
	wait $sender
	large_arrived aiosmtpd
	capture_end killed
	run -0 found_in_capture killed
	daemon_start
	# Written down by the kernel while nobody read it.
	wait_for any_event "e['exe'] == '/usr/bin/curl' and e['verb'] == 'MAIL' and e['dst'] == '$(far4 postfix)'"
	fails_at_once by_curl aiosmtpd 4 587 plain
}

# ---- flows ----

@test "flows shows a live connection in TLS: who, with which program, to whom" {
	require_tls
	mkfifo "$D/keep"
	exec 9<>"$D/keep"
	(client_exec -u www-data openssl s_client -quiet -starttls smtp -servername "$mail_name" -connect "$(far4 exim):587" \
		<"$D/keep" >"$D/held" 2>&1 3>&- 4>&- 9>&-) &
	remember $!
	wait_for any_flow "e['live'] and e['exe'] == '/usr/bin/openssl' and e['user'] == 'www-data' and \
e['state_words'] == 'TLS 1.3, $mail_name' and e['tls'] == 'starttls' and e['dst'] == '$(far4 exim)' and e['dst_port'] == 587"
	run -0 smtpwall flows
	echo "$output"
	[[ $output == *"TLS 1.3, $mail_name"* ]]
	printf 'QUIT\r\n' >&9
	exec 9>&-
	wait_for any_flow "not e['live'] and e['exe'] == '/usr/bin/openssl' and e['sent'] > 0 and e['received'] > 0"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Real mail servers deliver to the far side on port 25. In the same minute six ordinary clients, run by
# a user whom the policy does not name, are refused with "Permission denied" at once. The far side
# counts: one message and one connection for each delivery, and nothing else.
#
# shellcheck disable=SC2154 # cache, exim_uid, opensmtpd_uid: servers.bash

load lib
load servers

setup_file() {
	local tool
	for tool in swaks curl python3 nc msmtp; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	servers_get
	world_up
	policy <<-END
		mode enforce
		who postfix   = exe "$cache/postfix/usr/lib/postfix/sbin/smtp" user news
		who exim      = exe "$cache/exim4/usr/sbin/exim4" user $exim_uid
		who opensmtpd = exe "$cache/opensmtpd/usr/sbin/smtpd" user $opensmtpd_uid
		host {
		    port 25 {
		        allow to local
		        allow from postfix, exim, opensmtpd
		        reject "Port 25 is closed here. Submit to port 587 with TLS."
		    }
		}
	END
	daemon_start
	message client >"$D/message"
	control
}

teardown_file() {
	[ ! -e "$D/postfix/conf" ] || postfix_stop
	world_down
}

setup() {
	mark
}

# ---- the clients ----

by_swaks() { # ADDRESS PORT
	local option=-4
	[[ $1 != *:* ]] || option=-6
	swaks $option --server "$1" --port "$2" --helo here.example --from a@example.org --to b@example.net --timeout 20
}

by_curl() {
	local host=$1
	[[ $host != *:* ]] || host="[$host]"
	curl -v --max-time 20 "smtp://$host:$2" --mail-from a@example.org --mail-rcpt b@example.net -T "$D/message"
}

by_smtplib() {
	/usr/bin/python3 -c '
import smtplib, sys
smtplib.SMTP(sys.argv[1], int(sys.argv[2]), "here.example", 20).sendmail(
    "a@example.org", ["b@example.net"], "Subject: smtplib\n\nHello\n")' "$1" "$2"
}

by_nc() {
	printf 'QUIT\r\n' | nc -v -w 20 "$1" "$2"
}

by_msmtp() {
	msmtp --file=/dev/null --timeout=20 --host="$1" --port="$2" --from=a@example.org b@example.net <"$D/message"
}

by_bash() {
	# shellcheck disable=SC2016 # for the inner shell
	bash -c 'exec 5<>"/dev/tcp/$1/$2" && printf "QUIT\r\n" >&5 && cat <&5' - "$1" "$2"
}

clients=(by_swaks by_curl by_smtplib by_nc by_msmtp by_bash)

ordinary() { # CLIENT ADDRESS PORT: as www-data
	# shellcheck disable=SC2163 # the function that it names
	export -f "$1"
	run client -u www-data timeout 60 bash -c "$1 \$1 \$2" - "$2" "$3"
	echo "$*: status $status"
	echo "$output"
}

all_clients_are_refused() {
	local who address began
	for who in "${clients[@]}"; do
		for address in "$FAR4" "$FAR6"; do
			began=$SECONDS
			ordinary "$who" "$address" 25
			[ "$status" -ne 0 ]
			[[ $output == *"Permission denied"* ]]
			# Each would try for 20 seconds or longer if it got no answer.
			[ $((SECONDS - began)) -lt 15 ]
		done
	done
}

delivered() { # SUBJECT
	grep -q "^Subject: $1\$" "$D/far/mail"
}

# One delivery, with the clients at it before and after; then the far side is asked what it saw.
delivers() { # SERVER TARGET SUBJECT
	all_clients_are_refused
	"$1_send" "$3"
	wait_for delivered "$3"
	all_clients_are_refused
	barrier
	[ "$(since_mark '^mail 25$')" -eq 1 ]
	[ "$(since_mark '^accept 25 ')" -eq 1 ]
	[ "$(since_mark '^syn 25$')" -eq 1 ]
	[ "$(grep -c '^Subject: ' "$D/far/mail")" -eq "$(grep -c '^mail' "$D/far/log")" ]
}

@test "the clients work: to a port that no rule names each of them delivers or is greeted" {
	local who
	for who in "${clients[@]}"; do
		ordinary "$who" "$FAR4" 9
		[ "$status" -eq 0 ]
		ordinary "$who" "$FAR6" 9
		[ "$status" -eq 0 ]
	done
	[ "$(since_mark '^mail 9$')" -eq 8 ]
	[ "$(since_mark '^accept 9 ')" -eq 12 ]
}

@test "Postfix delivers over IPv4, six clients are refused" {
	postfix_start "$FAR4"
	delivers postfix "$FAR4" from-postfix
}

@test "Postfix delivers over IPv6" {
	sed -i "s/^relayhost.*/relayhost = [$FAR6]:25/" "$D/postfix/conf/main.cf"
	postfix "$cache/postfix/usr/sbin/postfix" reload
	postfix_send from-postfix-6
	wait_for delivered from-postfix-6
	wait_for saw_since_mark "^accept 25 $NEAR6" 1
}

@test "Exim delivers, six clients are refused" {
	exim_start "$FAR4"
	delivers exim "$FAR4" from-exim
}

@test "OpenSMTPD delivers, six clients are refused" {
	opensmtpd_start "$FAR4"
	delivers opensmtpd "$FAR4" from-opensmtpd
}

@test "the mail server's user with another program is refused" {
	local user
	for user in news $exim_uid $opensmtpd_uid; do
		run client nsenter --net="/run/netns/$ID-near" setpriv --reuid "$user" --regid nogroup --clear-groups \
			nc -v -w 20 "$FAR4" 25
		[[ $output == *"Permission denied"* ]]
	done
	nothing_arrived
}

@test "the refusals are told: who, with which program, by which rule" {
	local event
	event=$(smtpwall events --json | grep '"exe": "/usr/bin/curl"' | tail -n 1)
	[[ $event == *'"user": "www-data"'* ]]
	[[ $event == *'"reason": "not_permitted"'* ]]
	[[ $event == *'"text": "Port 25 is closed here. Submit to port 587 with TLS."'* ]]
}

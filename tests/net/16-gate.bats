#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# shellcheck disable=SC2154 # gate.bash sets what is read here
#
# `require tls` as a program and its administrator see it: what may pass arrives whole, what may not does
# not arrive, the program has an error at once, and the event says who did what. Then the ways to send
# bytes that a kernel has, and the kernel's own ways to send them again.

load gate

setup_file() {
	gate_up
}

teardown_file() {
	world_down
}

teardown() {
	lose_no_more
}

# ---- what may pass ----

@test "STARTTLS, then TLS: everything arrives, on every port and over both families" {
	{
		for port in 587 2525 2001 2003; do
			for to in "$FAR4" "$FAR6"; do
				step "dialogue $port-$to" "port $port" "to $to"
				granted && hello && session
			done
		done
	} | talk -u www-data
	[ "$(grep -c . "$D/talked")" -eq 8 ]
	run ! grep -v $'\tpassed\t' "$D/talked"
}

@test "implicit TLS, where the port or the rule has it and where it may be either" {
	{
		for port in 465 587 2525 2002 2006 2007; do
			step "dialogue $port" "port $port"
			hello && session
			step "dialogue $port-6" "port $port" "to $FAR6"
			hello && session
		done
	} | talk -u www-data
	[ "$(grep -c . "$D/talked")" -eq 12 ]
	run ! grep -v $'\tpassed\t' "$D/talked"
}

@test "every command that may come before TLS, in any case, with arguments, blanks before it, and bare line ends" {
	{
		step 'dialogue all'
		greet
		for line in 'ehlo a' 'EhLo b c d' 'HELO a' 'LHLO a' NOOP 'noop AUTH PLAIN' RSET HELP 'help me' 'HELP MAIL' ' NOOP' '\t\t NOOP ' 'QUIT'; do
			step "> $line\\r\\n" '< 250 ok\r\n'
		done
		step '> NOOP\n' '< 250 ok\r\n' '> STARTTLS\r\n'
		step 'dialogue refused-once' && starttls
		step '< 454 not now\r\n' '> NOOP\r\n' '< 250 ok\r\n' '> STARTTLS\r\n' '< 220 now\r\n' && hello && session
	} | talk -u www-data
	passed all refused-once
}

@test "a ClientHello in single bytes, over several records, and larger than a segment" {
	{
		step 'dialogue bytes' 'port 465' 'way bytes' && hello && session
		step 'dialogue hasty' 'way hasty' && granted && hello && session
		step 'dialogue records' && granted && hello 0 50 0303 && session
		step 'dialogue large' && granted && hello 4000 && session
		step 'dialogue large-bytes' 'port 465' 'way bytes' && hello 1500 700 && session
		step 'dialogue split' 'way split 3' && granted && hello && session
	} | talk -u www-data
	passed bytes hasty records large large-bytes split
	[ "$(field large 7 | head -c 42)" = 'EHLO\x20client.example.net\r\nSTARTTLS\r\n' ] ||
		[[ $(field large 7) == 'EHLO\x20client.example.net\r\nSTARTTLS\r\n\x16\x03\x01'* ]]
}

# ---- what may not ----

@test "each command that carries mail or passwords: nothing of it arrives, the client has an error at once" {
	local verb verbs=(AUTH MAIL RCPT DATA BDAT BURL VRFY EXPN ETRN ATRN TURN SEND SOML SAML XCLIENT XFORWARD)
	{
		for verb in "${verbs[@]}"; do
			step "dialogue $verb" && greet && ehlo STARTTLS
			step "> $verb s3cret-$verb\\r\\n"
		done
	} | talk -u www-data
	for verb in "${verbs[@]}"; do
		ended "$verb" cleartext_command "verb=$verb" from=client tls=none
		arrived "$verb" 'EHLO\x20client.example.net\r\n'
	done
	nowhere s3cret-
}

@test "an event says who did what, and the rule: not what was said" {
	{
		step 'dialogue plain' && greet && ehlo STARTTLS && step '> AUTH PLAIN AHVzZXIAczNjcmV0\r\n'
		step 'dialogue login' "to $FAR6" && greet && step '> auth  login czNjcmV0\r\n'
		step 'dialogue other' && greet && step '> AUTH S3CRET-MECHANISM\r\n'
		step 'dialogue none' && greet && step '> s3cretverb\r\n'
	} | talk -u mail
	ended plain cleartext_command 'verb=AUTH PLAIN' kind=gate user=mail "exe=$D/talk" port=587 "dst=$FAR4" "src=$NEAR4" \
		rule=1 line=4 scope=host comm=talk
	ended login cleartext_command 'verb=AUTH LOGIN' "dst=$FAR6" "src=$NEAR6"
	ended other cleartext_command verb=AUTH
	ended none cleartext_command verb=null
	[[ $(event_of plain) == *'"rule_text": "require tls"'* ]]
	# Nobody shows it, and it is in no file of the daemon's.
	run smtpwall events --json
	[[ $output != *AHVzZXI* && $output != *czNjcmV0* && ${output,,} != *s3cret* ]]
	run ! grep -raqiE 'AHVzZXIAczNjcmV0|czNjcmV0|s3cret' "$D/state" "$D/run" "$D/daemon.log"
}

@test "a socket that is bound to an interface: an error at once as well" {
	{
		step 'dialogue four' 'device veth0' && greet && step '> AUTH PLAIN s3cret-bound\r\n'
		step 'dialogue six' "to $FAR6" 'device veth0' && greet && step '> AUTH PLAIN s3cret-bound\r\n'
	} | talk -u www-data
	refused four six
}

@test "anything but TLS where TLS is due: not_tls" {
	local name
	{
		step 'dialogue command' 'port 465' '> EHLO client.example.net\r\n'
		step 'dialogue rule' 'port 2007' '> EHLO client.example.net\r\n'
		step 'dialogue old-hello' 'port 465' '>x 802e0103010015000000100100800300800700c0'
		step 'dialogue alert' 'port 465' '>x 15030100020228'
		step 'dialogue data' 'port 465' '>x 1703010004deadbeef'
		step 'dialogue nonsense' 'port 465' '>x 1603010040414243444546474849'
		step 'dialogue server-hello' 'port 465' ">x $(server_hello 0303)"
		step 'dialogue binary' '>x 00010203'
		step 'dialogue granted-command' && granted && step '> MAIL FROM:<s3cret-late>\r\n'
		step 'dialogue granted-ehlo' && granted && step '> EHLO client.example.net\r\n'
		step 'dialogue granted-data' && granted && step '>x 1703010004deadbeef'
	} | talk -u www-data
	for name in command rule old-hello alert data nonsense server-hello binary; do
		ended "$name" not_tls
		arrived "$name" ''
	done
	for name in granted-command granted-ehlo granted-data; do
		ended "$name" not_tls
		arrived "$name" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
	nowhere s3cret-late
}

@test "a rule that says starttls has no implicit TLS" {
	{ step 'dialogue implicit' 'port 2001' && hello; } | talk -u www-data
	ended implicit not_tls
	arrived implicit ''
}

@test "application data behind the ClientHello before the server has answered" {
	{
		step 'dialogue early' 'port 465' && hello && step '>x 1703030004deadbeef'
		step 'dialogue in-one' 'port 465' ">x $(client_hello)1703030004deadbeef"
		step 'dialogue plain' 'port 465' && hello && step '> AUTH PLAIN s3cret-early\r\n'
		step 'dialogue given-up' 'port 465' && hello && step '>x 15030100020228'
	} | talk -u www-data
	ended early not_tls
	ended in-one not_tls
	ended plain not_tls
	passed given-up
	nowhere s3cret-early
}

@test "a command in the middle of a ClientHello" {
	local body message
	body=$client_body$(hex $((${#client_extensions} / 2 + 36)) 4)${client_extensions}00150020
	# "\r\nAUTH PLAIN s3cret-in-hello\r\n" and two more, 32 in all
	body+=0d0a4155544820504c41494e207333637265742d696e2d68656c6c6f0d0a0000
	message=01$(hex $((${#body} / 2)) 6)$body
	step 'dialogue hidden' 'port 465' ">x $(in_records 0301 "$message")" | talk -u www-data
	ended hidden not_tls
	nowhere s3cret-in-hello
}

@test "more than a kilobyte before TLS, a ClientHello without an end" {
	local long
	long=$(printf 'x%.0s' {1..1100})
	{
		step 'dialogue line' "> EHLO $long\\r\\n"
		step 'dialogue lines' && greet
		for _ in {1..80}; do
			step '> NOOP 0123456789\r\n' '< 250 ok\r\n'
		done
		step 'dialogue hello' 'port 465' && hello 12000
	} | talk -u www-data
	ended line too_long
	arrived line ''
	ended lines too_long
	ended hello too_long
}

@test "a version that is too old, in the kernel: nothing of the client's follows" {
	local version
	{
		for version in 0301 0302; do
			step "dialogue starttls-$version" 'port 2002' && granted && hello && served "$version"
			step "dialogue implicit-$version" 'port 2002' && hello && served "$version"
		done
		step 'dialogue 0303' 'port 2002' && hello && session 0303
		step 'dialogue 0304' 'port 2002' && granted && hello && session 0304
		step 'dialogue 0303-for-1.3' 'port 2006' && hello && served 0303
		step 'dialogue 0301-anywhere' 'port 465' && hello && session 0301
	} | talk -u www-data
	for version in 0301 0302; do
		ended "starttls-$version" tls_too_old from=server "tls_version=0x$version" tls=starttls
		ended "implicit-$version" tls_too_old from=server "tls_version=0x$version" tls=implicit
	done
	ended 0303-for-1.3 tls_too_old tls_version=0x0303
	passed 0303 0304 0301-anywhere
}

@test "a PROXY header, version 1 and 2: where the rule lets it in, and only there" {
	local v1='PROXY TCP4 198.51.100.7 192.0.2.1 1234 587\r\n'
	local v2=0d0a0d0a000d0a515549540a2111000cc6336407c00002010462024b
	{
		step 'dialogue v1' 'port 2003' "> $v1" && granted && hello && session
		step 'dialogue v2' 'port 2003' ">x $v2" && granted && hello && session
		step 'dialogue v1-implicit' 'port 2003' "> $v1" && hello && session
		step 'dialogue v1-bytes' 'port 2003' 'way bytes' "> $v1" && granted && hello && session
		step 'dialogue v1-not' "> $v1"
		step 'dialogue v2-not' ">x $v2"
		step 'dialogue twice' 'port 2003' "> $v1" "> $v1"
		step 'dialogue v1-then' 'port 2003' "> $v1" '> AUTH PLAIN s3cret-proxied\r\n'
		step 'dialogue v2-then' 'port 2003' ">x $v2" '> MAIL FROM:<s3cret-proxied>\r\n'
	} | talk -u www-data
	passed v1 v2 v1-implicit v1-bytes
	ended v1-not cleartext_command verb=PROXY
	arrived v1-not ''
	refused v2-not
	arrived v2-not ''
	ended twice cleartext_command verb=PROXY
	ended v1-then cleartext_command 'verb=AUTH PLAIN'
	ended v2-then cleartext_command verb=MAIL
	nowhere s3cret-proxied
}

@test "audit: everything arrives, one event says what would have been refused" {
	{
		for port in 2004 2005; do
			step "dialogue auth-$port" "port $port" && greet && ehlo STARTTLS
			step '> AUTH PLAIN AGEAYg==\r\n' '< 235 ok\r\n' '> MAIL FROM:<a@example.net>\r\n' '< 250 ok\r\n'
			step "dialogue tls-$port" "port $port" && granted && hello && session
			step "dialogue injected-$port" "port $port" && starttls && step '> EHLO more\r\n'
		done
	} | talk -u www-data
	for port in 2004 2005; do
		passed "auth-$port" "tls-$port" "injected-$port"
		arrived "auth-$port" 'EHLO\x20client.example.net\r\nAUTH\x20PLAIN\x20AGEAYg==\r\nMAIL\x20FROM:<a@example.net>\r\n'
		told "auth-$port" verdict=audit reason=cleartext_command 'verb=AUTH PLAIN'
		told "injected-$port" verdict=audit reason=starttls_injection
		[ "$(smtpwall events --json | grep '"kind": *"gate"' | grep -c "\"src_port\": *$(field "auth-$port" 6)[,}]")" -eq 1 ]
	done
}

@test "ports that no rule names: nobody looks" {
	{
		step 'dialogue auth' 'port 2600' && greet && step '> AUTH PLAIN AGEAYg==\r\n' '< 235 ok\r\n' '> \r\n\0\xff' '>% 100000'
		for way in zerocopy sendfile splice vmsplice urgent; do
			step "dialogue $way" 'port 2600' "way $way" '> AUTH PLAIN AGEAYg==\r\n'
		done
	} | talk -u www-data
	passed auth zerocopy sendfile splice vmsplice urgent
}

# ---- ways to send ----

@test "write, MSG_MORE, TCP_CORK: TLS passes, AUTH does not" {
	local way
	{
		for way in one hasty more cork; do
			step "dialogue $way-tls" "way $way" && granted && hello && session
			step "dialogue $way-auth" "way $way" && greet && ehlo STARTTLS && step "> AUTH PLAIN s3cret-$way\\r\\n"
		done
	} | talk -u www-data
	for way in one hasty more cork; do
		passed "$way-tls"
		ended "$way-auth" cleartext_command verb='A(UTH( PLAIN)?)?'
	done
	nowhere s3cret-
}

@test "pages that the sender can still change: refused before TLS, and of no concern after it" {
	local way
	{
		for way in zerocopy sendfile splice vmsplice; do
			step "dialogue $way-before" "way $way" '> NOOP s3cret-page\r\n'
			step "dialogue $way-hello" 'port 465' "way $way" && hello
			step "dialogue $way-after" && granted && hello && served 0304 && step '>% 1000' "way $way" '>% 200000'
		done
	} | talk -u www-data
	for way in zerocopy sendfile splice vmsplice; do
		passed "$way-after"
		ended "$way-before" shared_pages
		ended "$way-hello" shared_pages
		arrived "$way-before" ''
	done
	nowhere s3cret-page
}

@test "urgent data: refused before TLS" {
	{
		step 'dialogue verb' 'way urgent' && greet && step '> NOOP s3cret-urgent\r\n'
		step 'dialogue last' && greet && step 'way urgent-last' '> NOOP\r\n'
		step 'dialogue after' && granted && hello && served 0304 && step '>% 1000' 'way urgent' '>% 100'
	} | talk -u www-data
	ended verb malformed
	ended last malformed
	passed after
	nowhere s3cret-urgent
}

@test "data in the SYN" {
	{
		step 'dialogue tls' 'port 465' fast-open && hello && session
		step 'dialogue tls-6' 'port 465' "to $FAR6" fast-open && hello && session
		step 'dialogue starttls' fast-open '> EHLO client.example.net\r\n' && greet && step '< 250 STARTTLS\r\n' \
			'> STARTTLS\r\n' '< 220 ok\r\n' && hello && session
		step 'dialogue auth' fast-open '> AUTH PLAIN s3cret-syn\r\n'
		step 'dialogue auth-6' fast-open "to $FAR6" '> EHLO x\r\nAUTH PLAIN s3cret-syn\r\n'
	} | talk -u www-data
	passed tls tls-6 starttls
	refused auth auth-6
	told auth reason=cleartext_command 'verb=AUTH PLAIN'
	arrived auth ''
	arrived auth-6 ''
	nowhere s3cret-syn
}

@test "super-packets: megabytes of TLS in one write, and sixty kilobytes of a command" {
	{
		step 'dialogue tls' && granted && hello && served 0304 && step '>% 4000000'
		step 'dialogue large-hello' "to $FAR6" 'port 465' && hello 7000 && session
		printf 'dialogue command\n> NOOP s3cret-super %060000d\\r\\nAUTH PLAIN s3cret-super\\r\\n\n' 0
	} | talk -u www-data
	passed tls large-hello
	ended command too_long
	arrived command ''
	nowhere s3cret-super
}

@test "MPTCP, and MPTCP that falls back to TCP" {
	{
		for to in "$SECOND4" "$FAR4" "$FAR6"; do
			step "dialogue tls-$to" mptcp "to $to" && granted && hello && session
			step "dialogue auth-$to" mptcp "to $to" && greet && ehlo STARTTLS && step '>> AUTH PLAIN s3cret-mptcp\r\n'
		done
	} | talk -u www-data
	[ "$(field "tls-$FAR4" 2)" != skipped ] || skip 'no MPTCP in this kernel'
	for to in "$SECOND4" "$FAR4" "$FAR6"; do
		passed "tls-$to"
		# Not waited for: an MPTCP socket tells a minute later that its only subflow is gone.
		arrived "auth-$to" 'EHLO\x20client.example.net\r\n'
		told "auth-$to" verdict=reset reason=cleartext_command 'verb=AUTH PLAIN'
	done
	nowhere s3cret-mptcp
}

# The far side announces a second port, which no rule names; what the gate drops on the first subflow
# would go out by it.
@test "MPTCP: no additional subflow around the gate" {
	in_ns near ip mptcp limits set subflow 2 add_addr_accepted 2 || skip 'ip knows no MPTCP'
	in_ns far ip mptcp limits set subflow 2 add_addr_accepted 2
	in_ns far ip mptcp endpoint add "$SECOND4" port 2600 signal
	{
		step 'dialogue further' mptcp "to $SECOND4" && greet && ehlo STARTTLS
		for _ in {1..40}; do
			step '> NOOP\r\n' '< 250 ok\r\n'
		done
		step '>> AUTH PLAIN s3cret-further\r\n'
	} | talk -u www-data
	in_ns far ip mptcp endpoint flush
	[ "$(field further 2)" != skipped ] || skip 'no MPTCP in this kernel'
	wait_for has_event reason unidentified
	[[ $(last_event reason unidentified) == *'"kind": "connect"'*'"verdict": "reject"'*'"port": 587'* ]]
	told further reason=cleartext_command
	nowhere s3cret-further
}

# ---- what the network does ----

long_dialogues() {
	local way
	for way in one bytes hasty 'split 2'; do
		step "dialogue tls-${way% *}" 'patience 10000' "way $way" && granted && hello 200 && session
		step "dialogue auth-${way% *}" 'patience 10000' "way $way" && greet && ehlo STARTTLS &&
			step '> NOOP one\r\n' '> NOOP two\r\n' '> AUTH PLAIN s3cret-lost\r\n'
	done
}

survive_loss() {
	local way
	long_dialogues | talk -u www-data
	for way in one bytes hasty split; do
		passed "tls-$way"
		ended "auth-$way" cleartext_command
	done
	nowhere s3cret-lost
}

@test "packets of the client are lost behind the gate: what is sent again passes" {
	lose far 'tcp dport 587'
	survive_loss
	were_lost far
}

@test "the same without selective acknowledgements" {
	in_ns near sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_sack'
	in_ns far sh -c 'echo 0 >/proc/sys/net/ipv4/tcp_sack'
	lose far 'tcp dport 587'
	survive_loss
	were_lost far
	in_ns near sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_sack'
	in_ns far sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_sack'
}

@test "packets of the server are lost before the gate: what it sends again passes" {
	lose near 'tcp sport 587'
	survive_loss
	were_lost near
}

@test "segments ahead of what the gate has read: held until the ones before have come" {
	local held
	held=$(status_number gate_held)
	hurry
	{
		for to in "$FAR4" "$FAR6"; do
			step "dialogue tls-$to" "to $to" 'patience 10000' 'way lost' && granted && hello && session
			step "dialogue auth-$to" "to $to" 'patience 10000' 'way lost' && greet && ehlo STARTTLS &&
				step '> NOOP one\r\n' '> AUTH PLAIN s3cret-ahead\r\n'
		done
	} | talk -u root
	for to in "$FAR4" "$FAR6"; do
		passed "tls-$to"
		ended "auth-$to" cleartext_command
	done
	nowhere s3cret-ahead
	[ "$(status_number gate_held)" -gt "$held" ]
}

@test "the same for packets that are lost in the network of this machine" {
	local held
	held=$(status_number gate_held)
	in_ns near nft -f - <<-END 2>/dev/null || skip 'no nft queue in this kernel; the test before this one loses them another way'
		table inet lossy {
			chain out {
				type filter hook output priority raw
				tcp dport 587 tcp flags & (syn | rst) == 0 tcp flags & psh == psh numgen inc mod 5 0 counter queue num 99
			}
		}
	END
	hurry
	survive_loss
	were_lost near
	[ "$(status_number gate_held)" -gt "$held" ]
}

# ---- elsewhere ----

@test "another network namespace: the packets are dropped, whoever can be told" {
	{
		step 'dialogue tls' "to $OTHER4" && granted && hello && session
		step 'dialogue auth' "to $OTHER4" 'patience 2' && greet && ehlo STARTTLS && step '> AUTH PLAIN s3cret-ns\r\n'
		step 'dialogue auth-6' "to $OTHER6" 'patience 2' && greet && ehlo STARTTLS && step '> MAIL FROM:<s3cret-ns>\r\n'
	} | talk -u www-data -n other
	passed tls
	held auth auth-6
	arrived auth 'EHLO\x20client.example.net\r\n'
	told auth verdict=reset reason=cleartext_command 'verb=AUTH PLAIN'
	nowhere s3cret-ns
}

@test "a user namespace, as containers have them" {
	{
		step 'dialogue tls' && granted && hello && session
		step 'dialogue auth' && greet && step '> AUTH PLAIN s3cret-userns\r\n'
	} | client -u www-data -p unshare -- -Ur "$D/talk" "$D/ends/control" "$FAR4" 587 >"$D/talked"
	passed tls
	ended auth cleartext_command user=www-data
	nowhere s3cret-userns
}

@test "counters: connections that came to TLS, and those that were ended" {
	local tls condemned
	tls=$(status_number tls) condemned=$(status_number condemned)
	{
		for n in 1 2 3 4 5; do
			step "dialogue tls-$n" && granted && hello && session
			step "dialogue auth-$n" && greet && step '> AUTH PLAIN s3cret-count\r\n'
		done
	} | talk -u nobody
	refused auth-1 auth-2 auth-3 auth-4 auth-5
	[ "$(status_number tls)" -eq $((tls + 5)) ]
	[ "$(status_number condemned)" -eq $((condemned + 5)) ]
}

# ---- without a daemon ----

@test "without a daemon: nothing arrives, and TLS still passes" {
	daemon_kill KILL
	{
		step 'dialogue tls' && granted && hello && session
		step 'dialogue implicit' 'port 465' "to $FAR6" && hello && session
		step 'dialogue auth' 'patience 2' && greet && ehlo STARTTLS && step '> AUTH PLAIN s3cret-alone\r\n'
		step 'dialogue bytes' 'patience 2' 'way bytes' && greet && step '> RCPT TO:<s3cret-alone>\r\n'
		step 'dialogue old' 'port 2002' 'patience 2' && hello && served 0301
		step 'dialogue injected' 'patience 2' && starttls && step '< 220 ok\r\n250 STARTTLS\r\n'
	} | talk -u www-data
	passed tls implicit
	held auth bytes old injected
	arrived auth 'EHLO\x20client.example.net\r\n'
	arrived bytes R
	nowhere s3cret-alone
	daemon_start
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The attacks on STARTTLS that are known for SMTP: Poddebniak, Ising, Böck and Schinzel, "Why TLS is better
# without STARTTLS" (USENIX Security 2021), and before it CVE-2011-0411. Each ends with its own reason.

load gate

setup_file() {
	gate_up
}

teardown_file() {
	world_down
}

# ---- command injection: what stands behind STARTTLS in clear is taken for what came in TLS ----

@test "command injection, in the segment of STARTTLS" {
	{
		step 'dialogue one' && greet && ehlo STARTTLS && step '> STARTTLS\r\nMAIL FROM:<s3cret-one>\r\n'
		step 'dialogue permitted' && greet && ehlo STARTTLS && step '> STARTTLS\r\nNOOP\r\n'
		step 'dialogue blank' && greet && ehlo STARTTLS && step '> STARTTLS\r\n '
		step 'dialogue newline' && greet && ehlo STARTTLS && step '> STARTTLS\r\n\r\n'
		step 'dialogue hello' && greet && ehlo STARTTLS && step ">x 5354415254544c530d0a$(client_hello)"
		step 'dialogue everything' '> EHLO x\r\nSTARTTLS\r\nEHLO y\r\nAUTH PLAIN s3cret-one\r\n'
	} | talk -u www-data
	ended one starttls_injection verb=MAIL from=client
	ended permitted starttls_injection from=client
	ended blank starttls_injection
	ended newline starttls_injection
	ended hello starttls_injection
	ended everything starttls_injection
	arrived one 'EHLO\x20client.example.net\r\n'
	arrived everything ''
	nowhere s3cret-one
}

@test "command injection, in segments of its own before the answer" {
	{
		step 'dialogue next' && starttls && step '> MAIL FROM:<s3cret-more>\r\n'
		step 'dialogue permitted' && starttls && step '> EHLO again\r\n'
		step 'dialogue bytes' 'way bytes' && greet && ehlo STARTTLS && step '> STARTTLS\r\nRSET\r\n'
		step 'dialogue impatient' && starttls && hello
		step 'dialogue lower' && greet && ehlo STARTTLS && step '> starttls\r\n' '> mail from:<s3cret-more>\r\n'
		step 'dialogue twice' && starttls && step '> STARTTLS\r\n'
	} | talk -u www-data
	for name in next permitted bytes impatient twice; do
		ended "$name" starttls_injection from=client
		arrived "$name" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
	ended lower starttls_injection
	nowhere s3cret-more
}

@test "a STARTTLS that servers may see and the gate must not grant: bare line ends, arguments" {
	{
		step 'dialogue lf' && greet && ehlo STARTTLS && step '> STARTTLS\n' '< 220 ok\r\n' && hello
		step 'dialogue after-lf' && greet && ehlo STARTTLS && step '> NOOP\nSTARTTLS\r\n' '< 250 ok\r\n' '< 220 ok\r\n' && hello
		step 'dialogue cr' && greet && ehlo STARTTLS && step '> NOOP\rSTARTTLS\r\n' '< 250 ok\r\n' '< 220 ok\r\n' && hello
		step 'dialogue inside' && greet && ehlo STARTTLS && step '> NOOP STARTTLS\r\n' '< 220 ok\r\n' && hello
		step 'dialogue longer' && greet && ehlo STARTTLS && step '> STARTTLSX s3cret-start\r\n'
	} | talk -u www-data
	for name in lf after-lf cr inside; do
		[ "$(field "$name" 2)" = refused ]
		[[ $(field "$name" 7) != *'\x16\x03\x01'* ]]
	done
	ended longer cleartext_command
	nowhere s3cret-start
}

# ---- response injection: what stands behind the 220 in clear is taken for what came in TLS ----

@test "response injection, in the segment of the 220" {
	{
		step 'dialogue reply' && starttls && step '< 220 go ahead\r\n250 AUTH PLAIN\r\n'
		step 'dialogue capabilities' && starttls && step '< 220 go ahead\r\n250-x\r\n250 AUTH LOGIN\r\n'
		step 'dialogue part' && starttls && step '< 220 go ahead\r\n2'
		step 'dialogue tls' && starttls && step "<x 32323020676f0d0a$(server_hello 0303)"
	} | talk -u www-data
	for name in reply capabilities part tls; do
		ended "$name" starttls_injection from=server verb=null
	done
}

@test "response injection, in segments of its own" {
	{
		step 'dialogue reply' && granted && step '< 250 AUTH PLAIN\r\n'
		step 'dialogue byte' && granted && step '< 2'
		step 'dialogue error' && granted && step '< 554 no\r\n'
		step 'dialogue bytes' && starttls
		step '< 2' '< 2' '< 0' '<  ' '< o' '< k' '< \r' '< \n' '< 2'
	} | talk -u www-data
	for name in reply byte error bytes; do
		ended "$name" starttls_injection from=server
		arrived "$name" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
}

@test "response injection behind a ClientHello: not TLS" {
	{
		step 'dialogue reply' && granted && hello && step '< 250 AUTH PLAIN\r\n'
		step 'dialogue implicit' 'port 465' && hello && step '< 220 mail.example.net ESMTP\r\n'
		step 'dialogue data' 'port 465' && hello && step '<x 1703030004deadbeef'
		step 'dialogue alert' 'port 465' && hello && step '<x 15030300020228'
	} | talk -u www-data
	ended reply not_tls from=server
	ended implicit not_tls from=server
	ended data not_tls from=server
	passed alert # a server that refuses TLS may say so
}

# ---- stripping ----

stripped() { # NAME CAPABILITY
	step "dialogue $1" && greet && ehlo "$2"
	step '> AUTH PLAIN s3cret-stripped\r\n'
}

@test "stripping: STARTTLS is not offered" {
	{
		stripped absent 'AUTH PLAIN'
		stripped masked XXXXXXXX
		stripped longer STARTTLSX
		stripped inside 'X STARTTLS'
		step 'dialogue single' && greet && step '> EHLO x\r\n' '< 250 mail.example.net\r\n' '> MAIL FROM:<s3cret-stripped>\r\n'
		step 'dialogue refused' && greet && step '> EHLO x\r\n' '< 502 no EHLO\r\n' '> HELO x\r\n' '< 250 ok\r\n' '> MAIL FROM:<s3cret-stripped>\r\n'
		step 'dialogue second' && greet && ehlo STARTTLS && ehlo PIPELINING && step '> MAIL FROM:<s3cret-stripped>\r\n'
	} | talk -u www-data
	for name in absent masked longer inside; do
		ended "$name" starttls_stripped 'verb=AUTH PLAIN' from=client
		arrived "$name" 'EHLO\x20client.example.net\r\n'
	done
	for name in single refused second; do
		ended "$name" starttls_stripped verb=MAIL
	done
	nowhere s3cret-stripped
}

@test "not stripping: STARTTLS is offered in another case, with words behind it, or not asked for" {
	{
		stripped lower starttls
		stripped mixed StartTLS
		stripped words 'STARTTLS required'
		step 'dialogue helo' && greet && step '> HELO x\r\n' '< 250 ok\r\n' '> MAIL FROM:<s3cret-offered>\r\n'
		step 'dialogue unanswered' && greet && step '> EHLO x\r\n' '> MAIL FROM:<s3cret-offered>\r\n'
	} | talk -u www-data
	for name in lower mixed words helo unanswered; do
		ended "$name" cleartext_command
	done
	nowhere s3cret-stripped s3cret-offered
}

@test "stripping: STARTTLS is refused, and the client goes on in clear" {
	{
		for code in 454 502 501 421 250 334; do
			step "dialogue $code" && starttls && step "< $code no\\r\\n" '> MAIL FROM:<s3cret-refused>\r\n'
			step "dialogue hello-$code" && starttls && step "< $code no\\r\\n" && hello
		done
		step 'dialogue again' && starttls && step '< 454 no\r\n' '> RSET\r\n' '< 250 ok\r\n' '> QUIT\r\n' '< 221 bye\r\n'
	} | talk -u www-data
	for code in 454 502 501 421 250 334; do
		ended "$code" cleartext_command verb=MAIL
		ended "hello-$code" not_tls
		arrived "hello-$code" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
	passed again
	nowhere s3cret-refused
}

# ---- answers that clients read differently ----

@test "malformed answers to STARTTLS" {
	local n=0 answer answers=('22O ready' '220x ready' 'ready' '' '22' '2 2 0 ok' '-220 ok' ' 220 ok' '120 ok' '620 ok' '2200 ok'
		'220-a\r\n250 b' '250-a\r\n220 b' '220-a\r\n22O b' '+OK begin TLS' '\0220 ok' '\xff220 ok')
	for answer in "${answers[@]}"; do
		step "dialogue $((n++))" && starttls && step "< $answer\\r\\n"
	done | talk -u www-data
	for ((n = 0; n < ${#answers[@]}; n++)); do
		echo "answer: ${answers[n]}"
		ended "$n" malformed from=server verb=null
		arrived "$n" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
}

@test "answers of several lines, without text, or with a bare line end: TLS may follow, and nothing else" {
	local n=0 answer answers=('220-a\r\n220-b\r\n220 c\r\n' '220\r\n' '220 \r\n' '220 ok\n')
	for answer in "${answers[@]}"; do
		step "dialogue tls-$n" && starttls && step "< $answer" && hello && session
		step "dialogue mail-$n" && starttls && step "< $answer" '> MAIL FROM:<s3cret-lines>\r\n'
		step "dialogue injected-$n" && starttls && step "< ${answer}220 more\\r\\n"
		n=$((n + 1))
	done | talk -u www-data
	for ((n = 0; n < ${#answers[@]}; n++)); do
		echo "answer: ${answers[n]}"
		passed "tls-$n"
		ended "mail-$n" not_tls verb=MAIL
		ended "injected-$n" starttls_injection from=server
	done
	nowhere s3cret-lines
}

@test "an answer without an end: what the client sends meanwhile is injection" {
	{
		step 'dialogue continued' && starttls && step '< 220-go ahead\r\n' && hello
		step 'dialogue unfinished' && starttls && step '< 220 go ahead' && hello
		step 'dialogue mail' && starttls && step '< 220-go ahead\r\n' '> MAIL FROM:<s3cret-unfinished>\r\n'
		step 'dialogue tls' && starttls && step "<x 16030300" && hello
	} | talk -u www-data
	for name in continued unfinished mail tls; do
		ended "$name" starttls_injection from=client
		arrived "$name" 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
	done
	nowhere s3cret-unfinished
}

@test "220 before anybody asked" {
	{
		step 'dialogue greeting' '< 220 mail.example.net ESMTP\r\n220 go ahead\r\n'
		step 'dialogue segments' && greet && step '< 220 go ahead\r\n'
		step 'dialogue ehlo' && greet && step '> EHLO x\r\n' '< 250-x\r\n250 STARTTLS\r\n220 go ahead\r\n'
		step 'dialogue ehlo-segments' && greet && ehlo STARTTLS && step '< 220 go ahead\r\n'
		step 'dialogue other' && greet && step '< 250 ok\r\n'
		step 'dialogue closing' && greet && ehlo STARTTLS && step '< 421 closing\r\n'
	} | talk -u www-data
	for name in greeting segments ehlo ehlo-segments other; do
		ended "$name" starttls_injection from=server verb=null
	done
	passed closing # servers that end a session say so unasked
}

@test "a TLS record before the answer" {
	{
		step 'dialogue record' && starttls && step "<x $(server_hello 0303)0d0a"
		step 'dialogue alert' && starttls && step '<x 150303000202280a'
	} | talk -u www-data
	ended record malformed from=server
	ended alert malformed from=server
}

@test "a server that never stops talking before TLS" {
	local line
	line=$(printf '250-%0996d' 0)
	{
		step 'dialogue replies' && greet && step '> EHLO x\r\n'
		for _ in {1..20}; do
			step "<< $line\\r\\n"
		done
		step end
	} | talk -u www-data
	ended replies too_long from=server
}

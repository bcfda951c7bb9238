#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Split to the bone: every dialogue in clear, cut in every way, has one verdict and one reason, and of the
# command's argument not one byte reaches the other side. One test is one batch, of some hundred
# connections; what the gate made of each is read from `flows`, as repeated events are left out.

load gate

setup_file() {
	gate_up
}

teardown_file() {
	world_down
}

# A command, its argument s3cret, and what of it may come before TLS.
commands=('AUTH PLAIN s3cret' 'auth login s3cret' 'MAIL FROM:<s3cret>' 'RCPT TO:<s3cret>' 'DATA s3cret'
	'BDAT 6 LAST s3cret' 'EXPN s3cret' 'ETRN s3cret' 'XCLIENT NAME=s3cret' 'SEND FROM:<s3cret>' 'HELQ s3cret'
	'STARTTLSX s3cret' ' AUTH PLAIN s3cret' 'NOOPS s3cret' '\r\nAUTH PLAIN s3cret' 'HELP\rAUTH PLAIN s3cret'
	'NOOP\nMAIL FROM:<s3cret>')
may=('' '' '' R '' '' E E '' S HEL STARTTLS '\x20' NOOP '' 'HELP\r' 'NOOP\n')

# Each way to cut a command: in one, in single bytes, with MSG_MORE, and at every place up to its argument.
cuts() { # COMMAND
	local n before
	before=$(printf '%b.' "${1%%s3cret*}")
	step one bytes hasty more cork
	for ((n = 1; n < ${#before}; n++)); do
		step "split $n" "split-more $n"
	done
}

batch() { # PRELUDE: the function that prints what comes before
	local i cut before
	before=$("$1")
	for i in "${!commands[@]}"; do
		while read -r cut; do
			step "dialogue $i/${cut/ /-}" "$before" "way $cut" "> ${commands[i]}\\r\\n"
		done < <(cuts "${commands[i]}")
	done
}

# OPENED SRC_PORT REASON of every connection, the oldest one first: ports are used again.
reasons() {
	smtpwall flows --json | awk '
		function value(key,    at) {
			at = match($0, "\"" key "\": *\"?[^,\"}]*")
			return at ? substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) : ""
		}
		{ port = value("src_port"); opened = value("opened"); reason = value("reason"); gsub(/[ "]/, "", reason); gsub(/[ "]/, "", opened); print opened, port + 0, reason }' | sort
}

# Every dialogue was refused for this reason, with an error at the client. What arrived is what was sent
# before, and of the command at most its permitted beginning; none of it when `nothing-of-it` is given.
one_verdict() { # REASON BEFORE [nothing-of-it]
	reasons >"$D/reasons"
	REASON=$1 BEFORE=$2 MAY=$(step "${may[@]}") NOTHING=${3-} awk -F '\t' '
		BEGIN { before = ENVIRON["BEFORE"]; split(ENVIRON["MAY"], may, "\n") }
		function bad(what) { print what ": " substr($0, 1, 200); wrong++ }
		NR == FNR { split($0, word, " "); reasons[word[2]] = word[3]; next }
		{ n++ }
		$2 != "refused" || $3 != "ECONNABORTED" { bad("NOT ENDED") }
		reasons[$6] != ENVIRON["REASON"] { bad("another reason, " reasons[$6]) }
		{
			rest = substr($7, length(before) + 1)
			split($1, name, "/")
			most = ENVIRON["NOTHING"] ? "" : may[name[1] + 1]
			if (substr($7, 1, length(before)) != before) bad("not what was sent before")
			if (rest != substr(most, 1, length(rest))) bad("ESCAPED")
		}
		END { print n " dialogues"; exit wrong || n < 400 }' "$D/reasons" "$D/talked" >"$D/verdicts" || {
		tail -n 20 "$D/verdicts"
		return 1
	}
	nowhere s3cret
}

nothing() {
	:
}

@test "without a greeting" {
	batch nothing | talk -u www-data
	one_verdict cleartext_command ''
}

offered() {
	greet
	ehlo STARTTLS
}

@test "after an EHLO that was offered STARTTLS" {
	batch offered | talk -u www-data
	one_verdict cleartext_command 'EHLO\x20client.example.net\r\n'
}

not_offered() {
	greet
	ehlo PIPELINING
}

@test "after an EHLO that was not" {
	batch not_offered | talk -u www-data
	one_verdict starttls_stripped 'EHLO\x20client.example.net\r\n'
}

refused_starttls() {
	starttls
	step '< 454 not now\r\n'
}

@test "after a STARTTLS that was refused" {
	batch refused_starttls | talk -u www-data
	one_verdict cleartext_command 'EHLO\x20client.example.net\r\nSTARTTLS\r\n'
}

@test "behind STARTTLS, before the answer" {
	batch starttls | talk -u www-data
	one_verdict starttls_injection 'EHLO\x20client.example.net\r\nSTARTTLS\r\n' nothing-of-it
}

@test "behind the 220" {
	batch granted | talk -u www-data
	one_verdict not_tls 'EHLO\x20client.example.net\r\nSTARTTLS\r\n' nothing-of-it
}

implicit() {
	step 'port 465'
}

@test "where TLS comes first" {
	batch implicit | talk -u www-data
	one_verdict not_tls '' nothing-of-it
}

@test "a ClientHello cut at every place passes; with a byte changed it is refused at every place" {
	local n hello bad
	hello=$(client_hello)
	bad=${hello:0:86}ff${hello:88} # the length of the session id
	# Those that are refused come last: source ports are used again, and the last one's reason counts.
	{
		for ((n = 1; n < ${#hello} / 2; n += 3)); do
			step "dialogue tls-$n" 'port 465' "way split $n" ">x $hello" '>x 15030100020228'
		done
		for ((n = 1; n < ${#hello} / 2; n += 3)); do
			step "dialogue not-$n" 'port 465' "way split $n" ">x $bad"
		done
	} | talk -u www-data
	reasons >"$D/reasons"
	[ "$(grep -c '^tls-' "$D/talked")" -gt 100 ]
	[ "$(grep -c '^tls-' "$D/talked")" -eq "$(grep -c $'^tls-[0-9]*\tpassed\t' "$D/talked")" ]
	[ "$(grep -c '^not-' "$D/talked")" -eq "$(grep -c $'^not-[0-9]*\trefused\tECONNABORTED\t' "$D/talked")" ]
	grep '^not-' "$D/talked" | awk -F '\t' '
		NR == FNR { split($0, word, " "); reasons[word[2]] = word[3]; next }
		reasons[$6] != "not_tls" { print; wrong++ }
		END { exit wrong }' "$D/reasons" -
}

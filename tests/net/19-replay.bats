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

# ---- dialogues ----

# What a dialogue does is one line: steps with | between them, of which some stand for others.
dialogues() {
	cat <<-'END'
		587|granted|hello|session 0304
		587|granted|hello 4000|session 0303
		587|granted|hello 200 50 0303|session 0302
		2525|hello|session 0304
		465|hello|session 0304
		465|hello|session 0301
		2002|hello|served 0301
		2002|granted|hello|served 0302
		2002|granted|hello|session 0303
		2006|granted|hello|served 0303
		2001|hello
		2007|granted
		2004|hello|session
		2004|greet|ehlo STARTTLS|> AUTH PLAIN AGEAYg==\r\n
		2005|greet|> MAIL FROM:<a@example.net>\r\n
		465|> EHLO x\r\n
		465|greet
		465|>x 802e0103010015000000100100800300800700c0
		465|>x 15030100020228
		465|>x 1603010040414243444546474849
		465|hello|>x 1703030004deadbeef
		465|hello|>x 15030100020228
		465|hello|< 220 mail.example.net ESMTP\r\n
		465|hello|<x 1703030004deadbeef
		465|hello|<x 15030300020228
		465|hello 12000
		587|greet|ehlo STARTTLS|> AUTH PLAIN AGEAYg==\r\n
		587|greet|ehlo STARTTLS|> auth login\r\n
		587|greet|ehlo STARTTLS|> AUTH XOAUTH2 x\r\n
		587|greet|ehlo PIPELINING|> MAIL FROM:<a@example.net>\r\n
		587|greet|ehlo PIPELINING|> EHLO again\r\n|< 250 STARTTLS\r\n|> RCPT TO:<a>\r\n
		587|greet|> HELO x\r\n|< 250 ok\r\n|> NOOP\r\n|< 250 ok\r\n|> DATA\r\n
		587|greet|> EHLO x\r\n|> BDAT 3\r\nabc
		587|greet|ehlo STARTTLS|> STARTTLS\r\nEHLO x\r\n
		587|starttls|> RSET\r\n
		587|starttls|hello
		587|starttls|< 220 ok\r\n250 more\r\n
		587|granted|< 250 more\r\n
		587|granted|> MAIL FROM:<a@example.net>\r\n
		587|granted|hello|< 250 more\r\n
		587|starttls|< 454 no\r\n|> QUIT\r\n|< 221 bye\r\n
		587|starttls|< 454 no\r\n|> STARTTLS\r\n|< 220 now\r\n|hello|session
		587|starttls|< 454 no\r\n|> VRFY x\r\n
		587|starttls|< 454 no\r\n|hello
		587|starttls|< 22O ready\r\n
		587|starttls|< 220-a\r\n220 b\r\n|hello|session
		587|starttls|< 220-a\r\n250 b\r\n
		587|starttls|< 220-a\r\n|hello
		587|starttls|<x 15030300020228
		587|greet|< 220 go ahead\r\n
		587|greet|ehlo STARTTLS|< 421 closing\r\n
		587|greet|ehlo STARTTLS|> STARTTLS\n|< 220 ok\r\n|hello
		587|greet|> \r\n
		587|greet|> s3cretverb\r\n
		587|greet|> R|> SET\r\n
		587|greet|> R|> CPT TO:<a>\r\n
		587|> EHLO x\r\nNOOP\r\n\tMAIL FROM:<a>\r\n
		587|> EHLO x\r\nHELP\rAUTH PLAIN a\r\n
		587|>x 00010203
		2003|> PROXY TCP4 198.51.100.7 192.0.2.1 1234 587\r\n|granted|hello|session
		2003|>x 0d0a0d0a000d0a515549540a2111000cc6336407c00002010462024b|hello|session
		2003|> PROXY TCP4 nonsense
		587|> PROXY TCP4 198.51.100.7 192.0.2.1 1234 587\r\n
		2003|> PROXY UNKNOWN\r\n|> AUTH PLAIN a\r\n
	END
}

# Each of them, in this way and to this address.
play() { # WAY [STEP...]
	local way=$1 line steps one n=0
	shift
	while IFS= read -r line; do
		IFS='|' read -r -a steps <<<"$line"
		step "dialogue ${way// /-}/$((++n))" "port ${steps[0]}" "$@" "way $way"
		for one in "${steps[@]:1}"; do
			case $one in
			['<>']*) step "$one" ;;
			*) eval "$one" | sed '/^way /d' ;; # on in the same way
			esac
		done
	done < <(dialogues)
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

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What scenarios of the gate share: dialogues that are played byte for byte (tools/talk.c), and what
# came of each of them. The far side's end is in the world's far namespace, outside the guarded cgroup;
# what is said to have arrived was read there, and $D/ends/wire has what the wire brought, whether or
# not a socket took it.

load lib

# ---- TLS ----

# A ClientHello that OpenSSL takes: from its version to its compression methods, and its extensions (SNI
# mail.example.net).
client_body="
03036540cd78b51dcfc879fc5d8fb2f1115f4d49e7a0d122aba409a51ce0c8d1bb5520a0217f1831fe1b8632ef4a1fff
018a5c8cab6c61cb46e62f38e96109347014f7003e130213031301c02cc030009fcca9cca8ccaac02bc02f009ec024c0
28006bc023c0270067c00ac0140039c009c0130033009d009c003d003c0035002f00ff0100
"
client_extensions="
0000001500130000106d61696c2e6578616d706c652e6e6574000b000403000102000a00160014001d0017001e001900
1801000101010201030104002300000016000000170000000d002a0028040305030603080708080809080a080b080408
050806040105010601030303010302040205020602002b0009080304030303020301002d00020101003300260024001d
0020ef33ba2caadb51ba18b268367186b0f6ac3b725b2e49dc9f4e6dd944748be156
"
client_body=${client_body//[!0-9a-f]/}
client_extensions=${client_extensions//[!0-9a-f]/}

hex() { # NUMBER DIGITS
	printf "%0$2x" "$1"
}

zeros() { # BYTES
	printf "%0$((2 * $1))d" 0
}

# A handshake message in records of at most so many bytes.
in_records() { # VERSION MESSAGE [BYTES]
	local message=$2 size=$((2 * ${3:-16384})) part
	while [ -n "$message" ]; do
		part=${message:0:size}
		printf '16%s%s%s' "$1" "$(hex $((${#part} / 2)) 4)" "$part"
		message=${message:size}
	done
}

# A ClientHello that offers TLS 1.0 to 1.3, with an extension of padding to make it larger.
client_hello() { # [PADDING [BYTES-OF-A-RECORD [RECORD-VERSION]]]
	local extensions=$client_extensions body
	[ "${1:-0}" -eq 0 ] || extensions+=0015$(hex "$1" 4)$(zeros "$1")
	body=$client_body$(hex $((${#extensions} / 2)) 4)$extensions
	in_records "${3:-0301}" "01$(hex $((${#body} / 2)) 6)$body" "${2:-16384}"
}

# A ServerHello that chose VERSION: 0301 to 0304.
server_hello() { # VERSION
	local random session extensions body version=$1
	random=$(printf '5a%.0s' {1..32})
	session=$(printf 'a5%.0s' {1..32})
	if [ "$1" = 0304 ]; then
		version=0303
		extensions=002b0002030400330024001d0020$random
		body=$version${random}20${session}130100$(hex $((${#extensions} / 2)) 4)$extensions
	else
		body=$version${random}00c01300
	fi
	in_records "$version" "02$(hex $((${#body} / 2)) 6)$body"
}

# ---- the world ----

gate_policy() {
	cat <<-END
		mode enforce
		host {
		    port 465, 587, 2525 {
		        require tls
		    }
		    port 2001 {
		        require tls starttls
		    }
		    port 2002 {
		        require tls 1.2
		    }
		    port 2003 {
		        require tls proxy
		    }
		    port 2004 {
		        audit
		    }
		    port 2005 {
		        mode audit
		        require tls
		    }
		    port 2006 {
		        require tls 1.3
		    }
		    port 2007 {
		        require tls implicit
		    }
		}
	END
}

gate_up() {
	local port ports=()
	[ -x "$TOOLS/talk" ] || skip "$TOOLS/talk is not built"
	world_up
	install -m 755 "$TOOLS"/{talk,answer} "$D/"
	mkdir "$D/ends"
	# What was sent is acknowledged at once, so that nobody waits for the other.
	in_ns far ip route change 192.0.2.0/24 dev veth0 quickack 1
	# 2600 is a port that no rule names.
	for port in 465 587 2525 2600 {2001..2007}; do
		ports+=("$FAR4" "$port" "$FAR6" "$port" "$OTHER4" "$port" "$OTHER6" "$port")
	done
	start far "$D/answer.out" "$D/answer" "$D/ends" "${ports[@]}" -m "$SECOND4" 587
	wait_for test -S "$D/ends/control"
	gate_policy | policy
	daemon_start
	control
}

# Plays the script on standard input, to FAR4 port 587 where it says nothing else.
talk() { # OPTIONS of client
	client -p "$D/talk" "$@" "$D/ends/control" "$FAR4" 587 >"$D/talked"
}

# ---- parts of scripts ----

step() { # LINE...
	printf '%s\n' "$@"
}

greet() {
	step '< 220 mail.example.net ESMTP\r\n'
}

ehlo() { # CAPABILITY: of two lines, the second one
	step '> EHLO client.example.net\r\n' "< 250-mail.example.net\\r\\n250 $1\\r\\n"
}

starttls() {
	greet
	ehlo STARTTLS
	step '> STARTTLS\r\n'
}

granted() {
	starttls
	step '< 220 go ahead\r\n'
}

hello() { # as client_hello
	step ">x $(client_hello "$@")"
}

served() { # VERSION
	step "<x $(server_hello "$1")"
}

# TLS as it goes on: what it is, nobody looks at any more.
session() { # [VERSION]
	served "${1:-0304}"
	step 'way one' '>% 20000' '<x 17030300050102030405'
}

# ---- many dialogues ----

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

# Each as a script in a file of its own, once: what writes it calls many small programs.
write_dialogues() {
	local line steps one n=0
	mkdir "$D/dialogues"
	while IFS= read -r line; do
		IFS='|' read -r -a steps <<<"$line"
		n=$((n + 1))
		for one in "port ${steps[0]}" "${steps[@]:1}"; do
			case $one in
			port* | ['<>']*) step "$one" ;;
			*) eval "$one" ;;
			esac
		done | sed '/^way /d' >"$D/dialogues/$(printf '%03d' $n)" # on in the same way
	done < <(dialogues)
}

# From the FIRST to the LAST of them, under the names NAME1, NAME2 and so on, with these settings.
play_dialogues() { # FIRST LAST NAME SETTING...
	local files=("$D"/dialogues/*)
	awk -v name="$3" -v settings="$(step "${@:4}")" \
		'FNR == 1 { print "dialogue " name ++n; print settings } { print }' "${files[@]:$1-1:$2-$1+1}"
}

# ---- what the network does ----

# Packets are sent again after milliseconds, so that losing many of them takes a second.
hurry() {
	in_ns near ip route change 192.0.2.0/24 dev veth0 rto_min 5ms quickack 1
	in_ns far ip route change 192.0.2.0/24 dev veth0 rto_min 5ms quickack 1
}

lose() { # NS PACKETS: every fifth one of these that comes in
	in_ns "$1" nft -f - <<-END || skip 'no nft, or no numgen in this kernel'
		table inet lossy {
			chain in {
				type filter hook prerouting priority raw
				$2 tcp flags & (syn | rst) == 0 numgen inc mod 5 0 counter drop
			}
		}
	END
	hurry
}

were_lost() { # NS
	in_ns "$1" nft list ruleset | grep -qE 'counter packets [1-9]'
}

lose_no_more() {
	in_ns far nft flush ruleset 2>/dev/null || true
	in_ns near nft flush ruleset 2>/dev/null || true
}

# ---- what came of it ----

field() { # NAME NUMBER
	awk -F '\t' -v name="$1" -v n="$2" '$1 == name { print $n }' "$D/talked"
}

show_talked() {
	cut -c 1-300 "$D/talked"
}

passed() { # NAME...
	local name
	for name; do
		[ "$(field "$name" 2)" = passed ] || {
			echo "expected that $name passes:"
			show_talked
			return 1
		}
	done
}

# The client had an error at once, from the daemon. The bound is only there to tell it from a time-out.
refused() { # NAME...
	local name
	for name; do
		[ "$(field "$name" 2) $(field "$name" 3)" = 'refused ECONNABORTED' ] || {
			echo "NOT ENDED: expected that $name is refused:"
			show_talked
			return 1
		}
		[ "$(field "$name" 5)" -lt 10000000 ] || {
			echo "LATE: $(field "$name" 5) us"
			return 1
		}
	done
}

# Sent again and again, and never arrived.
held() { # NAME...
	local name
	for name; do
		[ "$(field "$name" 2)" = held ] || {
			echo "ESCAPED: expected that $name is held:"
			show_talked
			return 1
		}
	done
}

arrived() { # NAME BYTES: these and no other
	[ "$(field "$1" 7)" = "$2" ] || {
		echo "ESCAPED: of $1 the far side has"
		field "$1" 7
		return 1
	}
}

# A word of a dialogue that must not be seen anywhere on the other side.
nowhere() { # WORD...
	local word
	barrier
	for word; do
		! grep -aqF "$word" "$D/ends/wire" || {
			echo "ESCAPED: $word was on the wire"
			return 1
		}
	done
	[ -s "$D/ends/wire" ] # it is not that nothing is written down
}

event_of() { # NAME: the newest event of the gate about its connection
	local port
	port=$(field "$1" 6)
	smtpwall events --json | awk -v port="\"src_port\": *${port}[,}]" '
		/"kind": *"gate"/ && $0 ~ port { last = $0 }
		END { if (last) print last }'
}

find_event() { # NAME: sets $event
	event=$(event_of "$1")
	[ -n "$event" ]
}

# The event of a dialogue says so: words are KEY=VALUE. With few programs called: each takes its time in
# an emulated machine.
told() { # NAME WORD...
	local name=$1 event='' word said
	shift
	wait_for find_event "$name" || {
		echo "no event of $name"
		return 1
	}
	for word; do
		said="\"${word%%=*}\": *\"?${word#*=}\"?[,}]"
		[[ $event =~ $said ]] || {
			echo "expected $word of $name: $event"
			return 1
		}
	done
}

# Refused at the client, for this reason.
ended() { # NAME REASON [WORD...]
	local name=$1 reason=$2
	shift 2
	refused "$name"
	told "$name" verdict=reset "reason=$reason" "$@"
}

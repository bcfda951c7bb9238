#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck disable=SC2154 # lib.bash
#
# Where events go: the file of JSON lines under rotation, a full disk and names made to deceive; and the
# journal of a real systemd-journald, which is stopped, gone and back again.
#
# The daemon and journald see a /run of their own in a mount namespace that a sleeping process holds; so
# nothing reaches the journal of the machine, and nothing of it is seen.

load lib

setup_file() {
	world_up
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow from user mail
		        reject "Port 25 is closed here."
		    }
		}
	END
	mkdir "$D/log" "$D/here"
	house_up
	[ -n "$(missing_for_journal)" ] || journald_start
	sinks_start
}

teardown_file() {
	[ ! -f "$D/journald.pid" ] || kill -CONT "$(cat "$D/journald.pid")" 2>/dev/null || true
	world_down
}

missing_for_journal() {
	[ -x /lib/systemd/systemd-journald ] || echo "systemd-journald is not installed"
	command -v journalctl >/dev/null || echo "journalctl is not installed"
	[ -s /etc/machine-id ] || echo "/etc/machine-id is missing"
}

needs_journal() {
	local problem
	problem=$(missing_for_journal)
	[ -z "$problem" ] || skip "$problem"
}

# ---- the house of the daemon and journald ----

# shellcheck disable=SC2016 # for the inner shell
house_up() {
	mkdir "$D/run-outside"
	echo 5a4f2d0c9b8e4712a3c6d1e0f9b8a7c6 >"$D/machine-id"
	printf '[Journal]\nStorage=volatile\nRateLimitIntervalSec=0\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\n' \
		>"$D/journald.conf"
	start near "$D/house.log" unshare --mount --propagation private bash -c '
		set -e
		mount --rbind /run "$0/run-outside"
		mount -t tmpfs tmpfs /run
		mkdir -p /run/netns /run/systemd/journal /run/log/journal
		mount --rbind "$0/run-outside/netns" /run/netns
		[ ! -f /etc/machine-id ] || mount --bind "$0/machine-id" /etc/machine-id
		[ ! -f /etc/systemd/journald.conf ] || mount --bind "$0/journald.conf" /etc/systemd/journald.conf
		touch "$0/house"
		exec sleep infinity' "$D"
	echo "$started" >"$D/house.pid"
	wait_for test -e "$D/house"
}

in_house() {
	nsenter --mount="/proc/$(cat "$D/house.pid")/ns/mnt" "$@"
}

journald_start() {
	start near "$D/journald.log" nsenter --mount="/proc/$(cat "$D/house.pid")/ns/mnt" /lib/systemd/systemd-journald
	echo "$started" >"$D/journald.pid"
	wait_for journald_listens
}

journald_listens() {
	in_house python3 -c 'import socket
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).connect("/run/systemd/journal/socket")' 2>/dev/null
}

journald_end() {
	kill -TERM "$(cat "$D/journald.pid")"
	wait_for dead "$(cat "$D/journald.pid")"
}

journal() { # journalctl's options: what is there, one JSON object a line
	in_house journalctl --directory=/run/log/journal --quiet --no-pager --all -o json "$@"
}

journal_count() { # MATCH...
	journal "$@" | wc -l
}

journal_has() { # COUNT MATCH...
	[ "$(journal_count "${@:2}")" -eq "$1" ]
}

sinks_start() { # OPTIONS
	local program=$SW_BUILD/smtpwalld
	# What lib.bash starts as the daemon is one that lives in the house.
	mkdir -p "$D/build"
	printf '#!/bin/sh\nexec nsenter --mount=/proc/%s/ns/mnt "%s" "$@"\n' "$(cat "$D/house.pid")" "$program" \
		>"$D/build/smtpwalld"
	chmod 755 "$D/build/smtpwalld"
	ln -sf "$SW_BUILD/smtpwall" "$D/build/smtpwall"
	SW_BUILD=$D/build daemon_start --store-size 0 --journal --json-file "$D/log/events.json" "$@"
}

# The file begins anew behind what there is; $before is the last id.
fresh() {
	all_written json
	before=$(last_id)
	before=${before:-0}
	rm -f "$D"/log/*
	kill -HUP "$(daemon_pid)"
	wait_for test -e "$D/log/events.json"
}

# ---- what a sink says of itself ----

sink_member() { # SINK MEMBER
	smtpwall status --json | grep -o "{\"sink\": *\"$1\"[^}]*}" |
		sed -n "s/.*\"$2\": *\(\"\([^\"]*\)\"\|\([^,}]*\)\).*/\2\3/p"
}

# shellcheck disable=SC2053 # a pattern
sink_says() { # SINK PATTERN: its problem fits
	[[ $(sink_member "$1" problem) == $2 ]]
}

sink_is_at() { # SINK ID
	[ "$(sink_member "$1" position)" -ge "$2" ]
}

last_id() {
	smtpwall events --json --last 1 | sed -n 's/.*"id": *\([0-9]*\).*/\1/p'
}

all_written() { # SINK: up to the last event there is
	local last
	last=$(last_id)
	wait_for sink_is_at "$1" "${last:-0}"
}

refused() { # OPTIONS: one connect
	attempt -u www-data "$@" connect "$FAR4" 25 >/dev/null || true
}

# As many, each by another user, so that the flood limiter lets all of them be told.
many_refused() { # COUNT OPTIONS
	client "${@:2}" "$TOOLS/storm" "$FAR4" 25 "$1" 1 "$1" >/dev/null
}

event_lines() {
	python3 "$top/tests/net/tools/event_lines.py" "$@"
}

# Oldest first: events.json.9 ... events.json.1 events.json
rotated() {
	find "$D/log" -name 'events.json*' | sort -t . -k 3 -n -r
}

# ---- JSON ----

@test "an event is a line: one object, as \`events --json\` shows it" {
	local line
	refused
	all_written json
	line=$(tail -n 1 "$D/log/events.json")
	[ "$(python3 -c 'import json, sys; print(json.loads(sys.argv[1]) == json.loads(sys.argv[2]))' \
		"$line" "$(smtpwall events --json --last 1)")" = True ]
	[[ $line == *'"user":"www-data"'* ]]
	[ "$(stat -c %a "$D/log/events.json")" = 640 ]
}

@test "with --json-format ecs it is an event of the Elastic Common Schema; a full disk holds up nothing else" {
	mkdir -p "$D/small"
	in_house mount -t tmpfs -o size=64k tmpfs "$D/small"
	daemon_kill TERM
	sinks_start --json-file "$D/small/events.json" --json-format ecs
	many_refused 5
	all_written json
	in_house sh -c 'head -c 1m /dev/zero >"$0/fill" 2>/dev/null || true' "$D/small"
	# The last page of the file has room yet.
	wait_for fill_up
	wait_for sink_says json "*$D/small/events.json*No space left*make room*"
	in_house tail -c 2 "$D/small/events.json" | cmp - <(echo '}')
	run smtpwall status
	[[ $output == *"No space left"* ]]
	expect_refused -u www-data connect "$FAR4" 25
	in_house rm "$D/small/fill"
	all_written json
	wait_for sink_says json null
	in_house cat "$D/small/events.json" >"$D/small.json"
	[ "$(event_lines "$D/small.json")" = "$(last_id) 1 $(last_id) 0" ]
	[ "$(sink_member json lost)" -eq 0 ]
	python3 - "$D/small.json" <<-'END'
		import json, sys
		for line in open(sys.argv[1]):
		    event = json.loads(line)
		    assert event["event"]["kind"] == "alert", line
		    assert event["event"]["type"] == ["connection", "denied"], line
		    assert event["event"]["action"] == "connect-refused", line
		    assert "outcome" not in event["event"], line
		    assert event["destination"] == {"ip": "192.0.2.2", "port": 25}, line
		    assert event["user"]["id"] == str(int(event["user"]["id"])), line
	END
	daemon_kill TERM
	rm -f "$D"/log/*
	sinks_start
}

fill_up() {
	many_refused 5
	sink_says json "*No space left*"
}

# ---- load ----

grown() { # FROM: more events than that
	[ "$(($(last_id) + 0))" -gt "$1" ]
}

logrotate_config() { # LINE...
	{
		printf '%s {\n\trotate 90\n\tsize 1\n' "$D/log/events.json"
		printf '\t%s\n' "$@"
		printf '}\n'
	} >"$D/logrotate.conf"
}

# Ends with as many older files as asked for; $events is how many events the kernel has counted meanwhile.
# shellcheck disable=SC2016,SC2034 # for the inner shell; load_stop reads load_pids
rotate_under_load() { # COUNT
	local n counted
	fresh
	counted=$(status_number events)
	rm -f "$D/stop"
	client_exec bash -c 'until [ -e "$0" ]; do "$1" "$2" 25 500 1 50; done' \
		"$D/stop" "$TOOLS/storm" "$FAR4" >/dev/null 2>&1 &
	load_pids=($!)
	remember $!
	for ((n = 0; n < $1; n++)); do
		wait_for grown "$(($(last_id) + 5))"
		logrotate --force --state "$D/logrotate.state" "$D/logrotate.conf" 3>&- 4>&-
	done
	load_stop
	all_written json
	events=$(($(status_number events) - counted))
}

@test "logrotate renames the file under load, with and without SIGHUP: no line is lost, doubled or torn" {
	local way
	command -v logrotate >/dev/null || skip "logrotate is not installed"
	for way in create nocreate; do
		case $way in
		create) logrotate_config "create 0640 root root" ;; # as the manual has it
		*) logrotate_config nocreate postrotate "	kill -HUP $(daemon_pid)" endscript ;;
		esac
		rotate_under_load 5
		[ "$(rotated | wc -l)" -eq 6 ]
		# shellcheck disable=SC2046 # words are wanted
		[ "$(event_lines $(rotated))" = "$events $((before + 1)) $((before + events)) 0" ]
	done
	[ "$(sink_member json lost)" -eq 0 ]
}

@test "logrotate copies and truncates: what is in the files is whole, and only a seam may have a gap" {
	local count first last missing
	command -v logrotate >/dev/null || skip "logrotate is not installed"
	logrotate_config copytruncate
	rotate_under_load 5
	# shellcheck disable=SC2046 # words are wanted
	read -r count first last missing < <(event_lines --cut $(rotated))
	[ "$first" -eq $((before + 1)) ]
	[ "$last" -eq $((before + events)) ]
	[ $((count + missing)) -eq "$events" ]
	# The file that is written on holds no half line.
	event_lines "$D/log/events.json"
}

# ---- the journal ----

@test "the journal has native fields, and a MESSAGE_ID to select by" {
	needs_journal
	local connects=MESSAGE_ID=cb6ff406428e48a79e28916a61dabe08
	local sessions=MESSAGE_ID=43e4080d61ae4ef898d4be6f9e0cacc9
	local php=SMTPWALL_CGROUP=/clients/php.service
	refused -c clients/php.service
	all_written journal
	wait_for journal_has 1 "$connects" "$php"
	journal "$connects" "$php" >"$D/entry"
	python3 - "$D/entry" "$(id -u www-data)" "$(daemon_pid)" <<-'END'
		import json, sys
		entry = json.loads(open(sys.argv[1]).read())
		wanted = {
		    "SYSLOG_IDENTIFIER": "smtpwalld", "PRIORITY": "4", "_PID": sys.argv[3],
		    "SMTPWALL_KIND": "connect", "SMTPWALL_VERDICT": "reject",
		    "SMTPWALL_REASON": "not_permitted", "SMTPWALL_SCOPE": "host",
		    "SMTPWALL_RULE": "2", "SMTPWALL_LINE": "5", "SMTPWALL_DST": "192.0.2.2",
		    "SMTPWALL_DST_PORT": "25", "SMTPWALL_USER": "www-data",
		    "SMTPWALL_UID": sys.argv[2], "SMTPWALL_COMM": "try",
		    "SMTPWALL_TEXT": "Port 25 is closed here.",
		}
		for name, value in wanted.items():
		    assert entry.get(name) == value, (name, entry.get(name))
		assert "www-data" in entry["MESSAGE"] and "port 25" in entry["MESSAGE"], entry["MESSAGE"]
		assert int(entry["SMTPWALL_PID"]) > 1
		assert "SMTPWALL_SRC" not in entry and "SMTPWALL_TLS" not in entry
	END
	# A session that ended is another kind, and nothing to warn of.
	attempt -u mail connect "$FAR4" 25
	wait_for journal_has 1 "$sessions" SMTPWALL_USER=mail PRIORITY=6
}

# A refused program's own unit shows it. The unit is the topmost part of the path that is no slice.
@test "journalctl -u of the refused program's unit shows the refusal" {
	needs_journal
	refused -c web.service
	all_written journal
	wait_for journal_has 1 OBJECT_SYSTEMD_UNIT=web.service _UID=0
	[ "$(journal_count -u web.service)" -eq 1 ]
}

@test "each event is in the journal once, also when journald was away" {
	needs_journal
	local away=SMTPWALL_CGROUP=/clients/away lost
	lost=$(sink_member journal lost)
	refused -c clients/away
	all_written journal
	journald_end
	many_refused 3 -c clients/away
	wait_for sink_says journal '*is systemd-journald running?'
	run smtpwall status
	[[ $output == *"journald"* ]]
	# And where not even its socket is there, which libsystemd passes over.
	in_house rm -f /run/systemd/journal/socket
	many_refused 3 -c clients/away
	wait_for sink_says journal '*No such file*'
	journald_start
	all_written journal
	wait_for journal_has 7 "$away"
	refused -c clients/back
	wait_for journal_has 1 SMTPWALL_CGROUP=/clients/back
	journal_has 7 "$away"
	[ "$(journal "$away" | grep -o '"SMTPWALL_ID":"[0-9]*"' | sort -u | wc -l)" -eq 7 ]
	[ "$(sink_member journal lost)" -eq "$lost" ]
}

# The queue of its socket holds a few datagrams (net.unix.max_dgram_qlen), then a send waits.
@test "a journald that does not read holds up neither the other sink nor the end of the daemon" {
	needs_journal
	local journald queue
	journald=$(cat "$D/journald.pid")
	queue=$(($(cat /proc/sys/net/unix/max_dgram_qlen) + 20))
	# While the daemon stands still as well its events come together: a batch that is sent in part.
	kill -STOP "$journald" "$(daemon_pid)"
	many_refused "$queue" -c clients/stopped
	kill -CONT "$(daemon_pid)"
	wait_for sink_says journal '*has read nothing for 2 s*'
	all_written json
	kill -CONT "$journald"
	all_written journal
	# Entries come in order: when this one is there, all before it are.
	refused -c clients/after
	wait_for journal_has 1 SMTPWALL_CGROUP=/clients/after
	journal_has "$queue" SMTPWALL_CGROUP=/clients/stopped
	kill -STOP "$journald"
	many_refused "$queue"
	wait_for sink_says journal '*has read nothing for 2 s*'
	daemon_kill TERM
	kill -CONT "$journald"
	rm -f "$D"/log/*
	sinks_start
}

# ---- names made to deceive ----

# A program's file, so its comm and its path, and a cgroup, named by somebody who knows our sinks.
deceive() { # NAME CGROUP
	local name=$1
	mkdir -p "$D/evil"
	cp "$D/try" "$D/evil/$name"
	client -u www-data -c "$2" "$D/evil/$name" connect "$FAR4" 25 >/dev/null || true
}

@test "a newline, an ANSI escape or a forged field in a name does no harm in any sink" {
	local names=(
		$'x\nMESSAGE=forged\nSMTPWALL_VERDICT=allow\n'
		$'\nMESSAGE=forged\n'
		$'\e[31mred\e]0;title\a'
		$'\x9b2J\xc2\x9b2J\xff\xfe'
		$'"},{"verdict":"allow","kind":"forged"}'
		$'\\"}\r{"verdict":"allow"}'
		$'a] b="c" [forged@1 x="y"]'
		$'<0>kernel: forged %s%n'
		$'\xe2\x80\xaegnp.exe\xe2\x80\xa8next'
	) name n
	n=${#names[@]}
	fresh
	: >"$D/daemon.log"
	for name in "${names[@]}"; do
		deceive "$name" $'clients/\e[2Jc"} ]MESSAGE=forged'
	done
	all_written json
	[ "$(event_lines "$D/log/events.json")" = "$n $((before + 1)) $((before + n)) 0" ]
	run grep -c '"verdict":"reject"' "$D/log/events.json"
	[ "$output" -eq "$n" ]
	run ! grep '"kind":"forged"' "$D/log/events.json"
	# What the daemon says on standard output: a line for each.
	wait_for daemon_said "$n"
	run ! grep -aP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]' "$D/daemon.log"
	[ "$(grep -c 'refused  ' "$D/daemon.log")" -eq "$n" ]
	run ! grep -v 'refused  .*/evil/' <(grep -a forged "$D/daemon.log")
	[ -z "$(missing_for_journal)" ] || return 0
	all_written journal
	wait_for journal_has "$n" "_PID=$(daemon_pid)" SMTPWALL_VERDICT=reject
	journal_has "$n" "_PID=$(daemon_pid)"
	journal "_PID=$(daemon_pid)" >"$D/entries"
	python3 - "$D/entries" <<-'END'
		import json, sys, unicodedata
		for line in open(sys.argv[1]):
		    entry = json.loads(line)
		    for name, value in entry.items():
		        # Twice the same field would be a list, and so would be bytes that are no text.
		        assert isinstance(value, str), (name, value)
		        assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl") for c in value), (name, value)
		    assert entry["MESSAGE"].startswith("refused "), entry["MESSAGE"]
		    assert "/evil/" in entry["SMTPWALL_EXE"], entry
		    assert "forged" in entry["SMTPWALL_CGROUP"], entry
	END
}

daemon_said() { # COUNT
	[ "$(grep -c 'refused  ' "$D/daemon.log")" -ge "$1" ]
}

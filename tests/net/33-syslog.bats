#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Events at a real collector, rsyslog, over each transport: all of them, with all their facts, also when
# either side is killed, and none that did not happen. The truth is what rsyslog wrote, held against the
# audit store.
# shellcheck disable=SC2154,SC2030,SC2031 # lib.bash; $status belongs to each test

load lib
load syslog

setup_file() {
	local tool
	for tool in rsyslogd openssl /usr/bin/python3 ss; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	compgen -G "/usr/lib/*/rsyslog/lmnsd_ossl.so" >/dev/null || skip "rsyslog-openssl is not installed"
	world_up
	install -m 755 "$TOOLS/storm" "$D/"
	syslog_certificates
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        audit from user nobody
		        reject "Port 25 is closed here."
		    }
		}
	END
}

teardown_file() {
	world_down
}

# Each test has a store, and a position, of its own.
setup() {
	rm -rf "$D/state" "$D/collected"
	mkdir "$D/state"
}

teardown() {
	local pid
	pid=$(daemon_pid)
	[ ! -s "$D/daemon.pid" ] || dead "$pid" || daemon_kill KILL
	[ -z "${collector-}" ] || dead "$collector" || collector_end KILL
}

storm() { # PER_SECOND SECONDS
	run client "$D/storm" "$FAR4" 25 "$1" "$2" 100000
	echo "$output"
	[[ $output == "refused "*" other 0 "* ]]
}

storm_start() { # PER_SECOND SECONDS: in the background
	(client_exec "$D/storm" "$FAR4" 25 "$1" "$2" 100000) >"$D/storm.out" 2>&1 3>&- 4>&- &
	storming=$!
	remember $storming
}

storm_end() {
	wait_for dead "$storming"
	cat "$D/storm.out"
	grep -q '^refused [1-9][0-9]* other 0 ' "$D/storm.out"
}

# A few events of each kind that there is without mail servers.
few_events() {
	expect_refused -u www-data connect "$FAR4" 25
	expect_refused -u mail connect "$FAR6" 25
	expect_connected -u nobody connect "$FAR4" 25
	storm 200 1
	wait_for has_stored 200
}

over() { # KIND TARGET OPTIONS
	local kind=$1 target=$2
	shift 2
	collector_start "$kind"
	daemon_start --syslog "$target" "$@"
	few_events
	compare
	daemon_kill TERM
	# Whatever came at the last moment is there as well, and nothing twice.
	run -0 "$top/tests/net/tools/compare_syslog.py" "$D/state/events.db" "$D/collected"
	[[ $output == *" missing 0 doubles 0 cut 0" ]]
	collector_end TERM
}

@test "over a Unix datagram socket" {
	over unix "unix:$D/log"
}

@test "over a Unix stream socket" {
	over stream "unix:$D/log"
}

@test "over TCP, IPv4 and IPv6" {
	over tcp "tcp:$FAR4:514"
	rm -r "$D/state" "$D/collected" && mkdir "$D/state"
	over tcp "tcp:[$FAR6]"
}

@test "over TLS, each side showing a certificate; by name and by address" {
	local files=(--syslog-ca "$D/certificates/ca.pem" --syslog-cert "$D/certificates/client.pem"
		--syslog-key "$D/certificates/client.key")
	over tls "tls:$FAR4" "${files[@]}" --syslog-name collector.example.org
	rm -r "$D/state" "$D/collected" && mkdir "$D/state"
	over tls "tls:[$FAR6]:6514" "${files[@]}"
}

nothing_was_sent() { # WORDS OPTIONS: and status says why
	local words=$1
	shift
	daemon_start --syslog "tls:$FAR4" "$@"
	expect_refused -u www-data connect "$FAR4" 25
	wait_for has_stored 1
	wait_for problem_has "$words"
	[ ! -s "$D/collected" ]
	run smtpwall status
	[[ $output == *"$words"* ]]
	daemon_kill TERM
	rm -r "$D/state" && mkdir "$D/state"
}

problem_has() { # WORDS
	[[ $(syslog_state problem) == *"$1"* ]]
}

@test "a certificate that does not hold: nothing is sent, and status says why" {
	collector_start tls
	nothing_was_sent "certificate does not hold: hostname mismatch" --syslog-ca "$D/certificates/ca.pem" \
		--syslog-name other.example.org
	nothing_was_sent "certificate does not hold: IP address mismatch" --syslog-ca "$D/certificates/ca.pem"
	nothing_was_sent "certificate does not hold: " --syslog-ca "$D/certificates/stranger.pem" \
		--syslog-name collector.example.org
}

@test "a collector that was away gets everything that happened meanwhile" {
	daemon_start --syslog "tcp:$FAR4:514"
	storm 1000 2
	wait_for problem_has "no connection to tcp:$FAR4:514: Connection refused"
	[ "$(syslog_state written)" -eq 0 ]
	# Also over a restart of the daemon.
	daemon_kill TERM
	daemon_start --syslog "tcp:$FAR4:514"
	expect_refused -u www-data connect "$FAR4" 25
	wait_for has_stored 2001
	collector_start tcp
	compare
	[ "$(syslog_state lost)" -eq 0 ]
}

# What it has taken but not read dies with it.
kill_collector_with_unread() {
	local at
	kill -STOP "$collector"
	at=$(syslog_state position)
	wait_for syslog_is_at $((at + 500))
	collector_end KILL
}

survives_collector() { # KIND TARGET OPTIONS
	local kind=$1 target=$2 before
	shift 2
	collector_start "$kind"
	daemon_start --syslog "$target" "$@"
	storm_start 1000 3
	wait_for has_collected 500
	kill_collector_with_unread
	before=$(collected)
	collector_start "$kind"
	wait_for has_collected $((before + 500))
	collector_end KILL
	collector_start "$kind"
	storm_end
	compare
	[ "$(syslog_state retries)" -ge 2 ]
}

@test "a collector that is killed loses nothing for good: TCP" {
	survives_collector tcp "tcp:$FAR4:514"
}

@test "a collector that is killed loses nothing for good: TLS" {
	survives_collector tls "tls:$FAR4" --syslog-ca "$D/certificates/ca.pem" --syslog-name collector.example.org \
		--syslog-cert "$D/certificates/client.pem" --syslog-key "$D/certificates/client.key"
}

@test "a daemon that is killed sends the rest when it is back" {
	collector_start tcp
	daemon_start --syslog "tcp:$FAR4:514"
	storm_start 1000 3
	wait_for has_collected 500
	daemon_kill KILL
	daemon_start --syslog "tcp:$FAR4:514"
	wait_for has_collected 2000
	daemon_kill KILL
	daemon_start --syslog "tcp:$FAR4:514"
	storm_end
	compare
}

@test "a program's name forges no message" {
	local names before name
	names=("x] forged" 'x" id="9999"] <20>1 - - - - - -' 'back\slash\]' $'line\n<20>1 2026-01-01T00:00:00Z h a - M - forged'
		$'esc\e[2J\a' $'bad\xff\xfe' 'ümlaut')
	collector_start tcp
	daemon_start --syslog "tcp:$FAR4:514"
	for name in "${names[@]}"; do
		install -m 755 "$TOOLS/try" "$D/$name"
		run client -u www-data -p "$D/$name" connect "$FAR4" 25
		[[ ${lines[-1]} == "refused EACCES "* ]]
	done
	wait_for has_stored ${#names[@]}
	before=$(stored)
	compare
	[ "$(cat "$D/compared")" = "store $before arrived $before missing 0 doubles 0 cut 0" ]
}

@test "options that do not go together, and files that are not there, are refused" {
	local options
	while read -r options; do
		# shellcheck disable=SC2046,SC2086 # words are wanted
		run timeout 60 nsenter --net="/run/netns/$ID-near" "$SW_BUILD/smtpwalld" $(daemon_options) \
			--policy "$D/policy" ${options%%=*}
		echo "$output"
		[ "$status" -ne 0 ] && [[ $output == *"${options#*=}"* ]]
	done <<-END
		--syslog udp:$FAR4:514=is no target
		--syslog tcp:$FAR4:0=port from 1 to 65535
		--syslog tls:$FAR4 --syslog-ca $D/nothing=$D/nothing
		--syslog tls:$FAR4 --syslog-key $D/certificates/client.key=needs --syslog-cert
		--syslog tls:$FAR4 --syslog-cert $D/certificates/client.pem --syslog-key $D/certificates/ca.key=$D/certificates/ca.key
		--syslog tcp:$FAR4 --syslog-ca $D/certificates/ca.pem=for tls: targets
		--syslog tcp:$FAR4 --store-size 0=audit store
	END
}

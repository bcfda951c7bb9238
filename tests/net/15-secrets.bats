#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A password is sent in clear in every place that tools/send_secret.py knows. Afterwards neither it nor
# its base64 is anywhere that smtpwall writes or shows, nor in the daemon's memory, nor in its core.
#
# shellcheck disable=SC2154,SC2030,SC2031 # lib.bash, tls.bash; $status belongs to each test

load lib
load servers
load tls

setup_file() {
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "aiosmtpd is not installed"
	servers_get
	world_up
	servers_start aiosmtpd
	policy <<-END
		mode enforce
		host {
		    port 465, 587, 2525 {
		        require tls
		    }
		}
	END
	# Where a core would be written, if the daemon leaves one.
	mkdir -m 777 "$D/cores"
	cd "$D/cores" || return 1
	ulimit -c unlimited
	daemon_start
}

teardown_file() {
	world_down
}

ways=(plain login verb argument hello hello-465 broken-465 twice-465)

find_secret() { # files|process ...
	"$top/tests/net/tools/find_secret.py" "$account" "$password" "$@"
}

send() { # WAY FAMILY
	run client -u www-data timeout 120 "$top/tests/net/tools/send_secret.py" "$1" "$("far$2" aiosmtpd)" "$account" "$password"
	echo "$*: $output"
	[ "$status" -eq 0 ]
}

@test "the search finds what there is to find: memory, files, base64" {
	local holder
	bash -c 'read -r line <"$0"' "$(mkfifo "$D/never" && echo "$D/never")" "$password" 3>&- 4>&- &
	holder=$!
	remember $holder
	wait_for grep -qs "$password" "/proc/$holder/cmdline"
	run -1 find_secret process $holder
	[[ $output == *"memory [stack]"* ]]
	kill $holder
	mkdir "$D/planted"
	printf 'x%s' "$password" | base64 >"$D/planted/one"
	run -1 find_secret files "$D/planted"
	[[ $output == *planted/one* ]]
}

@test "what was sent in clear is refused" {
	local way
	for way in "${ways[@]}"; do
		send "$way" 4
		send "$way" 6
	done
	# Two that the gate took for TLS: what OpenSSL does not take was told before their sockets ended.
	smtpwall status | grep -qE '^ *2  connections that inspection ended'
}

@test "the password is in nothing that is written or shown" {
	mkdir -p "$D/shown"
	smtpwall events --json >"$D/shown/events.json"
	smtpwall events >"$D/shown/events"
	smtpwall flows --json >"$D/shown/flows.json"
	smtpwall flows >"$D/shown/flows"
	smtpwall status --json >"$D/shown/status.json"
	smtpwall rules --json >"$D/shown/rules.json"
	grep -q '"verb": "AUTH PLAIN"' "$D/shown/events.json"
	run find_secret files "$D/shown" "$D/run" "$D/state" "$D/daemon.log" "$D/policy"
	echo "$output"
	[ "$status" -eq 0 ]
}

# The sanitizers keep memory that was given back, write no cores, and the daemon is dumpable beside them.
not_sanitized() {
	[ "$SW_BUILD" = "${SW_BUILD%-sanitize}" ] || skip "sanitizers use memory of their own"
}

not_in_memory() {
	run --separate-stderr find_secret process "$(daemon_pid)"
	echo "$output"
	echo "$stderr"
	[ "$status" -eq 0 ]
	# Of the mappings that could not be searched none is the daemon's own.
	run ! grep -vE '^unreadable \[(vvar|vvar_vclock|vsyscall)\] ' <<<"$stderr"
}

@test "the password is not in the daemon's memory" {
	not_sanitized
	not_in_memory
}

shown_as_tls() { # COUNT
	[ "$(smtpwall flows --json | grep -c '"state_words": "TLS 1.3, mail.example.net"')" -ge "$1" ]
}

@test "what stood in permitted commands before TLS is not in the daemon's memory either" {
	not_sanitized
	send argument-tls 4
	send argument-tls 6
	wait_for shown_as_tls 2
	not_in_memory
}

@test "the password is in no core of the daemon" {
	local victim pid
	not_sanitized
	pid=$(daemon_pid)
	grep -q '^Max core file size  *unlimited' "/proc/$pid/limits"
	# Does this machine write cores here at all?
	[[ $(cat /proc/sys/kernel/core_pattern) != [/\|]* ]] || skip "cores do not go to the working folder"
	(cd "$D/cores" && ulimit -c unlimited && exec bash -c 'read -r line <"$0"' "$D/never" "$password" 3>&- 4>&-) &
	victim=$!
	remember $victim
	wait_for grep -qs "$password" "/proc/$victim/cmdline"
	kill -ABRT $victim
	wait $victim || true
	run -1 find_secret files "$D/cores"
	rm -f "$D"/cores/core*
	kill -ABRT "$pid"
	wait_for dead "$pid"
	find "$D/cores" "$D/run" "$D/state" -name 'core*' -ls
	run -0 find_secret files "$D/cores" "$D/run" "$D/state"
	daemon_start
	run -0 find_secret process "$(daemon_pid)"
	run -0 find_secret files "$D/run" "$D/state" "$D/daemon.log"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is wrong with a policy or on the control socket is told and refused; nothing crashes, and
# others are served meanwhile.

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
	daemon_start
	mkdir "$D/bad"
	head -c 20000 /dev/urandom >"$D/bad/random"
	head -c 100M /dev/zero | tr '\0' 'a' >"$D/bad/large-word"
	yes '# a line of a hundred MiB' | head -c 100M >"$D/bad/large-lines" || true
	truncate -s 100M "$D/bad/large-nuls"
	mkdir "$D/bad/folder"
	printf 'mode enforce\0\nhost {\n port 25 { reject }\n}\n' >"$D/bad/nul"
	: >"$D/bad/empty"
	printf 'mode enforce\n\xff\xfe\xfd\n' >"$D/bad/not-utf8"
	printf 'mode enforce\nhost {\n\tport 25 {\n\t\tallow from user "no such user"\n\t\treject\n\t}\n}\n' >"$D/bad/user"
	printf 'mode enforce\nhost {\n\tport 25 {\n\t\tallow from group nosuchgroup\n\t\treject\n\t}\n}\n' >"$D/bad/group"
	printf 'mode enforce\nhost {\n\tport 25 {\n\t\tallow from unit "no/such unit"\n\t\treject\n\t}\n}\n' >"$D/bad/unit"
	printf 'mode enforce\nnet n = file "%s"\nhost {\n\tport 25 {\n\t\tallow to n\n\t\treject\n\t}\n}\n' \
		/nonexistent/list >"$D/bad/list"
	{ printf 'mode enforce\n' && head -c 3000000 /dev/zero | tr '\0' '{'; } >"$D/bad/braces"
}

teardown_file() {
	world_down
}

setup() {
	control=$D/run/control
	before=$(generation)
}

# The daemon lives, answers, and nothing has changed.
unharmed() {
	alive "$(daemon_pid)"
	[ "$(generation)" = "$before" ]
}

@test "every prefix of every shipped policy, byte by byte" {
	# shellcheck disable=SC2154 # lib.bash
	run "$TOOLS/prefixes" "$top"/policies/*
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == tried* ]]
}

@test "prefixes of shipped policies through the command: status 0 or 1 and a place" {
	local file size n
	# shellcheck disable=SC2154
	for file in "$top"/policies/*; do
		size=$(wc -c <"$file")
		for ((n = 1; n < size; n += size / 7)); do
			head -c "$n" "$file" >"$D/prefix"
			run "$SW_BUILD/smtpwall" check "$D/prefix"
			echo "$file, $n bytes: $status $output"
			[ "$status" -le 1 ]
			[ "$status" -eq 0 ] || [[ $output == *"$D/prefix:"*"error: "* ]]
		done
	done
}

@test "random bytes and random words" {
	run "$TOOLS/prefixes" random 20000
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "check: large, binary, not a file, names that are not there: a diagnostic and status 1" {
	local file
	for file in "$D"/bad/* "$D/bad/is-not-there" /dev/zero; do
		run timeout 60 "$SW_BUILD/smtpwall" check "$file"
		echo "$file: $status ${output:0:300}"
		[ "$status" -eq 1 ]
		[[ $output == *"$file"*"error: "* ]]
		# Nothing of the file reaches the terminal as it is.
		run ! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' <<<"$output"
	done
}

@test "fmt and why: the same files, the same answer" {
	local file
	for file in "$D"/bad/{random,large-nuls,folder,nul,braces}; do
		run -1 timeout 60 "$SW_BUILD/smtpwall" fmt "$file"
		run -1 timeout 60 "$SW_BUILD/smtpwall" why --port 25 --policy "$file"
	done
}

@test "apply: the same files are refused and the policy in force stays" {
	local file
	for file in "$D"/bad/*; do
		run timeout 60 "$SW_BUILD/smtpwall" --run-dir "$D/run" apply "$file"
		echo "$file: $status ${output:0:300}"
		[ "$status" -eq 1 ]
	done
	unharmed
}

@test "apply by somebody who does not check first: the daemon refuses them as well" {
	local file
	for file in "$D"/bad/*; do
		run timeout 60 "$D/peers" apply "$control" "$file" "$D/bad"
		echo "$file: ${output:0:300}"
		[[ $output == *'"status": 1'* || $output == *'"status":1'* ]]
	done
	unharmed
}

@test "a serve block that asks for what no client has is refused whole, by the command and by the daemon" {
	local block
	for block in 'allow from user mail' 'redirect 127.0.0.1:25' 'reject "No." answer'; do
		printf 'mode enforce\nhost { port 25 { reject "x" } }\nserve { port 25 {\n%s\nreject } }\n' "$block" >"$D/later"
		run "$SW_BUILD/smtpwall" --run-dir "$D/run" apply "$D/later"
		echo "$status $output"
		[ "$status" -eq 1 ]
		[[ $output == *"$D/later:4:"*'error: '* ]]
		run timeout 60 "$D/peers" apply "$control" "$D/later" "$D"
		echo "$output"
		[[ $output == *'"status": 1'* || $output == *'"status":1'* ]]
		unharmed
	done
}

@test "a unit that does not exist here is a warning with a place" {
	printf 'mode enforce\nhost {\n\tport 25 {\n\t\tallow from unit "no-such-unit-here.service"\n\t\treject\n\t}\n}\n' \
		>"$D/warned"
	run "$SW_BUILD/smtpwall" check "$D/warned"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$D/warned:4:"*"warning: "*"no-such-unit-here.service"* ]]
}

@test "an interface that is not here is a warning with a place, one that is here or may come is none" {
	printf 'mode enforce\nedge "veth0", "lo", "lna0", "lna*" {\n\tport 25 {\n\t\treject\n\t}\n}\n' >"$D/warned"
	run -0 in_ns near "$SW_BUILD/smtpwall" check "$D/warned"
	echo "$output"
	[ "$(grep -c 'warning: ' <<<"$output")" -eq 1 ]
	[[ $output == *"$D/warned:2:21: warning: there is no such interface here now"* ]]
}

# ---- the control socket ----

frame() { # TEXT, its length before it
	printf '%b%s' "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' 0 0 $((${#1} / 256)) $((${#1} % 256)))" "$1"
}

send() { # standard input goes to the daemon
	timeout 60 "$D/peers" send "$control"
}

@test "garbage, empty, oversized and half messages: the daemon goes on" {
	local n
	for n in 1 3 4 5 1000 100000 5000000; do
		head -c "$n" /dev/urandom | send
		unharmed
	done
	printf '\0\0\0\0' | send
	printf '\xff\xff\xff\xff' | send
	{ printf '\x7f\xff\xff\xff' && head -c 10M /dev/zero; } | send
	printf '\0\0\0\x40{"request": "sta' | send
	printf '\0\0' | send
	printf '' | send
	unharmed
}

@test "messages that are no requests get an answer or are closed, none harms" {
	local text
	for text in '{' '[]' '1' 'null' '""' '{}' '{"request": 5}' '{"request": "nonsense"}' \
		'{"request": "status", "request": "stop"}x' '{"request": "apply"}' \
		'{"request": "apply", "path": 7, "confirm": "x"}' \
		'{"request": "apply", "path": "/etc/passwd", "confirm": -1}' \
		'{"request": "why"}' '{"request": "why", "port": -1}' '{"request": "why", "port": 1e300}' \
		'{"request": "why", "port": 25, "groups": "x"}' '{"request": "why", "port": 25, "to": "nowhere"}' \
		'{"request": "events", "last": -5}' '{"request": "events", "since": "yesterday"}' \
		'{"request": "stop", "detach": "yes"}' \
		"{\"request\": \"why\", \"port\": 25, \"exe\": \"$(head -c 5000 /dev/zero | tr '\0' a)\"}" \
		"$(head -c 60000 /dev/zero | tr '\0' '[')"; do
		run send < <(frame "$text")
		echo "${text:0:60}: $output"
		[[ $output == closed* ]]
		unharmed
	done
}

idle_peers() { # idle|half
	local out=$D/peers.out
	rm -f "$out" "$D/line"
	mkfifo "$D/line"
	"$D/peers" "$1" "$control" 100 <"$D/line" >"$out" 2>&1 3>&- 4>&- &
	remember $!
	exec 8>"$D/line"
	wait_for grep -q '^idle' "$out"
	cat "$out"
}

@test "a hundred idle peers: others are still served" {
	idle_peers idle
	timeout 30 "$SW_BUILD/smtpwall" --run-dir "$D/run" status >/dev/null
	timeout 30 "$SW_BUILD/smtpwall" --run-dir "$D/run" rules >/dev/null
	timeout 30 "$SW_BUILD/smtpwall" --run-dir "$D/run" apply "$D/policy" >/dev/null
	exec 8>&-
	unharmed
}

@test "a hundred peers that have sent half a message: others are still served" {
	idle_peers half
	timeout 30 "$SW_BUILD/smtpwall" --run-dir "$D/run" status >/dev/null
	timeout 30 "$SW_BUILD/smtpwall" --run-dir "$D/run" why --port 25 --user mail >/dev/null
	exec 8>&-
	unharmed
}

@test "two thousand peers that come and go: descriptors do not run out" {
	"$D/peers" flood "$control" 2000
	smtpwall status >/dev/null
	unharmed
}

@test "who may ask: nobody but root and the socket's group" {
	run client -u www-data "$SW_BUILD/smtpwall" --run-dir "$D/run" status
	echo "$status $output"
	[ "$status" -eq 1 ]
	run client -u www-data "$SW_BUILD/smtpwall" --run-dir "$D/run" stop --detach
	echo "$status $output"
	[ "$status" -eq 1 ]
	unharmed
}

@test "after all that it still refuses" {
	mark
	expect_refused -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR4" 25
	run ! grep -iE 'sanitizer|assert|abort|segfault' "$D/daemon.log"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The command against a running daemon: what it prints, for people and as JSON, its exit codes, and
# who is answered.
# shellcheck disable=SC2154 # lib.bash

load lib

setup_file() {
	world_up
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow to local
		        allow from user mail
		        reject "Port 25 is closed here."
		    }
		    port 2525 {
		        mode audit
		        reject
		    }
		}
	END
	cp "$D/policy" "$D/policy.good"
	sed 's/user mail/user nobody/' "$D/policy" >"$D/other"
	printf 'mode enforce\nhost {\n    port 25 {\n        allow from nobody-knows\n    }\n}\n' >"$D/broken"
	daemon_start
	control
}

teardown_file() {
	world_down
}

setup() {
	cp "$D/policy.good" "$D/policy"
	daemon_answers || daemon_start
	smtpwall confirm >/dev/null 2>&1 || true
	smtpwall apply "$D/policy" >/dev/null
}

# Evaluates an expression over the object on standard input; the object is `d`.
json() { # EXPRESSION
	python3 -c 'import json, sys
lines = sys.stdin.read().splitlines()
assert len(lines) == 1, "not one line: %d" % len(lines)
d = json.loads(lines[0])
assert eval(sys.argv[1]), json.dumps(d, indent=1)' "$1"
}

smtpwall_json() { # EXPRESSION COMMAND...
	local expression=$1
	shift
	smtpwall "$@" --json | json "$expression"
}

reader() { # GROUP COMMAND...: as nobody, with this group besides
	local group=$1
	shift
	setpriv --reuid nobody --regid nogroup --groups "$group" "$D/smtpwall" --run-dir "$D/run" "$@"
}

@test "status: what runs, what is in force, hooks, counters" {
	run -0 smtpwall status
	[[ $output == *"process $(daemon_pid)"* ]]
	[[ $output == *"policy    $D/policy"* ]]
	[[ $output == *"mode      mixed"* ]]
	[[ $output == *egress*attached* ]]
	[[ $output == *"events lost for want of room"* ]]
	run ! grep -E 'NOT ATTACHED|problem' <<<"$output"
	smtpwall_json "d['pid'] == $(daemon_pid) and d['enforcing'] and d['mode'] == 'mixed'" status
	smtpwall_json "d['policy']['path'] == '$D/policy' and d['policy']['rules'] == 4" status
	smtpwall_json "len(d['hooks']) == 7 and all(h['attached'] for h in d['hooks'])" status
	run -0 smtpwall status --json
	json "' '.join(d['counters']) == 'connect allowed refused redirected audited unidentified \
packet_dropped existing events suppressed lost \
tls condemned gate_dropped gate_held samples samples_lost sessions serve_connect serve_allowed \
serve_refused serve_audited serve_tls serve_condemned serve_dropped serve_held elsewhere taken pretended'" <<<"$output"
	smtpwall_json "'status' not in d and d['problems'] == [] and 'confirm_before' not in d" status
	smtpwall_json "len(d['since']) == 27 and d['since'][-1] == 'Z'" status
}

@test "rules: line, hits, and which only record" {
	local before
	before=$(smtpwall rules --json | grep -o '"hits": *[0-9]*' | sed -n 3p | grep -o '[0-9]*$')
	expect_refused -u www-data connect "$FAR4" 25
	run -0 smtpwall rules
	[[ $output == *"$D/policy, generation $(generation)"* ]]
	[[ $output == *"   3     6 "*' reject "Port 25 is closed here."'* ]]
	[[ $output == *"   4    10 "*" (only recorded) reject"* ]]
	smtpwall_json "d['rules'][2]['hits'] == $before + 1" rules
	smtpwall_json "[r['audit'] for r in d['rules']] == [False, False, False, True]" rules
	smtpwall_json "[r['line'] for r in d['rules']] == [4, 5, 6, 10]" rules
}

@test "apply: text, JSON, unchanged, refused" {
	local before
	before=$(generation)
	run -0 smtpwall apply "$D/policy"
	[[ $output == *"$D/policy was already in force: generation $before"* ]]
	run -0 smtpwall apply "$D/other"
	[[ $output == *"$D/other is in force: generation $((before + 1))"* ]]
	[[ $output == *"allow from user nobody"*"(only recorded) reject"* ]]
	smtpwall_json "d['generation'] > $before + 1 and not d['unchanged'] and d['existing'] == []" apply "$D/policy"
	smtpwall_json "d['unchanged']" apply "$D/policy"
	before=$(generation)
	run -1 smtpwall apply "$D/broken"
	[[ $output == *"$D/broken:4:20: error:"*"the policy in force stays"* ]]
	run -1 smtpwall apply --json "$D/broken"
	json "d['error'] and [4, 20] in [[x['line'], x['column']] for x in d['diagnostics']]" <<<"${lines[-1]}"
	[ "$(generation)" = "$before" ]
}

@test "apply from standard input: it is not said to be a file" {
	run -0 smtpwall apply - <"$D/other"
	[[ $output == *"<stdin> is in force"* ]]
	smtpwall_json "d['policy']['path'] == '<stdin>'" status
	run -0 smtpwall why --port 25 --user nobody
	expect_refused -u mail connect "$FAR4" 25
}

@test "a list that changed makes the same text another policy" {
	local before
	echo "$FAR4" >"$D/list"
	printf 'mode enforce\nnet n = { file "list" }\nhost {\n port 25 {\n allow to n\n reject\n }\n}\n' >"$D/listed"
	smtpwall apply "$D/listed"
	before=$(generation)
	expect_connected -u www-data connect "$FAR4" 25
	echo 203.0.113.77 >"$D/list"
	smtpwall apply "$D/listed"
	[ "$(generation)" -gt "$before" ]
	expect_refused -u www-data connect "$FAR4" 25
}

@test "confirm: nothing else is applied meanwhile, and it stays when confirmed" {
	run -1 smtpwall confirm
	[[ $output == *"no policy waits to be confirmed"* ]]
	run -0 smtpwall apply "$D/other" --confirm 600
	[[ $output == *"the policy before comes back, unless you run: smtpwall --run-dir $D/run confirm"* ]]
	run -0 smtpwall status
	[[ $output == *"then the policy before comes back"* ]]
	smtpwall_json "d['confirm_before']" status
	run -1 smtpwall apply "$D/policy"
	[[ $output == *"waits to be confirmed"* ]]
	run -1 smtpwall apply --json "$D/policy"
	json "'waits to be confirmed' in d['error']" <<<"${lines[-1]}"
	smtpwall_json "d['generation'] == $(generation)" confirm
	smtpwall_json "'confirm_before' not in d" status
	expect_connected -u nobody connect "$FAR4" 25
	run -1 smtpwall confirm
}

@test "rollback: back, and forth again" {
	local before
	before=$(generation)
	smtpwall apply "$D/other" --confirm 600
	run -0 smtpwall rollback
	[[ $output == "$D/policy is in force again: generation $before." ]]
	smtpwall_json "'confirm_before' not in d" status
	expect_connected -u mail connect "$FAR4" 25
	smtpwall_json "d['path'] == '$D/other' and d['generation'] == $before + 1" rollback
	expect_refused -u mail connect "$FAR4" 25
}

@test "a fault of the policy file is over when the file is applied" {
	cp "$D/broken" "$D/policy"
	kill -HUP "$(daemon_pid)"
	wait_for file_is_faulty
	cp "$D/policy.good" "$D/policy"
	smtpwall apply "$D/policy"
	run ! file_is_faulty
}

file_is_faulty() {
	smtpwall status | grep -q "problem.*$D/policy could not be loaded; what is in force is older"
}

@test "why: by the policy in force, for a process, by a file" {
	local pid
	run -1 smtpwall why --port 25 --user www-data
	[[ $output == *'refused at once with "Permission denied"'*"rule      3, line 6: reject"* ]]
	run -0 smtpwall why --port 25 --user mail
	[[ $output == *"would be allowed"*"rule      2, line 5"* ]]
	run -0 smtpwall why --port 2525 --user mail
	[[ $output == *"allowed and recorded; it would be refused if the mode were enforce"* ]]
	run -0 smtpwall why --port 2600
	[[ $output == *"no host block names this port"* ]]
	(client_exec -u mail -c mta.service sleep 600 >/dev/null 2>&1 3>&- 4>&-) &
	pid=$!
	remember "$pid"
	wait_for is_program "$pid" sleep
	run -0 smtpwall why --port 25 --pid "$pid"
	[[ $output == *"(mail)"*"unit      mta.service"*"line 5"* ]]
	smtpwall_json "d['query']['unit'] == 'mta.service' and d['query']['uid'] == $(uid_of mail)" \
		why --port 25 --pid "$pid"
	run -1 smtpwall why --port 25 --pid "$pid" --user www-data
	kill "$pid"
	run -0 smtpwall why --port 25 --pid $$
	[[ $output == *"the process is not guarded"*"outside the guarded one"* ]]
	run -0 smtpwall why --port 25 --user nobody --policy "$D/other"
	run -1 smtpwall why --port 25 --policy "$D/broken"
}

is_program() { # PID NAME
	[ "$(cat "/proc/$1/comm")" = "$2" ]
}

@test "why answers alike from the daemon and from the file" {
	local address outside
	for address in 0.0.0.0 :: 127.0.0.9 ::ffff:127.0.0.1 2001:db8:77::77; do
		smtpwall why --json --port 25 --to "$address" >"$D/asked" || true
		smtpwall why --json --port 25 --to "$address" --policy "$D/policy" >"$D/read" || true
		diff "$D/asked" "$D/read"
	done
	# Also when nothing is asked, as the process is outside.
	outside=$(smtpwall why --json --port 25 --pid $$)
	json "set(d) - {'outside'} == set(json.load(open('$D/asked')))" <<<"$outside"
}

@test "events: text, JSON, --since, --last" {
	local from
	from=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
	expect_refused -u www-data connect "$FAR4" 25
	expect_refused -u nobody connect "$FAR6" 25
	wait_for has_event user nobody
	run -0 smtpwall events --since "$from"
	[ ${#lines[@]} -eq 2 ]
	[[ ${lines[0]} == *"refused       25 -> $FAR4        www-data $D/try (clients) line 6 not_permitted" ]]
	run -0 smtpwall events --since "$from" --last 1
	[[ $output == *"-> $FAR6    nobody "* ]]
	smtpwall_json "d['user'] == 'nobody' and d['line'] == 6 and d['text'] == 'Port 25 is closed here.'" events --last 1
	run -0 smtpwall events --last 0
	[ -z "$output" ]
	run -0 smtpwall events --since 2100-01-01T00:00:00Z
	[ -z "$output" ]
	run -0 smtpwall events --since 1h
	[ ${#lines[@]} -ge 2 ]
	run -2 smtpwall events --since yesterday
}

@test "events: in a flood the next one says how many were left out, and the counters are exact" {
	local refused suppressed events
	refused=$(status_number refused) suppressed=$(status_number suppressed) events=$(status_number events)
	rm -f "$D/stop" && mkdir -p "$D/progress" && chmod 1777 "$D/progress"
	client_exec -u games "$D/try" flood "$FAR4" 25 "$D/stop" "$D/progress/games" >"$D/load.games" 2>&1 3>&- 4>&- &
	remember $!
	wait_for suppressed_more_than "$suppressed"
	touch "$D/stop"
	wait $!
	wait_for next_says_how_many
	run -0 smtpwall events
	grep -q ' games .*(and [0-9]* like it before)$' <<<"$output"
	refused=$(($(status_number refused) - refused))
	[ "$refused" -ge "$(sed -n 's/^total //p' "$D/load.games")" ]
	[ "$refused" -eq $(($(status_number suppressed) - suppressed + $(status_number events) - events)) ]
}

suppressed_more_than() { # COUNT
	[ "$(status_number suppressed)" -gt "$1" ]
}

next_says_how_many() {
	attempt -u games connect "$FAR4" 25 >/dev/null || true
	smtpwall events --json | grep '"user": "games"' | grep -q '"suppressed": [1-9]'
}

@test "events --follow: one line each as they come; 3 when the daemon ends" {
	local follower
	"$SW_BUILD/smtpwall" --run-dir "$D/run" events --follow --last 0 >"$D/follow" 2>&1 3>&- 4>&- &
	follower=$!
	remember "$follower"
	# Its request may come after the first of them.
	wait_for followed_one
	smtpwall stop
	ends_with 3 "$follower"
	grep -q 'smtpwalld has ended' "$D/follow"
	daemon_start
	"$SW_BUILD/smtpwall" --run-dir "$D/run" events --follow >"$D/follow" 2>&1 3>&- 4>&- &
	follower=$!
	remember "$follower"
	wait_for followed_one
	kill -TERM "$follower"
	ends_with 0 "$follower"
}

ends_with() { # STATUS PID
	local status=0
	wait "$2" || status=$?
	[ "$status" -eq "$1" ]
}

followed_one() {
	attempt -u www-data connect "$FAR4" 25 >/dev/null || true
	grep -q 'www-data.*line 6 not_permitted' "$D/follow"
}

@test "stop: the process has ended when the command has, and enforcement goes on" {
	local pid
	for _ in 1 2 3; do
		pid=$(daemon_pid)
		run -0 smtpwall stop
		[[ $output == *"What it enforced is still enforced"* ]]
		dead "$pid"
		expect_refused -u www-data connect "$FAR4" 25
		daemon_start
	done
	smtpwall_json "d == {'detach': False}" stop
	dead "$(daemon_pid)"
}

# A daemon that takes its time to end: it listens to hear whether the command has gone already.
@test "stop: a slow end is waited for" {
	mkdir -p "$D/slow"
	cat >"$D/slow.py" <<-'END'
		import socket, struct, sys
		here = socket.socket(socket.AF_UNIX)
		here.bind(sys.argv[1] + "/control")
		here.listen()
		peer, _ = here.accept()
		peer.recv(4096)
		answer = b'{"status": 0}'
		peer.send(struct.pack(">I", len(answer)) + answer)
		peer.settimeout(2)
		try:
		    peer.recv(1)
		    print("went away", flush=True)
		except TimeoutError:
		    print("waits", flush=True)
	END
	start near "$D/slow.log" python3 "$D/slow.py" "$D/slow"
	wait_for [ -S "$D/slow/control" ]
	wait_for stopped_slowly
	grep -qx waits "$D/slow.log"
	dead "$started"
}

stopped_slowly() { # there may be no listener yet
	"$SW_BUILD/smtpwall" --run-dir "$D/slow" stop 3>&- 4>&- || dead "$started"
}

@test "a question with a scope that does not exist gets no answer for another" {
	run -0 python3 - "$D/run/control" <<-'END'
		import json, socket, struct, sys
		asked = json.dumps({"request": "why", "port": 25, "scope": "moon"}).encode()
		daemon = socket.socket(socket.AF_UNIX)
		daemon.connect(sys.argv[1])
		daemon.send(struct.pack(">I", len(asked)) + asked)
		print(json.loads(daemon.recv(4096)[4:]))
	END
	[[ $output == *"'status': 2"*scope* ]]
}

@test "no daemon: 3 for all that need one, and what to do" {
	local command
	smtpwall stop
	for command in status rules "why --port 25" events "events --follow" "apply $D/policy" confirm rollback stop; do
		# shellcheck disable=SC2086 # words are wanted
		run -3 smtpwall $command
		[[ $output == *"smtpwalld is not running"*"smtpwalld --run-dir $D/run"* ]]
	done
	run -3 smtpwall stop --detach
	[[ $output == *"smtpwalld --detach"* ]]
	run -0 smtpwall check "$D/policy"
	run -0 smtpwall why --port 25 --user mail --policy "$D/policy"
}

@test "who may ask: root all, the socket's group what it may read, others nothing" {
	local command gid=64999
	install -m 755 "$SW_BUILD/smtpwall" "$D/smtpwall"
	run -1 reader $gid status
	[[ $output == *"you may not speak to smtpwalld"* ]]
	# The group exists for this daemon alone: in a mount namespace it reads another /etc/group.
	smtpwall stop
	{ cat /etc/group && echo "smtpwall:x:$gid:"; } >"$D/group"
	# shellcheck disable=SC2046 # words are wanted
	start near "$D/daemon.log" unshare --mount sh -c 'mount --bind "$1" /etc/group && shift && exec "$@"' sh \
		"$D/group" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy"
	echo "$started" >"$D/daemon.pid"
	wait_for daemon_answers
	for command in status rules events "status --json" "why --port 25 --user mail"; do
		# shellcheck disable=SC2086
		run -0 reader $gid $command
	done
	for command in "apply $D/other" confirm rollback stop "stop --detach"; do
		# shellcheck disable=SC2086
		run -1 reader $gid $command
		[[ $output == *"only root may do this"* ]]
	done
	run -1 reader 64998 status
	daemon_answers
	expect_refused -u nobody connect "$FAR4" 25
}

@test "a full disk: the daemon starts, enforces and leaves no scraps" {
	local cgroup=$CG/full
	mkdir -p "$cgroup" "$D/full"
	mount -t tmpfs -o size=16k full "$D/full"
	mkdir "$D/full/run" "$D/full/state"
	head -c 65536 /dev/zero >"$D/full/filler" 2>/dev/null || true
	start near "$D/full.log" "$SW_BUILD/smtpwalld" --cgroup "$cgroup" --run-dir "$D/full/run" \
		--state-dir "$D/full/state" --pin-dir "$D/bpf/full" --policy "$D/policy"
	wait_for full_answers
	[ ! -e "$D/full/run/configured.new" ]
	run -0 "$SW_BUILD/smtpwall" --run-dir "$D/full/run" stop --detach
	dead "$started"
	grep -q 'configured: No space left on device' "$D/full.log"
	umount "$D/full"
}

full_answers() {
	"$SW_BUILD/smtpwall" --run-dir "$D/full/run" status >/dev/null 2>&1
}

@test "a start that fails does not say that a policy is in force" {
	mkdir -p "$CG/failing"
	run -2 in_ns near timeout 60 "$SW_BUILD/smtpwalld" --cgroup "$CG/failing" --state-dir "$D/state" \
		--run-dir "$D/$(printf 'x%.0s' {1..120})" --pin-dir "$D/bpf/failing" --policy "$D/policy"
	[[ $output == *"too long for a socket"* ]]
	[[ $output != *"in force"* ]]
	run ! [ -e "$D/bpf/failing" ]
}

@test "under a service manager: ready, reloading, alive, stopping" {
	mkdir -p "$CG/notify"
	run -0 in_ns near python3 - "$SW_BUILD/smtpwalld" --cgroup "$CG/notify" --run-dir "$D/notify" \
		--state-dir "$D/state" --pin-dir "$D/bpf/notify" --policy "$D/policy" <<-'END'
			import os, signal, socket, subprocess, sys
			name = "\0smtpwall-%d" % os.getpid()
			heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
			heard.bind(name)
			heard.settimeout(180)
			def until(word):
			    while True:
			        said = heard.recv(4096).decode()
			        if said.startswith(word):
			            return print(said.replace("\n", " "))
			environment = dict(os.environ, NOTIFY_SOCKET="@" + name[1:], WATCHDOG_USEC="2000000")
			daemon = subprocess.Popen(sys.argv[1:], env=environment)
			try:
			    until("READY=1")
			    until("STATUS=policy ")
			    daemon.send_signal(signal.SIGHUP)
			    until("RELOADING=1\nMONOTONIC_USEC=")
			    until("READY=1")
			    until("WATCHDOG=1")
			    until("WATCHDOG=1")
			    daemon.terminate()
			    until("STOPPING=1")
			    sys.exit(daemon.wait())
			finally:
			    daemon.kill()
		END
	"$SW_BUILD/smtpwalld" --detach --run-dir "$D/notify" --pin-dir "$D/bpf/notify"
}

@test "stop --detach: every port is open, in text and JSON" {
	run -0 smtpwall stop --detach
	[[ $output == *"enforcement is off"* ]]
	dead "$(daemon_pid)"
	expect_connected -u www-data connect "$FAR4" 25
	daemon_start
	expect_refused -u www-data connect "$FAR4" 25
	smtpwall_json "d == {'detach': True}" stop --detach
	expect_connected -u www-data connect "$FAR4" 25
}

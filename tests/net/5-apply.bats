#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `apply` under load. Four clients connect without pause while policies change; every connection must
# get the answer of the old or of the new policy, whole.
#
# Policies a and b ask for a user and a group, and swap them:
#     a: mail with group mail      b: www-data with group www-data
# Who is user mail with group www-data (or the other way round) is refused by both. Only a decision
# made half by one and half by the other could let it through. Policy c redirects.

load lib

setup_file() {
	world_up
	policy_text mail mail >"$D/a"
	policy_text www-data www-data >"$D/b"
	cat >"$D/c" <<-END
		mode enforce
		host {
		    port 25 {
		        redirect 127.0.0.1:25, [::1]:25 from user mail group mail, user www-data group www-data
		        reject
		    }
		}
	END
	printf 'mode enforce\nhost {\n    port 587 {\n        reject\n    }\n}\n' >"$D/other"
	policy <"$D/a"
	daemon_start
	sink_start local near 127.0.0.1 25 ::1 25
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
	wc -l <"$D/local/log" >"$D/local/mark"
}

teardown() {
	load_kill
}

policy_text() { # USER GROUP
	cat <<-END
		mode enforce
		who mta = user $1 group $2
		host {
		    port 25 {
		        allow from mta
		        reject "Port 25 is closed here."
		    }
		}
	END
}

@test "every connection gets the old or the new answer while policies change" {
	local name
	load_start
	for _ in 1 2 3 4 5 6; do
		for name in a b c b a c; do
			smtpwall apply "$D/$name" >/dev/null
		done
		wait_for_load
	done
	load_stop

	# Nobody got anything but a server or EACCES.
	run cat "$D"/load.*
	run ! grep -vE '^(total [0-9]+|[0-9]+ (far|local|EACCES)|connected OK [0-9]+)$' "$D"/load.{1,2}
	# Who is refused by all was refused every time.
	run ! grep -vE '^(total [0-9]+|[0-9]+ EACCES|connected OK [0-9]+)$' "$D"/load.{3,4}
	# All three answers were seen, or nothing was tested.
	grep -q ' far$' "$D/load.1"
	grep -q ' local$' "$D/load.1"
	grep -q ' EACCES$' "$D/load.1"
	# What the clients say came in is what the servers saw.
	barrier
	[ "$(outcome far 1 2 3 4)" -eq "$(since_mark '^accept 25 ')" ]
	[ "$(outcome local 1 2 3 4)" -eq "$(local_accepts)" ]
}

@test "counters are exact under load" {
	local connects refused
	smtpwall apply "$D/a"
	connects=$(status_number connect) refused=$(status_number refused)
	load_start
	wait_for_load
	load_stop
	connects=$(($(status_number connect) - connects)) refused=$(($(status_number refused) - refused))
	[ "$connects" -eq "$(totals 1 2 3 4)" ]
	[ "$refused" -eq "$(outcome EACCES 1 2 3 4)" ]
}

@test "a broken policy changes nothing, under load" {
	local before name
	smtpwall apply "$D/a"
	before=$(generation)
	printf 'mode enforce\nhost {\n    port 25 {\n        allow from nobody-knows\n    }\n}\n' >"$D/broken.1"
	printf 'mode enforce\nhost {\n    port 25 {\n        allow from user no-such-user-here\n        reject\n    }\n}\n' >"$D/broken.2"
	printf 'mode enforce\nedge "lan0" {\n    port 25 {\n        allow from user root\n        reject\n    }\n}\n' >"$D/broken.3"
	printf 'mode enforce\nhost {\n    port 25 {\n' >"$D/broken.4"
	load_start
	for name in "$D"/broken.*; do
		run -1 smtpwall apply "$name"
		[[ $output == *"$name:"*"policy in force stays"* ]]
	done
	run -1 smtpwall apply "$D/is-not-there"
	wait_for_load
	load_stop
	[ "$(generation)" = "$before" ]
	[ "$(outcome far 1)" -eq "$(totals 1)" ]
	[ "$(outcome EACCES 2 3 4)" -eq "$(totals 2 3 4)" ]
}

@test "a bad policy and SIGHUP: the old one stays in force" {
	local before
	smtpwall apply "$D/a"
	before=$(generation)
	cp "$D/policy" "$D/policy.good"
	cp "$D/broken.1" "$D/policy"
	kill -HUP "$(daemon_pid)"
	wait_for grep -q 'nobody-knows' "$D/daemon.log"
	[ "$(generation)" = "$before" ]
	expect_connected -u mail connect "$FAR4" 25
	expect_refused -u www-data connect "$FAR4" 25
	policy_text www-data www-data >"$D/policy"
	kill -HUP "$(daemon_pid)"
	wait_for newer_than "$before"
	expect_refused -u mail connect "$FAR4" 25
	expect_connected -u www-data connect "$FAR4" 25
}

newer_than() { # GENERATION
	[ "$(generation)" -gt "$1" ]
}

@test "apply --confirm: goes back by itself, and stays when confirmed" {
	smtpwall apply "$D/a"
	smtpwall apply "$D/b" --confirm 1
	wait_for expect_connected -u mail connect "$FAR4" 25
	expect_refused -u www-data connect "$FAR4" 25
	smtpwall apply "$D/b" --confirm 300
	expect_connected -u www-data connect "$FAR4" 25
	smtpwall confirm
	run smtpwall status --json
	[[ $output != *confirm_before* ]]
	smtpwall rollback
	expect_connected -u mail connect "$FAR4" 25
	expect_refused -u www-data connect "$FAR4" 25
}

@test "mode audit: everything passes, what would have been refused is recorded and counted" {
	local audited
	sed 's/^mode enforce/mode audit/' "$D/a" >"$D/audit"
	sed 's/^mode enforce/mode audit/' "$D/c" >"$D/audit.c"
	smtpwall apply "$D/audit"
	audited=$(status_number audited)
	expect_connected -u www-data connect "$FAR4" 25
	expect_connected -u mail connect "$FAR6" 25
	[ "$(status_number audited)" -eq $((audited + 1)) ]
	wait_for has_event verdict audit
	[[ $(last_event verdict audit) == *'"reason": "not_permitted"'*'"user": "www-data"'* ]]
	attempt raw "$FAR4" 25 "$NEAR4"
	wait_for saw_since_mark '^syn 25$' 3
	# A redirect does not happen either.
	smtpwall apply "$D/audit.c"
	run attempt -u mail peer "$FAR4" 25
	[ "${lines[1]}" = "server far" ]
}

# A connection that is older than the first policy that names its port.
hold() {
	rm -f "$D/line" "$D/hold.out"
	mkfifo "$D/line"
	smtpwall apply "$D/other"
	client_exec -u www-data -p "$D/try" hold "$FAR4" 25 <"$D/line" >"$D/hold.out" 2>&1 &
	remember $!
	exec 8>"$D/line"
	wait_for grep -q '^open' "$D/hold.out"
}

held() { # prints how it ended
	echo >&8
	exec 8>&-
	wait_for grep -q '^\(connected\|refused\|hung\)' "$D/hold.out"
	tail -n 1 "$D/hold.out"
}

@test "connections older than the policy finish by default, and apply lists them" {
	local existing
	hold
	existing=$(status_number existing)
	run smtpwall apply "$D/a"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$NEAR4"*"$FAR4"*25* ]]
	[[ $(held) == "connected OK "* ]]
	wait_for more_existing_than "$existing"
	# Only that connection, not its owner, is let go on.
	expect_refused -u www-data connect "$FAR4" 25
}

more_existing_than() { # COUNT
	[ "$(status_number existing)" -gt "$1" ]
}

@test "apply --existing close resets them, and says so" {
	hold
	run smtpwall apply "$D/a" --existing close
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"$NEAR4"*"$FAR4"*25* ]]
	[[ $(held) == "refused ECONN"* ]]
}

@test "a connection that a policy let through stays when the next one would not" {
	smtpwall apply "$D/b"
	rm -f "$D/line" "$D/hold.out"
	mkfifo "$D/line"
	client_exec -u www-data -p "$D/try" hold "$FAR6" 25 <"$D/line" >"$D/hold.out" 2>&1 &
	remember $!
	exec 8>"$D/line"
	wait_for grep -q '^open' "$D/hold.out"
	smtpwall apply "$D/a"
	[[ $(held) == "connected OK "* ]]
	expect_refused -u www-data connect "$FAR6" 25
}

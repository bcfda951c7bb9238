#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Sessions that this machine answers: a mail server in near, below the guarded cgroup, and clients of every
# day in far, outside of it. What the server says that it was given is the truth: its log names each login
# and each message, and whether they came by TLS.
#
# shellcheck disable=SC2154 # lib.bash, servers.bash, tls.bash

load lib
load servers
load tls

setup_file() {
	local tool
	for tool in swaks curl openssl; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "aiosmtpd is not installed"
	world_up
	certificates_make
	server_up
	policy_of 'port 25 { audit }' | policy
	daemon_start
}

teardown_file() {
	world_down
}

# In near, as a unit of its own in the guarded cgroup.
server_up() {
	mkdir -p "$D/server"
	(client_exec -c mail.slice/mailserver.service "$top/tests/net/tools/smtp_server.py" "$D/server" \
		"$account" "$password" "$D/tls/certificate" "$D/tls/key" "$NEAR4" "$NEAR6" \
		</dev/null >>"$D/server/out" 2>&1) &
	remember $!
	disown $!
	wait_for grep -qs '^ready' "$D/server/log"
}

policy_of() { # SERVE-BLOCKS
	printf 'mode enforce\nserve {\n%s\n}\n' "$1"
}

# One mail of a client in far with a login; 0 when it says that it was taken.
mail_by_swaks() { # ADDRESS PORT [OPTIONS]
	in_ns far swaks --server "$1" --port "$2" --auth PLAIN --auth-user "$account" --auth-password "$password" \
		--helo there.example --from a@example.org --to b@example.net --timeout 20 --data "Subject: x\n\n.\n" \
		"${@:3}" >"$D/swaks" 2>&1
}

mail_by_curl() { # SCHEME ADDRESS PORT
	printf 'Subject: y\n\nHello.\n' | in_ns far curl -sS --max-time 20 "$1://$mail_name:$3/there.example" \
		--connect-to "$mail_name:$3:$2:$3" --ssl-reqd --cacert "$D/tls/ca.pem" \
		--user "$account:$password" --mail-from a@example.org --mail-rcpt b@example.net --upload-file -
}

taken() { # TLS: how many mails the server took so
	grep -c "^mail $1" "$D/server/log" || true
}

logins() { # TLS
	grep -c "^auth $account $1" "$D/server/log" || true
}

event_of() { # VERDICT
	smtpwall events --json | grep '"kind": "serve"' | grep "\"verdict\": \"$1\"" | tail -n 1
}

check_event() { # VERDICT ADDRESS PORT REASON
	local event
	event=$(event_of "$1")
	echo "event: $event"
	[[ $event == *'"scope": "serve"'* ]]
	[[ $event == *"\"src\": \"$2\""* ]]
	[[ $event == *"\"port\": $3,"* ]]
	[[ $event == *"\"reason\": \"$4\""* ]]
	[[ $event == *'"unit": "mailserver.service"'* ]]
}

@test "a login in clear is recorded with the client's address and the server's unit, and arrives" {
	policy_of 'port 587 { audit }' | apply
	for way in "$NEAR4 $FAR4" "$NEAR6 $FAR6"; do
		mail_by_swaks "${way% *}" 587
		check_event audit "${way#* }" 587 cleartext_command
		[[ $(event_of audit) == *'"verb": "AUTH PLAIN"'* ]]
	done
	[ "$(taken clear)" -eq 2 ]
	[ "$(logins clear)" -eq 2 ]
	[ "$(status_number serve_audited)" -eq 2 ]
	# Credentials are nowhere.
	run grep -rF "$password" "$D/daemon.log" "$D/state" "$D/run"
	[ "$status" -ne 0 ]
	grep -E "recorded  $FAR4 port [0-9]+ -> $NEAR4 port 587 \(user root, unit mailserver.service\)" "$D/daemon.log"
}

@test "where TLS is required nothing of a login in clear reaches the server, and the client is told at once" {
	local took had
	policy_of 'port 465, 587 { require tls }' | apply
	took=$(taken clear) had=$(logins clear)
	for way in "$NEAR4 $FAR4" "$NEAR6 $FAR6"; do
		run mail_by_swaks "${way% *}" 587
		[ "$status" -ne 0 ]
		check_event reset "${way#* }" 587 cleartext_command
	done
	run mail_by_swaks "$NEAR4" 465
	[ "$status" -ne 0 ]
	check_event reset "$FAR4" 465 not_tls
	[ "$(taken clear)" -eq "$took" ]
	[ "$(logins clear)" -eq "$had" ]
	[ "$(status_number serve_condemned)" -eq 3 ]
}

@test "STARTTLS and implicit TLS pass unharmed, over both families" {
	local before
	before=$(taken TLS)
	mail_by_swaks "$NEAR4" 587 --tls
	mail_by_swaks "$NEAR6" 587 --tls
	mail_by_swaks "$NEAR6" 465 --tls-on-connect
	mail_by_curl smtps "$NEAR4" 465
	mail_by_curl smtp "[$NEAR6]" 587
	[ "$(taken TLS)" -eq $((before + 5)) ]
	[ "$(status_number serve_tls)" -eq 5 ]
	# What is told of them: who came, to whom, which version, and that it is over.
	run smtpwall flows --json
	grep '"scope": "serve"' <<<"$output" | grep "\"src\": \"$FAR6\"" | grep '"tls": "implicit"' |
		grep '"tls_version": "0x030[34]"' | grep '"unit": "mailserver.service"' | grep '"live": false'
	smtpwall flows | grep -E "^ *[0-9]+.* $FAR4 port [0-9]+ +root +mailserver.service +$NEAR4 port 465"
	smtpwall rules | grep -E 'require tls'
}

@test "ports that no rule names are not touched" {
	local before
	before=$(taken clear)
	mail_by_swaks "$NEAR4" 2525
	mail_by_swaks "$NEAR6" 2525
	[ "$(taken clear)" -eq $((before + 2)) ]
}

@test "by where they come from: drop is not heard by the server, reject ends at once, the rest passes" {
	policy_of "port 587 { drop from $FAR4
		reject from $FAR6
		allow }" | apply
	run in_ns far timeout 2 bash -c "exec 3<>/dev/tcp/$NEAR4/587"
	[ "$status" -eq 124 ]
	check_event drop "$FAR4" 587 not_permitted
	run mail_by_swaks "$NEAR6" 587 --tls
	[ "$status" -ne 0 ]
	[ "$status" -ne 124 ]
	check_event reset "$FAR6" 587 not_permitted
	[ "$(smtpwall rules --json | grep -o '"hits": *[0-9]*' | head -n 2 | grep -vc ' 0$')" -eq 2 ]
	run smtpwall why --serve --port 587 --from "$FAR4"
	[ "$status" -eq 1 ]
	[[ $output == *dropped* ]]
	run smtpwall why --serve --port 587 --from 198.51.100.9
	[ "$status" -eq 0 ]
	# A second address of the far side is nobody that a rule names.
	mail_by_swaks "$NEAR4" 587 --tls --local-interface "$(second_address)"
}

second_address() {
	in_ns far ip address add 192.0.2.77/24 dev veth0 2>/dev/null || true
	echo 192.0.2.77
}

# Connects, says that it has, and logs in in clear once FILE is there; prints the server's answer.
older_client() { # ADDRESS FILE
	cat <<-END
		import base64, os, socket, time
		s = socket.create_connection(("$1", 587), 60)
		f = s.makefile("rw", newline="\r\n")
		f.readline()
		print("connected", flush=True)
		while not os.path.exists("$2"):
		    time.sleep(0.05)
		f.write("EHLO there\r\n")
		f.flush()
		while not f.readline().startswith("250 "):
		    pass
		f.write("AUTH PLAIN " + base64.b64encode(b"\0$account\0$password").decode() + "\r\n")
		f.flush()
		print(f.readline(), flush=True)
	END
}

@test "a session that is older than the policy may finish, and enforcement outlives the daemon" {
	local took had
	policy_of 'port 25 { audit }' | apply
	older_client "$NEAR4" "$D/go" >"$D/older.py"
	start far "$D/older" /usr/bin/python3 "$D/older.py"
	wait_for grep -q connected "$D/older"
	policy_of 'port 587 { require tls }' | apply
	touch "$D/go"
	wait_for grep -q '^235 ' "$D/older"
	daemon_kill KILL
	took=$(taken clear) had=$(logins clear)
	# Nobody tells the client, so it waits as long as it has the patience.
	run mail_by_swaks "$NEAR4" 587 --timeout 3
	[ "$status" -ne 0 ]
	mail_by_swaks "$NEAR4" 587 --tls
	daemon_start
	run mail_by_swaks "$NEAR4" 587
	[ "$status" -ne 0 ]
	[ "$(taken clear)" -eq "$took" ]
	[ "$(logins clear)" -eq "$had" ]
}

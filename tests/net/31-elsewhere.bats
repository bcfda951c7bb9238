#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# smtpwalld --elsewhere: programs of near that speak SMTP to a port of far which no rule names are told of,
# and nothing else is; nothing of it is touched.
#
# shellcheck disable=SC2154 # lib.bash

load lib

setup_file() {
	local tool
	for tool in swaks curl; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	world_up
	far_server >"$D/server.py"
	start far "$D/server.log" /usr/bin/python3 "$D/server.py"
	wait_for grep -qs '^ready' "$D/server.log"
	printf 'mode enforce\nhost {\n    port 25, 2527 { audit }\n}\n' | policy
	daemon_start
}

teardown_file() {
	world_down
}

# Greets on each port as its service does, and then says 250 to each line; the log names port and line.
far_server() {
	cat <<-'END'
		import socketserver, threading
		greetings = {2526: "220 hi", 2527: "220 hi", 2222: "SSH-2.0-x", 2121: "220 ready", 8080: ""}
		class Server(socketserver.ThreadingTCPServer):
		    allow_reuse_address = True
		    address_family = 10
		class Handler(socketserver.StreamRequestHandler):
		    def handle(self):
		        port = self.request.getsockname()[1]
		        if greetings[port]:
		            self.wfile.write((greetings[port] + "\r\n").encode())
		        for line in self.rfile:
		            print(port, line.decode("latin1").rstrip(), flush=True)
		            answer = "354 go" if line.startswith(b"DATA") else "250 ok"
		            self.wfile.write((answer + "\r\n").encode())
		            if line.startswith((b"QUIT", b"GET")):
		                return
		for port in greetings:
		    threading.Thread(target=Server(("::", port), Handler).serve_forever).start()
		print("ready", flush=True)
	END
}

# As a client of near, in a unit of its own.
mail_to() { # ADDRESS PORT
	client -u www-data -c php.slice/php-fpm.service swaks --server "$1" --port "$2" --helo here.example \
		--from a@example.org --to b@example.net --timeout 20 --quit-after RCPT
}

# What another program says behind the greeting, at most one byte at a time.
says() { # PORT TEXT
	client -u www-data -c php.slice/php-fpm.service timeout 20 bash -c '
		exec 3<>"/dev/tcp/$0/$1"
		read -r -t 10 _ <&3
		for ((i = 0; i < ${#2}; i++)); do printf "%s" "${2:i:1}" >&3; done
		printf "\r\nQUIT\r\n" >&3
		cat <&3 >/dev/null' "$FAR4" "$1" "$2"
}

told() { # how many
	smtpwall events --json | grep -c '"kind": "elsewhere"' || true
}

@test "off as long as nobody asks for it" {
	mail_to "$FAR4" 2526
	grep -q '^2526 EHLO' "$D/server.log"
	[ "$(told)" -eq 0 ]
	[ "$(status_number elsewhere)" -eq 0 ]
	daemon_kill TERM
	daemon_start --elsewhere
}

@test "a program that speaks SMTP on another port is told of: who, where to, over both families" {
	local event
	for to in "$FAR4" "$FAR6"; do
		mail_to "$to" 2526
		event=$(smtpwall events --json | grep '"kind": "elsewhere"' | tail -n 1)
		echo "event: $event"
		[[ $event == *"\"dst\": \"$to\""* ]]
		[[ $event == *'"port": 2526,'* ]]
		[[ $event == *'"reason": "smtp_elsewhere"'* ]]
		[[ $event == *'"verdict": "audit"'* ]]
		[[ $event == *'"rule": null'* ]]
		[[ $event == *'"user": "www-data"'* ]]
		[[ $event == *'"unit": "php-fpm.service"'* ]]
		[[ $event == *'"exe": "/usr/bin/perl"'* ]]
	done
	[ "$(told)" -eq 2 ]
	[ "$(status_number elsewhere)" -eq 2 ]
	grep -E 'recorded  user www-data \(/usr/bin/perl, unit php-fpm.service\) -> .* port 2526' "$D/daemon.log"
}

@test "also when it comes byte by byte; other protocols are not, and a guarded port is told of by its rule" {
	local before
	before=$(told)
	says 2526 'eHLo there'
	[ "$(told)" -eq $((before + 1)) ]
	says 2222 'SSH-2.0-mine'
	says 2121 'USER x'
	says 2526 'EHLOX there'
	client curl -s --max-time 10 --http0.9 "http://$FAR4:8080/" || true
	mail_to "$FAR4" 2527
	for line in '2222 SSH-2.0-mine' '2121 USER x' '2526 EHLOX' '8080 GET /' '2527 EHLO'; do
		grep -q "^$line" "$D/server.log"
	done
	[ "$(told)" -eq $((before + 1)) ]
}

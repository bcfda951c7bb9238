#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every known way around, tried for real by somebody whom the policy does not name. Each test first
# holds that nothing arrived on the far side, then that the same way works for the mail server: so it
# was the policy that refused and not the way that was broken.

load lib

setup_file() {
	world_up
	install -m 755 "$D/try" "$D/mta"
	install -m 4755 -o root "$D/try" "$D/setuid-root"
	install -m 4755 -o mail "$D/try" "$D/setuid-mail"
	policy <<-END
		mode enforce
		who mta     = exe "$D/mta" user mail
		who service = unit "mta.service"
		host {
		    port 25, 2525 {
		        allow from mta, service
		        reject "Port 25 is closed here."
		    }
		    port 587 {
		        allow from user root
		        reject
		    }
		    port 2527 {
		        allow to local
		        reject
		    }
		}
	END
	daemon_start
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
}

# As an ordinary user and as root, who is not exempt; then as the mail server.
refused_but_for_the_mail_server() { # WAY ADDRESS...
	local way=$1 address
	shift
	mark
	for address; do
		expect_refused -u www-data "$way" "$address" 25
		expect_refused -u root "$way" "$address" 25
	done
	nothing_arrived
	for address; do
		expect_connected -u mail -p "$D/mta" "$way" "$address" 25
	done
}

@test "IPv4 and IPv6" {
	refused_but_for_the_mail_server connect "$FAR4" "$FAR6"
}

@test "an IPv4 address over an IPv6 socket" {
	refused_but_for_the_mail_server v4mapped "$FAR4"
}

@test "MPTCP" {
	refused_but_for_the_mail_server mptcp "$FAR4" "$FAR6"
}

@test "TCP Fast Open with data in the SYN" {
	refused_but_for_the_mail_server tfo "$FAR4" "$FAR6"
	refused_but_for_the_mail_server tfo-connect "$FAR4" "$FAR6"
}

@test "TCP Fast Open: the data of a refused SYN stays here" {
	run ! grep -q "nobody-may-read-this" "$D/far/bytes"
	expect_refused -u www-data tfo "$FAR4" 25 nobody-may-read-this
	expect_refused -u www-data tfo-connect "$FAR6" 25 nobody-may-read-this
	nothing_arrived
	run ! grep -q "nobody-may-read-this" "$D/far/bytes"
	expect_connected -u mail -p "$D/mta" tfo "$FAR4" 25 somebody-may
	wait_for grep -q "somebody-may" "$D/far/bytes"
}

@test "TCP Fast Open over MPTCP" {
	refused_but_for_the_mail_server tfo-mptcp "$FAR4" "$FAR6"
}

@test "SMC sockets, which open a TCP connection of their own" {
	refused_but_for_the_mail_server smc "$FAR4" "$FAR6"
}

@test "io_uring connect" {
	refused_but_for_the_mail_server uring "$FAR4" "$FAR6"
}

@test "io_uring connect by a kernel worker" {
	refused_but_for_the_mail_server uring-async "$FAR4" "$FAR6"
}

@test "io_uring connect by the polling thread" {
	refused_but_for_the_mail_server uring-poll "$FAR4" "$FAR6"
}

@test "non-blocking connect" {
	refused_but_for_the_mail_server nonblock "$FAR4" "$FAR6"
}

@test "IP options on the socket" {
	refused_but_for_the_mail_server options "$FAR4"
}

@test "an IPv6 destination-options header on the socket" {
	expect_refused -u root options "$FAR6" 25
	nothing_arrived
	expect_connected -u root -c mta.service options "$FAR6" 25
}

@test "a socket that was connected elsewhere, disconnected and connected again" {
	expect_refused -u www-data reconnect "$FAR4" 25 9
	expect_refused -u www-data reconnect "$FAR6" 25 9
	nothing_arrived
	expect_connected -u mail -p "$D/mta" reconnect "$FAR4" 25 9
}

@test "a socket that was let through once is asked again in another cgroup" {
	expect_refused -u www-data -c mta.service -m clients reconnect "$FAR4" 25 25
	expect_refused -u www-data -c mta.service -m clients reconnect "$FAR6" 25 25
}

@test "a socket connected before a cgroup move: it stays, the next is refused" {
	expect_refused -u www-data -c mta.service -m clients move-connected "$FAR4" 25
	[[ ${lines[0]} == "before connected OK "* ]]
	[[ ${lines[1]} == "open connected OK "* ]]
	barrier
	[ "$(since_mark '^accept 25 ')" -eq 1 ]
}

@test "a socket made in the mail server's cgroup, connected from another" {
	expect_refused -u www-data -c mta.service -m clients move-made "$FAR4" 25
	expect_refused -u www-data -c mta.service -m clients move-made "$FAR6" 25
	nothing_arrived
}

@test "a socket made in the guarded cgroup, connected from outside of it" {
	expect_refused -u www-data -m ../outside move-made "$FAR4" 25
	expect_refused -u www-data -m ../outside move-made "$FAR6" 25
	nothing_arrived
}

give() { # OPTIONS: somebody hands out an unconnected socket at $D/give
	rm -f "$D/give.out"
	client_exec -p "$D/try" "$@" >"$D/give.out" 2>&1 &
	remember $!
	wait_for grep -qs waiting "$D/give.out"
}

@test "a socket passed by SCM_RIGHTS: who connects it counts" {
	mkdir -m 777 "$D/give"
	give -u mail -p "$D/mta" give "$FAR4" 25 "$D/give/socket"
	expect_refused -u www-data take "$FAR4" 25 "$D/give/socket"
	give -u mail -p "$D/mta" -c mta.service give "$FAR6" 25 "$D/give/socket"
	expect_refused -u www-data take "$FAR6" 25 "$D/give/socket"
	nothing_arrived
	give -u www-data give "$FAR4" 25 "$D/give/socket"
	expect_connected -u mail -p "$D/mta" take "$FAR4" 25 "$D/give/socket"
}

@test "two threads that connect one socket, one of them to a port that anybody may use" {
	expect_refused -u www-data race "$FAR4" 25 9
	[[ ${lines[0]} =~ "opened "[1-9] ]]
	expect_refused -u www-data race "$FAR6" 25 9
	nothing_arrived
	expect_connected -u mail -p "$D/mta" race "$FAR4" 25 9
}

@test "a socket that was a listener, put off its SYN, or changed its family" {
	expect_refused -u www-data listen-first "$FAR4" 25
	expect_refused -u www-data tfo-switch "$FAR4" 25 9
	expect_refused -u www-data tfo-switch "$FAR6" 25 9
	expect_refused -u www-data addrform "$FAR4" 25 9
	nothing_arrived
	expect_connected -u mail -p "$D/mta" listen-first "$FAR4" 25
	expect_connected -u mail -p "$D/mta" tfo-switch "$FAR6" 25 9
	expect_connected -u mail -p "$D/mta" addrform "$FAR4" 25 9
}

@test "TCP_REPAIR: a connection that is open without a packet" {
	expect_refused -u root repair "$FAR4" 25
	expect_refused -u root repair "$FAR6" 25
	nothing_arrived
	# The far side knows nothing of such a connection, but does see its data.
	run attempt -u root -c mta.service repair "$FAR4" 25
	wait_for saw_since_mark '^tcp 25$' 1
}

@test "io_uring sends data in the SYN, without a connect" {
	refused_but_for_the_mail_server uring-send "$FAR4" "$FAR6"
}

@test "a socket made before its owner became somebody else: who connects it counts" {
	expect_refused -u root -p "$D/mta" user-made "$FAR4" 25 "$(uid_of www-data)"
	expect_refused -u root user-made "$FAR6" 25 "$(uid_of mail)"
	nothing_arrived
	expect_connected -u root -p "$D/mta" user-made "$FAR4" 25 "$(uid_of mail)"
}

left_nothing() { # WAY ARGUMENTS...: on port 2527, which is open to this machine only
	if attempt -u www-data "$@"; then
		return 1
	fi
	barrier
	[ "$(since_mark '^(syn|tcp|accept) 2527( |$)')" -eq 0 ]
}

# The program names the device; a neighbour there may have any address, also one of this machine.
@test "permission for this machine is none for a neighbour with the same address" {
	add_addresses veth1 fe80::25/64 2001:db8:9::1/128 | ip_in near
	add_addresses veth0 fe80::25/64 198.51.100.1/32 2001:db8:9::1/128 | ip_in far
	in_ns near ip route add default via "$FAR6" dev veth0
	sink_start same far 0.0.0.0 2527 :: 2527
	wait_for smtpwall why --port 2527 --to fe80::25
	left_nothing device fe80::25 2527 veth0
	left_nothing device 198.51.100.1 2527 veth0
	left_nothing device 2001:db8:9::1 2527 veth0
	wait_for has_event reason unattributed
	# The way there is open, and this machine itself is reached: nobody listens.
	expect_connected -u www-data device fe80::25 9 veth0
	run attempt -u www-data device fe80::25 2527 veth1
	[[ $output == "refused ECONNREFUSED "* ]]
	run attempt -u www-data device "$NEAR4" 2527 veth0
	[[ $output == "refused ECONNREFUSED "* ]]
}

@test "permission for this machine is none for a source route through another" {
	left_nothing source-route "$NEAR6" 2527 "$FAR6"
	run attempt -u root source-route "$NEAR4" 2527 "$FAR4"
	barrier
	[ "$(since_mark '^(syn|tcp|accept) 2527( |$)')" -eq 0 ]
	# Not the way is broken.
	run attempt -u www-data connect "$NEAR6" 2527
	[[ $output == "refused ECONNREFUSED "* ]]
	client -u www-data -p timeout -- 1 "$D/try" source-route "$NEAR6" 2528 "$FAR6" || true
	wait_for saw_since_mark '^syn 2528$' 1
}

@test "another network namespace" {
	expect_refused -u www-data -n other connect "$OTHER4" 25
	expect_refused -u www-data -n other connect "$OTHER6" 25
	expect_refused -u www-data -n other v4mapped "$OTHER4" 25
	nothing_arrived
	expect_connected -u mail -p "$D/mta" -n other connect "$OTHER4" 25
}

@test "a network namespace and user ids of one's own" {
	# Inside, these are root or mail; to the kernel they stay www-data.
	expect_refused -u www-data -p unshare -- -Urn "$D/try" connect 127.0.0.1 25
	expect_refused -u www-data -p unshare -- --map-user=8 "$D/mta" connect "$FAR4" 25
	nothing_arrived
}

@test "setuid programs" {
	expect_refused -u www-data -p "$D/setuid-root" connect "$FAR4" 25
	expect_refused -u www-data -p "$D/setuid-mail" connect "$FAR4" 25
	expect_refused -u mail -p "$D/setuid-root" connect "$FAR6" 25
	nothing_arrived
	# They did run as somebody else: root is whom port 587 lets through.
	expect_refused -u www-data connect "$FAR4" 587
	run attempt -u www-data -p "$D/setuid-root" connect "$FAR4" 587
	[[ ${lines[-1]} == "refused ECONNREFUSED "* ]]
}

@test "a thread that changes its user" {
	local mail www
	mail=$(uid_of mail) www=$(uid_of www-data)
	# The thread becomes the mail server's user, the first thread stays root.
	expect_refused -u root -p "$D/mta" thread-user "$FAR4" 25 "$mail"
	[[ ${lines[0]} == "thread connected OK "* ]]
	# Another program's thread does not gain by it.
	mark
	expect_refused -u root thread-user "$FAR4" 25 "$mail"
	[[ ${lines[0]} == "thread refused EACCES "* ]]
	nothing_arrived
	# Root may use 587; its thread that is no longer root may not.
	run attempt -u root thread-user "$FAR6" 587 "$www"
	[[ ${lines[0]} == "thread refused EACCES "* ]]
	[[ ${lines[1]} == "refused ECONNREFUSED "* ]]
}

@test "a program that has the kernel name another executable" {
	expect_refused -u www-data swap-exe "$FAR4" 25 "$D/mta"
	[[ $output == *"exe $D/try -> $D/mta"* ]]
	nothing_arrived
}

@test "raw IP sockets: a SYN made by hand" {
	expect_not_sent raw "$FAR4" 25 "$NEAR4"
	expect_not_sent raw "$FAR6" 25 "$NEAR6"
	expect_not_sent raw-header "$FAR4" 25 "$NEAR4"
	expect_not_sent raw-header "$FAR6" 25 "$NEAR6"
	# Not the way is broken: another port is not touched.
	attempt raw-header "$FAR4" 9 "$NEAR4"
	attempt raw-header "$FAR6" 9 "$NEAR6"
	wait_for saw_since_mark '^syn 9$' 2
}

@test "raw IP sockets: IP options and IPv6 extension headers" {
	expect_not_sent raw-options "$FAR4" 25 "$NEAR4"
	expect_not_sent raw-options "$FAR6" 25 "$NEAR6"
	mark
	attempt raw-options "$FAR4" 9 "$NEAR4"
	attempt raw-options "$FAR6" 9 "$NEAR6"
	wait_for saw_since_mark '^syn 9$' 2
}

@test "raw IP sockets: fragments" {
	expect_not_sent raw-fragments "$FAR4" 25 "$NEAR4"
	expect_not_sent raw-fragments "$FAR6" 25 "$NEAR6"
	mark
	attempt raw-fragments "$FAR4" 9 "$NEAR4"
	attempt raw-fragments "$FAR6" 9 "$NEAR6"
	wait_for saw_since_mark '^fragment first' 2
}

@test "raw IP sockets: a first fragment that ends before the TCP header" {
	expect_not_sent raw-hidden "$FAR6" 25 "$NEAR6"
}

@test "raw IP sockets: not even the mail server" {
	expect_not_sent -c mta.service raw "$FAR4" 25 "$NEAR4"
	expect_not_sent -p "$D/mta" raw "$FAR6" 25 "$NEAR6"
}

# A container's root may translate addresses in its own network namespace: what connect() asked for
# was not a guarded port, what leaves is.
@test "destination NAT to a guarded port, after connect()" {
	in_ns other nft -f - 2>/dev/null <<-END || skip "no nft, or no NAT in this kernel"
		table ip n {
			chain o {
				type nat hook output priority -100
				tcp dport 2600 dnat to $OTHER4:25
			}
		}
		table ip6 n {
			chain o {
				type nat hook output priority -100
				tcp dport 2600 dnat to [$OTHER6]:25
			}
		}
	END
	run attempt -n other -u www-data connect "$OTHER4" 2600
	[[ $output != "connected"* ]]
	run attempt -n other -u www-data tfo "$OTHER6" 2600
	nothing_arrived
	in_ns other nft flush ruleset
}

subflow_decided() { # REFUSED-BEFORE
	saw_since_mark '^syn 2525$' 1 || [ "$(status_number refused)" -gt "$1" ]
}

subflow_from() { # OPTIONS: holds a connection of theirs until the kernel has tried the subflow
	local before
	before=$(status_number refused)
	rm -f "$D/hold"
	mkfifo "$D/hold"
	client_exec "$@" mptcp-hold "$FAR4" 2600 <"$D/hold" >"$D/hold.out" 2>&1 &
	remember $!
	exec 8>"$D/hold"
	wait_for subflow_decided "$before"
	exec 8>&-
	nothing_arrived
	grep -q '^open' "$D/hold.out"
}

# The far side announces an address with port 2525; the client's kernel opens a subflow to it, in a
# worker thread where nobody is current. The connection itself goes to a port that no rule names.
@test "an extra MPTCP subflow to a guarded port: refused, the event names the socket's owner" {
	attempt mptcp "$FAR4" 9 || skip "no MPTCP in this kernel"
	in_ns near ip mptcp limits set subflow 2 add_addr_accepted 2 || skip "ip knows no MPTCP"
	in_ns far ip mptcp limits set subflow 2 add_addr_accepted 2
	sink_start multi far -m 0.0.0.0 2600
	in_ns far ip mptcp endpoint add "$SECOND4" port 2525 signal
	subflow_from -u www-data -p "$D/try"
	wait_for has_event dst_port 2525
	[[ $(last_event dst_port 2525) == *'"uid": '"$(uid_of www-data)"* ]]
	# Whether it was the mail server's program cannot be known any more: refused as well.
	mark
	subflow_from -u mail -p "$D/mta"
	wait_for has_event reason unidentified
	[[ $(last_event reason unidentified) == *'"uid": '"$(uid_of mail)"* ]]
}

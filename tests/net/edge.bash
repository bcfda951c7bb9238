# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # lib.bash; scenarios read ours
#
# A world with a router in it, for what is forwarded. To be loaded behind lib.bash, whose near and far are
# the customers' namespace and the Internet here; the daemon runs in the namespace between them.
#
#   near                           router                           far
#   x1       plain                 c1         up0 192.0.2.1     --  veth0 192.0.2.2
#   x2, t2   VLAN 10               c2, t2         2001:db8:1::1           2001:db8:1::2
#   x3, t3   QinQ 100, VLAN 10     c3, t3                           and the servers of tls.bash
#   x4, t4   PPPoE session 77      c4, t4
#
# The router guards "c*", on which frames come in with their tags and headers: tools/framer.c puts them
# around what goes through t2, t3 and t4. On link N, 100.64.N.0/24 and 2001:db8:c00N::/64, the router has .1
# and ::1; a customer has .2 and ::2 (and others, up to .8 and ::8), and one who may do more .9 and ::9. What
# near sends goes out by the link of its source address, else by that of `use_link`.

load lib

daemon_ns=router
customers_ns=near # whose programs are not in the guarded cgroup
links=(plain vlan qinq pppoe)
declare -gA link_number=([plain]=1 [vlan]=2 [qinq]=3 [pppoe]=4)
declare -gA link_words=([plain]=plain [vlan]=vlan:10 [qinq]="qinq:100,vlan:10" [pppoe]=pppoe:77)
declare -gA link_device=([plain]=x1 [vlan]=t2 [qinq]=t3 [pppoe]=t4)
ordinary=2 permitted=9 # the last number of an address

at4() { # LINK HOST
	echo "100.64.${link_number[$1]}.$2"
}

at6() { # LINK HOST
	echo "2001:db8:c00${link_number[$1]}::$2"
}

at() { # LINK HOST FAMILY
	"at$3" "$1" "$2"
}

far_at() { # FAMILY
	local name=FAR$1
	echo "${!name}"
}

# ---- the world ----

edge_pair() { # N: the link's wire, with room for what stands before IP
	ip link add "x$1" netns "$ID-near" address "02:00:00:00:0$1:02" mtu 1600 type veth \
		peer name "c$1" netns "$ID-router" address "02:00:00:00:0$1:01" mtu 1600
	ip_in near <<<"link set x$1 up"
	ip_in router <<<"link set c$1 up"
}

# Statically linked, so it runs from the build folder, until the world ends.
framer_start() { # NS DEVICE LINK PEER: the last byte of the other's address
	local n=${link_number[$3]}
	start "$1" "$D/framer.$2" "$TOOLS/framer" "$2" "t$n" "02:00:00:00:0$n:$4" "${link_words[$3]}"
	wait_for grep -qs '^ready' "$D/framer.$2"
}

edge_addresses() { # LINK
	local device=${link_device[$1]} table=10${link_number[$1]} net4 net6 there host addresses=()
	net4=$(at4 "$1" '') net6=$(at6 "$1" '')
	there=${device/x/c}
	ip_in router <<-END
		$(add_addresses "$there" "${net4}1/24" "${net6}1/64")
		link set $there mtu 1492 up
	END
	for host in {2..9}; do
		addresses+=("$net4$host/24" "$net6$host/64")
	done
	ip_in near <<-END
		$(add_addresses "$device" "${addresses[@]}")
		link set $device mtu 1492 up
		route add default via ${net4}1 table $table
		rule add from ${net4}0/24 table $table
	END
	ip_in near -6 <<-END
		route add default via ${net6}1 dev $device table $table
		rule add from $net6/64 table $table
	END
}

make_network() {
	local ns n
	for ns in near router far; do
		ip netns add "$ID-$ns"
		in_ns "$ns" sh -c 'ip link set lo up
			echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
			echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
			echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad'
	done
	in_ns router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
	pair router up0 "$NEAR4/24 $NEAR6/64" far veth0 "$FAR4/24 $FAR6/64"
	in_ns far ip route add 100.64.0.0/16 via "$NEAR4"
	in_ns far ip -6 route add 2001:db8:c000::/36 via "$NEAR6"
	for n in 1 2 3 4; do
		edge_pair $n
	done
	for ns in vlan qinq pppoe; do
		framer_start near "x${link_number[$ns]}" $ns 01
		framer_start router "c${link_number[$ns]}" $ns 02
	done
	for ns in "${links[@]}"; do
		edge_addresses "$ns"
	done
	use_link plain
}

edge_up() {
	local tool
	for tool in framer xdp_hold; do
		[ -x "$TOOLS/$tool" ] || skip "$TOOLS/$tool is not built"
	done
	for tool in tcpdump /usr/bin/python3; do
		command -v $tool >/dev/null || skip "$tool is not installed"
	done
	[ -c /dev/net/tun ] || skip "no /dev/net/tun"
	world_up
}

# What has no address of its own to go out from leaves by this link, from this host's address.
use_link() { # LINK [HOST]
	local device=${link_device[$1]} host=${2-$ordinary}
	ip_in near <<<"route replace default via $(at4 "$1" 1) dev $device src $(at4 "$1" "$host")"
	ip_in near -6 <<<"route replace default via $(at6 "$1" 1) dev $device src $(at6 "$1" "$host")"
	echo "$1" >"$D/link"
}

# The whole way for what no rule names, over both families, on the link that is used.
barrier() {
	local before
	before=$(since_mark '^accept 9 ')
	attempt connect "$FAR4" 9 >/dev/null && attempt connect "$FAR6" 9 >/dev/null &&
		wait_for saw_since_mark '^accept 9 ' $((before + 2))
}

# ---- a mail server behind the router: with servers.bash ----

# From each link and over each family as these hosts: to the domain NAME-LINK-FAMILY.test, which far is.
# $D/postfix/routes begins with the domains, one a line.
postfix_client_start() { # "NAME HOST"...
	local link family who
	postfix_configure "$D/postfix"
	for link in "${links[@]}"; do
		for family in 4 6; do
			for who; do
				postfix_route "${who% *}-$link-$family" "$(at "$link" "${who#* }" $family)" $family
			done
		done
	done
	cat >>"$D/postfix/conf/main.cf" <<-END
		myhostname = mail.example.org
		transport_maps = texthash:$D/postfix/routes
	END
	postfix_run
}

postfix_route() { # NAME FROM FAMILY
	local bind=smtp_bind_address
	[ "$3" -eq 4 ] || bind+=6
	echo "$1 unix - - n - - smtp -o $bind=$2" >>"$D/postfix/conf/master.cf"
	echo "$1.test $1:[$(far_at "$3")]:25" >>"$D/postfix/routes"
}

# What became of the message to somebody there, as its log has it.
postfix_said() { # DOMAIN
	grep "to=<somebody@$1>" "$D/postfix/log" | grep 'status=' | tail -n 1 | grep .
}

# ---- what came over the wires ----

# All that passes on the wire of a link at the customer's end, and at far, until wire_end.
wire_start() { # NAME [LINK]
	local link=${2-$(cat "$D/link")} n
	n=${link_number[$link]}
	echo "$link" >"$D/$1.link"
	rm -f "$D/$1".{near,far}.{pcap,tcpdump}
	tcpdump_start near "x$n" "$1.near"
	tcpdump_start far veth0 "$1.far"
}

tcpdump_start() { # NS DEVICE NAME
	start "$1" "$D/$3.tcpdump" tcpdump -Z root -i "$2" -s 0 -B 32768 -U --immediate-mode -w "$D/$3.pcap"
	echo "$started" >"$D/$3.pid"
	wait_for grep -qs 'listening on' "$D/$3.tcpdump"
}

wire_marked() { # NAME
	local end
	# shellcheck disable=SC2016 # for the inner shell
	in_ns near bash -c 'echo "$0" >/dev/udp/192.0.2.2/9' "end-of-$1" || return 1
	for end in near far; do
		grep -aqs "end-of-$1" "$D/$1.$end.pcap" || return 1
	done
}

# What was sent before the mark has been written when the mark has. The link must be the one that is used.
wire_end() { # NAME
	local end
	wait_for wire_marked "$1" || return 1
	for end in near far; do
		kill "$(cat "$D/$1.$end.pid")"
		wait_for dead "$(cat "$D/$1.$end.pid")"
		! grep -E '[1-9][0-9]* packets? dropped by kernel' "$D/$1.$end.tcpdump" || return 1
		"$top/tests/net/tools/frames.py" "$D/$1.$end.pcap" >"$D/$1.$end.frames"
	done
}

# Segments of a capture, as tools/frames.py has them, for which an expression of awk is true: link, src,
# sport, dst, dport, flags, frame, payload, sums.
segments() { # NAME near|far EXPRESSION
	awk "{ link = \$1; src = \$2; sport = \$3; dst = \$4; dport = \$5; flags = \$6; frame = \$7; payload = \$8
		sums = \$9; seq = \$10; ack = \$11 } $3" "$D/$1.$2.frames"
}

count_segments() { # NAME near|far EXPRESSION
	segments "$@" | wc -l
}

# That many of them, or more where that is "+".
expect_segments() { # COUNT[+] NAME near|far EXPRESSION
	local want=$1 found
	shift
	found=$(count_segments "$@")
	if [[ $want == *+ ]]; then
		[ "$found" -ge "${want%+}" ] && return
	else
		[ "$found" -eq "$want" ] && return
	fi
	echo "ESCAPED or missing: $found instead of $want at $2 of $1: $3"
	head -n 40 "$D/$1.$2.frames"
	return 1
}

# ---- what the daemon says ----

edge_number() { # EXPRESSION of Python on the member `edge` of status, e. g. "['counters']['refused']"
	smtpwall status --json | /usr/bin/python3 -c 'import json, sys
print(eval("json.load(sys.stdin)[\"edge\"]" + sys.argv[1]))' "$1"
}

counter() { # NAME
	edge_number "['counters']['$1']"
}

counter_above() { # NAME NUMBER
	[ "$(counter "$1")" -gt "$2" ]
}

# Each line of JSON is `e`.
any_line() { # EXPRESSION
	/usr/bin/python3 -c 'import json, sys
sys.exit(not any(eval(sys.argv[1]) for e in map(json.loads, sys.stdin)))' "$1"
}

any_event() { # EXPRESSION: some event of the edge is so
	smtpwall events --json | any_line "e['kind'] == 'edge' and ($1)"
}

count_events() { # EXPRESSION
	smtpwall events --json | /usr/bin/python3 -c 'import json, sys
print(sum(e["kind"] == "edge" and bool(eval(sys.argv[1])) for e in map(json.loads, sys.stdin)))' "$1"
}

any_flow() { # EXPRESSION
	smtpwall flows --json | any_line "e['scope'] == 'edge' and ($1)"
}

why() { # KEY=VALUE...: of the answer to the options in $why
	local word value
	# shellcheck disable=SC2086 # words are wanted
	run smtpwall why $why --json
	for word; do
		value=$(/usr/bin/python3 -c 'import json, sys
print(json.loads(sys.argv[1])[sys.argv[2]])' "$output" "${word%%=*}")
		[ "$value" = "${word#*=}" ] || {
			echo "why $why: expected $word"
			echo "$output"
			return 1
		}
	done
}

# The XDP program's id on an interface of the router, as the kernel says; empty: none.
xdp_on() { # DEVICE
	in_ns router ip -d link show dev "$1" | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p' | head -n 1
}

# ---- a crowd that does as it is told: tools/crowd.c ----

crowd_start() { # ADDRESS PORT; gate.bash says what a client begins with
	mkfifo "$D/orders"
	(exec nsenter --net="/run/netns/$ID-near" "$TOOLS/crowd" "$1" "$2" "$(client_hello)" \
		<"$D/orders" >"$D/said" 2>&1 3>&- 4>&-) &
	remember $!
	crowd_pid=$!
	exec 9>"$D/orders"
	said=0
}

crowd_end() {
	[ -e "$D/orders" ] || return 0
	exec 9>&-
	wait_for dead "$crowd_pid"
	rm -f "$D/orders" "$D/said"
}

has_said() {
	[ "$(wc -l <"$D/said")" -ge "$said" ] || dead "$crowd_pid"
}

# One order; $answer is what came of it.
crowd() { # WORD...
	said=$((said + 1))
	echo "$*" >&9
	wait_for has_said
	answer=$(sed -n "${said}p" "$D/said")
	echo "$*: $answer"
	[ -n "$answer" ]
}

count_of() { # WORD: the number behind it in $answer
	[[ $answer =~ $1\ ([0-9]+) ]]
	echo "${BASH_REMATCH[1]}"
}

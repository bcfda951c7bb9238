# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # bats sets $output and $lines; scenarios read ours
#
# The world that a scenario lives in, and what it may ask of it.
#
# world_up makes, with names from its process id, and world_down takes away again:
#
#   near  ====== far      192.0.2.1, 2001:db8:1::1  --  192.0.2.2, 2001:db8:1::2
#         ------ far      198.51.100.1              --  198.51.100.2     (a second way, for MPTCP)
#   other ------ far      203.0.113.1, 2001:db8:3::1 -- 203.0.113.2, 2001:db8:3::2
#
# three network namespaces; a cgroup with `guarded` (what smtpwalld attaches to) and `outside`; a
# folder with the daemon's run, state and pin folders, the last on a bpffs of its own. Clients run in
# near (or other), in a cgroup below `guarded`, as the user that the test names. The receiving side is
# tools/sink.c in far, whose log says what arrived: it is the truth that verdicts are held against.
# The daemon runs in near, so near's addresses are what `local` means.
#
# Scenarios 2, 3, 5 and 6 need bash, bats, coreutils, grep, sed, awk, util-linux and iproute2, and of
# users and groups root, mail, www-data and nobody. They run like that in tests/vm.
#
# Mail servers (scenario 1): Debian's packages for them exclude each other and would start a server,
# so tools/servers.sh fetches and unpacks them into a folder of root's that outlives the checkout,
# and they run from there. A program counts for a rule under its path in the host's mount namespace,
# so the policy names that path. Postfix runs as it is, under users that any Debian has. Exim and
# OpenSMTPD insist on users and folders of their own: they see them in a mount namespace made for the
# test, but are executed through /proc/PID/root of a process outside it, from a mount of the host: so
# they have their names also where the folder is not on the root file system.
#
# What a killed test leaves, the next world_up removes.

bats_require_minimum_version 1.5.0

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SW_BUILD:=$top/build}"
export TOOLS=$SW_BUILD/tests/net/tools
FAR4=192.0.2.2 FAR6=2001:db8:1::2
NEAR4=192.0.2.1 NEAR6=2001:db8:1::1
OTHER4=203.0.113.2 OTHER6=2001:db8:3::2 SECOND4=198.51.100.2
daemon_ns=near # where smtpwalld runs
limit=180 # seconds that a condition may take to come true: emulated machines are slow

# ---- small things ----

cgroup2_root() {
	awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2" && $4 == "/") { print $5; exit } }' \
		/proc/self/mountinfo
}

wait_for() { # COMMAND...: until it succeeds
	local until=$((SECONDS + limit))
	until "$@"; do
		if [ "$SECONDS" -ge "$until" ]; then
			echo "waited $limit s in vain for: $*" >&2
			return 1
		fi
		sleep 0.05
	done
}

# Without other programs: these are asked again and again. Before the last ")" stands a name that may hold anything.
stat_of() { # PID: sets $stat to what /proc/PID/stat has from its third field on
	stat=''
	read -rd '' stat 2>/dev/null <"/proc/$1/stat" || [ -n "$stat" ] || return
	stat=${stat##*) }
}

alive() { # PID
	local stat
	stat_of "$1" && [[ $stat != Z* ]]
}

dead() { # PID
	! alive "$1"
}

# A pid alone may be somebody else's by the time it is killed; with its time of start it is not.
started_at() { # PID
	local stat fields
	stat_of "$1" || return 0
	read -ra fields <<<"$stat"
	echo "${fields[19]}"
}

remember() { # PID: to be ended with the world
	echo "$1 $(started_at "$1")" >>"$D/pids"
}

end_remembered() { # FILE
	local pid at
	while read -r pid at; do
		[ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ] && kill -KILL "$pid" 2>/dev/null
	done <"$1"
	return 0
}

in_ns() { # NAME COMMAND...
	local ns=$1
	shift
	nsenter --net="/run/netns/$ID-$ns" "$@"
}

# In the background until the world ends; $started is its pid. bats waits for everybody who holds its
# own descriptors.
start() { # NS OUTPUT COMMAND...
	local ns=$1 output=$2
	shift 2
	(exec nsenter --net="/run/netns/$ID-$ns" "$@" </dev/null >>"$output" 2>&1 3>&- 4>&-) &
	started=$!
	remember "$started"
	disown "$started" # its end is nothing that the shell should talk about
}

# ---- the world ----

# Lines of ip(8) on standard input, all in one program: it takes longer to start than to do them.
ip_in() { # NS [OPTION...]
	local ns=$1
	shift
	ip -n "$ID-$ns" "$@" -batch -
}

# Lines for ip_in. No duplicate address detection: an address is there at once.
add_addresses() { # DEVICE ADDRESS...
	local address
	for address in "${@:2}"; do
		case $address in
		*:*) echo "address add $address dev $1 nodad" ;;
		*) echo "address add $address dev $1" ;;
		esac
	done
}

device_up() { # NS DEVICE ADDRESS...
	{ add_addresses "${@:2}" && echo "link set $2 up"; } | ip_in "$1"
}

pair() { # NS DEVICE ADDRESSES NS DEVICE ADDRESSES
	ip link add "$2" netns "$ID-$1" type veth peer name "$5" netns "$ID-$4"
	# shellcheck disable=SC2086 # words are wanted
	device_up "$1" "$2" $3
	# shellcheck disable=SC2086
	device_up "$4" "$5" $6
}

make_network() {
	local ns
	for ns in near far other; do
		ip netns add "$ID-$ns"
		ip_in "$ns" <<<'link set lo up'
	done
	pair near veth0 "$NEAR4/24 $NEAR6/64" far veth0 "$FAR4/24 $FAR6/64"
	pair near veth1 "198.51.100.1/24" far veth1 "$SECOND4/24"
	pair other veth2 "203.0.113.1/24 2001:db8:3::1/64" far veth2 "$OTHER4/24 $OTHER6/64"
	# Data in the SYN is taken without a cookie, so that the first try counts already.
	in_ns far sh -c 'echo 0x602 >/proc/sys/net/ipv4/tcp_fastopen'
	for ns in near other; do
		in_ns "$ns" sh -c 'echo 0x5 >/proc/sys/net/ipv4/tcp_fastopen'
	done
}

missing_for_world() { # prints why no world can be made
	local tool
	[ "$(id -u)" -eq 0 ] || echo "needs root"
	[ -n "$(cgroup2_root)" ] || echo "no cgroup2 is mounted"
	for tool in ip nsenter unshare setpriv mount; do
		command -v "$tool" >/dev/null || echo "$tool is not installed"
	done
	for tool in "$TOOLS/try" "$TOOLS/sink" "$SW_BUILD/smtpwalld" "$SW_BUILD/smtpwall"; do
		[ -x "$tool" ] || echo "$tool is not built"
	done
}

world_up() {
	local problem
	problem=$(missing_for_world)
	[ -z "$problem" ] || skip "$problem"
	sweep
	export ID=smtpwall-$$
	export D=/tmp/$ID CG
	CG=$(cgroup2_root)/$ID/guarded
	mkdir -m 755 "$D"
	mkdir -p "$D"/{run,state,bpf,far,near} "$CG/clients" "${CG%/*}/outside"
	: >"$D/pids"
	# The tools as any user can run them, whoever owns the checkout.
	install -m 755 "$TOOLS"/{try,sink,peers,detach} "$D/"
	mount -t bpf bpf "$D/bpf"
	make_network
	sink_start far far -p 0.0.0.0 25 :: 25 0.0.0.0 9 :: 9
}

world_down() {
	[ -z "${ID-}" ] || remove_world "$ID"
}

remove_cgroups() { # DIR
	local dir
	[ -d "$1" ] || return 0
	echo 1 >"$1/cgroup.kill" 2>/dev/null || true
	find "$1" -depth -type d | while read -r dir; do
		wait_for rmdir_gone "$dir"
	done
}

rmdir_gone() { # DIR: a killed process leaves its cgroup only once it is reaped
	[ ! -d "$1" ] || rmdir "$1" 2>/dev/null
}

# Every step stands alone: what is gone already must not keep the rest.
remove_world() { # ID
	local dir=/tmp/$1 ns mount
	[ ! -f "$dir/pids" ] || end_remembered "$dir/pids"
	remove_cgroups "$(cgroup2_root)/$1"
	for mount in $(awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | tac); do
		umount -l "$mount" || true
	done
	for ns in near far other router; do
		[ ! -e "/run/netns/$1-$ns" ] || ip netns delete "$1-$ns" || true
	done
	rm -rf --one-file-system "$dir"
}

sweep() {
	local dir id
	for dir in /tmp/smtpwall-[0-9]* "$(cgroup2_root)"/smtpwall-[0-9]* /run/netns/smtpwall-[0-9]*-*; do
		id=${dir##*/}
		id=${id%-near} id=${id%-far} id=${id%-other} id=${id%-router}
		[ ! -e "$dir" ] || [ -d "/proc/${id#smtpwall-}" ] || remove_world "$id"
	done
}

# ---- who acts in it ----

sink_start() { # NAME NS [-p] [-m] ADDRESS PORT...
	local name=$1 ns=$2 options=()
	shift 2
	while [[ $1 == -* ]]; do
		options+=("$1")
		shift
	done
	mkdir -p "$D/$name"
	start "$ns" "$D/$name.out" "$D/sink" "${options[@]}" "$D/$name" "$name" "$@"
	wait_for grep -qs '^ready' "$D/$name/log"
}

# Replaces this shell by a command as a client of the guarded cgroup.
#   -u USER  -g GROUP (default: the user's)  -c CGROUP below guarded  -n near|other
#   -m CGROUP: opens its cgroup.procs as descriptor 7, for the program to move itself there
#   -p PROGRAM: stands before what follows
client_exec() {
	local user=root group='' cgroup=clients move='' ns=near program=() identity=() option OPTIND=1
	while getopts u:g:c:m:n:p: option; do
		case $option in
		u) user=$OPTARG ;;
		g) group=$OPTARG ;;
		c) cgroup=$OPTARG ;;
		m) move=$OPTARG ;;
		n) ns=$OPTARG ;;
		p) program=("$OPTARG") ;;
		*) exit 2 ;;
		esac
	done
	shift $((OPTIND - 1))
	# What is on machines of their own is nobody's process here.
	[ "$ns" != "${customers_ns-}" ] || cgroup=../outside
	[ "$user$group" = root ] ||
		identity=(setpriv --reuid "$user" --regid "${group:-$(id -g "$user")}" --clear-groups)
	[ -d "$CG/$cgroup" ] || mkdir -p "$CG/$cgroup"
	echo "$BASHPID" >"$CG/$cgroup/cgroup.procs" || exit 2
	if [ -n "$move" ]; then
		mkdir -p "$CG/$move"
		exec 7>"$CG/$move/cgroup.procs"
	fi
	cd / || exit 2
	exec nsenter --net="/run/netns/$ID-$ns" -- "${identity[@]}" "${program[@]}" "$@" 3>&- 4>&-
}

client() { # OPTIONS COMMAND...
	(client_exec "$@")
}

attempt() { # OPTIONS WAY ADDRESS PORT...: one try, see tools/try.c
	client -p "$D/try" "$@"
}

smtpwall() {
	"$SW_BUILD/smtpwall" --run-dir "$D/run" "$@"
}

daemon_answers() {
	smtpwall status >/dev/null 2>&1
}

daemon_up_or_over() {
	daemon_answers || dead "$daemon"
}

daemon_options() {
	echo --foreground --cgroup "$CG" --run-dir "$D/run" --state-dir "$D/state" --pin-dir "$D/bpf/pin"
}

# Starts smtpwalld with the policy on standard input (or the one of last time); $daemon is its pid.
daemon_start() {
	# shellcheck disable=SC2046 # words are wanted
	start "$daemon_ns" "$D/daemon.log" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy" "$@"
	daemon=$started
	echo "$daemon" >"$D/daemon.pid"
	if ! wait_for daemon_up_or_over || ! daemon_answers; then
		echo "smtpwalld did not come up:"
		tail -n 20 "$D/daemon.log"
		return 1
	fi
}

# A daemon that must not start says why and ends with status 4.
daemon_start_fails() {
	# shellcheck disable=SC2046
	run timeout 60 nsenter --net="/run/netns/$ID-$daemon_ns" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy"
	echo "$output"
	[ "$status" -eq 4 ]
}

daemon_pid() {
	cat "$D/daemon.pid"
}

daemon_kill() { # SIGNAL: and waits until it is gone
	local pid
	pid=$(daemon_pid)
	kill "-$1" "$pid"
	wait_for dead "$pid"
}

# SMTPWALL_TEST_CONTROL names hooks (see controls.sh) whose links are taken off once the world stands,
# behind the back of a daemon that is stopped and so cannot repair it: the scenario must then fail.
control() {
	local hook
	[ -n "${SMTPWALL_TEST_CONTROL-}" ] || return 0
	kill -STOP "$(daemon_pid)"
	for hook in $SMTPWALL_TEST_CONTROL; do
		"$D/detach" "$D/bpf/pin/link_$hook"
	done
}

policy() { # standard input becomes the policy file
	cat >"$D/policy"
}

apply() { # OPTIONS: standard input becomes the policy in force
	policy
	smtpwall apply "$D/policy" "$@"
}

# ---- what came of it ----

status_number() { # KEY: the first number of that name in `status`
	smtpwall status --json | grep -o "\"$1\": *[0-9]*" | head -n 1 | grep -o '[0-9]*$'
}

last_event() { # KEY VALUE: the newest event with it, one object on one line
	smtpwall events --json | grep "\"$1\": *\"\{0,1\}$2\"\{0,1\}[,}]" | tail -n 1
}

has_event() { # KEY VALUE
	[ -n "$(last_event "$1" "$2")" ]
}

mark() { # what the sinks saw up to here does not count
	MARK=$(wc -l <"$D/far/log")
}

since_mark() { # PATTERN: number of lines in far's log
	tail -n "+$((MARK + 1))" "$D/far/log" | grep -cE "$1" || true
}

saw_since_mark() { # PATTERN COUNT
	[ "$(since_mark "$1")" -ge "$2" ]
}

# A connection to a port that no rule names, the whole way: what was sent before it has arrived.
barrier() {
	local before
	before=$(since_mark '^accept 9 ')
	attempt connect "$FAR4" 9 >/dev/null && attempt connect "$FAR6" 9 >/dev/null &&
		attempt -n other connect "$OTHER4" 9 >/dev/null &&
		wait_for saw_since_mark '^accept 9 ' $((before + 3))
}

# Nothing that could open a connection to port 25 came to the far side since the mark.
nothing_arrived() {
	barrier
	if saw_since_mark '^(accept|mail|syn|tcp) (25|2525)( |$)|^fragment first' 1; then
		echo "ESCAPED: the far side saw"
		tail -n "+$((MARK + 1))" "$D/far/log" | grep -vE '^accept 9 '
		return 1
	fi
}

# The try ends in EACCES, and soon: the bound is only there to tell an answer from a time-out.
expect_refused() { # OPTIONS WAY ADDRESS PORT...
	local last
	run attempt "$@"
	last=${lines[-1]-}
	case $last in
	"refused EACCES "*) ;;
	skipped*) skip "this kernel or user cannot: $*" ;;
	*)
		echo "ESCAPED: expected EACCES from: try $*"
		echo "$output"
		return 1
		;;
	esac
	[ "${last##* }" -lt 5000000 ] || {
		echo "LATE: $last"
		return 1
	}
}

expect_connected() { # OPTIONS WAY ADDRESS PORT...
	run attempt "$@"
	[[ ${lines[-1]-} == "connected OK "* ]] || {
		echo "expected a connection from: try $*"
		echo "$output"
		return 1
	}
}

# Raw packets: the sender may hear of it or not; what counts is that nothing arrived.
expect_not_sent() { # OPTIONS WAY ADDRESS PORT...
	run attempt "$@"
	[[ ${lines[-1]-} != skipped* ]] || skip "this kernel or user cannot: $*"
	nothing_arrived || {
		echo "after: try $*: $output"
		return 1
	}
}

# ---- what came over the wire ----

capture_start() { # NAME NS FILTER: packets between near and far, to $D/NAME.pcap
	start "$2" "$D/$1.tcpdump" tcpdump -Z root -i veth0 -s 0 -B 65536 -U -w "$D/$1.pcap" "$3 or udp dst port 9"
	capturer=$started
	wait_for grep -qs 'listening on' "$D/$1.tcpdump"
}

captured_mark() { # NAME MARK
	# shellcheck disable=SC2016 # for the inner shell
	in_ns near bash -c 'echo "$0" >/dev/udp/192.0.2.2/9' "$2"
	grep -qs "$2" "$D/$1.pcap"
}

# What was sent before the mark has been written when the mark has.
capture_end() { # NAME
	wait_for captured_mark "$1" "end-of-$1"
	kill "$capturer"
	wait_for dead "$capturer"
	! grep -E '[1-9][0-9]* packets? dropped by kernel' "$D/$1.tcpdump"
}

uid_of() { # USER
	id -u "$1"
}

# ---- load: four clients that connect without pause ----

load_pids=()

# 1 mail/mail, 2 www-data/www-data, 3 mail/www-data, 4 www-data/mail; two over each family.
load_start() {
	local n=0 who address
	rm -f "$D"/load.* "$D"/progress.* "$D/stop"
	mkdir -p "$D/progress" && chmod 1777 "$D/progress"
	rm -f "$D"/progress/*
	for who in "mail mail" "www-data www-data" "mail www-data" "www-data mail"; do
		n=$((n + 1))
		address=$FAR4
		[ $((n % 2)) -eq 1 ] || address=$FAR6
		# The clients take what time is left: on an emulated processor nobody else would get any.
		client_exec -u "${who% *}" -g "${who#* }" -p nice -- -n 10 "$D/try" \
			flood "$address" 25 "$D/stop" "$D/progress/$n" >"$D/load.$n" 2>&1 &
		load_pids[n]=$!
		remember $!
	done
	wait_for_load
}

done_by() { # CLIENT: connections so far
	tail -n 1 "$D/progress/$1" 2>/dev/null || true
}

further_than() { # COUNT of each client, in order
	local n
	for n in 1 2 3 4; do
		[ "$(($(done_by $n) + 0))" -ge $((${!n} + 100)) ] || return 1
	done
}

# Until each of them has made a hundred more.
wait_for_load() {
	local n so_far=()
	for n in 1 2 3 4; do
		so_far+=("$(($(done_by $n) + 0))")
	done
	wait_for further_than "${so_far[@]}"
}

load_stop() {
	touch "$D/stop"
	wait "${load_pids[@]}"
	load_pids=()
}

load_kill() { # for teardown: what a failed test has left running
	touch "$D/stop"
	[ ${#load_pids[@]} -eq 0 ] || kill -KILL "${load_pids[@]}" 2>/dev/null || true
}

outcome() { # NAME CLIENT...: how often
	local name=$1 n sum=0
	shift
	for n; do
		sum=$((sum + $(sed -n "s/^\([0-9]*\) $name\$/\1/p" "$D/load.$n" | head -n 1) + 0))
	done
	echo $sum
}

totals() { # CLIENT...
	local n sum=0
	for n; do
		sum=$((sum + $(sed -n 's/^total //p' "$D/load.$n")))
	done
	echo $sum
}

generation() {
	status_number generation
}

local_accepts() { # since setup() wrote down where the log stood
	tail -n "+$(($(cat "$D/local/mark") + 1))" "$D/local/log" | grep -c '^accept' || true
}

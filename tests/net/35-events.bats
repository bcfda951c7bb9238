#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# events: the past from the store and the present from the daemon are one stream, in which nothing is
# missing or double; what may be asked of it; what is left when one of the two is not there.
# shellcheck disable=SC2154,SC2030,SC2031 # lib.bash; each test has a shell of its own

load lib

setup_file() {
	world_up
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow to local
		        reject "Port 25 is closed here."
		    }
		    port 2525 {
		        mode audit
		        drop
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
	daemon_answers || daemon_start
}

# With nobody who answers: the store alone.
stored() { # COMMAND...
	"$SW_BUILD/smtpwall" --run-dir "$D/nobody" --state-dir "$D/state" "$@"
}

# A few events of several kinds, of two users, two families and two ports.
some_events() {
	attempt -u www-data connect "$FAR4" 25 >/dev/null || true
	attempt -u nobody -c mta.service connect "$FAR6" 25 >/dev/null || true
	attempt -u www-data connect "$FAR4" 2525 >/dev/null || true
	attempt -u nobody connect "$OTHER4" 25 >/dev/null || true
}

# Python over the object lists of two files, or over what the file of the store holds.
check() { # CODE ARGUMENT...
	python3 -c "import json, sqlite3, sys
def read(path):
    return [json.loads(line) for line in open(path) if line[0] == '{']
def ids(path):
    return [event['id'] for event in read(path)]
def table(path, name):
    store = sqlite3.connect('file:' + path + '?mode=ro', uri=True)
    return [row[0] for row in store.execute('SELECT id FROM ' + name + ' ORDER BY id')]
a = sys.argv[1:]
$1" "${@:2}"
}

newest() {
	smtpwall events --json --last 1 2>/dev/null | grep -o '"id": *[0-9]*' | grep -o '[0-9]*$' || echo 0
}

newer_than() { # ID
	[ "$(newest)" -gt "$1" ]
}

has_ids() { # FILE COUNT
	[ "$(grep -c '"id"' "$1")" -ge "$2" ]
}

@test "while events come and the daemon is started anew, ids have no holes and no doubles" {
	local round pid
	(
		while [ ! -e "$D/enough" ]; do some_events; done
	) 3>&- 4>&- &
	pid=$!
	remember "$pid"
	for round in 1 2 3; do
		wait_for newer_than $((round * 12 - 1))
		smtpwall events --json >"$D/now.$round"
		smtpwall events --json >>"$D/now.$round.again"
		smtpwall stop >/dev/null
		daemon_start
	done
	touch "$D/enough"
	wait "$pid" || true
	smtpwall events --json >"$D/all"
	smtpwall events --sessions --json >"$D/sessions"
	check 'all = ids(a[0])
assert all == sorted(set(all)) and len(all) >= 36, all
both = sorted(all + ids(a[1]))
assert both == list(range(1, len(both) + 1)), both
for path in a[2:]:
    part = ids(path)
    assert part == all[:len(part)], (path, part)' "$D/all" "$D/sessions" "$D"/now.*
	# Without the daemon the store says the same, word for word.
	smtpwall stop >/dev/null
	stored events --json 2>/dev/null >"$D/stored"
	diff "$D/all" "$D/stored"
	check 'assert ids(a[0]) == table(a[1], "events")' "$D/stored" "$D/state/events.db"
}

@test "--follow: the past, then what comes, each once" {
	local follower before
	some_events
	"$SW_BUILD/smtpwall" --run-dir "$D/run" events --json --follow >"$D/follow" 2>&1 3>&- 4>&- &
	follower=$!
	remember "$follower"
	wait_for has_ids "$D/follow" 1
	before=$(grep -c '"id"' "$D/follow")
	some_events
	some_events
	wait_for has_ids "$D/follow" $((before + 8))
	kill -TERM "$follower"
	wait "$follower"
	smtpwall events --json >"$D/all"
	check 'assert ids(a[0]) == ids(a[1])' "$D/follow" "$D/all"
	"$SW_BUILD/smtpwall" --run-dir "$D/run" events --json --follow --last 2 >"$D/follow" 2>&1 3>&- 4>&- &
	follower=$!
	remember "$follower"
	wait_for has_ids "$D/follow" 2
	some_events
	wait_for has_ids "$D/follow" 6
	kill -TERM "$follower"
	wait "$follower"
	smtpwall events --json >"$D/all"
	check 'assert ids(a[0]) == ids(a[1])[-6:]' "$D/follow" "$D/all"
}

# What each option lets through is what Python picks from all; first with the daemon, then without.
each_filter() { # COMMAND...
	local option expression
	"$@" events --json >"$D/all" 2>/dev/null
	while IFS='|' read -r option expression; do
		# shellcheck disable=SC2086 # words are wanted
		"$@" events --json $option >"$D/some" 2>/dev/null
		check 'e = read(a[0])
want = [x["id"] for x in e if eval(a[2], {"x": x, "e": e})]
got = ids(a[1])
assert want and len(want) < len(e), "tells nothing: " + a[2]
assert got == want, (a[2], got, want)' "$D/all" "$D/some" "$expression"
	done <<-END
		--user nobody|x['user'] == 'nobody'
		--user $(uid_of nobody)|x['uid'] == $(uid_of nobody)
		--unit mta.service|x['unit'] == 'mta.service'
		--port 2525|x['port'] == 2525
		--to $FAR4|x['dst'] == '$FAR4'
		--to 203.0.113.0/24|x['dst'].startswith('203.0.113.')
		--to 2001:db8:1::/48|x['dst'].startswith('2001:db8:1:')
		--verdict audit|x['verdict'] == 'audit'
		--verdict reject|x['verdict'] == 'reject'
		--rule 3|x['rule'] == 3
		--since $(time_of 5)|x['time'] >= e[5]['time']
		--until $(time_of 9)|x['time'] < e[9]['time']
		--since $(time_of 3) --until $(time_of 7)|e[3]['time'] <= x['time'] < e[7]['time']
		--last 3|x in e[-3:]
		--last 2 --user www-data --port 25|x in [y for y in e if y['user'] == 'www-data' and y['port'] == 25][-2:]
	END
	"$@" events --json --exe "$D/try" 2>/dev/null | diff - "$D/all"
	"$@" events --json --reason not_permitted 2>/dev/null | diff - "$D/all"
	run -0 "$@" events --json --exe /bin/none 2>/dev/null
	[[ $output != *'"id"'* ]]
	run -0 "$@" events --json --reason not_tls 2>/dev/null
	[[ $output != *'"id"'* ]]
}

time_of() { # NUMBER of an event in $D/all
	check 'print(read(a[0])[int(a[1])]["time"])' "$D/all" "$1"
}

@test "each option lets through what it says, from both and from the store alone" {
	local before
	before=$(newest)
	some_events
	some_events
	some_events
	wait_for newer_than "$((before + 11))"
	each_filter smtpwall
	smtpwall stop >/dev/null
	each_filter stored
}

@test "connections that ended have a list of their own" {
	expect_connected -u www-data connect "$NEAR4" 25 || sink_start near near 0.0.0.0 25
	expect_connected -u www-data connect "$NEAR4" 25
	wait_for has_session
	run -0 smtpwall events --sessions --last 1
	[[ $output == *"Z ended         25 -> $NEAR4        www-data $D/try (clients) in clear, sent "*" B, received "* ]]
	smtpwall events --sessions --json >"$D/sessions"
	check 'assert all(x["kind"] == "session" for x in read(a[0]))' "$D/sessions"
	smtpwall events --json >"$D/all"
	check 'assert all(x["kind"] != "session" for x in read(a[0]))' "$D/all"
}

has_session() {
	smtpwall events --sessions --json | grep -q '"kind": "session"'
}

@test "no daemon: the store is read, and it is said that nobody runs" {
	some_events
	smtpwall stop >/dev/null
	run -0 stored events --last 1
	[[ $output == *"smtpwalld is not running"*"these are the events in $D/state/events.db"*" 25 -> "* ]]
	run -3 stored events --last 1 --follow
	[[ $output == *" 25 -> "* ]]
	run -3 "$SW_BUILD/smtpwall" --run-dir "$D/nobody" --state-dir "$D/nobody" events
	[[ $output != *" 25 -> "* ]]
}

@test "a daemon without a store has what it remembers" {
	smtpwall stop >/dev/null
	mv "$D/state/events.db" "$D/kept.db"
	daemon_start --store-size 0
	some_events
	wait_for newer_than 3
	smtpwall events --json >"$D/all"
	check 'assert len(ids(a[0])) == 4, read(a[0])' "$D/all"
	smtpwall events --json --last 1 --user www-data >"$D/all"
	check 'assert [x["port"] for x in read(a[0])] == [2525]' "$D/all"
	run -1 smtpwall report
	[[ $output == *"keeps no store of events"* ]]
	smtpwall stop >/dev/null
	mv "$D/kept.db" "$D/state/events.db"
}

@test "who may read neither is told so" {
	install -m 755 "$SW_BUILD/smtpwall" "$D/smtpwall"
	run -1 setpriv --reuid nobody --regid nogroup --clear-groups "$D/smtpwall" --run-dir "$D/run" \
		--state-dir "$D/state" events
	[[ $output == *"you may not speak to smtpwalld"*"$D/state/events.db: cannot be opened: Permission denied"* ]]
	[[ $output != *" 25 -> "* ]]
	run -1 setpriv --reuid nobody --regid nogroup --clear-groups "$D/smtpwall" --run-dir "$D/run" \
		--state-dir "$D/state" report
	[[ $output == *"you may not read $D/state/events.db"* ]]
}

@test "the socket's group reads both" {
	local gid=64999
	install -m 755 "$SW_BUILD/smtpwall" "$D/smtpwall"
	smtpwall stop >/dev/null
	rm -f "$D"/state/events.db*
	{ cat /etc/group && echo "smtpwall:x:$gid:"; } >"$D/group"
	# The group exists for this daemon alone: in a mount namespace it reads another /etc/group.
	# shellcheck disable=SC2046 # words are wanted
	start near "$D/daemon.log" unshare --mount sh -c 'mount --bind "$1" /etc/group && shift && exec "$@"' sh \
		"$D/group" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy"
	echo "$started" >"$D/daemon.pid"
	wait_for daemon_answers
	some_events
	wait_for newer_than 3
	wait_for is_written
	run -0 setpriv --reuid nobody --regid nogroup --groups $gid "$D/smtpwall" --run-dir "$D/run" events
	[ "$(grep -c ' -> ' <<<"$output")" -ge 4 ]
	[[ $output != *cannot* ]]
	run -0 setpriv --reuid nobody --regid nogroup --groups $gid "$D/smtpwall" --run-dir "$D/run" report
	[[ $output == *not_permitted* ]]
}

is_written() {
	check 'assert table(a[0], "events")' "$D/state/events.db" 2>/dev/null
}

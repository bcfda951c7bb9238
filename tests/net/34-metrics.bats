#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Metrics: what is served is what Prometheus reads and what happened; who may ask; and clients that ask
# badly. Alerts and dashboard name only what there is, and each alert fires of what it is for.
#
# shellcheck disable=SC2154 # lib.bash and gate.bash set what is read here

load gate

monitoring=$top/daemon/monitoring
port=9725

setup_file() {
	tools=$("$top/tests/net/tools/servers.sh" prometheus) || skip "$tools"
	export PROMETHEUS=$tools/prometheus/usr/bin
	gate_up
	daemon_kill TERM
	policy <<-END
		mode enforce
		host {
		    port 25 {
		        allow from user mail
		        reject "Port 25 is closed here."
		    }
		    port 587 {
		        require tls
		    }
		}
	END
	daemon_start --metrics 127.0.0.1:$port
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
}

ask() { # CURL-OPTION...
	in_ns near curl -sS --max-time 20 "$@"
}

scrape() {
	ask --fail "http://127.0.0.1:$port/metrics"
}

metric() { # SAMPLE: its value, as the next scrape has it
	scrape | awk -v sample="$1" '$1 == sample { print $2 }'
}

metric_is() { # SAMPLE VALUE
	[ "$(metric "$1")" = "$2" ]
}

restart() { # SIGNAL OPTION...
	daemon_kill "$1"
	shift
	daemon_start "$@"
}

# AUTH before TLS; the gate drops it, and the daemon ends the connection.
break_the_rule() {
	{
		step "dialogue broken" "port 587" "to $FAR4"
		greet && ehlo STARTTLS
		step '> AUTH PLAIN AGEAYg==\r\n'
	} | talk -u www-data
	grep -q $'^broken\trefused\tECONNABORTED' "$D/talked" || {
		cat "$D/talked"
		return 1
	}
}

@test "promtool has nothing to say about what is served" {
	scrape >"$D/scrape"
	run -0 "$PROMETHEUS/promtool" check metrics <"$D/scrape"
	[ -z "$output" ]
	run -0 ask -I "http://127.0.0.1:$port/metrics"
	[[ $output == *"200 OK"*"text/plain; version=0.0.4"* ]]
}

@test "Prometheus counts the refusals and the violations that there were" {
	local before after
	cat >"$D/prometheus.yml" <<-END
		global: {scrape_interval: 1s, evaluation_interval: 1s}
		rule_files: ["$monitoring/smtpwall-alerts.yml"]
		scrape_configs:
		  - job_name: smtpwall
		    static_configs: [{targets: ["127.0.0.1:$port"]}]
	END
	start near "$D/prometheus.log" "$PROMETHEUS/prometheus" --config.file="$D/prometheus.yml" \
		--storage.tsdb.path="$D/tsdb" --web.listen-address=127.0.0.1:9790
	before=$(metric 'smtpwall_decisions_total{scope="host",decision="refused"}')
	# An increase is one over what it has seen before.
	wait_for prometheus_says "smtpwall_cleartext_credentials_total{kind='gate',result='stopped'}" 0
	for _ in 1 2 3 4 5 6 7; do
		expect_refused -u www-data connect "$FAR4" 25
	done
	expect_connected -u mail connect "$FAR4" 25
	break_the_rule
	after=$((before + 7))
	wait_for prometheus_says "smtpwall_decisions_total{scope='host',decision='refused'}" $after
	wait_for prometheus_says "smtpwall_events_total{kind='connect',reason='not_permitted',verdict='reject'} > 0" "$(events connect)"
	wait_for prometheus_says "smtpwall_condemned_connections_total{scope='host'}" 1
	wait_for prometheus_says "smtpwall_cleartext_credentials_total{kind='gate',result='stopped'}" 1
	wait_for prometheus_says "sum(smtpwall_hook_attached)" 7
	wait_for prometheus_says "smtpwall_enforcing" 1
	prometheus_says "smtpwall_policy_rules" "$(status_number rules)"
	prometheus_says "smtpwall_policy_info{generation='$(generation)'}" 1
	wait_for prometheus_says "sum(smtpwall_store_rows) - sum(smtpwall_sink_written_total{sink='store'})" 0
	wait_for prometheus_says "smtpwall_store_rows{table='events'} >= bool 8" 1
	wait_for prometheus_says "smtpwall_sink_behind_events{sink='store'}" 0
	wait_for prometheus_says "count(ALERTS{alertname='SmtpwallCleartextCredentials',alertstate='firing'})" 1
	kill "$started"
	wait_for dead "$started"
}

prometheus_says() { # QUERY VALUE: of its only sample
	[ "$(ask -G --data-urlencode "query=$1" http://127.0.0.1:9790/api/v1/query 2>/dev/null |
		sed -n 's/.*"result":\[{[^[]*"value":\[[^,]*,"\([^"]*\)"\]}\].*/\1/p')" = "$2" ]
}

events() { # KIND
	smtpwall events --json | grep -c "\"kind\": *\"$1\""
}

@test "alerts and dashboard name only what is served; the manual names all of it" {
	scrape | sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' | sort >"$D/served"
	grep -ohE '\b(smtpwall|process)_[a-z0-9_]+' "$monitoring"/* | sort -u >"$D/named"
	run -0 comm -13 "$D/served" "$D/named"
	[ -z "$output" ]
	[ "$(wc -l <"$D/named")" -gt 40 ]
	grep -oE '\b(smtpwall|process)_[a-z0-9_]+' "$top/daemon/smtpwalld.8" | sort -u >"$D/manual"
	run -0 diff "$D/served" "$D/manual"
}

@test "each alert fires of what it is for, and says what to do" {
	local alerts name
	run -0 "$PROMETHEUS/promtool" check rules "$monitoring/smtpwall-alerts.yml"
	run "$PROMETHEUS/promtool" test rules "$top/tests/net/tools/alerts.yml"
	echo "$output"
	[ "$status" -eq 0 ]
	mapfile -t alerts < <(sed -n 's/.*- alert: //p' "$monitoring/smtpwall-alerts.yml")
	[ ${#alerts[@]} -ge 9 ]
	for name in "${alerts[@]}"; do
		grep -q "labels: 'ALERTS{alertname=\"$name\",alertstate=\"firing\"" "$top/tests/net/tools/alerts.yml"
	done
	[ "$(grep -c ' summary: ' "$monitoring/smtpwall-alerts.yml")" -eq ${#alerts[@]} ]
	[ "$(grep -c ' description: ' "$monitoring/smtpwall-alerts.yml")" -eq ${#alerts[@]} ]
}

@test "the dashboard is one that Grafana takes" {
	run -0 python3 - "$monitoring/smtpwall-dashboard.json" <<-'END'
		import json
		import sys

		dashboard = json.load(open(sys.argv[1]))
		panels = dashboard["panels"]
		assert dashboard["schemaVersion"] >= 36 and len(panels) > 20
		assert len({panel["id"] for panel in panels}) == len(panels)
		assert dashboard["templating"]["list"][0]["type"] == "datasource"
		taken = set()
		for panel in panels:
		    place = panel["gridPos"]
		    cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
		    assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
		    taken |= cells
		    for target in panel.get("targets", []):
		        assert target["datasource"]["uid"] == "${datasource}", panel["title"]
		        print(target["expr"].replace("$__rate_interval", "5m"))
	END
	# What it asks is in Prometheus' language.
	{
		echo 'groups: [{name: dashboard, rules: ['
		# shellcheck disable=SC2154 # bats
		printf '%s\n' "${lines[@]}" | sed "s/'/''/g; s/.*/{record: 'panel', labels: {n: '&'}, expr: '&'},/"
		echo ']}]'
	} >"$D/dashboard.yml"
	run "$PROMETHEUS/promtool" check rules --lint=none "$D/dashboard.yml"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "other pages and methods are refused in a word" {
	local said method
	run -0 ask "http://127.0.0.1:$port/"
	[[ $output == *"/metrics"* ]]
	run -0 ask -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/metrics/../../etc/passwd" --path-as-is
	[ "$output" = 404 ]
	for method in POST PUT DELETE OPTIONS TRACE NONSENSE; do
		said=$(ask -o /dev/null -w '%{http_code}' -X $method -d x=y "http://127.0.0.1:$port/metrics")
		[ "$said" = 405 ]
	done
	said=$(ask -o /dev/null -w '%{http_code}' -H "A: $(printf 'x%.0s' {1..20000})" "http://127.0.0.1:$port/metrics")
	[ "$said" = 431 ] || [ "$said" = 413 ]
}

# What a scrape costs is paid at most four times a second: the daemon's processor time stands still between.
@test "a flood of scrapes gets the same page" {
	local from=${EPOCHREALTIME/[.,]/} pages
	pages=$(ask --fail "http://127.0.0.1:$port/metrics?[1-100]" | grep '^process_cpu_seconds_total ' | tee "$D/pages" | uniq | wc -l)
	[ "$(wc -l <"$D/pages")" -eq 100 ]
	[ "$pages" -le $(((${EPOCHREALTIME/[.,]/} - from) / 250000 + 2)) ]
}

thrown_out() { # TIMES each
	[ "$(grep -c '^thrown out' "$D/slow.out")" -ge "$1" ]
}

fds_at_most() { # COUNT
	[ "$(metric process_open_fds)" -le "$1" ]
}

@test "clients that are slow, silent or send garbage hold up nobody and cost nothing" {
	local fds memory resets
	fds=$(metric process_open_fds)
	memory=$(metric process_resident_memory_bytes)
	start near "$D/slow.out" "$top/tests/net/tools/slow_http.py" 127.0.0.1 $port 300
	wait_for thrown_out 2
	for _ in 1 2 3; do
		expect_refused -u www-data connect "$FAR4" 25
		break_the_rule
		smtpwall status >/dev/null
		scrape >"$D/scrape"
	done
	wait_for thrown_out 4
	alive "$started"
	fds_at_most $((fds + 70))
	# The sanitizers keep what is freed.
	[[ $SW_BUILD == *sanitize ]] || [ "$(metric process_resident_memory_bytes)" -le $((memory + (16 << 20))) ]
	kill "$started"
	wait_for fds_at_most $((fds + 1))
	resets=$(metric 'smtpwall_events_total{kind="gate",verdict="reset",reason="cleartext_command"}')
	[ "$resets" -ge 3 ]
}

@test "only addresses of loopback will do, and who wants others learns how" {
	local address
	daemon_kill TERM
	for address in 0.0.0.0:9725 "$NEAR4:9725" '[::]:9725' "[$NEAR6]:9725" '[::ffff:192.0.2.1]:9725' \
		localhost:9725 127.0.0.1:0 127.0.0.1:65536 ::1:9725 '[127.0.0.1]:9725' unix:relative; do
		# shellcheck disable=SC2046 # words are wanted
		run -2 in_ns near timeout "$limit" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy" --metrics "$address"
		[[ $output == *"--metrics $address"*"reverse proxy"* ]]
	done
	expect_refused -u www-data connect "$FAR4" 25
	daemon_start --metrics "[::1]:$port"
	run -0 ask --fail "http://[::1]:$port/metrics"
	[[ $output == *smtpwall_enforcing* ]]
}

@test "somebody who has taken the port keeps nothing from being enforced" {
	sink_start taken near 127.0.0.1 9726
	restart TERM --metrics 127.0.0.1:9726
	expect_refused -u www-data connect "$FAR4" 25
	run smtpwall status
	[[ $output == *"127.0.0.1:9726"*"in use"* ]]
}

@test "a unix socket, for root and the group smtpwall" {
	local path=$D/run/metrics
	# The group exists for this daemon alone: in a mount namespace it reads another /etc/group.
	daemon_kill TERM
	{ cat /etc/group && echo "smtpwall:x:64999:"; } >"$D/group"
	# shellcheck disable=SC2046 # words are wanted
	start near "$D/daemon.log" unshare --mount sh -c 'mount --bind "$1" /etc/group && shift && exec "$@"' sh \
		"$D/group" "$SW_BUILD/smtpwalld" $(daemon_options) --policy "$D/policy" --metrics "unix:$path"
	echo "$started" >"$D/daemon.pid"
	wait_for daemon_answers
	run -0 ask --fail --unix-socket "$path" http://localhost/metrics
	[[ $output == *smtpwall_enforcing* ]]
	[ "$(stat -c %a:%u:%g "$path")" = 660:0:64999 ]
	run -0 setpriv --reuid nobody --regid nogroup --groups 64999 curl -sS --fail --unix-socket "$path" http://localhost/metrics
	run ! setpriv --reuid nobody --regid nogroup --clear-groups curl -sS --fail --unix-socket "$path" http://localhost/metrics
	# A client whose own name is long is a client like others.
	run -0 python3 - "$path" "$D/run/$(printf 'x%.0s' {1..60})" <<-'END'
		import socket
		import sys

		client = socket.socket(socket.AF_UNIX)
		client.bind(sys.argv[2])
		client.connect(sys.argv[1])
		client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
		print(client.makefile().read())
	END
	[[ $output == *smtpwall_enforcing* ]]
	# What one that was killed leaves is no hindrance; what is no socket is left alone.
	restart KILL --metrics "unix:$path"
	run -0 ask --fail --unix-socket "$path" http://localhost/metrics
	daemon_kill TERM
	[ ! -e "$path" ]
	echo mine >"$path"
	daemon_start --metrics "unix:$path"
	[ "$(cat "$path")" = mine ]
	run smtpwall status
	[[ $output == *"unix:$path"* ]]
}

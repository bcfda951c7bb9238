# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # D, started: lib.bash
#
# A collector in far: Debian's rsyslog with a configuration, a queue in memory and a pid file of its own. It
# reads messages with its parser of RFC 5424 and writes each as a JSON object on a line of $D/collected.

# Certificates that the scenarios show each other; `stranger` is another authority.
syslog_certificates() {
	local dir=$D/certificates name
	mkdir -p "$dir"
	for name in ca stranger; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
			-subj "/CN=$name of $ID" -keyout "$dir/$name.key" -out "$dir/$name.pem" 2>>"$dir/out"
	done
	for name in collector client; do
		openssl req -x509 -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -newkey ec -nodes -days 20 \
			-pkeyopt ec_paramgen_curve:P-256 -subj "/CN=$name.example.org" \
			-addext "subjectAltName=DNS:$name.example.org,IP:$FAR6" \
			-addext basicConstraints=CA:FALSE -keyout "$dir/$name.key" -out "$dir/$name.pem" 2>>"$dir/out"
	done
}

collector_input() { # KIND
	case $1 in
	unix) echo "module(load=\"imuxsock\" sysSock.use=\"off\")
		input(type=\"imuxsock\" socket=\"$D/log\" useSpecialParser=\"off\" parseHostname=\"on\" ignoreTimestamp=\"off\" rateLimit.interval=\"0\")" ;;
	stream) echo "module(load=\"imptcp\") input(type=\"imptcp\" path=\"$D/log\")" ;;
	tcp) echo "module(load=\"imtcp\") input(type=\"imtcp\" port=\"514\")" ;;
	tls) echo "global(defaultNetstreamDriverCAFile=\"$D/certificates/ca.pem\"
		defaultNetstreamDriverCertFile=\"$D/certificates/collector.pem\"
		defaultNetstreamDriverKeyFile=\"$D/certificates/collector.key\")
		module(load=\"imtcp\" streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"x509/certvalid\")
		input(type=\"imtcp\" port=\"6514\")" ;;
	esac
}

collector_start() { # KIND: unix, stream, tcp, tls
	rm -f "$D/log"
	{
		echo "global(workDirectory=\"$D\" net.enableDNS=\"off\" internalmsg.ratelimit.interval=\"0\")"
		collector_input "$1"
		cat <<-END
			module(load="mmpstrucdata")
			template(name="line" type="list" option.jsonf="on") {
			    property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
			    property(outname="host" name="hostname" format="jsonf")
			    property(outname="app" name="app-name" format="jsonf")
			    property(outname="procid" name="procid" format="jsonf")
			    property(outname="msgid" name="msgid" format="jsonf")
			    property(outname="pri" name="pri" format="jsonf")
			    property(outname="parsed" name="\$!" format="jsonf")
			    property(outname="msg" name="msg" format="jsonf")
			}
			# What it says of itself has no structured data.
			if \$app-name == "rsyslogd" then {
			    action(type="omfile" file="$D/collector.own")
			    stop
			}
			action(type="mmpstrucdata")
			action(type="omfile" file="$D/collected" template="line")
		END
	} >"$D/rsyslog.conf"
	: >>"$D/collected"
	start far "$D/collector.out" rsyslogd -n -i "$D/rsyslog.pid" -f "$D/rsyslog.conf"
	collector=$started
	wait_for collector_listens "$1"
}

collector_listens() { # KIND
	case $1 in
	tcp) in_ns far ss -Hltn "sport = 514" | grep -q . ;;
	tls) in_ns far ss -Hltn "sport = 6514" | grep -q . ;;
	*) [ -S "$D/log" ] ;;
	esac
}

collector_end() { # SIGNAL
	kill "-$1" "$collector"
	wait_for dead "$collector"
	rm -f "$D/rsyslog.pid"
}

# Of the sink in `status`: a number, or the text of the problem.
syslog_state() { # MEMBER
	smtpwall status --json | /usr/bin/python3 -c 'import json, sys
print(next(s for s in json.load(sys.stdin)["sinks"] if s["sink"] == "syslog")[sys.argv[1]])' "$1"
}

syslog_is_at() { # ID
	[ "$(syslog_state position)" -ge "$1" ]
}

# Until nothing is missing at the collector, or something is wrong there.
nothing_is_missing() { # OPTIONS
	local status=0
	"$top/tests/net/tools/compare_syslog.py" "$D/state/events.db" "$D/collected" "$@" >"$D/compared" || status=$?
	[ $status -ne 1 ]
}

compare() { # OPTIONS: says what was, once everything is there
	wait_for nothing_is_missing "$@" || true
	sed "s/^/# $BATS_TEST_DESCRIPTION: /" "$D/compared" >&3
	"$top/tests/net/tools/compare_syslog.py" "$D/state/events.db" "$D/collected" "$@" >"$D/compared"
}

stored() { # events in the store
	/usr/bin/python3 -c 'import sqlite3, sys
print(sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True).execute("SELECT count(*) FROM events").fetchone()[0])' \
		"$D/state/events.db"
}

has_stored() { # COUNT
	[ "$(stored)" -ge "$1" ]
}

collected() { # lines so far
	wc -l <"$D/collected"
}

has_collected() { # COUNT
	[ "$(collected)" -ge "$1" ]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What is shipped and what is written about it: policies, the examples of the manual page and of the
# README, and which policy `make run` picks. Nothing is attached here.
#
# A "machine" is a mount namespace in which /usr and /etc have a writable layer on top; there the
# mail servers and their users are made or removed.

load lib

setup() {
	export top SW_BUILD smtpwall=$SW_BUILD/smtpwall
	[ -x "$smtpwall" ]
}

need_overlay() {
	[ "$(id -u)" -eq 0 ] || skip 'needs root'
	grep -qw overlay /proc/filesystems || modprobe overlay 2>/dev/null || skip 'no overlay file system'
}

# The first lines of a script that runs in a machine with these mail servers.
machine_begins() { # SERVER...
	cat <<-'E'
		set -eu
		layer() {
			mkdir -p "$BATS_TEST_TMPDIR/layer/$1/up" "$BATS_TEST_TMPDIR/layer/$1/work"
			mount -t overlay overlay -o "lowerdir=/$1,upperdir=$BATS_TEST_TMPDIR/layer/$1/up,workdir=$BATS_TEST_TMPDIR/layer/$1/work" "/$1"
		}
		mkdir -p "$BATS_TEST_TMPDIR/layer"
		mount -t tmpfs tmpfs "$BATS_TEST_TMPDIR/layer"
		layer usr
		layer etc
		ip link add lan0 type veth peer name wan0
		rm -f /usr/lib/postfix/sbin/smtp /usr/sbin/exim4 /usr/sbin/smtpd
		rm -f /etc/systemd/system/multi-user.target.wants/{postfix,exim4,opensmtpd}.service
		rm -f /etc/rc[2-5].d/S[0-9][0-9]{postfix,exim4,opensmtpd}
		sed -i '/^postfix:/d; /^Debian-exim:/d; /^opensmtpd:/d' /etc/passwd
		program() { install -D -m 755 "$(command -v sleep)" "$1"; }
		user() { echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin" >>/etc/passwd; }
		unit() { install -D -m 644 /dev/null "/etc/systemd/system/$1"; }
	E
	for server; do
		case $server in
		postfix) echo 'program /usr/lib/postfix/sbin/smtp; program /usr/lib/postfix/sbin/master; user postfix 64101' ;;
		exim) echo 'program /usr/sbin/exim4; user Debian-exim 64102' ;;
		opensmtpd) echo 'program /usr/sbin/smtpd; user opensmtpd 64103' ;;
		esac
	done
}

# Runs the script on standard input in a machine.
machine() { # SERVER...
	need_overlay
	{ machine_begins "$@" && cat; } >"$BATS_TEST_TMPDIR/script"
	run unshare --mount --net --propagation private bash "$BATS_TEST_TMPDIR/script"
}

show_and_fail() {
	printf 'status %s\n%s\n' "$status" "$output" >&2
	return 1
}

succeeded() {
	[ "$status" -eq 0 ] || show_and_fail
}

# Ended well and printed exactly this.
printed() { # TEXT
	succeeded
	[ "$output" = "$1" ] || show_and_fail
}

# run.sh said these words and took this policy.
picks() { # WORDS POLICY
	succeeded
	[[ $output == *"$1"* && $output == *"/$2.policy"* ]] || show_and_fail
}

# What a rule says about a connection: "allow", "reject", ... and the exit code of `why`.
verdict() { # POLICY OPTION...
	local policy=$1 said code=0
	shift
	said=$("$smtpwall" why --json --port 25 --policy "$top/policies/$policy.policy" "$@") || code=$?
	said=$(sed -n 's/.*"verdict": *"\([a-z]*\)".*/\1/p' <<<"$said")
	echo "$said $code"
}

@test "every shipped policy passes check without a warning on a machine that has the programs" {
	machine postfix exim opensmtpd <<-'E'
		for policy in "$top"/policies/*.policy; do
			"$smtpwall" check "$policy" >"$BATS_TEST_TMPDIR/said" 2>&1 || echo "$policy: refused"
			grep -B 100 -E '(error|warning): ' "$BATS_TEST_TMPDIR/said" || true
		done
	E
	printed ''
}

@test "every line that a shipped policy offers commented out is right when it is taken in" {
	machine postfix exim opensmtpd <<-'E'
		for policy in "$top"/policies/*.policy; do
			sed -E 's/^( *)# ((who|net) [a-z_]+ = |allow )/\1\2/' "$policy" >"$BATS_TEST_TMPDIR/taken.policy"
			cmp -s "$policy" "$BATS_TEST_TMPDIR/taken.policy" && continue
			echo "${policy##*/}"
			"$smtpwall" check "$BATS_TEST_TMPDIR/taken.policy" 2>&1 | grep -E '(error|warning): ' || true
		done
	E
	printed $'no-mail-server.policy\nworkstation.policy'
}

@test "every shipped policy is its own canonical text" {
	for policy in "$top"/policies/*.policy; do
		"$smtpwall" fmt --check "$policy" || "$smtpwall" fmt "$policy" | diff "$policy" -
	done
}

@test "every shipped policy opens with who it is for, what it refuses and what to change first" {
	for policy in "$top"/policies/*.policy; do
		opening=$(sed '/^#/!Q' "$policy")
		for part in For Refuses 'Change first'; do
			grep -q "^# $part: ." <<<"$opening" || {
				echo "${policy##*/} does not say \"$part:\"" >&2
				return 1
			}
		done
	done
}

@test "a mail server's policy is an error where its user is unknown" {
	machine <<-'E'
		for server in postfix exim opensmtpd; do
			"$smtpwall" check "$top/policies/relay-$server.policy" 2>&1 | grep -c 'error: .*user'
		done
	E
	printed $'1\n1\n1'
}

@test "the manual page's examples are right" {
	machine postfix exim opensmtpd <<-'E'
		unit blackbox-exporter.service
		unit apache2.service
		cd "$BATS_TEST_TMPDIR"
		mkdir examples
		awk -v folder=examples '
			/^\.\\" (policy|statements|blocks|rules)$/ { kind = $2; next }
			/^\.EX/ && kind { n++; file = folder "/" n ".policy"; open = 1; begin(); next }
			/^\.EE/ && open { end(); close(file); open = 0; kind = ""; next }
			open { gsub(/\\-/, "-"); gsub(/\\\(dq/, "\""); gsub(/\\e/, "\\"); print > file }
			function begin() {
				printf "" > file
				if (kind == "policy") { print > folder "/" n ".whole"; return }
				print "mode enforce" > file
				if (kind == "rules") print "who mta = exe \"/usr/lib/postfix/sbin/smtp\" user postfix" > file
				if (kind == "blocks" || kind == "rules") print "host {" > file
				if (kind == "rules") print "port 25 {" > file
			}
			function end() {
				if (kind == "rules") print "}" > file
				if (kind == "blocks" || kind == "rules") print "}" > file
				if (kind == "statements") print "host { \nport 26 {\nreject\n}\n}" > file
			}' "$top/daemon/smtpwall.policy.5"
		echo 203.0.113.0/24 >examples/partners.list
		for policy in examples/*.policy; do
			"$smtpwall" check "$policy" >said 2>&1 || { cat "$policy" said; exit 1; }
			[ ! -e "${policy%.policy}.whole" ] || "$smtpwall" fmt "$policy" | diff "$policy" - || exit 1
			[ ! -e "${policy%.policy}.whole" ] || ! grep 'warning: ' said || exit 1
		done
		ls examples/*.policy | wc -l
	E
	succeeded
	[ "$output" -ge 15 ] || show_and_fail
}

@test "the README's policy is right and has twenty lines" {
	machine postfix <<-'E'
		unit blackbox-exporter.service
		sed -n '/^## A policy/,/^[A-Z]/{/^    /s/^    //p;/^$/p}' "$top/README.md" | sed '1d' >"$BATS_TEST_TMPDIR/readme.policy"
		sed -i -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$BATS_TEST_TMPDIR/readme.policy"
		"$smtpwall" check "$BATS_TEST_TMPDIR/readme.policy"
		"$smtpwall" fmt "$BATS_TEST_TMPDIR/readme.policy" | diff "$BATS_TEST_TMPDIR/readme.policy" - >&2
		wc -l <"$BATS_TEST_TMPDIR/readme.policy"
	E
	succeeded
	[ "${lines[-1]}" -eq 20 ] || show_and_fail
	[[ $output != *warning:* ]] || show_and_fail
}

@test "the README's policy for routers is right, and decides as it says" {
	local policy=$BATS_TEST_TMPDIR/router.policy
	sed -n '/^## Routers and hypervisors/,/^An XDP/{/^    /s/^    //p;/^$/p}' "$top/README.md" | sed '/./,$!d' >"$policy"
	sed -i -e :a -e '/^\n*$/{$d;N;ba' -e '}' "$policy"
	run -0 "$smtpwall" check "$policy"
	# Only that there is no such interface here.
	[ "$(grep -v 'there is no such interface here now' <<<"$output" | grep -c 'error:\|warning:')" -eq 0 ]
	[[ $output == *": no errors and "*", "*" rules" ]]
	"$smtpwall" fmt "$policy" | diff "$policy" -
	run -0 "$smtpwall" why --policy "$policy" --port 25 --from 198.51.100.17 --iface tap3
	run -0 "$smtpwall" why --policy "$policy" --port 25 --from 2001:db8:16::1 --iface lan0
	run -1 "$smtpwall" why --policy "$policy" --port 25 --from 198.51.100.32 --iface lan0
	[[ $output == *'answered with "554 5.7.1 Port 25 is closed on this network. Use port 587 with TLS."'* ]]
	run -0 "$smtpwall" why --policy "$policy" --port 587 --from 198.51.100.32 --iface lan0
	[[ $output == *"if TLS comes first"* ]]
}

@test "relay policies let the mail server out, as its user only, and nobody else, root included" {
	machine postfix exim opensmtpd <<-E
		$(declare -f verdict)
		while read -r policy exe user; do
			verdict \$policy --exe \$exe --user \$user --to 198.51.100.1
			verdict \$policy --exe \$exe --user \$user --to 2001:db8::1
			verdict \$policy --exe \$exe --user www-data --to 198.51.100.1
			verdict \$policy --exe /usr/bin/curl --user \$user --to 198.51.100.1
			verdict \$policy --exe /usr/bin/curl --user root --to 198.51.100.1
			verdict \$policy --exe /usr/bin/curl --user www-data --to 127.0.0.1
			verdict \$policy --exe /usr/bin/curl --user www-data --to ::1
		done <<-'L'
			relay-postfix /usr/lib/postfix/sbin/smtp postfix
			relay-exim /usr/sbin/exim4 Debian-exim
			relay-opensmtpd /usr/sbin/smtpd opensmtpd
			web-host /usr/lib/postfix/sbin/smtp postfix
		L
	E
	one=$'allow 0\nallow 0\nreject 1\nreject 1\nreject 1\nallow 0\nallow 0'
	printed "$one"$'\n'"$one"$'\n'"$one"$'\n'"$one"
}

@test "the redirect variant redirects www-data and refuses the others" {
	machine postfix <<-E
		$(declare -f verdict)
		verdict web-host-redirect --user www-data --to 198.51.100.1
		verdict web-host-redirect --user www-data --to 2001:db8::1
		verdict web-host-redirect --user www-data --to 127.0.0.1
		verdict web-host-redirect --user nobody --to 198.51.100.1
		verdict web-host-redirect --exe /usr/lib/postfix/sbin/smtp --user postfix --to 198.51.100.1
	E
	printed $'redirect 0\nredirect 0\nallow 0\nreject 1\nallow 0'
}

@test "without a mail server all are refused; observing refuses nobody" {
	[ "$(verdict no-mail-server --user root --to 198.51.100.1)" = 'reject 1' ]
	[ "$(verdict no-mail-server --user root --to 127.0.0.1)" = 'allow 0' ]
	[ "$(verdict workstation --user nobody --to 2001:db8::1)" = 'reject 1' ]
	[ "$(verdict workstation --user nobody --to ::1)" = 'allow 0' ]
	[ "$(verdict observe --user nobody --to 198.51.100.1)" = 'audit 0' ]
}

# What an edge policy says of a packet: "VERDICT tls|- answered|- CODE".
edge() { # POLICY OPTION...
	local policy=$1 said code=0
	shift
	said=$("$smtpwall" why --json --policy "$top/policies/$policy.policy" "$@") || code=$?
	python3 -c '
import json, sys
answer = json.loads(sys.argv[1])
tls = answer.get("tls_required")
print(answer["verdict"], "tls" if tls else "-", "answered" if answer.get("answer") else "-", sys.argv[2])' "$said" "$code"
}

@test "edge policies let those on the list out, answer the others, and ask for TLS on submission" {
	for policy in isp-edge:ppp0:192.0.2.25 vps-hypervisor:vnet7:192.0.2.25; do
		IFS=: read -r name interface allowed <<<"$policy"
		[ "$(edge "$name" --port 25 --iface "$interface" --from "$allowed" --to 203.0.113.1)" = 'allow - - 0' ]
		[ "$(edge "$name" --port 25 --iface "$interface" --from 10.0.0.1 --to 203.0.113.1)" = 'reject - answered 1' ]
		[ "$(edge "$name" --port 25 --iface "$interface" --from 2001:db8:9::1 --to 2001:db8:ffff::1)" = 'reject - answered 1' ]
		[ "$(edge "$name" --port 587 --iface "$interface" --from 10.0.0.1 --to 203.0.113.1)" = 'allow tls - 0' ]
	done
	[ "$(edge isp-edge --port 25 --iface lan0 --from 10.0.0.1 --to 198.51.100.25)" = 'allow - - 0' ]
}

# What must come first on a connection: "WAY VERSION enforced|recorded", or "nothing".
first() { # POLICY OPTION...
	local policy=$1
	shift
	"$smtpwall" why --json --policy "$top/policies/$policy.policy" "$@" | python3 -c "
import json, sys
answer = json.load(sys.stdin)
tls = answer['tls_required']
assert answer['verdict'] == 'allow'
print(tls['way'], tls['version'], 'recorded' if answer['audit'] else 'enforced') if tls else print('nothing')"
}

@test "policies that speak of submission ask for TLS there, of everybody, but not on this machine itself" {
	machine postfix <<-E
		$(declare -f first)
		for policy in submission-tls workstation web-host observe; do
			first \$policy --port 465 --user root --to 198.51.100.1
			first \$policy --port 587 --user www-data --to 2001:db8::1
			first \$policy --port 2525 --exe /usr/lib/postfix/sbin/smtp --user postfix --to 198.51.100.1
			first \$policy --port 587 --user www-data --to 127.0.0.1
		done
	E
	one=$'implicit 1.2 enforced\nany 1.2 enforced\nany 1.2 enforced\nnothing'
	printed "$one"$'\n'"$one"$'\n'"$one"$'\nimplicit None recorded\nany None recorded\nany None recorded\nnothing'
}

@test "why says in words what must come first" {
	local policy=$BATS_TEST_TMPDIR/first.policy
	cat >"$policy" <<-'E'
		mode enforce
		host {
			port 465, 587 {
				require tls starttls 1.3 proxy to 192.0.2.0/24
				require tls implicit to 198.51.100.0/24
				require tls 1.2
			}
			port 2525 {
				mode audit
				require tls
			}
		}
	E
	run -0 "$smtpwall" why --port 587 --policy "$policy"
	[[ ${lines[0]} == *'to port 587 would be allowed, if TLS 1.2 or newer comes first: a ClientHello at once (implicit TLS), or STARTTLS before any other mail command' ]]
	run -0 "$smtpwall" why --port 465 --policy "$policy"
	[[ ${lines[0]} == *'would be allowed, if TLS 1.2 or newer comes first: a ClientHello at once (implicit TLS)' ]]
	run -0 "$smtpwall" why --port 587 --to 192.0.2.1 --policy "$policy"
	[[ ${lines[0]} == *'allowed, if TLS 1.3 or newer comes first: STARTTLS before any other mail command; a PROXY protocol header may stand before it' ]]
	run -0 "$smtpwall" why --port 587 --to 198.51.100.1 --policy "$policy"
	[[ ${lines[0]} == *'allowed, if TLS comes first: a ClientHello at once (implicit TLS)' ]]
	run -0 "$smtpwall" why --port 2525 --policy "$policy"
	[[ ${lines[0]} == *'allowed; it is recorded unless TLS comes first: a ClientHello at once (implicit TLS), or STARTTLS before any other mail command' ]]
	"$smtpwall" why --json --port 587 --to 192.0.2.1 --policy "$policy" |
		grep -q '"tls_required": *{"way": *"starttls", *"version": *"1.3", *"proxy": *true}'
	"$smtpwall" why --json --port 26 --policy "$policy" | grep -q '"tls_required": *null'
}

@test "host, edge and serve in one policy: check has nothing to say, why knows each" {
	local policy=$BATS_TEST_TMPDIR/three.policy
	printf 'mode enforce\nhost {\n\tport 587 {\n\t\trequire tls\n\t}\n}\nedge "lan*" {\n\tport 587 {\n\t\tdrop\n\t}\n}\nserve {\n\tport 587 {\n\t\tallow from 192.0.2.0/24\n\t\treject\n\t}\n}\n' >"$policy"
	run -0 "$smtpwall" check "$policy"
	[[ $output == *'no errors and no warnings, 4 rules' ]]
	run -0 "$smtpwall" why --port 587 --policy "$policy"
	[[ ${lines[0]} == *'allowed, if TLS comes first'* ]]
	run -1 "$smtpwall" why --port 587 --iface lan0 --policy "$policy"
	[[ ${lines[0]} == 'A forwarded connection'*'dropped'* ]]
	run -0 "$smtpwall" why --serve --port 587 --from 192.0.2.7 --policy "$policy"
	[[ ${lines[0]} == *"client's connection to port 587 would be let through" ]]
	run -1 "$smtpwall" why --serve --port 587 --from 198.51.100.7 --policy "$policy"
	[[ ${lines[0]} == *'refused: it is reset when it has been made, before anything is said' ]]
	run -0 "$smtpwall" why --serve --port 25 --policy "$policy"
	[[ ${lines[0]} == *'no serve block names this port' ]]
	run -2 "$smtpwall" why --serve --port 25 --user root --policy "$policy"
}

# ---- what make run picks ----

@test "make run picks the policy of the only mail server, or that of none" {
	machine <<<'"$top/daemon/run.sh" --check'
	picks 'No mail server is installed' no-mail-server
	machine postfix <<<'"$top/daemon/run.sh" --check'
	picks 'The mail server of this machine is Postfix.' relay-postfix
	machine exim <<<'"$top/daemon/run.sh" --check'
	picks 'The mail server of this machine is Exim.' relay-exim
	machine opensmtpd <<<'"$top/daemon/run.sh" --check'
	picks 'The mail server of this machine is OpenSMTPD.' relay-opensmtpd
}

@test "of several mail servers make run picks the one that runs" {
	machine postfix exim opensmtpd <<-'E'
		/usr/sbin/smtpd 100 3>&- &
		trap "kill $!" EXIT
		until [ "$(readlink /proc/$!/exe)" = /usr/sbin/smtpd ]; do :; done
		ln -s /dev/null /etc/systemd/system/multi-user.target.wants/postfix.service
		"$top/daemon/run.sh" --check
	E
	picks 'OpenSMTPD is taken: no other one is running.' relay-opensmtpd
}

@test "of several mail servers that do not run make run picks the one that is enabled, or says so" {
	machine postfix exim <<-'E'
		mkdir -p /etc/rc2.d
		ln -s /dev/null /etc/rc2.d/S01exim4
		"$top/daemon/run.sh" --check
	E
	picks 'Exim is taken: no other one is enabled at boot.' relay-exim
	machine postfix exim <<<'"$top/daemon/run.sh" --check'
	picks 'Postfix is taken, the first of those that are installed' relay-postfix
}

@test "POLICY and --policy override the pick; a policy with an error ends it" {
	machine postfix <<<'POLICY=$top/policies/observe.policy "$top/daemon/run.sh" --check'
	picks 'Nothing is refused' observe
	machine postfix <<<'"$top/daemon/run.sh" --check --policy "$top/policies/workstation.policy"'
	picks 'Policy: ' workstation
	machine <<<'"$top/daemon/run.sh" --check --policy "$top/policies/relay-exim.policy"'
	[ "$status" -eq 1 ] || show_and_fail
	[[ $output == *'has errors: nothing was changed'* ]] || show_and_fail
}

@test "make run says in plain words who may connect and who is refused" {
	machine postfix <<<'"$top/daemon/run.sh" --check --policy "$top/policies/web-host-redirect.policy"'
	succeeded
	words=$(sed -n '/^  TCP port/,/^$/p' <<<"$output")
	expected=$(cat <<-'E'
		    everybody, to this machine itself: may connect
		    mta (exe "/usr/lib/postfix/sbin/smtp" user postfix): may connect
		    web (user www-data): is connected to 127.0.0.1:25, [::1]:25 instead
		    everybody else: is refused: "Port 25 is closed here. Hand mail to the mail server of this machine."
	E
	)
	[ "$(tail -n +2 <<<"$words")" = "$expected" ] || show_and_fail
	machine <<<'"$top/daemon/run.sh" --check --policy "$top/policies/submission-tls.policy"'
	succeeded
	[[ $output == *'TCP port 465, 587, 2525, of every process'*'everybody else: may connect, if TLS comes first (require tls 1.2)'* ]] || show_and_fail
}

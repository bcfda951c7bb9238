#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What smtpwall says when it is asked for help or called wrongly, against tests/golden/cli/NAME.
# With --update the files are written anew.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
smtpwall=${SW_BUILD:-$here/../../build}/smtpwall
expected=$here/cli
update=
[ "${1-}" != --update ] || update=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 failed=0
known=()

# The exit code, standard output and standard error of one call. What the machine says has no place
# in a golden: neither its time zone nor its language nor the width of its terminal.
call() { # ARGUMENT...
	local code
	env -i TZ=UTC LC_ALL=C.UTF-8 PATH="$PATH" "$smtpwall" "$@" \
		>"$scratch/out" 2>"$scratch/err" </dev/null
	code=$?
	echo "exit $code"
	sed 's/^/out: /; s/^out: $/out:/' "$scratch/out"
	sed 's/^/err: /; s/^err: $/err:/' "$scratch/err"
}

golden() { # NAME ARGUMENT...
	local name=$1 difference
	shift
	known+=("$name")
	n=$((n + 1))
	call "$@" >"$scratch/got"
	if [ -n "$update" ]; then
		mkdir -p "$expected"
		cp "$scratch/got" "$expected/$name"
	fi
	if difference=$(diff -u --label expected --label got "$expected/$name" "$scratch/got" 2>&1); then
		echo "ok $n - cli $name"
	else
		failed=$((failed + 1))
		echo "not ok $n - cli $name"
		printf '%s\n' "$difference" | sed 's/^/# /'
	fi
}

commands=(check fmt apply confirm rollback stop status rules why events report flows replay)
nowhere=/nonexistent/run

golden help --help
golden version --version
golden no-command
golden unknown-command chekc
golden unknown-command-far qqqqqqqq
golden unknown-global-option --rundir x check
golden run-dir-without-value --run-dir
golden empty-command ''
for command in "${commands[@]}"; do
	golden "help-$command" "$command" --help
	golden "unknown-option-$command" "$command" --jsno
	golden "extra-word-$command" "$command" one two
done
for command in confirm rollback stop status rules events report flows; do
	golden "no-daemon-$command" --run-dir $nowhere --state-dir $nowhere "$command"
done
golden no-daemon-detach --run-dir $nowhere stop --detach
golden no-daemon-why --run-dir $nowhere why --port 25
golden no-daemon-json --run-dir $nowhere status --json
golden check-no-file check
golden check-absent check $nowhere/policy
golden check-absent-json check --json $nowhere/policy
golden check-folder check /
golden fmt-no-file fmt
golden fmt-absent fmt $nowhere/policy
golden apply-no-file apply
golden apply-absent apply $nowhere/policy
golden apply-confirm-word apply --confirm soon $nowhere/policy
golden apply-confirm-zero apply --confirm 0 $nowhere/policy
golden apply-existing apply --existing maybe $nowhere/policy
golden why-no-port why
golden why-port-0 why --port 0
golden why-port-large why --port 65536
golden why-exe-relative why --port 25 --exe exim4
golden why-cgroup-relative why --port 25 --cgroup a/b
golden why-user-unknown why --port 25 --user no-such-user-here
golden why-group-unknown why --port 25 --group no-such-group-here
golden why-to-name why --port 25 --to mx.example.net
golden no-daemon-why-from --run-dir $nowhere why --port 25 --from 192.0.2.1
golden no-daemon-why-iface --run-dir $nowhere why --port 25 --iface lan0
golden why-from-name why --port 25 --from client.example.net
golden why-from-exe why --port 25 --from 192.0.2.1 --exe /usr/bin/curl
golden why-iface-pid why --port 25 --iface lan0 --pid 1
edge="$here/replay/edge.policy"
golden why-edge-reject why --policy "$edge" --port 25 --from 192.0.2.1 --iface lan0
golden why-edge-json why --policy "$edge" --port 25 --from 2001:db8::5 --to 198.51.100.21 --json
golden why-edge-allow why --policy "$edge" --port 25 --from 192.0.2.1 --to 198.51.100.21
golden why-edge-drop why --policy "$edge" --port 26 --from 203.0.113.1 --iface tap9
golden why-edge-tls why --policy "$edge" --port 587 --iface lan0
golden why-edge-audit why --policy "$edge" --port 2525 --iface tap3
golden why-edge-pattern why --policy "$edge" --port 25 --iface 'tap*'
golden why-edge-long why --policy "$edge" --port 25 --iface sixteen-letters0
golden why-edge-other why --policy "$edge" --port 25 --iface eth0
golden why-edge-unnamed why --policy "$edge" --port 80 --from 192.0.2.1
golden why-edge-host why --policy "$edge" --port 25
golden why-pid-none why --port 25 --pid 2147483647
golden events-since-words events --since yesterday
golden events-last-word events --last few
golden events-until-words events --until tomorrow
golden events-to-name events --to mx.example.net
golden events-to-bits events --to 192.0.2.1/24
golden events-verdict-near events --verdict rejected
golden events-reason-near events --reason not-permitted
golden events-reason-far events --reason qqqqqqqq
golden events-port-0 events --port 0
golden no-daemon-events-follow --run-dir $nowhere --state-dir $nowhere events --follow
golden report-since-words report --since yesterday
golden report-since-later report --since 1h --until 2h
golden replay-no-file replay --policy $nowhere/policy
golden replay-no-policy replay $nowhere/capture
golden replay-absent-policy replay --policy $nowhere/policy $nowhere/capture
golden replay-as replay --as router --policy $nowhere/policy $nowhere/capture
golden replay-iface replay --iface lan0 --policy $nowhere/policy $nowhere/capture
golden replay-pattern replay --as edge --iface 'tap*' --policy "$edge" $nowhere/capture
golden replay-absent replay --policy "$here/../../policies/submission-tls.policy" $nowhere/capture

# A golden that no case reads any more is a leftover.
for file in "$expected"/*; do
	name=${file##*/}
	[[ " ${known[*]} " != *" $name "* ]] || continue
	if [ -n "$update" ]; then
		rm "$file"
	else
		n=$((n + 1)) failed=$((failed + 1))
		echo "not ok $n - cli $name has no case"
	fi
done
echo "1..$n"
exit $((failed > 0))

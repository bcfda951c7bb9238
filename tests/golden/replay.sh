#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What `smtpwall replay` says of captures: of those that replay/captures.py makes, against
# replay/NAME.expected (with --update written anew); and of real ones, against what an independent
# dissector says of them. Those lie in the folder that SW_CAPTURES names, or in ../shared/captures
# beside this tree.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${SW_BUILD:-$here/../../build}
smtpwall=$build/smtpwall
captures=${SW_CAPTURES:-$here/../../../shared/captures}
expected=$here/replay
policy=$here/replay/policy
update=
[ "${1-}" != --update ] || update=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 failed=0

result() { # DIFFERENCE NAME
	n=$((n + 1))
	if [ -z "$1" ]; then
		echo "ok $n - replay $2"
	else
		failed=$((failed + 1))
		echo "not ok $n - replay $2"
		printf '%s\n' "$1" | sed 's/^/# /'
	fi
}

# What libpcap says differs between its versions.
call() { # ARGUMENT...
	local code
	(cd "$scratch" && "$smtpwall" replay "$@" >out 2>err </dev/null)
	code=$?
	echo "exit $code"
	sed 's/^/out: /; s/^out: $/out:/' "$scratch/out"
	sed -E 's/^/err: /; s/(pcapng capture|behind packet [0-9]+): .*/\1: .../' "$scratch/err"
}

golden() { # NAME ARGUMENT...
	local name=$1 by=$policy
	shift
	[ "${name#edge_}" = "$name" ] || by=$here/replay/edge.policy
	call "$@" --policy "$by" >"$scratch/got"
	[ -z "$update" ] || cp "$scratch/got" "$expected/$name.expected"
	result "$(diff -u --label expected --label got "$expected/$name.expected" "$scratch/got" 2>&1)" "$name"
}

made() {
	local file name
	python3 "$here/replay/captures.py" "$scratch" || result "captures.py failed" "captures"
	for file in "$scratch"/*.pcap; do
		name=$(basename "$file" .pcap)
		if [ "${name#edge_}" = "$name" ]; then
			golden "$name" "$name.pcap" --json
		else
			golden "$name" "$name.pcap" --json --as edge --iface tap3
		fi
		result "$(grep -iE 'AHVzZXI|MAIL FROM|/ HTTP' "$scratch"/{out,err})" "$name shows nothing of what was sent"
	done
	golden verdicts-text verdicts.pcap
	golden edge_verdicts-text edge_verdicts.pcap --as edge
	golden edge_verdicts-dmz-text edge_verdicts.pcap --as edge --iface dmz0
	golden edge_verdicts-host-text edge_verdicts.pcap --as host
	golden damaged-text damaged.pcap
	golden absent nowhere.pcap
	for file in "$expected"/*.expected; do
		name=$(basename "$file" .expected)
		[ -e "$scratch/$name.pcap" ] || [ "${name%-text}" != "$name" ] || [ "$name" = absent ] ||
			result "no capture of this name" "$name.expected"
	done
}

from_stdin() {
	local got
	got=$("$smtpwall" replay - --policy "$policy" --json 2>&1 <"$scratch/verdicts.pcap")
	result "$(diff <(sed -n 's/^out: //p' "$expected/verdicts.expected") - <<<"${got//<stdin>/verdicts.pcap}")" "standard input"
	result "$("$smtpwall" replay - --policy "$policy" 2>&1 </dev/null | grep -v '^smtpwall: cannot read <stdin>: ')" "nothing on standard input"
}

# A policy with an error ends it before the capture is opened.
wrong_policy() {
	echo 'host { port 25 { } }' >"$scratch/wrong"
	result "$(call absent.pcap --policy wrong | grep -cE '^exit 1$|wrong:1:.*error' | grep -v '^[2-9]')" "wrong policy"
}

# The table's columns of a stream. In this one the client's third packet with payload begins with the
# bytes 4d 41 49 4c 20 46 72 6f 6d 3a ("MAIL From:"), in clear, and the table has no verb.
corrected() {
	awk -F'\t' -v OFS='\t' '$1 == "zeek/smtp-bdat-pipeline-8bitmime.pcap" && $9 == "-" { $9 = "MAIL" } { print }'
}

columns() { # FILE: of the objects on standard input
	python3 -c '
import json, sys
for line in sys.stdin:
    o = json.loads(line)
    print(sys.argv[1], o["stream"], "%s:%d" % (o["src"], o["src_port"]), o["dst"], o["dst_port"], o["tls"],
          o["sni"] or "-", o["tls_version"] or "-", (o["first_cleartext_verb"] or "-")[:4], sep="\t")' "$1"
}

real() {
	local file
	if [ ! -r "$captures/expected.tsv" ]; then
		n=$((n + 1))
		echo "ok $n - replay real captures # SKIP no expected.tsv in ${captures#"$here"/}; SW_CAPTURES names the folder"
		return
	fi
	tail -n +2 "$captures/expected.tsv" | corrected >"$scratch/table"
	while read -r file; do
		"$smtpwall" replay "$captures/$file" --policy "$policy" --json 2>"$scratch/err" | columns "$file" >"$scratch/got"
		result "$(cat "$scratch/err")$(awk -F'\t' -v file="$file" '$1 == file' "$scratch/table" |
			diff -u --label table --label got - "$scratch/got")" "$file"
	done < <(cut -f1 "$scratch/table" | sort -u)
}

made
from_stdin
wrong_policy
real
echo "1..$n"
exit $((failed > 0))

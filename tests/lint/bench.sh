#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What the benchmarks print becomes tables and charts, also a name that no chart expects. How fast anything is is
# no test's business.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/rows" <<'ROWS'
{"table":"connect","row":"port & <none>","unit":"ns","rounds":3,"sides":[{"name":"no policy","median":8626,"min":8380,"ratio":1,"difference":0},{"name":"smtpwall","median":9342,"min":9168,"ratio":1.083,"difference":722}],"noise":{"median":1.0,"low":0.98,"high":1.02},"aims":[{"side":"smtpwall","against":"no policy","measure":"ratio","sense":"most","limit":1.025,"value":1.083,"reached":false,"allows":"1.6 %"}]}
{"table":"new","row":"memory","unit":"MiB","rounds":1,"note":"once","sides":[{"name":"smtpwall","median":0.01234,"min":0.01234},{"name":"large","median":1022980000,"min":1}],"aims":[{"side":"smtpwall","measure":"value","sense":"most","limit":20,"value":0.0123,"reached":true}]}
ROWS

rendered() {
	tests/bench/render.py "$folder/rows" "$folder" --full >"$folder/out" || return
	cmp "$folder/out" "$folder/results.txt"
	for words in 'run: full' 'at most 1.025 x no policy: 1.08; the kernel allows 1.6 %: MISSED' \
		'smtpwall at most 20 MiB: 0.0123: reached' '8 of 10 rounds 0.980 to 1.020' '(once)' '1 of 2 aims reached'; do
		grep -qF -- "$words" "$folder/out" || echo "not in the text: $words"
	done
}

well_formed() {
	python3 - "$folder" <<-'PYTHON'
		import json, sys, xml.dom.minidom
		folder = sys.argv[1]
		assert len(json.load(open(f"{folder}/results.json"))["rows"]) == 2
		for name in ("connect", "new"):
		    chart = xml.dom.minidom.parse(f"{folder}/{name}.svg")
		    ours = [bar for bar in chart.getElementsByTagName("rect") if bar.getAttribute("class") == "ours"]
		    assert len(ours) == 1, name
	PYTHON
}

nothing_measured() {
	: >"$folder/none"
	! tests/bench/render.py "$folder/none" "$folder" 2>"$folder/error" || echo "no row at all, and no word of it"
	grep -q 'nothing was measured' "$folder/error"
}

ok_unless "rows become text" rendered
ok_unless "rows become JSON and charts" well_formed
ok_unless "no row is an error" nothing_measured
finish

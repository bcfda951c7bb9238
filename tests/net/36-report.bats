#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# report over a store that is made for it: its sums are those that SQLite gives, and its page is what a
# browser shows. The browser runs in a network namespace without a way out.

bats_require_minimum_version 1.5.0

until=1767916800 # 2026-01-09T00:00:00Z
period=(--since 2026-01-02T00:00:00Z --until 2026-01-09T00:00:00Z)

setup_file() {
	local top
	top=$(cd "$(dirname "${BATS_TEST_FILENAME}")/../.." && pwd)
	export SW_BUILD=${SW_BUILD:-$top/build} TOOLS=$top/tests/net/tools
	export D=$BATS_FILE_TMPDIR
	mkdir "$D/state" "$D/page" "$D/home"
	"$SW_BUILD/tests/net/tools/make_store" "$D/state/events.db" $until 3000 20000
	cp "$TOOLS/report_frame.html" "$D/page/frame.html"
	report "${period[@]}" --html "$D/page/report.html"
}

report() {
	"$SW_BUILD/smtpwall" --run-dir "$D/none" --state-dir "$D/state" report "$@"
}

browser() { # URL-ARGUMENTS...
	HOME=$D/home timeout 120 unshare --net chromium --headless=new --no-sandbox --disable-gpu --no-first-run \
		--hide-scrollbars --disable-dev-shm-usage --user-data-dir="$D/home/profile" --enable-logging=stderr \
		--allow-file-access-from-files "$@" </dev/null 2>"$D/browser.log" 3>&- 4>&-
}

need_browser() {
	command -v chromium >/dev/null || skip "chromium is not installed"
	[ "$(id -u)" -eq 0 ] || skip "needs root"
}

@test "text: 80 columns, no colours in a pipe, names that cannot do anything" {
	run -0 report "${period[@]}"
	[[ ${lines[0]} == "smtpwall report of "* ]]
	[[ ${lines[1]} == "2026-01-02 00:00Z to 2026-01-09 00:00Z (7 d)" ]]
	[[ $output == *"NOT RECORDED: 120 events ("* ]]
	[[ $output == *$'\nSENT IN CLEAR '*"AUTH PLAIN to 203."*"port 587: cleartext_command"* ]]
	[[ $output == *'</script>"'"'"'&\x0a\x1b[31m'* ]]
	run ! grep -P '[^\x0a\x20-\x7e]|.{81}' <<<"$output"
}

@test "JSON: the sums are the store's" {
	report "${period[@]}" --json >"$D/report.json"
	run -0 python3 - "$D/report.json" "$D/state/events.db" <<-'END'
		import json, sqlite3, sys
		report = json.load(open(sys.argv[1]))
		store = sqlite3.connect("file:" + sys.argv[2] + "?mode=ro", uri=True)
		day, until = 86400 * 10**9, 1767916800 * 10**9
		outcomes = ("refused", "would_refuse", "other")
		word = "(SELECT word FROM words WHERE list = '%s' AND number = e.%s)"
		verdict, kind, reason, scope, tls = (word % (w, w) for w in ("verdict", "kind", "reason", "scope", "tls"))
		outcome = (f"CASE WHEN {verdict} IN ('reject', 'drop', 'reset') THEN 'refused' WHEN {verdict} = 'audit' AND "
		           f"{reason} <> 'none' AND {kind} <> 'elsewhere' THEN 'would_refuse' ELSE 'other' END")
		def groups(of, since, until, where="1"):
		    sql = (f"SELECT {of}, {outcome}, sum(1 + suppressed) FROM events e JOIN callers c ON c.id = e.caller "
		           f"JOIN rules r ON r.id = e.rule WHERE time >= ? AND time < ? AND {where} GROUP BY 1, 2")
		    found = {}
		    for name, what, n in store.execute(sql, (since, until)):
		        found.setdefault(name, dict.fromkeys(outcomes, 0))[what] = n
		    return found
		def pick(row):
		    return {o: row[o] for o in outcomes}
		for said, since, until in ((report, until - 7 * day, until), (report["before"], until - 14 * day, until - 7 * day)):
		    assert pick(said["events"]) == groups("0", since, until)[0], said["events"]
		    count, left_out = store.execute("SELECT count(*), sum(suppressed) FROM events WHERE time >= ? AND time < ?",
		                                    (since, until)).fetchone()
		    assert (said["events"]["recorded"], said["events"]["suppressed"]) == (count, left_out)
		    sessions = store.execute(f"SELECT {scope}, {tls}, count(*), sum(sent), sum(received) FROM sessions e "
		                             "WHERE time >= ? AND time < ? GROUP BY 1, 2", (since, until)).fetchall()
		    for name, s in said["sessions"].items():
		        mine = [x for x in sessions if x[0] == name]
		        by = {x[1]: x[2] for x in mine}
		        assert (s["in_clear"], s["starttls"], s["implicit"]) == tuple(by.get(t, 0) for t in ("none", "starttls", "implicit"))
		        assert (s["count"], s["sent"], s["received"]) == tuple(sum(x[i] for x in mine) for i in (2, 3, 4))
		        assert sum(s["tls_versions"].values()) == s["starttls"] + s["implicit"]
		since, until = until, until + 7 * day
		own = f"{scope} = 'host'"
		address = "(SELECT hex(address) FROM addresses a WHERE a.id = e.%s)"
		for name, of, where in (("program", "exe", own), ("user", "CASE user WHEN '' THEN uid || '' ELSE user END", own),
		                        ("unit", "unit", own), ("port", "port || ''", "1"), ("reason", reason, "1"),
		                        ("verdict", verdict, "1"), ("rule", "'line ' || line || ': ' || r.rule", "r.number > 0"),
		                        ("client", address % "src", f"NOT {own}"), ("destination", address % "dst", f"{scope} <> 'serve'")):
		    want, table = groups(of, since, until, where), report["by"][name]
		    if name in ("client", "destination"):
		        want = {".".join(str(b) for b in bytes.fromhex(k)[12:]): v for k, v in want.items()}
		    rows = {r["name"] or "": pick(r) for r in table["rows"]}
		    assert len(rows) == min(10, len(want)) and table["rest"]["names"] == len(want) - len(rows), name
		    assert all(want[k] == v for k, v in rows.items()), (name, rows, want)
		    rest = [v for k, v in want.items() if k not in rows]
		    assert pick(table["rest"]) == {o: sum(v[o] for v in rest) for o in outcomes}, name
		    totals = [sum(pick(r).values()) for r in table["rows"]]
		    assert totals == sorted(totals, reverse=True)
		    assert not rest or max(sum(v.values()) for v in rest) <= totals[-1]
		steps = report["time"]["steps"]
		assert {o: sum(s[o] for s in steps) for o in outcomes} == pick(report["events"])
		assert sum(s["sessions"] for s in steps) == sum(s["count"] for s in report["sessions"].values())
		assert sum(g["events"] for g in report["not_recorded"]) == 120
		clear = groups("0", since, until, f"({reason} IN ('cleartext_command', 'starttls_stripped'))")[0]
		rows = report["clear"]["rows"] + [report["clear"]["rest"]]
		assert {o: sum(r[o] for r in rows) for o in outcomes} == clear
		assert {r["command"] for r in report["clear"]["rows"]} == {"AUTH PLAIN", "MAIL"}
		print("same")
	END
	[[ $output == *same ]]
}

@test "the page: well formed, no script, nothing from elsewhere, every chart described" {
	run -0 python3 - "$D/page/report.html" <<-'END'
		import html.parser, sys
		void = {"meta", "br", "link", "img", "input", "hr"}
		class Page(html.parser.HTMLParser):
		    def __init__(self):
		        super().__init__()
		        self.open, self.ids, self.refers, self.tags, self.text = [], [], [], [], []
		        self.policy = None
		    def handle_starttag(self, tag, attributes):
		        a = dict(attributes)
		        assert not any(name.startswith("on") or name in ("src", "href", "action", "data") for name in a), a
		        if a.get("http-equiv") == "Content-Security-Policy":
		            self.policy = a["content"]
		        self.tags.append(tag)
		        self.ids += [a["id"]] if "id" in a else []
		        self.refers += a.get("aria-labelledby", "").split()
		        assert tag != "svg" or a.get("role") == "img" or a.get("aria-hidden") == "true"
		        if tag not in void:
		            self.open.append(tag)
		    def handle_startendtag(self, tag, attributes):
		        self.handle_starttag(tag, attributes)
		        self.handle_endtag(tag)
		    def handle_endtag(self, tag):
		        assert self.open.pop() == tag, (tag, self.getpos())
		    def handle_data(self, data):
		        self.text.append(data)
		page = Page()
		page.feed(open(sys.argv[1], encoding="utf-8").read())
		assert not page.open, page.open
		assert not {"script", "iframe", "link", "img", "object", "a", "form"} & set(page.tags)
		assert "default-src 'none'" in page.policy and "script" not in page.policy
		assert len(page.ids) == len(set(page.ids)) and set(page.refers) <= set(page.ids)
		assert page.tags.count("svg") > 6 and page.tags.count("table") > 8 and page.tags.count("h1") == 1
		assert any("/tmp/<script>alert(1)</script>\"'&\\x0a\\x1b[31m" in text for text in page.text)
		print("well formed")
	END
	[ "$output" = "well formed" ]
}

@test "the page replaces a file as a whole, and nothing but a file" {
	mkdir "$D/files"
	mkfifo "$D/files/pipe"
	ln -s nowhere "$D/files/link"
	mkdir "$D/files/folder"
	for file in pipe link folder; do
		run -1 report --html "$D/files/$file"
		[[ $output == *"$D/files/$file is not a regular file: it stays as it is"* ]]
	done
	[ -p "$D/files/pipe" ] && [ -L "$D/files/link" ] && [ -d "$D/files/folder" ]
	run -1 report --html /dev/null
	run -1 report --html "$D/none/page"
	[[ $output == *"cannot write $D/none/page: No such file or directory"* ]]
	echo old >"$D/files/page"
	chmod 604 "$D/files/page"
	exec 9<"$D/files/page"
	run -0 report --html "$D/files/page"
	[[ $output == *"The report is in $D/files/page." ]]
	[ "$(cat <&9)" = old ]
	exec 9<&-
	[ "$(stat -c %a "$D/files/page")" = 604 ]
	head -n 1 "$D/files/page" | grep -qx '<!DOCTYPE html>'
	[ "$(find "$D/files" | wc -l)" -eq 5 ]
}

@test "a full disk leaves the old page and no scraps" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	run -0 unshare --mount sh -euc '
		mkdir "$1/small" && mount -t tmpfs -o size=8k small "$1/small"
		echo old >"$1/small/page"
		code=0
		"$2" --run-dir "$1/none" --state-dir "$1/state" report --html "$1/small/page" || code=$?
		[ "$code" -eq 1 ] && [ "$(ls "$1/small")" = page ] && [ "$(cat "$1/small/page")" = old ]' \
		sh "$D" "$SW_BUILD/smtpwall"
	[[ $output == *"cannot write $D/small/page: No space left on device"* ]]
}

@test "in a browser: on a phone and on a desk, light and dark, nothing reaches over or fades" {
	local scheme
	need_browser
	for scheme in 0 1; do # dark, light
		browser --blink-settings=preferredColorScheme=$scheme --virtual-time-budget=20000 --dump-dom \
			"file://$D/page/frame.html" >"$D/dom.$scheme"
		run sed -n '/id="said"/,/<\/pre>/p' "$D/dom.$scheme"
		echo "$output"
		[[ $output == *$'\ndone</pre>'* ]]
		[[ $output != *WRONG* ]]
		[[ $output =~ phone:\ [0-9]{3,}\ texts,\ [0-9]{2,}\ bars ]]
		run ! grep -E 'CONSOLE|Refused to' "$D/browser.log"
	done
	grep -q 'ground rgb(17, 22, 28)' "$D/dom.0"
	grep -q 'ground rgb(255, 255, 255)' "$D/dom.1"
}

@test "in a browser: the frame finds what is wrong, and the page's own policy stops what should not be there" {
	need_browser
	mkdir -p "$D/bad"
	cp "$TOOLS/report_frame.html" "$D/bad/frame.html"
	# shellcheck disable=SC2016 # markup
	sed 's|<footer>|<p style="width:500px;color:#ddd;background:#eee">wide and faint</p><script>document.title = "ran"</script><img src="http://192.0.2.1/x.png">&|' \
		"$D/page/report.html" >"$D/bad/report.html"
	browser --virtual-time-budget=20000 --dump-dom "file://$D/bad/frame.html" >"$D/dom.bad"
	grep -q 'WRONG phone: [0-9]* pixels wide, the screen has 360' "$D/dom.bad"
	grep -q 'WRONG desk: P "wide and faint"' "$D/dom.bad"
	grep -E 'CONSOLE.*(Content Security Policy|violates)' "$D/browser.log" | grep -q script
	grep -E 'CONSOLE.*(Content Security Policy|violates)' "$D/browser.log" | grep -qi 'image\|img'
}

@test "in a browser: it prints" {
	need_browser
	browser --no-pdf-header-footer --print-to-pdf="$D/page.pdf" "file://$D/page/report.html"
	[ "$(head -c 5 "$D/page.pdf")" = %PDF- ]
	[ "$(grep -ac '/Type /Page$' "$D/page.pdf")" -ge 2 ]
}

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""render.py - tables and charts of what the benchmarks measured.

    render.py ROWS FOLDER [MODE]

ROWS: lines of JSON as tests/bench/pair.h has them. Writes FOLDER/results.json, results.txt and a chart for each
table, and prints the text.
"""
import html
import json
import math
import os
import platform
import sys

OURS = "smtpwall"
TITLES = {
    "xdp-run": "XDP, runs of the program",
    "xdp-veth": "XDP, packets on a veth pair",
    "connect": "connect() on loopback",
    "egress": "packets that leave a connection",
    "tls-stream": "a message of 50 MiB over TLS on port 587",
    "events": "events, from the kernel into the daemon",
    "daemon": "the daemon: policies, start, memory",
}
SENSES = {"most": "at most", "least": "at least"}


def number(value):
    """Three digits that count, and no exponent; of large ones none is left out."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def aim_words(aim, unit):
    sense, limit, value = SENSES[aim["sense"]], f"{aim['limit']:g}", aim["value"]
    against = aim.get("against")
    words = {
        "ratio": f"{sense} {limit} x {against}: {number(value)}",
        "faster": f"{sense} {limit} times faster than {against}: {number(value)}",
        "difference": f"{sense} {limit} {unit} over {against}: {number(value)}",
        "value": f"{sense} {limit} {unit}: {number(value)}",
    }[aim["measure"]]
    allows = f"; the kernel allows {aim['allows']}" if aim.get("allows") else ""
    return f"{aim['side']} {words}{allows}: {'reached' if aim['reached'] else 'MISSED'}"


def tables_of(rows):
    tables = {}
    for row in rows:
        tables.setdefault(row["table"], []).append(row)
    return tables


# ---- text ----

def text_row(row):
    rounds = f", {row['rounds']} rounds" if "noise" in row else ""
    lines = [f"  {row['row']}  ({row['unit']}{rounds})"]
    width = max(len(side["name"]) for side in row["sides"])
    if "noise" in row:
        lines.append(f"    {'':{width}}  {'median':>12}  {'least':>12}  {'ratio':>8}  {'difference':>12}")
    for side in row["sides"]:
        line = f"    {side['name']:{width}}  {number(side['median']):>12}"
        if "ratio" in side:
            line += f"  {number(side['min']):>12}  {side['ratio']:8.3f}  {number(side['difference']):>12}"
        lines.append(line)
    if "noise" in row:
        noise = row["noise"]
        lines.append(
            f"    noise: the first against itself {noise['median']:.3f},"
            f" 8 of 10 rounds {noise['low']:.3f} to {noise['high']:.3f}"
        )
    lines += [f"    {aim_words(aim, row['unit'])}" for aim in row["aims"]]
    if row.get("note"):
        lines.append(f"    ({row['note']})")
    return lines


def text_of(tables, about):
    lines = [f"{key}: {value}" for key, value in about.items()]
    for table, rows in tables.items():
        lines += ["", TITLES.get(table, table)]
        for row in rows:
            lines += [""] + text_row(row)
    aims = [aim for rows in tables.values() for row in rows for aim in row["aims"]]
    reached = sum(aim["reached"] for aim in aims)
    lines += ["", f"{reached} of {len(aims)} aims reached"]
    return "\n".join(lines) + "\n"


# ---- charts ----

LEFT, RIGHT, BAR, STEP, HEAD = 330, 170, 14, 20, 26
WIDTH = 860
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.row { font-weight: 600 }
.note { fill: #57606a }
.other { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #8d96a0 } .other { fill: #6e7681 } .ours { fill: #58a6ff }
}
</style>"""


def bar_length(value, least, most):
    """In proportion; by logarithm where the longest would leave the others nothing to see."""
    room = WIDTH - LEFT - RIGHT
    if value <= 0:
        return 1.0
    if most / least <= 30:
        return max(1.0, room * value / most)
    return room * (0.08 + 0.92 * math.log(value / least) / math.log(most / least))


def chart_row(row, y):
    values = [side["median"] for side in row["sides"]]
    positive = [value for value in values if value > 0] or [1]
    least, most = min(positive), max(positive)
    scale = ", logarithmic" if most / least > 30 else ""
    parts = [f'<text class="row" x="12" y="{y}">{html.escape(row["row"])}</text>']
    parts.append(f'<text class="note" x="{WIDTH - 12}" y="{y}" text-anchor="end">{html.escape(row["unit"])}{scale}</text>')
    for side in row["sides"]:
        y += STEP
        length = bar_length(side["median"], least, most)
        kind = "ours" if side["name"].startswith(OURS) else "other"
        label = number(side["median"]) + (f"  ({number(side['ratio'])})" if "ratio" in side else "")
        parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{html.escape(side["name"])}</text>')
        parts.append(f'<rect class="{kind}" x="{LEFT}" y="{y - BAR + 3}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        parts.append(f'<text class="note" x="{LEFT + length + 6:.1f}" y="{y}">{label}</text>')
    return parts, y + HEAD + 8


def chart(title, rows):
    parts, y = [], 72
    for row in rows:
        more, y = chart_row(row, y)
        parts += more
    height = y - 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{html.escape(title)}">'
    )
    caption = (
        f'<text class="title" x="12" y="24">{html.escape(title)}</text>'
        '<text class="note" x="12" y="42">medians; in brackets the ratio to the first of each group</text>'
    )
    return "\n".join([head, STYLE, caption, *parts, "</svg>"]) + "\n"


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    folder, mode = sys.argv[2], sys.argv[3] if len(sys.argv) == 4 else "quick"
    if not rows:
        sys.exit("bench: nothing was measured")
    about = {
        "kernel": platform.release().split("-")[0],
        "processor": f"{processor()}, {os.cpu_count()} CPUs",
        "run": mode.lstrip("-"),
    }
    tables = tables_of(rows)
    with open(f"{folder}/results.json", "w", encoding="utf-8") as file:
        json.dump({"about": about, "rows": rows}, file, indent=1)
        file.write("\n")
    text = text_of(tables, about)
    with open(f"{folder}/results.txt", "w", encoding="utf-8") as file:
        file.write(text)
    for table, of_table in tables.items():
        with open(f"{folder}/{table}.svg", "w", encoding="utf-8") as file:
            file.write(chart(TITLES.get(table, table), of_table))
    print(text, end="")


if __name__ == "__main__":
    main()

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Rules that concern the text of the sources: licence lines, sizes, who may include what.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

# A script's first line belongs to the kernel.
licence_lines() {
	{ files '*.c' '*.h' '*.mk' Makefile '*.service' '*.[58]' && shell_files; } | sort -u | xargs awk '
		function licence(file) { return "SPDX-License-Identifier: GPL-2.0-" (file ~ /^bpf\// ? "only" : "or-later") }
		FNR <= 2 && index($0, licence(FILENAME)) { begins[FILENAME] = 1 }
		FNR > 2 { nextfile }
		END {
			for (i = 1; i < ARGC; i++)
				if (!begins[ARGV[i]]) print ARGV[i] ": does not begin with " licence(ARGV[i])
		}'
}

file_sizes() {
	{ files '*.c' '*.h' Makefile && shell_files; } | sort -u | xargs awk '
		{ lines[FILENAME] = FNR }
		END {
			for (file in lines) {
				most = file ~ /^bpf\// ? 300 : 600
				if (lines[file] > most) print file ": " lines[file] " lines, at most " most
			}
		}'
}

# "LENGTH FILE:LINE NAME" of every function: from the brace in the first column to the one that
# closes it. The formatting check vouches for the braces.
functions() {
	files '*.c' '*.h' | xargs awk '
		FNR == 1 { name = "" }
		/^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
		/^\{$/ { start = FNR }
		/^\}$/ && start { print FNR - start + 1, FILENAME ":" start, name; start = 0 }'
}

function_lengths() {
	functions | sort -n | awk '
		{ length_of[NR] = $1 }
		$1 > 100 { print $2 ": " $3 "() has " $1 " lines, at most 100" }
		$1 > 50 { long++; names = names "\n" $2 ": " $3 "() has " $1 " lines" }
		END { if (long > NR / 10) print long " of " NR " functions have more than 50 lines, at most one in ten:" names }'
}

# includes.tsv is read from the top; the first line whose pattern fits the header decides.
includes() {
	files '*.c' '*.h' | xargs grep -noE '^ *# *include *[<"][^>"]+' | sed -E 's/# *include *[<"]//' |
		awk -v table=tests/lint/includes.tsv -F: '
			BEGIN {
				while ((getline row < table) > 0) {
					if (row ~ /^(#|$)/) continue
					if (split(row, column, /\t+/) != 3) { print table ": not three columns: " row; continue }
					n++
					header[n] = column[1]; where[n] = column[2]; why[n] = column[3]
				}
				if (!n) print table ": empty"
			}
			{
				gsub(/ /, "", $3)
				for (i = 1; i <= n; i++) {
					if ($3 !~ header[i]) continue
					if ($1 !~ where[i]) print $1 ":" $2 ": may not include " $3 ": " why[i]
					break
				}
			}'
}

ok_unless "every file begins with its licence" licence_lines
ok_unless "no file is too long" file_sizes
ok_unless "functions are short" function_lengths
ok_unless "headers are included only where includes.tsv allows" includes
finish

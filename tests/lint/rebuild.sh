#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The Makefile rebuilds what a change touches and nothing else, and `make -s` says nothing about it. Asks
# make what it would do; builds nothing.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

folder=${build#"$top"/}
variant=()
case $folder in
build-sanitize) variant=(SANITIZE=1) ;;
esac

ask() {
	make --no-print-directory "$@" "${variant[@]}" all test-programs 2>/dev/null
}

# Objects that make would compile if this header were new.
would_compile() { # HEADER
	ask -n -W "$1" | grep -oE -- ' -c -o [^ ]+' | sed 's/^ -c -o //' | sort -u
}

# Objects that read the header, as the compiler wrote it down. A source that was removed may have
# left an object behind.
readers() { # HEADER
	local object source
	find "$folder" -name '*.d' -exec grep -lE "(^| )$1( |\$|\\\\)" {} + | sed 's/\.d$/.o/' |
		while read -r object; do
			source=${object#"$folder/"}
			source=${source#fuzz/}
			if [ -e "$object" ] && [ -e "${source%.o}.c" ]; then echo "$object"; fi
		done | sort -u
}

nothing_to_do() {
	ask -q || ask -n | grep -oE "^printf '  %-8s .*" | cut -c 16-
}

readers_only() {
	local header
	ask -q || { echo "the build is not up to date" && return; }
	for header in daemon/base.h daemon/proto.h daemon/policy/diag.h daemon/policy/lex.h; do
		[ -n "$(readers "$header")" ] || echo "nothing reads $header"
		diff <(readers "$header") <(would_compile "$header") | sed -n "s,^<,$header: not compiled again:,p; s,^>,$header: compiled in vain:,p"
	done
}

# The programs themselves need nothing of the tests, also where nothing was ever built.
programs_alone() {
	local fresh
	fresh=$(mktemp -d)
	make --no-print-directory "${variant[@]}" -n "B=$fresh" all 2>/dev/null | sed -n "s,.* -c -o $fresh/\\(tests/[^ ]*\\).*,\\1,p"
	rm -rf "$fresh"
}

silent() {
	! ask -s -n -W daemon/base.h | grep "^printf '  %-8s"
}

ok_unless "a second make has nothing to do" nothing_to_do
ok_unless "a changed header compiles its readers and nothing else" readers_only
ok_unless "the programs are built without the tests" programs_alone
ok_unless "make -s names no step" silent
finish

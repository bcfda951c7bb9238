#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# clang-tidy over every C file that runs in user space, with the flags of the build. A file that has not
# changed since it last passed, headers included, is not looked at again.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

passed=$build/tests/tidy # a file for each source, as old as the run that it passed
export passed

# The build writes its clang command line there; the sanitizers' flags say nothing to clang-tidy.
eval "flags=($(tail -n 1 "$build/flags-fuzz" 2>/dev/null))"
mapfile -t flags < <(printf '%s\n' "${flags[@]:1}" | grep -v -e '^-fsanitize' -e '^-fno-sanitize')

# States of a function that the analyzer goes through at most. Its own 225,000 takes three times as long.
analyzer=(-Xclang -analyzer-config -Xclang max-nodes=100000)

# What a source is made of, as the compilers wrote it down for make. Of the helpers of scenarios they wrote nothing.
prerequisites() { # FILE: a line each
	local rules=() name
	for name in "$build/${1%.c}.d" "$build/fuzz/${1%.c}.d"; do
		[ ! -e "$name" ] || rules+=("$name")
	done
	if [ ${#rules[@]} -gt 0 ]; then
		cat "${rules[@]}"
	else
		clang -MM "${flags[@]}" "$1" 2>/dev/null
	fi | tr -s ' \\\n' '\n' | grep -v ':$'
}

has_changed() { # FILE
	local before=$passed/$1 words word
	[ -e "$before" ] || return 0
	mapfile -t words < <(prerequisites "$1")
	for word in "$1" "$build/flags-fuzz" .clang-tidy tests/.clang-tidy tests/lint/tidy.sh "${words[@]}"; do
		[ ! -e "$word" ] || [ "$before" -nt "$word" ] || return 0
	done
	return 1
}

changed() {
	local file
	files '*.c' | grep -v '\.bpf\.c$' | while read -r file; do
		! has_changed "$file" || echo "$file"
	done
}

tidy() { # FLAG... -- FILE...
	local tidy_flags=() said file
	while [ "$1" != -- ]; do
		tidy_flags+=("$1")
		shift
	done
	shift
	if said=$(clang-tidy --quiet "$@" -- "${tidy_flags[@]}" 2>/dev/null) && [ -z "$said" ]; then
		for file; do
			mkdir -p "$passed/${file%/*}" && touch -r "$passed/.run" "$passed/$file"
		done
	else
		printf '%s\n' "${said:-clang-tidy cannot read $*}"
	fi
}
export -f tidy

tidy_by() { # FILES-OF-A-RUN: their names on standard input
	xargs -r -n "$1" -P "$(nproc)" bash -c 'tidy "$@"' tidy "${flags[@]}" "${analyzer[@]}" --
}

# Several files in a run, as clang-tidy takes a fifth of a second to start. Those with a va_list alone: version 14
# remembers va_start() by what it was in the first file, and finds none in the others.
tidy_changed() {
	local list=$passed/.changed
	touch "$passed/.run"
	changed >"$list"
	xargs -r grep -lw va_list <"$list" | tidy_by 1
	xargs -r grep -Lw va_list <"$list" | tidy_by 8
}

if [ ${#flags[@]} -eq 0 ]; then
	ok_unless "clang-tidy finds nothing" echo "$build/flags-fuzz is missing: build first"
	finish
fi
mkdir -p "$passed"
ok_unless "clang-tidy finds nothing" tidy_changed
finish

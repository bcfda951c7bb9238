#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# clang-tidy over every C file that runs in user space, with the flags of the build. A file that is
# the same as when it last passed, headers included, is not looked at again.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

cache=$build/tests/tidy
export cache

# The build writes its clang command line there; the sanitizers' flags say nothing to clang-tidy.
eval "flags=($(tail -n 1 "$build/flags-fuzz" 2>/dev/null))"
mapfile -t flags < <(printf '%s\n' "${flags[@]:1}" | grep -v -e '^-fsanitize' -e '^-fno-sanitize')

# States of a function that the analyzer goes through at most. Its own 225,000 takes three times as long.
analyzer='--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang --extra-arg=max-nodes=100000'
export analyzer

tidy() { # FILE FLAG...
	local file=$1 hash said
	shift
	# Comments count: they may hold NOLINT.
	hash=$({ echo "$analyzer" && cat .clang-tidy tests/.clang-tidy && clang -E -C "$@" "$file"; } 2>&1 | sha256sum | cut -d' ' -f1)
	[ ! -e "$cache/$hash" ] || return 0
	# shellcheck disable=SC2086 # words
	if said=$(clang-tidy --quiet $analyzer "$file" -- "$@" 2>/dev/null) && [ -z "$said" ]; then
		: >"$cache/$hash"
	else
		printf '%s\n' "${said:-$file: clang-tidy cannot read it}"
	fi
}
export -f tidy

tidy_all() {
	files '*.c' | grep -v '\.bpf\.c$' |
		xargs -P "$(nproc)" -I{} bash -c 'tidy "$@"' tidy {} "${flags[@]}"
}

if [ ${#flags[@]} -eq 0 ]; then
	ok_unless "clang-tidy finds nothing" echo "$build/flags-fuzz is missing: build first"
	finish
fi
mkdir -p "$cache"
ok_unless "clang-tidy finds nothing" tidy_all
finish

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every fuzz target over its corpus, then FUZZ_SECONDS of new inputs each (0: the corpus alone). An
# input that fails is kept in BUILD/tests/fuzz-failures; what else is found stays in the build
# folder, the corpus in the tree is not written to. Target fuzz_NAME reads corpus/NAME, and
# NAME.dict when there is one.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${SW_BUILD:-$here/../../build}
seconds=${FUZZ_SECONDS:-5}
failures=$build/tests/fuzz-failures

fuzz() { # TARGET WORD LIBFUZZER-ARGUMENT...
	local target=$1 word=$2 said
	shift 2
	if said=$("$target" -timeout=25 -rss_limit_mb=2048 -artifact_prefix="$failures/${target##*/}-" "$@" 2>&1); then
		echo "ok - ${target##*/} $word ($(grep -oE '^Done [0-9]+ runs|^INFO: seed corpus: files: [0-9]+' <<<"$said" | tail -n 1))"
	else
		printf 'not ok - %s %s\n%s\n' "${target##*/}" "$word" "$(tail -n 40 <<<"$said" | sed 's/^/# /')"
	fi
}

# Sanitizer reports belong into what the target says, where the runner shows them.
target() { # TARGET
	local name=${1##*/} corpus found
	name=${name#fuzz_}
	corpus=$here/corpus/$name found=$build/tests/fuzz-found/$name
	unset ASAN_OPTIONS UBSAN_OPTIONS
	if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
		echo "not ok - ${1##*/} has no corpus in tests/fuzz/corpus/$name"
		return
	fi
	fuzz "$1" corpus -runs=0 "$corpus"
	[ "$seconds" -gt 0 ] || return
	mkdir -p "$found"
	local options=(-max_total_time="$seconds")
	[ ! -e "$here/$name.dict" ] || options+=(-dict="$here/$name.dict")
	fuzz "$1" "new inputs" "${options[@]}" "$found" "$corpus"
}

mapfile -t targets < <(find "$build/tests/fuzz" -maxdepth 1 -type f -perm /111 2>/dev/null | sort)
mkdir -p "$failures"
export -f fuzz target
export here build seconds failures
# A whole target prints at once, so that those that run side by side do not mix.
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'said=$(target "$1"); printf "%s\n" "$said"' target {} |
	awk '/^(not )?ok / { n++; sub(/ok /, "ok " n " ") } /^not ok/ { bad = 1 } { print; fflush() }
		END { print "1.." n + 0; exit bad }'

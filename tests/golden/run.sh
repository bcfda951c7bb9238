#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Policies against what they print as (policies/NAME.policy, NAME.expected) and against what is said
# about them (diagnostics/, likewise); the shipped policies, which are canonical; then the
# command's own goldens and those of captures. With --update the expected files are written anew.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$here/../..
build=${SW_BUILD:-$top/build}
tool=$build/tests/golden/policy
update=
[ "${1-}" != --update ] || update=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n=0 failed=0

# The build keeps its command line there; sanitizers must be the same as in the library.
compile() {
	local cc
	eval "cc=($(tail -n 1 "$build/flags"))" &&
		mkdir -p "${tool%/*}" &&
		(cd "$top" && "${cc[@]}" -I. -o "$tool" tests/golden/policy.c "$build/policy.a" -lcrypto)
}

result() { # DIFFERENCE NAME
	n=$((n + 1))
	if [ -z "$1" ]; then
		echo "ok $n - $2"
	else
		failed=$((failed + 1))
		echo "not ok $n - $2"
		printf '%s\n' "$1" | sed 's/^/# /'
	fi
}

golden() { # FMT-OR-CHECK FILE
	local expected=${2%.policy}.expected name=${2#"$here"/}
	"$tool" "$1" "$2" >"$scratch/got" 2>&1
	echo "exit $?" >>"$scratch/got"
	[ -z "$update" ] || cp "$scratch/got" "$expected"
	result "$(diff -u --label expected --label got "$expected" "$scratch/got" 2>&1)" "${name%.policy}"
}

# What was printed prints to itself and is checked as the policy is.
round_trip() { # FILE
	local name=${1#"$here"/}
	"$tool" fmt "$1" >"$scratch/once"
	"$tool" fmt "$scratch/once" >"$scratch/twice"
	result "$(diff -u "$scratch/once" "$scratch/twice" 2>&1)" "${name%.policy} round trip"
}

if ! compile >"$scratch/log" 2>&1; then
	sed 's/^/# /' "$scratch/log"
	echo "Bail out! tests/golden/policy.c does not compile"
	exit 1
fi
for file in "$here"/policies/*.policy; do
	golden fmt "$file"
	round_trip "$file"
done
for file in "$here"/diagnostics/*.policy; do
	golden check "$file"
done
for file in "$top"/policies/*; do
	result "$("$tool" fmt "$file" | diff -u "$file" - 2>&1)" "policies/${file##*/} is canonical"
done
for file in "$here"/{policies,diagnostics}/*.expected; do
	[ -e "${file%.expected}.policy" ] || result "no policy beside it" "${file#"$here"/}"
done
echo "1..$n"

# Lists of their own, which whoever sums up adds to this one.
"$here"/cli.sh "$@" || failed=$((failed + 1))
"$here"/replay.sh "$@" || failed=$((failed + 1))
exit $((failed > 0))

# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# For the checks beside this file: each check is a command that prints one problem a line.
# shellcheck disable=SC2034 # read by the scripts that source this
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top" || exit 1
build=${SW_BUILD:-$top/build}
n_checks=0 n_failed=0

# Files of the project as ./-less paths, by patterns of their names.
files() { # PATTERN...
	local names=() pattern
	for pattern; do names+=(-o -name "$pattern"); done
	find . \( -path ./.git -o -path './build*' \) -prune -o -type f \( "${names[@]:1}" \) -print |
		sed 's,^\./,,' | sort
}

shell_files() {
	files '*.sh' '*.bash' '*.bats'
	files '*' | grep -Ev '\.(sh|bash|bats|c|h)$|^tests/fuzz/corpus/|^tests/golden/' |
		xargs awk 'FNR == 1 && /^#!.*sh$/ { print FILENAME } { nextfile }'
}

ok_unless() { # NAME COMMAND...: fails when the command prints something or ends badly
	local name=$1 problems status
	shift
	problems=$("$@" 2>&1)
	status=$?
	n_checks=$((n_checks + 1))
	if [ $status -eq 0 ] && [ -z "$problems" ]; then
		echo "ok $n_checks - $name"
	else
		n_failed=$((n_failed + 1))
		echo "not ok $n_checks - $name"
		printf '%s\n' "${problems:-ended with status $status}" | sed 's/^/# /'
	fi
}

skip() { # NAME WHY
	n_checks=$((n_checks + 1))
	echo "ok $n_checks - $1 # skip $2"
}

finish() {
	echo "1..$n_checks"
	exit $((n_failed > 0))
}

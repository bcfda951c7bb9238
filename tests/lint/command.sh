#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What people are told of the command line: the manual pages and the completion know the options and
# commands that --help knows, and no others.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
PATH=$build:$PATH

help_options() { # PROGRAM [COMMAND]: options in the first column of --help
	"$@" --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p' | sort
}

help_commands() {
	smtpwall --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' | sort
}

# What a page defines: options in headings and in the lines that begin a tagged paragraph.
defined() { # standard input: roff
	sed 's/\\-/-/g' | awk '
		/^\.S[SH]/ || tag { line = $0; while (match(line, /--[a-z][a-z-]*/)) {
			print substr(line, RSTART, RLENGTH); line = substr(line, RSTART + RLENGTH) } }
		{ tag = /^\.TP/ }' | sort -u
}

section() { # FILE HEADING: from .SH or .SS to the next of them
	awk -v want="$2" '/^\.S[SH] / { inside = ($2 == want) } inside' "$1"
}

same() { # NAME: two files
	diff -u --label "$1: --help" --label "$1: manual" "$2" "$3" | grep '^[-+]' || :
}

daemon_page() {
	same smtpwalld <(help_options smtpwalld) <(section daemon/smtpwalld.8 OPTIONS | defined)
}

command_page() {
	local command
	same smtpwall <(help_commands) <(sed -n 's/^\.SS \([a-z]*\).*/\1/p' ctl/smtpwall.8 | sort)
	same "every command" <(printf '%s\n' --help --json --run-dir --state-dir) \
		<(section ctl/smtpwall.8 OPTIONS | defined)
	for command in $(help_commands); do
		same "smtpwall $command" <(help_options smtpwall "$command" | grep -vxE -- '--(help|json)') \
			<(section ctl/smtpwall.8 "$command" | defined)
	done
}

# The words that the shell would offer behind these; the last one is being written.
complete_words() { # WORD...
	env PATH="$PATH" bash -c '
		. ctl/smtpwall.bash
		complete -p smtpwall >/dev/null || exit 1
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
		_smtpwall
		printf "%s\n" "${COMPREPLY[@]}" | sort | tr "\n" " "' completion "$@"
}

offers() { # WANTED WORD...
	local wanted=$1 got
	shift
	got=$(complete_words "$@")
	[ "${got% }" = "$wanted" ] || echo "behind \"$*\": \"${got% }\", not \"$wanted\""
}

completion() {
	local command
	mkdir "$scratch/folder" && touch "$scratch/file"
	offers "$(help_commands | paste -sd ' ')" smtpwall ''
	offers 'status stop' smtpwall st
	offers 'status stop' smtpwall --run-dir /run/other st
	offers 'status stop' smtpwall --run-dir = /run/other st
	offers "$scratch/folder" smtpwall --run-dir "$scratch/fo"
	offers "$scratch/file $scratch/folder" smtpwall apply "$scratch/f"
	offers "$scratch/file" smtpwall why --policy "$scratch/fi"
	offers 'close keep' smtpwall apply --existing ''
	offers 'keep' smtpwall apply --existing = k
	offers 'close keep' smtpwall apply --existing =
	offers 'www-data' smtpwall why --user www-d
	offers 'status stop' smtpwall --state-dir /var/other st
	offers 'redirect reject reset' smtpwall events --verdict re
	offers 'no_target none not_permitted not_tls' smtpwall events --reason no
	offers '' smtpwall rules x
	for command in $(help_commands); do
		offers "$(help_options smtpwall "$command" | paste -sd ' ')" smtpwall "$command" --
	done
}

ok_unless "smtpwalld(8) has the options of smtpwalld --help, and no others" daemon_page
ok_unless "smtpwall(8) has the commands and options of --help, and no others" command_page
ok_unless "the completion offers commands, options and values" completion
finish

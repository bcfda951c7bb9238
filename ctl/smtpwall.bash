# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# bash completion of smtpwall. Options are asked from the program itself (COMMAND --help), so this
# file need not follow them; only what their values may be is written here.

_smtpwall_options() { # [COMMAND]
	smtpwall "$@" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p'
}

_smtpwall_commands() {
	smtpwall --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p'
}

# The command among the words before the one that is being written, if it is there already.
_smtpwall_command() {
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--run-dir | --state-dir)
			i=$((i + 1))
			[ "${COMP_WORDS[i]}" != = ] || i=$((i + 1))
			;;
		-*) ;;
		*)
			echo "${COMP_WORDS[i]}"
			return
			;;
		esac
	done
}

# What may stand behind an option; fails when it is an option without a value.
_smtpwall_value() { # OPTION WORD
	case $1 in
	--run-dir | --state-dir) mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
	--policy | --exe | --html) mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
	--user) mapfile -t COMPREPLY < <(compgen -u -- "$2") ;;
	--group) mapfile -t COMPREPLY < <(compgen -g -- "$2") ;;
	--as) mapfile -t COMPREPLY < <(compgen -W 'edge host' -- "$2") ;;
	--existing) mapfile -t COMPREPLY < <(compgen -W 'keep close' -- "$2") ;;
	--port) mapfile -t COMPREPLY < <(compgen -W '25 465 587 2525' -- "$2") ;;
	--confirm) mapfile -t COMPREPLY < <(compgen -W '60 300' -- "$2") ;;
	--since | --until) mapfile -t COMPREPLY < <(compgen -W '10m 1h 1d' -- "$2") ;;
	--verdict) mapfile -t COMPREPLY < <(compgen -W 'allow reject drop redirect audit reset' -- "$2") ;;
	--reason)
		mapfile -t COMPREPLY < <(compgen -W 'none not_permitted unidentified unattributed malformed \
			table_full no_target existing cleartext_command starttls_injection starttls_stripped \
			not_tls tls_too_old resend_mismatch too_long shared_pages smtp_elsewhere' -- "$2")
		;;
	--pid) mapfile -t COMPREPLY < <(cd /proc && compgen -G '[0-9]*' | grep "^${2//[!0-9]/}") ;;
	--iface) mapfile -t COMPREPLY < <(cd /sys/class/net && compgen -G "$2*") ;;
	--unit)
		mapfile -t COMPREPLY < <(compgen -W "$(systemctl list-units --type=service --plain \
			--no-legend --no-pager 2>/dev/null | cut -d' ' -f1)" -- "$2")
		;;
	--cgroup | --to | --from | --last | --rule) ;;
	*) return 1 ;;
	esac
}

_smtpwall() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command
	COMPREPLY=()
	# "--name=value" comes as three words.
	if [ "$word" = = ]; then
		word=
	elif [ "$before" = = ] && ((COMP_CWORD > 1)); then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	_smtpwall_value "$before" "$word" && return
	command=$(_smtpwall_command)
	if [ "${word#-}" != "$word" ]; then
		# shellcheck disable=SC2086 # no command: no word
		mapfile -t COMPREPLY < <(compgen -W "$(_smtpwall_options $command)" -- "$word")
	elif [ -z "$command" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_smtpwall_commands)" -- "$word")
	else
		case $command in
		check | fmt | apply | replay) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
		esac
	fi
}

complete -o filenames -o bashdefault -F _smtpwall smtpwall

#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What mail servers make of lines that are not quite SMTP, asked of each without smtpwall: the reason
# why the gate reads them as it does. Servers: Postfix 3.7, Exim 4.96, OpenSMTPD 6.8, aiosmtpd 1.4, as
# in Debian 12. The codes are their replies to what is sent behind EHLO, see tools/ask_server.py.
#
#   - Postfix alone takes blanks before a command: space, tab, and also a vertical tab.
#   - All of them take a bare LF as the end of a line, also of STARTTLS; none takes a bare CR.
#   - None takes an argument of STARTTLS; all but OpenSMTPD take blanks behind it.
#   - Empty lines are an error, but commands behind them count. OpenSMTPD answers 500 to the second
#     command of a packet, whatever it is.
#
# shellcheck disable=SC2154 # lib.bash, tls.bash

load lib
load servers
load tls

setup_file() {
	/usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || skip "aiosmtpd is not installed"
	servers_get
	world_up
	servers_start postfix exim opensmtpd aiosmtpd
	cut -d '|' -f 1 <<<"$table" >"$D/lines"
}

teardown_file() {
	world_down
}

table='
"MAIL FROM:<a@example.org>\r\n"        | 250      250      250  250
"mail from:<a@example.org>\r\n"        | 250      250      250  250
" MAIL FROM:<a@example.org>\r\n"       | 250      500      500  500
"\tMAIL FROM:<a@example.org>\r\n"      | 250      500      500  500
"\x0bMAIL FROM:<a@example.org>\r\n"    | 250      500      500  500
"\0MAIL FROM:<a@example.org>\r\n"      | 500      501      500  500
"MAIL\tFROM:<a@example.org>\r\n"       | 250      500      500  500
"MAIL\0 FROM:<a@example.org>\r\n"      | 501      501      500  500
"MAIL FROM:<a@example.org>\n"          | 250      250      250  250
"NOOP\nMAIL FROM:<a@example.org>\r\n"  | 250,250  250,250  500  250,250
"MAIL FROM:<a@example.org>\rNOOP\r\n"  | 555      501      503  555
"NOOP\rMAIL FROM:<a@example.org>\r\n"  | 250      500      500  500
"RSET\rNOOP\r\n"                       | 501      500      500  500
"\r\nMAIL FROM:<a@example.org>\r\n"    | 500,250  500,250  500  500,250
"\nMAIL FROM:<a@example.org>\r\n"      | 500,250  500,250  500  500,250
"STARTTLS\r\n"                         | 220      220      220  220
"starttls\r\n"                         | 220      220      220  220
"STARTTLS\n"                           | 220      220      220  220
"STARTTLS\r\r\n"                       | 220      220      500  220
"STARTTLS \r\n"                        | 220      220      501  220
"STARTTLS foo\r\n"                     | 501      501      501  501
" STARTTLS\r\n"                        | 220      500      500  500
"\tSTARTTLS\r\n"                       | 220      500      500  500
'
table=${table#$'\n'} table=${table%$'\n'}

column_of() { # N
	cut -d '|' -f 2 <<<"$table" | awk -v n="$1" '{ print $n }'
}

does_as_written() { # N SERVER
	in_ns far "$top/tests/net/tools/ask_server.py" "$(far4 "$2")" 587 <"$D/lines" | tr ' ' , >"$D/$2.codes"
	diff <(paste "$D/lines" <(column_of "$1")) <(paste "$D/lines" "$D/$2.codes")
}

@test "Postfix does with odd lines what the table says" {
	does_as_written 1 postfix
}

@test "Exim does with odd lines what the table says" {
	does_as_written 2 exim
}

@test "OpenSMTPD does with odd lines what the table says" {
	does_as_written 3 opensmtpd
}

@test "aiosmtpd does with odd lines what the table says" {
	does_as_written 4 aiosmtpd
}

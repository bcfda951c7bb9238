# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # lib.bash, tls.bash
#
# Ordinary mail clients, each as a function that delivers one message, with and without TLS:
#
#   by_NAME WAY ADDRESS PORT FILE [LOGIN]     WAY: implicit, starttls or clear; LOGIN: plain or login
#
# It fails when the client says that it did not. Certificates are verified, and the name asked for is
# $mail_name. Their time-outs are long: what ends sooner has ended for another reason.

patience=90 # seconds that a client waits for an answer

bracketed() { # ADDRESS
	case $1 in
	*:*) echo "[$1]" ;;
	*) echo "$1" ;;
	esac
}

by_swaks() {
	local tls=() login=() option=-4
	[[ $2 != *:* ]] || option=-6
	[ "$1" != implicit ] || tls=(--tls-on-connect)
	[ "$1" != starttls ] || tls=(--tls)
	[ "$1" = clear ] || tls+=(--tls-verify --tls-ca-path "$D/tls/ca.pem" --tls-sni "$mail_name")
	[ -z "${5-}" ] || login=(--auth "${5^^}" --auth-user "$account" --auth-password "$password")
	swaks $option --server "$2" --port "$3" "${tls[@]}" "${login[@]}" --helo here.example \
		--from a@example.org --to b@example.net --timeout "$patience" --data - <"$4"
}

by_curl() {
	local scheme=smtp options=()
	[ "$1" != implicit ] || scheme=smtps
	[ "$1" = clear ] || options=(--ssl-reqd --cacert "$D/tls/ca.pem" --connect-to "$mail_name:$3:$(bracketed "$2"):$3")
	[ -z "${5-}" ] || options+=(--user "$account:$password" --login-options "AUTH=${5^^}")
	local host=$mail_name
	[ "$1" != clear ] || host=$(bracketed "$2")
	# shellcheck disable=SC2086 # words are wanted
	curl -sSv --max-time "$patience" ${curl_more-} "$scheme://$host:$3/here.example" "${options[@]}" \
		--mail-from a@example.org --mail-rcpt b@example.net --upload-file "$4"
}

by_smtplib() {
	/usr/bin/python3 -c '
import smtplib, ssl, sys
way, address, port, name, login, account, password, ca, patience = sys.argv[1:]
context = None if way == "clear" else ssl.create_default_context(cafile=ca)
class Implicit(smtplib.SMTP_SSL):
    def _get_socket(self, host, port, timeout):
        plain = smtplib.SMTP._get_socket(self, host, port, timeout)
        return context.wrap_socket(plain, server_hostname=name)
address = address, int(port), "here.example"
if way == "implicit":
    server = Implicit(*address, timeout=float(patience), context=context)
else:
    server = smtplib.SMTP(*address, timeout=float(patience))
if way == "starttls":
    server._host = name
    server.starttls(context=context)
if login:
    server.ehlo()
    server.user, server.password = account, password
    server.auth(login, getattr(server, "auth_" + login))
server.sendmail("a@example.org", ["b@example.net"], sys.stdin.buffer.read())
server.quit()' "$1" "$2" "$3" "$mail_name" "${5-}" "$account" "$password" "$D/tls/ca.pem" "$patience" <"$4"
}

by_msmtp() {
	local tls=(--tls=off) login=()
	[ "$1" = clear ] || tls=(--tls=on --tls-trust-file="$D/tls/ca.pem" --tls-host-override="$mail_name")
	[ "$1" != implicit ] || tls+=(--tls-starttls=off)
	[ -z "${5-}" ] || login=(--auth="$5" --user="$account" --passwordeval="echo $password")
	msmtp --file=/dev/null --debug --timeout="$patience" --host="$2" --port="$3" "${tls[@]}" "${login[@]}" \
		--domain=here.example --from=a@example.org b@example.net <"$4"
}

# It only carries bytes: the dialogue is held here.
openssl_says() { # CODE LINE: after the reply that begins so
	local reply
	while read -r -t "$patience" reply <&"${TLS[0]}"; do
		printf '%s\n' "$reply"
		[[ ! $reply =~ ^[0-9]{3}' ' ]] || break
	done
	[[ $reply == "$1"* ]] && printf '%s\r\n' "$2" >&"${TLS[1]}"
}

by_openssl() {
	local options=() TLS TLS_PID
	[ "$1" != starttls ] || options=(-starttls smtp)
	coproc TLS {
		exec openssl s_client -quiet -verify_return_error -verify_hostname "$mail_name" -servername "$mail_name" \
			-CAfile "$D/tls/ca.pem" -connect "$(bracketed "$2"):$3" "${options[@]}"
	}
	local pid=$TLS_PID
	# With STARTTLS it has read the greeting itself.
	{ [ "$1" = starttls ] && printf 'EHLO here.example\r\n' >&"${TLS[1]}" || openssl_says 220 'EHLO here.example'; } &&
		if [ -n "${5-}" ]; then
			openssl_says 250 "AUTH PLAIN $(printf '\0%s\0%s' "$account" "$password" | base64)" &&
				openssl_says 235 'MAIL FROM:<a@example.org>'
		else
			openssl_says 250 'MAIL FROM:<a@example.org>'
		fi &&
		openssl_says 250 'RCPT TO:<b@example.net>' && openssl_says 250 DATA &&
		openssl_says 354 "$(<"$4")"$'\n.' && openssl_says 250 QUIT && wait "$pid"
}

clients=(by_swaks by_curl by_smtplib by_msmtp)

# One client, as www-data in near; its end is waited for longer than it waits itself.
run_client() { # by_NAME WAY ADDRESS PORT FILE [LOGIN]
	local who=$1
	shift
	# shellcheck disable=SC2163 # the function that it names
	export -f "$who" bracketed openssl_says
	export D mail_name account password patience curl_more
	client -u www-data timeout $((patience + 60)) bash -c "$who"' "$@"' - "$@"
}

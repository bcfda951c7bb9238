# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # lib.bash, servers.bash
#
# Mail servers that clients come to, in far, each on addresses of its own: implicit TLS on 465,
# STARTTLS on 587 and 2525.
#
#   aiosmtpd   offers AUTH, with and without TLS
#   postfix    no AUTH
#   exim       offers AUTH, with and without TLS
#   opensmtpd  offers STARTTLS and cannot keep the promise: Debian 12's OpenSMTPD 6.8.0p2 fails to sign
#              with OpenSSL 3 (OpenSMTPD/OpenSMTPD#1171) and ends each handshake with an alert
#   clear      aiosmtpd without any TLS, on 465 as well
#
# What they take lies in one file: Postfix, Exim and OpenSMTPD hand it on to a sink (tools/sink.c), the
# other two write it themselves. Their certificate is made with the world and names them all.

servers=(aiosmtpd postfix exim opensmtpd clear)
declare -gA server_number=([aiosmtpd]=11 [postfix]=12 [exim]=13 [opensmtpd]=14 [clear]=15)
mail_name=mail.example.net # what the certificate is for
account=alice
password=correct-Horse7-battery.Staple9
collector=2600

far4() { # SERVER
	echo "192.0.2.${server_number[$1]}"
}

far6() { # SERVER
	echo "2001:db8:1::${server_number[$1]}"
}

taken_by() { # SERVER: the file that its messages are in
	case $1 in
	aiosmtpd | clear) echo "$D/servers/$1/mail" ;;
	*) echo "$D/collector/mail" ;;
	esac
}

certificates_make() {
	local dir=$D/tls names="DNS:$mail_name" server
	mkdir -p "$dir"
	for server in "${servers[@]}"; do
		names+=",IP:$(far4 "$server"),IP:$(far6 "$server")"
	done
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=CA of $ID" \
		-keyout "$dir/ca.key" -out "$dir/ca.pem" 2>>"$dir/out"
	openssl req -x509 -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
		-nodes -days 20 -subj "/CN=$mail_name" -addext "subjectAltName=$names" \
		-addext basicConstraints=CA:FALSE -keyout "$dir/key" -out "$dir/certificate" 2>>"$dir/out"
	# Exim reads the key as its own user.
	install -m 600 -o "$exim_uid" "$dir/key" "$dir/key.exim"
}

# In far, outside of what is guarded, until the world ends.
serve() { # OUTPUT COMMAND...
	local output=$1
	shift
	# shellcheck disable=SC2016 # for the inner shell
	start far "$output" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "${CG%/*}/outside" "$@"
}

greets() { # ADDRESS PORT: or takes connections, where TLS comes first
	in_ns far timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
}

wait_for_server() { # SERVER
	local port address
	for address in "$(far4 "$1")" "$(far6 "$1")"; do
		for port in 465 587 2525; do
			wait_for greets "$address" "$port"
		done
	done
}

server_start() { # SERVER
	local server=$1
	mkdir -p "$D/servers/$server"
	add_addresses veth0 "$(far4 "$server")/24" "$(far6 "$server")/64" | ip_in far
	"server_start_$server" "$D/servers/$server"
	wait_for_server "$server"
}

servers_start() { # SERVER...
	local server
	certificates_make
	sink_start collector far 127.0.0.1 $collector
	for server; do
		server_start "$server"
	done
}

# ---- each of them ----

server_start_aiosmtpd() { # DIR
	serve "$1/out" "$top/tests/net/tools/smtp_server.py" "$1" $account $password \
		"$D/tls/certificate" "$D/tls/key" "$(far4 aiosmtpd)" "$(far6 aiosmtpd)"
}

server_start_clear() { # DIR
	serve "$1/out" "$top/tests/net/tools/smtp_server.py" "$1" $account $password - - \
		"$(far4 clear)" "$(far6 clear)"
}

server_start_postfix() { # DIR
	local dir=$1 address port
	postfix_configure "$dir"
	cat >>"$dir/conf/main.cf" <<-END
		myhostname = $mail_name
		default_transport = smtp:[127.0.0.1]:$collector
		local_recipient_maps =
		smtpd_peername_lookup = no
		message_size_limit = 134217728
		mailbox_size_limit = 134217728
		mynetworks = 192.0.2.0/24 [2001:db8:1::]/64 100.64.0.0/16 [2001:db8:c000::]/36
		smtpd_relay_restrictions = permit_mynetworks, reject
		smtpd_tls_security_level = may
		smtpd_tls_cert_file = $D/tls/certificate
		smtpd_tls_key_file = $D/tls/key
	END
	for address in "$(far4 postfix)" "[$(far6 postfix)]"; do
		echo "$address:465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"
		for port in 587 2525; do
			echo "$address:$port inet n - n - - smtpd"
		done
	done >>"$dir/conf/master.cf"
	# shellcheck disable=SC2046 # words are wanted
	serve "$dir/out" $(postfix_env "$dir") "$cache/postfix/usr/sbin/postfix" start-fg
}

server_start_exim() { # DIR
	local dir=$1 exim=$cache/exim4/usr/sbin/exim4
	mkdir -p "$dir"/{spool,log}
	chown "$exim_uid:$exim_uid" "$dir"/{spool,log}
	make_users "$dir" "Debian-exim $exim_uid"
	cat >"$dir/conf" <<-END
		exim_path = $exim
		spool_directory = $dir/spool
		log_file_path = $dir/log/%slog
		pid_file_path = $dir/pid
		primary_hostname = $mail_name
		keep_environment =
		deliver_drop_privilege
		local_interfaces = <; $(far4 exim) ; $(far6 exim)
		daemon_smtp_ports = 465 : 587 : 2525
		tls_on_connect_ports = 465
		tls_advertise_hosts = *
		tls_certificate = $D/tls/certificate
		tls_privatekey = $D/tls/key.exim
		message_size_limit = 128M
		rfc1413_query_timeout = 0s
		acl_smtp_rcpt = accept
		begin routers
		all:
		  driver = manualroute
		  transport = remote
		  route_list = * 127.0.0.1 byname
		  self = send
		begin transports
		remote:
		  driver = smtp
		  port = $collector
		  allow_localhost
		  hosts_avoid_tls = *
		begin retry
		* * F,1h,15m
		begin authenticators
		plain:
		  driver = plaintext
		  public_name = PLAIN
		  server_prompts = :
		  server_condition = \${if and{{eq{\$auth2}{$account}}{eq{\$auth3}{$password}}}}
		  server_set_id = \$auth2
		login:
		  driver = plaintext
		  public_name = LOGIN
		  server_prompts = Username:: : Password::
		  server_condition = \${if and{{eq{\$auth1}{$account}}{eq{\$auth2}{$password}}}}
		  server_set_id = \$auth1
	END
	# shellcheck disable=SC2016 # for the inner shell
	serve "$dir/out" unshare -m sh -c \
		'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group &&
		exec "$2" -C "$1/conf" -bdf -q1m' - "$dir" "$exim"
}

server_start_opensmtpd() { # DIR
	local dir=$1 address options="pki mail auth-optional <accounts>"
	make_users "$dir" "opensmtpd $opensmtpd_uid" "opensmtpq $opensmtpq_uid"
	{
		echo "pki mail cert \"$D/tls/certificate\""
		echo "pki mail key \"$D/tls/key\""
		echo "table accounts { $account = \"$(openssl passwd -6 $password)\" }"
		echo 'smtp max-message-size 128M'
		for address in "$(far4 opensmtpd)" "$(far6 opensmtpd)"; do
			echo "listen on $address port 465 smtps $options"
			echo "listen on $address port 587 tls $options"
			echo "listen on $address port 2525 tls $options"
		done
		echo "action \"out\" relay host smtp://127.0.0.1:$collector"
		echo 'match from any for any action "out"'
	} >"$dir/conf"
	opensmtpd_script >"$dir/start"
	serve "$dir/out" unshare -m sh "$dir/start" "$dir" "/proc/$$/root$cache/opensmtpd/usr/sbin/smtpd"
}

# ---- what came over the wire ----

capture() { # NAME [FILTER]: what clients send to far from here on, until capture_end
	capture_start "$1" far "(dst net 192.0.2.0/24 or dst net 2001:db8:1::/64) and
		(tcp dst port 465 or tcp dst port 587 or tcp dst port 2525) ${2-}"
}

# A line for each place where the password or an SMTP command beyond the permitted ones was sent.
found_in_capture() { # NAME
	"$top/tests/net/tools/find_secret.py" $account $password capture "$D/$1.pcap"
}

# ---- messages ----

# Between marks, so that what servers put before and behind it does not count.
body_of() { # ID FILE
	tr -d '\r' <"$2" | sed -n "/^begin $1\$/,/^end $1\$/p"
}

message_make() { # ID [LINES of 900 letters]: prints the file
	local file=$D/message.$1
	{
		printf 'From: a@example.org\r\nTo: b@example.net\r\nSubject: %s\r\n\r\nbegin %s\r\n' "$1" "$1"
		[ -z "${2-}" ] || head -c $(($2 * 675)) /dev/urandom | base64 -w 900 | sed 's/$/\r/'
		printf 'end %s\r\n' "$1"
	} >"$file"
	chmod 644 "$file"
	echo "$file"
}

has_taken() { # SERVER ID
	grep -q "^end $2" "$(taken_by "$1")"
}

arrived_whole() { # SERVER ID
	wait_for has_taken "$1" "$2" || return 1
	[ "$(body_of "$2" "$(taken_by "$1")" | sha256sum)" = "$(body_of "$2" "$D/message.$2" | sha256sum)" ] || {
		echo "$2 did not arrive at $1 as it was sent"
		return 1
	}
}

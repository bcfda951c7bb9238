# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash disable=SC2034,SC2154 # top, started: lib.bash; cache: the scenario
#
# The three mail servers of scenario 1, each with its own configuration and queue in the world's
# folder, delivering everything to the far side. See lib.bash for where they come from. As servers
# that clients come to they stand in tls.bash.

# Users that the unpacked servers run as; nobody else on the machine has these numbers.
exim_uid=64980 opensmtpd_uid=64981 opensmtpq_uid=64982

servers_get() { # sets $cache, or skips
	cache=$("$top/tests/net/tools/servers.sh") || skip "$cache"
	export cache
}

# A mount namespace that has users of its own needs its own copies of these files.
make_users() { # FOLDER "NAME UID"...
	local dir=$1 user
	shift
	cp /etc/passwd /etc/group "$dir"
	for user; do
		echo "${user% *}:x:${user#* }:${user#* }::/nonexistent:/usr/sbin/nologin" >>"$dir/passwd"
		echo "${user% *}:x:${user#* }:" >>"$dir/group"
	done
}

message() { # SUBJECT
	printf 'From: sender@example.org\nTo: receiver@example.net\nSubject: %s\n\nHello.\n' "$1"
}

# ---- Postfix, under users that every Debian has and that nothing runs as ----

postfix_env() { # DIR: what its programs need before them
	echo "env MAIL_CONFIG=$1/conf LD_LIBRARY_PATH=$cache/postfix/usr/lib/postfix"
}

postfix() { # COMMAND...: of its own, as a client
	# shellcheck disable=SC2046 # words are wanted
	client -c postfix.service $(postfix_env "$D/postfix") "$@"
}

# What every Postfix here has; the caller adds to both files.
postfix_configure() { # DIR
	local dir=$1 from=$cache/postfix
	mkdir -p "$dir"/{conf,queue,data}
	chown news "$dir/data"
	cat >"$dir/conf/main.cf" <<-END
		compatibility_level = 3.6
		queue_directory = $dir/queue
		data_directory = $dir/data
		command_directory = $from/usr/sbin
		daemon_directory = $from/usr/lib/postfix/sbin
		shlib_directory = $from/usr/lib/postfix
		meta_directory = $from/etc/postfix
		mail_owner = news
		setgid_group = uucp
		default_privs = nobody
		mydestination =
		inet_interfaces = loopback-only
		smtp_dns_support_level = disabled
		smtp_host_lookup = native
		alias_maps =
		maillog_file = $dir/log
		maillog_file_prefixes = $dir
		import_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ
		export_environment = MAIL_CONFIG LD_LIBRARY_PATH TZ
	END
	cat >"$dir/conf/master.cf" <<-END
		pickup  unix n - n 1 1 pickup
		cleanup unix n - n - 0 cleanup
		qmgr    unix n - n 300 1 qmgr
		tlsmgr  unix - - n 1000? 1 tlsmgr
		rewrite unix - - n - - trivial-rewrite
		bounce  unix - - n - 0 bounce
		defer   unix - - n - 0 bounce
		trace   unix - - n - 0 bounce
		smtp    unix - - n - - smtp
		error   unix - - n - - error
		retry   unix - - n - - error
		anvil   unix - - n - 1 anvil
		postlog unix-dgram n - n - 1 postlogd
	END
}

postfix_run() {
	# It complains that the unpacked tools are not setgid: root does not need that.
	postfix "$cache/postfix/usr/sbin/postfix" start >>"$D/postfix/out" 2>&1 4>&-
}

postfix_start() { # TARGET
	postfix_configure "$D/postfix"
	cat >>"$D/postfix/conf/main.cf" <<-END
		myhostname = mail.example.org
		relayhost = [$1]:25
	END
	postfix_run
}

postfix_send() { # SUBJECT [TO]
	message "$1" | postfix "$cache/postfix/usr/sbin/sendmail" -f sender@example.org "${2:-receiver@example.net}"
}

postfix_stop() {
	postfix "$cache/postfix/usr/sbin/postfix" stop >>"$D/postfix/out" 2>&1 || true
}

# ---- Exim: delivers in the foreground, as its own user ----

# Exim starts itself anew as its own user, who may look through /proc/PID/root of his own process only.
exim_start() { # TARGET
	local dir=$D/exim
	mkdir -p "$dir"/{spool,log}
	chown "$exim_uid:$exim_uid" "$dir"/{spool,log}
	make_users "$dir" "Debian-exim $exim_uid"
	start near "$dir/out" setpriv --reuid $exim_uid --regid $exim_uid --clear-groups sleep 1000
	wait_for grep -qs "^Uid:[[:space:]]*$exim_uid" "/proc/$started/status"
	exim=/proc/$started/root$cache/exim4/usr/sbin/exim4
	cat >"$dir/conf" <<-END
		exim_path = $exim
		spool_directory = $dir/spool
		log_file_path = $dir/log/%slog
		primary_hostname = mail.example.org
		keep_environment =
		begin routers
		all:
		  driver = manualroute
		  transport = remote
		  route_list = * $1 byname
		begin transports
		remote:
		  driver = smtp
		  hosts_avoid_tls = *
		begin retry
		* * F,1h,15m
	END
}

exim_send() { # SUBJECT
	# shellcheck disable=SC2016 # for the inner shell
	message "$1" | client -c exim4.service unshare -m sh -c \
		'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group &&
		exec "$2" -C "$1/conf" -odf -f sender@example.org receiver@example.net' - "$D/exim" "$exim"
}

# ---- OpenSMTPD: a daemon with fixed folders, taken from a mount namespace of its own ----

# Folders that OpenSMTPD has built in, made in a mount namespace of its own.
opensmtpd_script() {
	cat <<-'END'
		set -e
		cd "$1"
		mount --bind passwd /etc/passwd
		mount --bind group /etc/group
		for folder in /run /var/spool /var/lib; do
			mount -t tmpfs tmpfs $folder
		done
		mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
		chmod 711 /var/spool/smtpd
		exec "$2" -d -f conf
	END
}

opensmtpd_start() { # TARGET
	local dir=$D/opensmtpd
	mkdir -p "$dir"
	make_users "$dir" "opensmtpd $opensmtpd_uid" "opensmtpq $opensmtpq_uid"
	cat >"$dir/conf" <<-END
		listen on lo port 2025
		action "out" relay host smtp://$1
		match from any for any action "out"
	END
	opensmtpd_script >"$dir/start"
	client_exec -c opensmtpd.service unshare -m sh "$dir/start" "$dir" \
		"/proc/$$/root$cache/opensmtpd/usr/sbin/smtpd" </dev/null >>"$dir/out" 2>&1 &
	remember $!
	disown $!
	wait_for attempt connect 127.0.0.1 2025
}

opensmtpd_send() { # SUBJECT
	message "$1" | client swaks --server 127.0.0.1:2025 --helo mail.example.org \
		--from sender@example.org --to receiver@example.net --data -
}

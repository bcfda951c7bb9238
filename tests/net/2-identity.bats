#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Who is calling: the same program allowed and refused by user, by group, by unit, by cgroup and by
# executable. Each test says what the answer is, and for the odd cases why.

load lib

setup_file() {
	world_up
	mkdir "$D/bin" "$D/elsewhere"
	install -m 755 "$D/try" "$D/bin/mta"
	install -m 755 "$D/try" "$D/bin/upgraded"
	install -m 4755 -o mail "$D/try" "$D/bin/setuid-mail"
	install -m 4755 -o root "$D/try" "$D/bin/setuid-root"
	policy <<-END
		mode enforce
		who mta      = exe "$D/bin/mta" user mail
		who upgraded = exe "$D/bin/upgraded" user mail
		who probes   = unit "blackbox-exporter.service"
		who relay    = cgroup "/machine.slice/relay.scope"
		host {
		    port 25 {
		        allow from mta, upgraded, probes, relay
		        reject "Port 25 is closed here."
		    }
		    port 587 {
		        allow from user mail
		        reject
		    }
		    port 2525 {
		        allow from group mail
		        reject
		    }
		}
	END
	daemon_start
	sink_start more far -p 0.0.0.0 587 :: 587 0.0.0.0 2525 :: 2525
	control
}

teardown_file() {
	world_down
}

setup() {
	mark
}

# ---- user and group ----

@test "by user: the same program, one user may and others may not" {
	expect_connected -u mail connect "$FAR4" 587
	expect_connected -u mail connect "$FAR6" 587
	expect_refused -u www-data connect "$FAR4" 587
	expect_refused -u nobody connect "$FAR6" 587
}

@test "by user: root is not exempt" {
	expect_refused -u root connect "$FAR4" 587
	expect_refused -u root connect "$FAR6" 25
	nothing_arrived
}

# A setuid program acts with the rights of its owner, so it is its owner that the rule asks about.
@test "by user: the effective user counts, not who started the program" {
	expect_connected -u www-data -p "$D/bin/setuid-mail" connect "$FAR4" 587
	expect_refused -u mail -p "$D/bin/setuid-root" connect "$FAR4" 587
}

@test "by user: a number that only a user namespace knows is not the user" {
	expect_refused -u www-data -p unshare -- --map-user="$(uid_of mail)" "$D/try" connect "$FAR4" 587
}

@test "by group: as the effective group and as a supplementary one" {
	expect_connected -u www-data -g mail connect "$FAR4" 2525
	expect_refused -u www-data connect "$FAR4" 2525
	run client setpriv --reuid www-data --regid www-data --groups nogroup,mail "$D/try" connect "$FAR6" 2525
	[[ $output == "connected OK "* ]]
	run client setpriv --reuid www-data --regid www-data --groups nogroup,adm "$D/try" connect "$FAR6" 2525
	[[ $output == "refused EACCES "* ]]
}

# What cannot be decided is refused, never let through in silence.
@test "by group: a caller with more groups than are looked at is refused as unidentified" {
	local groups
	groups=$(seq -s , 70001 70064),$(id -g mail)
	run client setpriv --reuid www-data --regid www-data --groups "$groups" "$D/try" connect "$FAR4" 2525
	[[ $output == "refused EACCES "* ]]
	nothing_arrived
	wait_for has_event reason unidentified
	# One fewer, and it is decided.
	run client setpriv --reuid www-data --regid www-data --groups "${groups#*,}" "$D/try" connect "$FAR4" 2525
	[[ $output == "connected OK "* ]]
	# Ports that no rule names do not care.
	run client setpriv --reuid www-data --regid www-data --groups "$groups" "$D/try" connect "$FAR4" 9
	[[ $output == "connected OK "* ]]
}

# ---- unit and cgroup ----

@test "by unit: a cgroup with its name, removed and made again between two tries" {
	local unit=system.slice/blackbox-exporter.service
	expect_connected -u nobody -c $unit connect "$FAR4" 25
	wait_for rmdir_gone "$CG/$unit"
	expect_refused -u nobody connect "$FAR4" 25
	expect_connected -u nobody -c $unit connect "$FAR6" 25
}

@test "by unit: what runs in cgroups below it belongs to it" {
	expect_connected -u nobody -c system.slice/blackbox-exporter.service/worker/1 connect "$FAR4" 25
}

# A user's own service manager may name its units as it likes: they lie below user@UID.service.
@test "by unit: a user's own unit cannot borrow the name" {
	expect_refused -u nobody -c user.slice/user-8.slice/user@8.service/app.slice/blackbox-exporter.service \
		connect "$FAR4" 25
	expect_refused -u nobody -c user.slice/user-8.slice/user@8.service/blackbox-exporter.service \
		connect "$FAR6" 25
	nothing_arrived
}

@test "by unit: names that only begin or end like it" {
	expect_refused -u nobody -c system.slice/blackbox-exporter.service.evil connect "$FAR4" 25
	expect_refused -u nobody -c system.slice/x-blackbox-exporter.service connect "$FAR4" 25
	expect_refused -u nobody -c system.slice/blackbox-exporter.servic connect "$FAR4" 25
	expect_refused -u nobody -c blackbox-exporter.service.slice connect "$FAR4" 25
	nothing_arrived
}

@test "by cgroup: it and those below it, and no other" {
	expect_connected -u nobody -c machine.slice/relay.scope connect "$FAR4" 25
	expect_connected -u nobody -c machine.slice/relay.scope/inner connect "$FAR6" 25
	expect_refused -u nobody -c machine.slice connect "$FAR4" 25
	expect_refused -u nobody -c machine.slice/relay.scope2 connect "$FAR4" 25
	expect_refused -u nobody -c other.slice/machine.slice/relay.scope connect "$FAR4" 25
}

# ---- executable ----

@test "by executable: the program and the user together, not one alone" {
	expect_connected -u mail -p "$D/bin/mta" connect "$FAR4" 25
	expect_connected -u mail -p "$D/bin/mta" connect "$FAR6" 25
	expect_refused -u www-data -p "$D/bin/mta" connect "$FAR4" 25
	expect_refused -u mail connect "$FAR4" 25
}

@test "by executable: a copy elsewhere is another program: refused" {
	cp "$D/bin/mta" "$D/elsewhere/mta"
	expect_refused -u mail -p "$D/elsewhere/mta" connect "$FAR4" 25
	nothing_arrived
}

# The path by which it was started counts; a name that no rule has is another program.
@test "by executable: a hard link under another name: refused" {
	ln -f "$D/bin/mta" "$D/bin/hard"
	expect_refused -u mail -p "$D/bin/hard" connect "$FAR4" 25
	nothing_arrived
}

@test "by executable: a symbolic link leads to the program itself: allowed" {
	ln -sfn "$D/bin/mta" "$D/elsewhere/link"
	expect_connected -u mail -p "$D/elsewhere/link" connect "$FAR4" 25
}

@test "by executable: through a path with . and .. and //: allowed" {
	expect_connected -u mail -p "$D/elsewhere/..//bin/./mta" connect "$FAR4" 25
}

@test "by executable: what a process calls itself is nothing" {
	# shellcheck disable=SC2016 # for the inner shell
	run client -u mail -p bash -- -c 'exec -a "$1" "$2" connect "$3" 25' - "$D/bin/mta" "$D/try" "$FAR4"
	[[ $output == "refused EACCES "* ]]
	nothing_arrived
}

# In a mount namespace of one's own any file can stand at any path. What it is called there is nothing.
@test "by executable: a bind mount over the allowed path in a user namespace: refused" {
	# shellcheck disable=SC2016 # for the inner shell
	run client -u mail -p unshare -- -Urm bash -c \
		'mount --bind "$1" "$2" && exec "$2" connect "$3" 25' - "$D/try" "$D/bin/mta" "$FAR4"
	echo "$output"
	[[ $output == "refused EACCES "* ]]
	nothing_arrived
}

# A service with PrivateTmp= and the like: such a file goes by its place on the host's root file
# system, whatever is mounted where. On another file system it has no such place and no name.
@test "by executable: the true file in a mount namespace of its own: allowed on the root file system" {
	if [ "$(stat -c %d "$D/bin")" = "$(stat -c %d /)" ]; then
		run client -u mail -p unshare -- -Urm "$D/bin/mta" connect "$FAR4" 25
		[[ $output == "connected OK "* ]]
		# Where it seems to lie does not count, where it lies does.
		# shellcheck disable=SC2016
		run client -u mail -p unshare -- -Urm bash -c \
			'mount --bind "$1" "$2" && exec "$2" connect "$3" 25' - "$D/bin/mta" "$D/try" "$FAR4"
		[[ $output == "connected OK "* ]]
	else
		run client -u mail -p unshare -- -Urm "$D/bin/mta" connect "$FAR4" 25
		[[ $output == "refused EACCES "* ]]
		nothing_arrived
	fi
}

@test "by executable: such a mount started from outside through /proc/PID/root: refused" {
	local holder
	# shellcheck disable=SC2016
	client_exec -u mail -p unshare -- -Urm bash -c \
		'mount --bind "$1" "$2" && echo $$ && exec sleep 1000' - "$D/try" "$D/bin/mta" >"$D/holder" &
	remember $!
	wait_for test -s "$D/holder"
	holder=$(cat "$D/holder")
	cmp "/proc/$holder/root$D/bin/mta" "$D/try"
	expect_refused -u mail -p "/proc/$holder/root$D/bin/mta" connect "$FAR4" 25
	expect_refused -u mail -p "/proc/$holder/root$D/bin/mta" connect "$FAR6" 25
	nothing_arrived
	# The other way round: the host's file, started by somebody in that namespace, is the program.
	expect_connected -u mail -p "/proc/$$/root$D/bin/mta" connect "$FAR4" 25
}

@test "by executable: a path too long to look at is refused as unidentified" {
	local long
	long=$D/elsewhere/$(printf 'a%.0s' {1..120})/$(printf 'b%.0s' {1..120})
	mkdir -p "$long"
	cp "$D/try" "$long/mta"
	mark
	expect_refused -u mail -p "$long/mta" connect "$FAR4" 25
	nothing_arrived
	[[ $(last_event reason unidentified) == *'"user": "mail"'* ]]
	# Where the path does not matter it is decided: no rule for this user, and a rule by unit.
	expect_refused -u nobody -p "$long/mta" connect "$FAR6" 25
	[[ $(last_event user nobody) == *'"reason": "not_permitted"'* ]]
	expect_connected -u mail -p "$long/mta" connect "$FAR4" 587
	expect_connected -u mail -p "$long/mta" connect "$FAR4" 9
}

@test "by executable: a root folder of one's own (chroot): refused" {
	mkdir -p "$D/jail$D/bin"
	cp "$D/try" "$D/jail$D/bin/mta"
	run client chroot --userspec="$(uid_of mail):$(id -g mail)" "$D/jail" "$D/bin/mta" connect "$FAR4" 25
	[[ $output == "refused EACCES "* ]]
	nothing_arrived
}

# The layers above it are somebody's own, whatever path the whole is mounted at.
@test "by executable: the true file through an overlay in a user namespace: refused" {
	# shellcheck disable=SC2016 # for the inner shell
	run client -u mail -p unshare -- -Urm bash -c 'mount -t tmpfs none /mnt && mkdir /mnt/{up,work} &&
		mount -t overlay none -o "lowerdir=$1,upperdir=/mnt/up,workdir=/mnt/work" "$1" || exit 9
		exec "$1/mta" connect "$2" 25' - "$D/bin" "$FAR4"
	[ "$status" -ne 9 ] || skip "no overlay in a user namespace here"
	echo "$output"
	[[ $output == "refused EACCES "* ]]
	nothing_arrived
}

# Its folder is shown to the whole machine at another place, then it is moved out of that folder.
@test "by executable: moved out of a bind mount while it runs, to the allowed path: refused" {
	mkdir -p "$D/shown" "$D/elsewhere/hidden"
	cp "$D/try" "$D/elsewhere/hidden/mta"
	mount --bind "$D/elsewhere/hidden" "$D/shown"
	twice "$D/shown/mta" "refused EACCES"
	mv "$D/bin/mta" "$D/bin/mta.true"
	mv "$D/elsewhere/hidden/mta" "$D/bin/mta"
	again
	mv "$D/bin/mta.true" "$D/bin/mta"
	umount -l "$D/shown"
	grep -q '^refused EACCES' "$D/twice.out"
	nothing_arrived
}

twice() { # PROGRAM [RESULT]: connects, waits for a line on descriptor 8, connects again
	rm -f "$D/line" "$D/twice.out"
	mkfifo "$D/line"
	client_exec -u mail -p "$1" twice "$FAR4" 25 <"$D/line" >"$D/twice.out" 2>&1 &
	remember $!
	exec 8>"$D/line"
	wait_for grep -q '^first' "$D/twice.out"
	grep -q "^first ${2-connected OK}" "$D/twice.out"
}

again() {
	echo >&8
	exec 8>&-
	wait_for grep -vq '^first' "$D/twice.out"
}

# As dpkg does it: the new file is written beside and renamed over the old one.
@test "by executable: replaced while it runs (package upgrade): old and new are allowed" {
	twice "$D/bin/upgraded"
	install -m 755 "$D/try" "$D/bin/upgraded.dpkg-new"
	mv -f "$D/bin/upgraded.dpkg-new" "$D/bin/upgraded"
	again
	grep -q '^connected OK' "$D/twice.out"
	expect_connected -u mail -p "$D/bin/upgraded" connect "$FAR6" 25
}

@test "by executable: removed while it runs: the process keeps its name and is allowed" {
	twice "$D/bin/upgraded"
	rm "$D/bin/upgraded"
	again
	grep -q '^connected OK' "$D/twice.out"
	# What is put there next by root is the program.
	install -m 755 "$D/try" "$D/bin/upgraded"
	expect_connected -u mail -p "$D/bin/upgraded" connect "$FAR4" 25
}

@test "by executable: renamed while it runs: it goes by the new name and is refused" {
	twice "$D/bin/upgraded"
	mv "$D/bin/upgraded" "$D/bin/upgraded.old"
	again
	grep -q '^refused EACCES' "$D/twice.out"
	install -m 755 "$D/try" "$D/bin/upgraded"
}

@test "a refusal names rule, line, reason, text, program, user and unit" {
	local event
	expect_refused -u www-data -p "$D/bin/setuid-mail" -c system.slice/php.service connect "$FAR4" 25
	wait_for has_event unit php.service
	event=$(last_event unit php.service)
	[[ $event == *'"verdict": "reject"'* ]]
	[[ $event == *'"reason": "not_permitted"'* ]]
	[[ $event == *'"text": "Port 25 is closed here."'* ]]
	[[ $event == *'"exe": "'"$D/bin/setuid-mail"'"'* ]]
	[[ $event == *'"user": "mail"'* ]]
	[[ $event == *'"dst": "'"$FAR4"'"'* ]]
	[[ $event == *'"dst_port": 25'* ]]
	[[ $event =~ '"line": '([0-9]+) ]]
	sed -n "${BASH_REMATCH[1]}p" "$D/policy" | grep -q 'reject "Port 25'
}

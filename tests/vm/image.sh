#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The virtual machine's file system as cpio archives, made from this machine's own programs: the
# tools that the tests call with the libraries they need, this checkout's tests and binaries, and
# the kernel's modules.
#
#   image.sh base BUILD FILE          everything but modules
#   image.sh programs BUILD FILE      the same without what only scenarios need
#   image.sh modules KERNEL FILE      KERNEL as unpacked by kernels.sh
# The kernel unpacks archives that are joined one behind the other.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)

# All programs of these packages; single programs of others.
packages=(bash bats coreutils dash diffutils findutils grep iproute2 kmod mawk mount procps sed util-linux)
programs=(bpftool busybox nft setcap tcpdump)
# The guest's kernel asks for them when a test does.
modules=(veth nf_tables nft_chain_nat nft_nat nft_redir nft_ct nft_numgen nft_queue nfnetlink_queue tcp_diag inet_diag mptcp_diag smc
	tun bridge dummy 8021q sch_ingress cls_bpf cls_u32)

copy_packages() { # ROOT
	local file list files=()
	list=$(dpkg-query -L "${packages[@]}" | grep -E '^(/usr)?(/s?bin/|/lib(exec)?/bats-core/)' |
		sed -E 's,^/(s?bin|lib)/,/usr/\1/,' | sort -u)
	while read -r file; do
		if [ -L "$file" ]; then
			[ ! -e "$file" ] || copy "$1" "$file"
		elif [ -f "$file" ]; then
			files+=("$file")
		fi
	done <<<"$list"
	tar -C / -cf - "${files[@]#/}" | tar -C "$1" -xf -
	for name in awk which; do
		copy "$1" "$(command -v "$name")"
	done
}

# Keeps a symbolic link and brings along what it points to.
copy() { # ROOT FILE
	local file link
	file=$(realpath -s "$2")
	[ ! -e "$1$file" ] || return 0
	mkdir -p "$1$(dirname "$file")"
	cp -a "$file" "$1$file"
	[ -L "$file" ] || return 0
	link=$(readlink "$file")
	[ "${link#/}" != "$link" ] || link=$(dirname "$file")/$link
	copy "$1" "$link"
}

# Python as it comes with Debian, and scapy, without what is there for those who develop it.
copy_python() { # ROOT
	local version
	version=$(basename "$(realpath /usr/bin/python3)") || return 0
	copy "$1" /usr/bin/python3
	mkdir -p "$1/usr/lib/python3/dist-packages"
	cp -a "/usr/lib/$version" "$1/usr/lib/"
	rm -rf "$1/usr/lib/$version"/{test,idlelib,lib2to3,ensurepip,pydoc_data,config-*}
	[ ! -d /usr/lib/python3/dist-packages/scapy ] ||
		cp -a /usr/lib/python3/dist-packages/scapy "$1/usr/lib/python3/dist-packages/"
}

# The loader itself says what a program needs; ldd would start a shell for each.
copy_libraries() { # ROOT
	find "$1" -type f \( -perm /111 -o -name '*.so' \) -print0 |
		while read -r -d '' file; do /lib64/ld-linux-x86-64.so.2 --list "$file" || true; done 2>/dev/null |
		sed -nE 's/^\t(.* => )?(\/[^ ]+) \(0x.*/\2/p' | sort -u |
		while read -r library; do copy "$1" "$library"; done
}

copy_project() { # ROOT BUILD
	local to=$1/smtpwall
	mkdir -p "$to/build/tests"
	cp -a "$top/tests" "$top/policies" "$to/"
	cp "$2/smtpwalld" "$2/smtpwall" "$to/build/"
	for part in prog net; do
		[ ! -d "$2/tests/$part" ] || cp -a "$2/tests/$part" "$to/build/tests/"
	done
	find "$to/build" \( -name '*.o' -o -name '*.d' \) -delete
	find "$to/build" -type f -perm /111 -exec strip --strip-debug {} + 2>/dev/null || true
}

skeleton() { # ROOT
	# One bin and one lib, as on the machine that the programs come from.
	mkdir -p "$1"/{usr/{bin,sbin,lib,lib64},dev,proc,sys,run,tmp,etc,root,var/{tmp,lib,log}}
	for name in bin sbin lib lib64; do ln -s "usr/$name" "$1/$name"; done
	ln -s /run "$1/var/run" && ln -s /proc/self/mounts "$1/etc/mtab"
	chmod 1777 "$1/tmp" "$1/var/tmp"
	cp "$top/tests/vm/passwd" "$top/tests/vm/group" "$1/etc/"
	printf 'passwd: files\ngroup: files\nhosts: files\n' >"$1/etc/nsswitch.conf"
	printf '127.0.0.1 localhost vm\n::1 localhost\n' >"$1/etc/hosts"
	printf 'smtp 25/tcp\n' >"$1/etc/services"
	cp "$top/tests/vm/init" "$1/init" && chmod 755 "$1/init"
}

pack() { # ROOT FILE
	(cd "$1" && find . -print0 | cpio --null --create --format=newc --quiet --owner=0:0) >"$2.part"
	mv "$2.part" "$2"
}

make_image() { # BUILD FILE
	local program
	copy_packages "$root"
	for program in "${programs[@]}"; do
		if program=$(command -v "$program"); then copy "$root" "$program"; fi
	done
	copy_project "$root" "$1"
	copy_libraries "$root"
	pack "$root" "$2"
}

base() { # BUILD FILE
	skeleton "$root"
	[ ! -x /usr/bin/python3 ] || copy_python "$root"
	make_image "$@"
}

programs() { # BUILD FILE
	skeleton "$root"
	make_image "$@"
}

# A folder /lib in this archive would take the place of the link in the other one.
modules() { # KERNEL FILE
	local version files name
	version=$(basename "$1"/lib/modules/*)
	[ -e "$1/lib/modules/$version/modules.dep" ] || depmod -b "$1" "$version"
	mkdir -p "$root/usr/lib/modules/$version"
	for name in "${modules[@]}"; do
		files=$(modprobe -d "$1" -S "$version" --show-depends "$name" 2>/dev/null) || continue
		sed -n 's/^insmod \([^ ]*\).*/\1/p' <<<"$files"
	done | sort -u | while read -r file; do
		install -D -m 644 "$file" "$root/usr${file#"$1"}"
	done
	depmod -b "$root/usr" "$version" 2>/dev/null
	pack "$root" "$2"
}

root=$(mktemp -d)
chmod 755 "$root" # it becomes /
trap 'rm -rf "$root"' EXIT
"$@"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# clang-format over every C file, shellcheck over every script.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

c_format() {
	files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 |
		sed -nE 's/^([^:]*):.* error: .*/\1: not as clang-format writes it/p' | uniq
}

shell_check() {
	shell_files | xargs shellcheck --external-sources --format=gcc
}

ok_unless "C files are formatted (clang-format -i FILE)" c_format
ok_unless "shellcheck finds nothing" shell_check
finish

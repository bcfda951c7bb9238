# SPDX-License-Identifier: GPL-2.0-or-later
# The helpers of the scenarios. All but `prefixes` and `make_store` link statically and without sanitizers: they run
# as other users, in other file systems and in the machines of tests/vm. The Makefile of the project
# includes this.

T := $B/tests/net/tools
tools_of_one_file := $(addprefix $T/,answer sink peers detach framer xdp_hold record crowd syns storm)
static_tools := $T/try $T/talk $(tools_of_one_file)
TOOLS := $(static_tools) $T/prefixes $T/make_store

$T/try: $(wildcard tests/net/tools/try*.c) tests/net/tools/try.h
$T/talk: $(wildcard tests/net/tools/talk*.c) tests/net/tools/talk.h
$(tools_of_one_file): $T/%: tests/net/tools/%.c
$(static_tools): $B/flags
	$(call say,CC,$@)
	$(quiet)mkdir -p $(@D) && $(CC) $(BASE_CFLAGS) -static -o $@ $(filter %.c,$^)

# Read policies and write stores with the project's own library, with its flags (a sanitizer among them).
$T/prefixes: $T/prefixes.o $B/policy.a
$T/make_store: $T/make_store.o $B/audit.a $B/policy.a
$T/prefixes $T/make_store:
	$(call say,LD,$@)
	$(quiet)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# SPDX-License-Identifier: GPL-2.0-or-later
# smtpwall - build, test, install. `make help` lists what there is to ask for.
#
# Everything made goes to build/ (build-sanitize/ with SANITIZE=1). Objects depend on the headers
# they read (-MMD) and on the flags they were built with, so a change rebuilds exactly what it
# touches.

PREFIX ?= /usr
SYSCONFDIR ?= /etc
DESTDIR ?=
CLANG ?= clang
BPFTOOL ?= bpftool
CFLAGS ?= -O2 -g
FUZZ_SECONDS ?= $(if $(SANITIZE),0,5)
SANITIZE ?=
V ?=

VERSION := 0.1.0
B := build$(if $(SANITIZE),-sanitize)
comma := ,
quiet := $(if $(V),,@)
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-8s %s\n' '$(1)' '$(2)')

# libbpf, libnl and the others are asked for once; a missing one is told by `make deps`.
LIBS := libbpf libnl-3.0 libnl-route-3.0 libnl-idiag-3.0 libssl libcrypto libsystemd jansson libcap-ng libpcap sqlite3 libmicrohttpd
PKG_CFLAGS := $(shell pkg-config --cflags $(LIBS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(LIBS) 2>/dev/null)

SAN := -fsanitize=address$(comma)undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
BASE_CFLAGS = -std=c17 -D_GNU_SOURCE -DSW_VERSION='"$(VERSION)"' $(WARN) -I. -I$B $(PKG_CFLAGS) $(CFLAGS)
# _FORTIFY_SOURCE replaces calls that the sanitizer would check itself.
ALL_CFLAGS = $(BASE_CFLAGS) -fstack-protector-strong -fPIE \
	$(if $(SANITIZE),$(SAN),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
# Debian 12's clang is 14, whose default CPU lacks the atomics that the counters need.
BPF_CFLAGS := -target bpf -D__TARGET_ARCH_x86 -mcpu=v3 -O2 -g -std=gnu17 -Wall -Wextra -Werror -I.
# clang 14 dies of __builtin_assume_aligned() under the alignment check; gcc's sanitizer has it too.
FUZZ_CFLAGS = $(BASE_CFLAGS) $(SAN) -fno-sanitize=alignment -fsanitize=fuzzer-no-link

# A program is a source file with a main(); the other sources beside it are its library.
mains = $(shell grep -ls '^int main\b' $(1) /dev/null)
obj = $(patsubst %.c,$B/%.o,$(1))

POLICY_SRC := $(wildcard daemon/policy/*.c)
WIRE_SRC := $(wildcard daemon/wire/*.c)
AUDIT_SRC := $(wildcard daemon/audit/*.c)
DAEMON_SRC := $(filter-out daemon/smtpwalld.c,$(wildcard daemon/*.c))
CTL_SRC := $(filter-out ctl/smtpwall.c,$(wildcard ctl/*.c))
skel = $(patsubst %.bpf.c,$B/%.skel.h,$(wildcard $(1)/*.bpf.c))
TEST_SRC := $(filter-out %.bpf.c,$(wildcard tests/unit/*.c tests/prog/*.c))
BENCH_SRC := $(filter-out %.bpf.c,$(wildcard tests/bench/*.c))
TESTS := $(patsubst %.c,$B/%,$(call mains,$(TEST_SRC)))
BENCH := $(patsubst %.c,$B/%,$(call mains,$(BENCH_SRC)))
FUZZERS := $(patsubst %.c,$B/%,$(wildcard tests/fuzz/*.c))
archives := $B/policy.a $B/wire.a $B/audit.a $B/daemon.a $B/ctl.a

##all        the daemon and the command (what plain `make` does)
all: $B/smtpwalld $B/smtpwall

$B/smtpwalld: $B/daemon/smtpwalld.o $B/daemon.a $B/wire.a $B/audit.a $B/policy.a
# The command speaks to the daemon through the same codec, and reads policies with the same library.
$B/smtpwall: $B/ctl/smtpwall.o $B/ctl.a $B/daemon/proto.o $B/daemon/members.o \
	$B/daemon/record_json.o $B/daemon/record_line.o $B/wire.a $B/audit.a $B/policy.a
$B/smtpwalld $B/smtpwall:
	$(call say,LD,$@)
	$(quiet)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

# Sources that exist, so that a removed one leaves its archive as well.
$B/policy.a: $(call obj,$(POLICY_SRC))
$B/wire.a: $(call obj,$(WIRE_SRC))
$B/audit.a: $(call obj,$(AUDIT_SRC))
$B/daemon.a: $(call obj,$(DAEMON_SRC))
$B/ctl.a: $(call obj,$(CTL_SRC))
$B/fuzz.a: $(patsubst %.c,$B/fuzz/%.o,$(POLICY_SRC) $(WIRE_SRC) $(AUDIT_SRC) $(DAEMON_SRC) $(CTL_SRC))
$(archives) $B/fuzz.a: $B/sources
	$(call say,AR,$@)
	$(quiet)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $(filter %.o,$^)

$B/%.o: %.c $B/flags
	$(call say,CC,$<)
	$(quiet)mkdir -p $(@D) && $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$B/%.bpf.o: %.bpf.c $B/flags-bpf
	$(call say,BPF,$<)
	$(quiet)mkdir -p $(@D) && $(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$B/%.skel.h: $B/%.bpf.o
	$(call say,SKEL,$@)
	$(quiet)$(BPFTOOL) gen skeleton $< name sw_$(*F) > $@.tmp && mv $@.tmp $@

# Before the first build nothing says yet who reads the skeletons.
$(call obj,$(wildcard daemon/load*.c)) $(patsubst %.c,$B/fuzz/%.o,$(DAEMON_SRC)): | $(call skel,bpf)
$(call obj,$(filter tests/prog/%,$(TEST_SRC)) $(BENCH_SRC)): | $(call skel,bpf) $(call skel,tests/prog) $(call skel,tests/bench)

helpers = $(call obj,$(filter-out $(call mains,$(TEST_SRC)),$(filter tests/$(1)/%,$(TEST_SRC))))
$(filter $B/tests/unit/%,$(TESTS)): $(call helpers,unit)
$B/tests/unit/test_bench_pair: $B/tests/bench/pair.o
$(filter $B/tests/prog/%,$(TESTS)) $(BENCH): $(call helpers,prog)
$(BENCH): $(call obj,$(filter-out $(call mains,$(BENCH_SRC)),$(BENCH_SRC)))
# The peer that asks user space for a verdict.
$(BENCH): BENCH_LIBS := -lnetfilter_queue
$(TESTS) $(BENCH): $B/%: $B/%.o $(archives)
	$(call say,LD,$@)
	$(quiet)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) \
		-Wl,--start-group $(archives) -Wl,--end-group $(PKG_LIBS) -lcmocka $(BENCH_LIBS)

# The helpers of the scenarios, $(TOOLS).
include tests/net/tools/tools.mk

$B/fuzz/%.o: %.c $B/flags-fuzz
	$(call say,CLANG,$<)
	$(quiet)mkdir -p $(@D) && $(CLANG) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(FUZZERS): $B/tests/fuzz/%: $B/fuzz/tests/fuzz/%.o $B/fuzz.a
	$(call say,LD,$@)
	$(quiet)mkdir -p $(@D) && $(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(PKG_LIBS)

##run        install what is missing, build, guard this machine until Ctrl-C
run:
	$(quiet)tests/packages.sh build
	$(quiet)$(parallel) all
	$(quiet)SW_BUILD=$(CURDIR)/$B daemon/run.sh $(ARGS)

##check      install what is missing, build, run every test (SANITIZE=1: with sanitizers)
check: deps
	$(quiet)$(parallel) all test-programs
	$(quiet)$(run_tests) $(if $(SANITIZE),unit golden prog net fuzz)

rungs := lint unit golden prog net fuzz
##lint unit golden prog net fuzz    build, then run these tests alone (FUZZ_SECONDS=600 for fuzz)
$(rungs): all test-programs
	$(quiet)$(run_tests) $@

##vm         every scenario that can, inside Debian's 6.1 and 6.12 kernels
vm: all test-programs
	$(quiet)SW_BUILD=$(CURDIR)/$B tests/vm/run.sh

##bench      what it costs beside what it replaces, in under three minutes (bench-full: more rounds); ends in
##           build/bench as text, JSON and charts. RESULTS=FOLDER writes them elsewhere
bench bench-full: deps
	$(quiet)$(parallel) all bench-programs
	$(quiet)SW_BUILD=$(CURDIR)/$B tests/bench/run.sh $(if $(filter %-full,$@),--full) $(or $(RESULTS),$B/bench)

##goldens    write the expected output of tests/golden anew; read the difference before committing
goldens: all
	$(quiet)SW_BUILD=$(CURDIR)/$B tests/golden/run.sh --update

parallel = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
run_tests = SW_BUILD=$(CURDIR)/$B FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run
test-programs: $(TESTS) $(BENCH) $(TOOLS) $(FUZZERS)
bench-programs: $(BENCH) $(TOOLS)

##deps       install the Debian packages that build and tests need and that are not there
deps:
	$(quiet)tests/packages.sh

# FILE:FOLDER below PREFIX:MODE
installed := $B/smtpwalld:sbin:755 $B/smtpwall:sbin:755 daemon/smtpwalld.8:share/man/man8:644 \
	ctl/smtpwall.8:share/man/man8:644 daemon/smtpwall.policy.5:share/man/man5:644 \
	daemon/smtpwalld.service:lib/systemd/system:644 $(patsubst %,%:share/smtpwall/policies:644,$(wildcard policies/*)) \
	$(patsubst %,%:share/smtpwall/monitoring:644,$(wildcard daemon/monitoring/*))
part = $(word $(2),$(subst :, ,$(1)))
completion := share/bash-completion/completions/smtpwall

##install    put programs, manuals, unit and policies below DESTDIR/PREFIX; starts nothing
install: all
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(quiet)set -e; $(foreach f,$(installed),install -D -m $(call part,$f,3) -t '$(DESTDIR)$(PREFIX)/$(call part,$f,2)' $(call part,$f,1);)
	$(quiet)install -D -m 644 ctl/smtpwall.bash '$(DESTDIR)$(PREFIX)/$(completion)'
	$(quiet)sed -i 's,/usr/sbin/,$(PREFIX)/sbin/,' '$(DESTDIR)$(PREFIX)/lib/systemd/system/smtpwalld.service'
	$(quiet)install -d -m 755 '$(DESTDIR)$(SYSCONFDIR)/smtpwall'

##uninstall  remove what install put there; the policy in SYSCONFDIR/smtpwall stays
uninstall:
	$(quiet)rm -f $(foreach f,$(installed),'$(DESTDIR)$(PREFIX)/$(call part,$f,2)/$(notdir $(call part,$f,1))')
	$(quiet)rm -f '$(DESTDIR)$(PREFIX)/$(completion)'
	$(quiet)rmdir --ignore-fail-on-non-empty -p '$(DESTDIR)$(PREFIX)/share/smtpwall/policies' '$(DESTDIR)$(PREFIX)/share/smtpwall/monitoring' 2>/dev/null || :
	$(quiet)rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(SYSCONFDIR)/smtpwall' 2>/dev/null || :

##clean      remove everything made but the fetched kernels in build/vm (distclean: those too)
clean:
	$(quiet)rm -rf build-sanitize; [ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name vm -exec rm -rf {} +; rmdir build 2>/dev/null || :
distclean:
	$(quiet)rm -rf build build-sanitize

##help       this list
help:
	@sed -n 's/^##/  /p' $(firstword $(MAKEFILE_LIST))

.PHONY: all check run $(rungs) vm bench bench-full goldens test-programs bench-programs deps install uninstall clean distclean help
.SECONDARY:
.DELETE_ON_ERROR:

ifneq ($(filter-out help clean distclean deps uninstall,$(or $(MAKECMDGOALS),all)),)
-include $(shell find $B -name '*.d' 2>/dev/null)

# Files that hold a command line or a list and are written only when that is not what they hold.
text = '$(subst ','\'',$(strip $(1)))'
remember = $(shell mkdir -p $B; printf '%s\n' $(text) | cmp -s - $B/$(2) || printf '%s\n' $(text) > $B/$(2))
$(call remember,$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS),flags)
$(call remember,$(CLANG) $(BPF_CFLAGS),flags-bpf)
$(call remember,$(CLANG) $(FUZZ_CFLAGS),flags-fuzz)
$(call remember,$(sort $(POLICY_SRC) $(WIRE_SRC) $(AUDIT_SRC) $(DAEMON_SRC) $(CTL_SRC)),sources)
endif

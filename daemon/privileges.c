/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cap-ng.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>

#include "daemon/privileges.h"

static const unsigned int kept[] = {CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN};

static int verify(struct sw_fault *fault)
{
	if (capng_get_caps_process() != 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read back the capabilities");
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++) {
		bool wanted = false, have = capng_have_capability(CAPNG_PERMITTED, cap);

		for (size_t i = 0; i < sw_count(kept); i++)
			wanted |= kept[i] == cap;
		if (have != wanted)
			return sw_fault(fault, SW_EXIT_KERNEL, "capability %s is %s",
					capng_capability_to_name(cap),
					have ? "still there" : "missing");
	}
	return 0;
}

int sw_privileges_drop(struct sw_fault *fault)
{
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < sw_count(kept); i++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
				 kept[i]) != 0)
			return sw_fault(fault, SW_EXIT_KERNEL, "capability %u is not known here",
					kept[i]);
	if (capng_apply(CAPNG_SELECT_ALL) != 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot give up capabilities: %s",
				strerror(errno));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set no_new_privs: %s",
				strerror(errno));
#ifndef __SANITIZE_ADDRESS__
	/* Nobody without CAP_SYS_PTRACE reads our memory. The leak checker of the sanitizer build
	   would not either, so there it stays. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set dumpable: %s", strerror(errno));
#endif
	return verify(fault);
}

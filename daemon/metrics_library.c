/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics_library.h"

#include <dlfcn.h>
#include <stddef.h>

/* The version of the interface that the header describes. */
#define LIBRARY "libmicrohttpd.so.12"

static const struct {
	const char *name;
	size_t at; /* in struct sw_mhd */
} functions[] = {
#define ROW(name) {"MHD_" #name, offsetof(struct sw_mhd, name)},
	SW_MHD_FUNCTIONS(ROW)
#undef ROW
};

int sw_mhd_load(struct sw_mhd *mhd, struct sw_fault *fault)
{
	mhd->handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!mhd->handle)
		return sw_fault(fault, SW_EXIT_KERNEL, "--metrics: %s", dlerror());
	for (size_t i = 0; i < sw_count(functions); i++) {
		void **function = (void **)((char *)mhd + functions[i].at);

		*function = dlsym(mhd->handle, functions[i].name);
		if (!*function)
			return sw_fault(fault, SW_EXIT_KERNEL, "--metrics: %s", dlerror());
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/when.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/base.h"
#include "daemon/proto.h"

#define NS_PER_S 1000000000ull

static const struct {
	char letter;
	const char *name;
	uint64_t seconds;
} units[] = {
	{'w', "w", 604800}, {'d', "d", 86400}, {'h', "h", 3600}, {'m', "min", 60}, {'s', "s", 1},
};

uint64_t sw_when_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int sw_when_parse(const char *text, uint64_t now, uint64_t *ns)
{
	char *end;
	uint64_t count;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	count = strtoull(text, &end, 10);
	for (size_t i = 0; i < sw_count(units); i++) {
		uint64_t unit = units[i].seconds * NS_PER_S;

		if (*end != units[i].letter || end[1])
			continue;
		if (errno || count > now / unit)
			return -EINVAL;
		*ns = now - count * unit;
		return 0;
	}
	return sw_time_parse(text, ns);
}

void sw_span_format(uint64_t ns, char to[static SW_SPAN_SIZE])
{
	uint64_t s = ns / NS_PER_S;
	size_t i = 1; /* weeks are for input; output counts days */

	while (i < sw_count(units) - 1 && s < units[i].seconds)
		i++;
	if (i == sw_count(units) - 1 || s % units[i].seconds / units[i + 1].seconds == 0)
		snprintf(to, SW_SPAN_SIZE, "%llu %s", (unsigned long long)(s / units[i].seconds),
			 units[i].name);
	else
		snprintf(to, SW_SPAN_SIZE, "%llu %s %llu %s",
			 (unsigned long long)(s / units[i].seconds), units[i].name,
			 (unsigned long long)(s % units[i].seconds / units[i + 1].seconds),
			 units[i + 1].name);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* names.c - the fixed lists as words. Monitoring and scripts match on the names: they never change. */
#include <assert.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/policy.h"

static const char *const verdict_names[] = {
	[SW_VERDICT_ALLOW] = "allow", [SW_VERDICT_REJECT] = "reject",
	[SW_VERDICT_DROP] = "drop",   [SW_VERDICT_REDIRECT] = "redirect",
	[SW_VERDICT_AUDIT] = "audit", [SW_VERDICT_RESET] = "reset",
};
static_assert(sw_count(verdict_names) == SW_VERDICT_MAX, "a name for each verdict");

static const struct {
	const char *name;
	const char *words;
} reasons[] = {
	[SW_REASON_NONE] = {"none", "Nothing was refused."},
	[SW_REASON_NOT_PERMITTED] = {"not_permitted", "The policy does not permit it."},
	[SW_REASON_UNIDENTIFIED] =
		{"unidentified", "The rule depends on something about the caller that could not be "
				 "found out."},
	[SW_REASON_UNATTRIBUTED] = {"unattributed",
				    "The packet's socket was never let through by connect()."},
	[SW_REASON_MALFORMED] = {"malformed", "The packet's headers could not be read."},
	[SW_REASON_TABLE_FULL] = {"table_full", "There was no memory to remember the connection."},
	[SW_REASON_NO_TARGET] = {"no_target", "The redirect has no target of this address family."},
	[SW_REASON_EXISTING] = {"existing", "The connection is older than the policy."},
	[SW_REASON_CLEARTEXT_COMMAND] = {"cleartext_command",
					 "A command was sent before encryption began."},
	[SW_REASON_STARTTLS_INJECTION] = {"starttls_injection",
					  "Plain bytes were sent behind STARTTLS."},
	[SW_REASON_STARTTLS_STRIPPED] = {"starttls_stripped", "The server did not offer STARTTLS."},
	[SW_REASON_NOT_TLS] = {"not_tls", "The first bytes were not TLS."},
	[SW_REASON_TLS_TOO_OLD] = {"tls_too_old",
				   "The TLS version is older than the rule asks for."},
	[SW_REASON_RESEND_MISMATCH] = {"resend_mismatch",
				       "Bytes sent again differ from those that were inspected."},
	[SW_REASON_TOO_LONG] = {"too_long", "The session went on too long without encryption."},
};
static_assert(sw_count(reasons) == SW_REASON_MAX, "a name for each reason");

static const char *const scope_names[] = {
	[SW_SCOPE_HOST] = "host",
	[SW_SCOPE_EDGE] = "edge",
	[SW_SCOPE_SERVE] = "serve",
};
static_assert(sw_count(scope_names) == SW_SCOPE_MAX, "a name for each scope");

const char *sw_verdict_name(unsigned int verdict)
{
	return verdict < sw_count(verdict_names) ? verdict_names[verdict] : "?";
}

const char *sw_reason_name(unsigned int reason)
{
	return reason < sw_count(reasons) ? reasons[reason].name : "?";
}

const char *sw_reason_words(unsigned int reason)
{
	return reason < sw_count(reasons) ? reasons[reason].words : "?";
}

const char *sw_scope_name(unsigned int scope)
{
	return scope < sw_count(scope_names) ? scope_names[scope] : "?";
}

static bool is_slice(const char *part, size_t length)
{
	static const char end[] = ".slice";
	const size_t n = sizeof(end) - 1;

	return length >= n && memcmp(part + length - n, end, n) == 0;
}

/* A component too long for `unit` is longer than any file name: no unit. */
void sw_unit_of_cgroup(const char *cgroup, char unit[static 256])
{
	unit[0] = '\0';
	for (const char *part = cgroup; *part;) {
		part += strspn(part, "/");
		size_t length = strcspn(part, "/");

		if (length && !is_slice(part, length)) {
			if (length < 256) {
				memcpy(unit, part, length);
				unit[length] = '\0';
			}
			return;
		}
		part += length;
	}
}

bool sw_cgroup_key(const char *path, struct sw_cgroup_key *key)
{
	size_t length = 1;

	memset(key, 0, sizeof(*key));
	key->path[0] = '/';
	key->bits = 8;
	for (;;) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");

		if (!n || length + n + 1 >= SW_NAME_MAX)
			return !n;
		memcpy(key->path + length, path, n);
		length += n;
		key->path[length++] = '/';
		key->bits = (uint32_t)(8 * length);
		path += n;
	}
}

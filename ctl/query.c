/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/query.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <string.h>

#include "ctl/ctl.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

#define GROUPS_MAX 65536 /* as many as the kernel allows */

/* A number that fits an id; (uint32_t)-1 is none. */
static bool number_of(const char *text, uint32_t *id)
{
	char *end;
	unsigned long value;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	*id = (uint32_t)value;
	return !errno && !*end && value < UINT32_MAX;
}

static json_t *id_list(const uint32_t *ids, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_integer(ids[i]));
	return list;
}

static void add_account(json_t *query, const struct passwd *account)
{
	int n = GROUPS_MAX;
	sw_autofree gid_t *groups = calloc(GROUPS_MAX, sizeof(*groups));

	json_object_set_new(query, "user", json_string(account->pw_name));
	json_object_set_new(query, "gid", json_integer(account->pw_gid));
	if (groups && getgrouplist(account->pw_name, account->pw_gid, groups, &n) >= 0)
		json_object_set_new(query, "groups", id_list(groups, (size_t)n));
}

bool sw_query_is_interface(const char *name)
{
	return sw_interface_is_pattern(name) && !strchr(name, '*');
}

int sw_query_user(json_t *query, const char *user)
{
	const struct passwd *account = getpwnam(user);
	uint32_t uid;

	if (!account && !number_of(user, &uid))
		return -ENOENT;
	if (!account)
		account = getpwuid(uid);
	json_object_set_new(query, "uid", json_integer(account ? account->pw_uid : uid));
	if (account)
		add_account(query, account);
	return 0;
}

int sw_query_group(json_t *query, const char *group)
{
	const struct group *entry = getgrnam(group);
	uint32_t gid;

	if (!entry && !number_of(group, &gid))
		return -ENOENT;
	json_object_set_new(query, "gid", json_integer(entry ? entry->gr_gid : gid));
	return 0;
}

static void note(json_t *notes, const char *text)
{
	json_array_append_new(notes, json_string(text));
}

void sw_query_process(json_t *query, const struct sw_process *process, json_t *notes)
{
	const struct passwd *account = getpwuid(process->uid);

	json_object_set_new(query, "uid", json_integer(process->uid));
	if (account)
		json_object_set_new(query, "user", json_string(account->pw_name));
	json_object_set_new(query, "gid", json_integer(process->gid));
	json_object_set_new(query, "groups", id_list(process->groups, process->n_groups));
	if (process->exe && json_object_set_new(query, "exe", json_string(process->exe)))
		note(notes, "the path of its program is not UTF-8, so no rule can name it");
	if (process->exe_foreign)
		note(notes, "its program lies on no mount of the host and outside its root file "
			    "system: it has no name here and matches no rule");
	else if (!process->exe)
		note(notes, "the program of this process cannot be found out: one that no rule "
			    "names");
	if (process->exe && process->exe_deleted)
		note(notes, "its program was removed or replaced since it was started; it keeps "
			    "its name");
}

void sw_query_cgroup(json_t *query, const char *cgroup)
{
	char unit[256];

	sw_unit_of_cgroup(cgroup, unit);
	json_object_set_new(query, "cgroup", json_string(cgroup));
	if (*unit)
		json_object_set_new(query, "unit", json_string(unit));
}

static bool same_address(const struct sockaddr *have, const uint8_t addr[static 16])
{
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

	if (have && have->sa_family == AF_INET)
		memcpy(bytes + 12, &((const struct sockaddr_in *)have)->sin_addr, 4);
	else if (have && have->sa_family == AF_INET6)
		memcpy(bytes, &((const struct sockaddr_in6 *)have)->sin6_addr, 16);
	else
		return false;
	return !memcmp(bytes, addr, sizeof(bytes));
}

/* What `to local` means, as the daemon has it: all of 127.0.0.0/8, ::1, the unspecified address,
   which the kernel takes for this machine, and this machine's own addresses. */
static bool is_local(const uint8_t addr[static 16])
{
	static const uint8_t loop4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127},
			     any4[16] = {[10] = 0xff, [11] = 0xff};
	bool found = !memcmp(addr, loop4, sizeof(loop4)) || !memcmp(addr, any4, sizeof(any4)) ||
		     !memcmp(addr, &in6addr_loopback, sizeof(in6addr_loopback)) ||
		     !memcmp(addr, &in6addr_any, sizeof(in6addr_any));
	struct ifaddrs *all = NULL;

	if (found || getifaddrs(&all))
		return found;
	for (const struct ifaddrs *one = all; one && !found; one = one->ifa_next)
		found = same_address(one->ifa_addr, addr);
	freeifaddrs(all);
	return found;
}

static bool id_of(const json_t *query, const char *member, uint32_t *id)
{
	const json_t *value = json_object_get(query, member);

	*id = (uint32_t)json_integer_value(value);
	return value;
}

static uint32_t *groups_of(const json_t *query, size_t *n)
{
	const json_t *list = json_object_get(query, "groups");
	uint32_t *groups;

	*n = json_array_size(list);
	groups = calloc(*n + 1, sizeof(*groups));
	if (!groups)
		*n = 0;
	for (size_t i = 0; i < *n; i++)
		groups[i] = (uint32_t)json_integer_value(json_array_get(list, i));
	return groups;
}

static enum sw_scope scope_of(const json_t *query)
{
	const char *name = sw_string(query, "scope");

	for (unsigned int i = 0; i < SW_SCOPE_MAX; i++)
		if (!strcmp(name, sw_scope_name(i)))
			return i;
	return SW_SCOPE_HOST;
}

json_t *sw_query_eval(const json_t *query, const struct sw_image *image)
{
	struct sw_query question = {
		.scope = scope_of(query),
		.port = (uint16_t)sw_integer(query, "port"),
		.exe = json_string_value(json_object_get(query, "exe")),
		.unit = json_string_value(json_object_get(query, "unit")),
		.cgroup = json_string_value(json_object_get(query, "cgroup")),
		.interface = json_string_value(json_object_get(query, "iface")),
	};
	sw_autofree uint32_t *groups = groups_of(query, &question.n_groups);
	struct sw_answer answer = {0};

	question.groups = groups;
	question.has_user = id_of(query, "uid", &question.user);
	question.has_group = id_of(query, "gid", &question.group);
	question.has_to = !sw_addr_parse(sw_string(query, "to"), question.to);
	question.to_is_local = question.has_to && is_local(question.to);
	question.has_from = !sw_addr_parse(sw_string(query, "from"), question.from);
	sw_image_eval(image, &question, &answer);
	return sw_answer_json(&answer);
}

json_t *sw_query_outside(void)
{
	const struct sw_answer nothing = {0};
	json_t *data = sw_answer_json(&nothing);

	json_object_set_new(data, "outside", json_true());
	return data;
}

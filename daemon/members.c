/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/members.h"

#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"
#include "daemon/proto.h"

const char *sw_caller_note(const struct sw_caller *caller)
{
	uint32_t flags = caller->flags;

	if (flags & SW_CALLER_WORKER)
		return "a kernel thread acted for the owner of the socket";
	if (flags & SW_CALLER_EXE_FOREIGN)
		return "the file lies on no mount of the host and outside its root file system";
	if (flags & SW_CALLER_EXE_LONG)
		return "the path is too long to be compared";
	if (flags & SW_CALLER_EXE_DELETED)
		return "the file was removed or replaced since it was started";
	return NULL;
}

json_t *sw_json_text(const char *text)
{
	char to[SW_SHOWN_SIZE];

	if (!text || !*text)
		return json_null();
	sw_text_escape(text, strlen(text), to, sizeof(to));
	return json_string(to);
}

json_t *sw_json_id(uint32_t id)
{
	return id == UINT32_MAX ? json_null() : json_integer(id);
}

json_t *sw_json_version(uint16_t version)
{
	return version ? json_sprintf("0x%04x", version) : json_null();
}

json_t *sw_json_time(uint64_t ns)
{
	char text[SW_TIME_SIZE];

	sw_time_format(ns, text);
	return json_string(text);
}

json_t *sw_json_address(const uint8_t addr[16])
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(addr, text);
	return json_string(text);
}

json_t *sw_json_end(const uint8_t addr[16], uint16_t port)
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(addr, text);
	return json_sprintf(strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
}

void sw_json_set_caller(json_t *object, const struct sw_caller *caller, const char *user,
			const char *group)
{
	char unit[256];

	sw_unit_of_cgroup(caller->cgroup, unit);
	json_object_set_new(object, "pid", json_integer(caller->pid));
	json_object_set_new(object, "exe", sw_json_text(caller->exe));
	json_object_set_new(object, "exe_note", sw_json_text(sw_caller_note(caller)));
	json_object_set_new(object, "comm", sw_json_text(caller->comm));
	json_object_set_new(object, "uid", sw_json_id(caller->uid));
	json_object_set_new(object, "gid", sw_json_id(caller->gid));
	json_object_set_new(object, "user", sw_json_text(user));
	json_object_set_new(object, "group", sw_json_text(group));
	json_object_set_new(object, "unit", sw_json_text(unit));
	json_object_set_new(object, "cgroup", sw_json_text(caller->cgroup));
}

void sw_json_set_no_caller(json_t *object)
{
	static const char *const names[] = {"pid", "exe",  "exe_note", "comm", "uid",
					    "gid", "user", "group",    "unit", "cgroup"};

	for (size_t i = 0; i < sw_count(names); i++)
		json_object_set_new(object, names[i], json_null());
}

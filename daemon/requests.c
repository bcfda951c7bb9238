/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * requests.c - the answers of the control socket. Who may ask what stands in the table at the end;
 * what is not in it is not answered.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "daemon/members.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/search_json.h"
#include "daemon/source.h"

/* Longest time to wait for `confirm`. */
#define CONFIRM_SECONDS_MAX 86400
#define GROUPS_ASKED_MAX 1024

struct request {
	struct sw_daemon *daemon;
	const struct sw_peer *peer;
	const json_t *json;
	const int *fds;
	size_t n_fds;
	struct sw_stream *stream;
};

static json_t *failure(int status, const char *error)
{
	return json_pack("{s:i, s:s}", "status", status, "error", error);
}

static json_t *failure_of(const struct sw_fault *fault)
{
	return failure(fault->status == SW_EXIT_NO ? SW_STATUS_NO : SW_STATUS_KERNEL, fault->text);
}

static json_t *wrong_member(const char *name)
{
	json_t *answer = json_pack("{s:i}", "status", SW_STATUS_BAD);

	json_object_set_new(answer, "error",
			    json_sprintf("member \"%s\" is missing or not of its type", name));
	return answer;
}

static json_t *done(void)
{
	return json_pack("{s:i}", "status", SW_STATUS_OK);
}

/* An integer member from 0 to `max`; absent: *value stays. false: of a wrong type or out of range. */
static bool take_number(const json_t *json, const char *name, uint64_t max, uint64_t *value,
			bool *present)
{
	const json_t *member = json_object_get(json, name);

	*present = false;
	if (!member || json_is_null(member))
		return true;
	if (!json_is_integer(member) || json_integer_value(member) < 0 ||
	    (uint64_t)json_integer_value(member) > max)
		return false;
	*value = (uint64_t)json_integer_value(member);
	*present = true;
	return true;
}

/* A string member; absent: NULL. */
static bool take_text(const json_t *json, const char *name, const char **value)
{
	const json_t *member = json_object_get(json, name);

	*value = json_string_value(member);
	return !member || json_is_null(member) || json_is_string(member);
}

static bool take_bool(const json_t *json, const char *name, bool *value)
{
	const json_t *member = json_object_get(json, name);

	*value = json_is_true(member);
	return !member || json_is_boolean(member);
}

static json_t *do_status(const struct request *request)
{
	json_t *answer = sw_daemon_status(request->daemon);

	json_object_set_new(answer, "status", json_integer(SW_STATUS_OK));
	return answer;
}

/* ---- rules ---- */

static json_t *do_rules(const struct request *request)
{
	struct sw_daemon *daemon = request->daemon;
	const struct sw_slot *active = sw_slots_active(&daemon->slots);
	const struct sw_policy *policy = sw_kernel_policy(daemon->kernel);
	uint64_t hits[SW_RULES_MAX] = {};
	json_t *answer = done(), *rules = json_array();

	json_object_set_new(answer, "path", json_string(active ? active->info.path : ""));
	json_object_set_new(answer, "generation",
			    json_integer(active ? (json_int_t)active->generation : 0));
	if (active && sw_kernel_hits(daemon->kernel, sw_kernel_active(daemon->kernel),
				     active->n_rules, hits) < 0)
		sw_log(SW_LOG_WARNING, "cannot read the hits of the rules");
	for (uint32_t i = 0; active && i < active->n_rules; i++) {
		const struct sw_rule_info *info = &active->rules[i];

		json_array_append_new(
			rules, json_pack("{s:i, s:i, s:s, s:s?, s:b, s:I}", "rule", (int)i + 1,
					 "line", (int)info->line, "scope",
					 sw_scope_name(info->scope), "text", info->rule, "audit",
					 (policy->rules[i].flags & SW_RULE_AUDIT) != 0, "hits",
					 (json_int_t)hits[i]));
	}
	json_object_set_new(answer, "rules", rules);
	return answer;
}

/* ---- why ---- */

/* As in the kernel: all of 127.0.0.0/8, ::1, the unspecified address, and what `local` holds. */
static bool is_local(const struct sw_daemon *daemon, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[16];

	if (memcmp(addr, mapped, 12) == 0 && (addr[12] == 127 || memcmp(addr + 12, zero, 4) == 0))
		return true;
	if (memcmp(addr, zero, 15) == 0 && addr[15] <= 1)
		return true;
	for (size_t i = 0; i < daemon->n_local; i++)
		if (memcmp(daemon->local[i], addr, 16) == 0)
			return true;
	return false;
}

static const char *take_ids(const json_t *json, struct sw_query *query, uint32_t *groups)
{
	const json_t *list = json_object_get(json, "groups"), *item;
	uint64_t port = 0, user = 0, group = 0;
	bool has_port;
	size_t i;

	if (!take_number(json, "port", UINT16_MAX, &port, &has_port) || !has_port || !port)
		return "port";
	if (!take_number(json, "uid", UINT32_MAX - 1, &user, &query->has_user))
		return "uid";
	if (!take_number(json, "gid", UINT32_MAX - 1, &group, &query->has_group))
		return "gid";
	if (list && (!json_is_array(list) || json_array_size(list) > GROUPS_ASKED_MAX))
		return "groups";
	json_array_foreach (list, i, item) {
		if (!json_is_integer(item))
			return "groups";
		groups[i] = (uint32_t)json_integer_value(item);
	}
	query->port = (uint16_t)port;
	query->user = (uint32_t)user;
	query->group = (uint32_t)group;
	query->groups = groups;
	query->n_groups = json_array_size(list);
	return NULL;
}

/* Absent: host. false: there is no such scope. */
static bool take_scope(const char *name, enum sw_scope *scope)
{
	*scope = SW_SCOPE_HOST;
	if (!name)
		return true;
	for (unsigned int i = 0; i < SW_SCOPE_MAX; i++) {
		if (strcmp(name, sw_scope_name(i)) != 0)
			continue;
		*scope = i;
		return true;
	}
	return false;
}

/* NULL, or the name of a member that is wrong. */
static const char *take_query(const struct sw_daemon *daemon, const json_t *json,
			      struct sw_query *query, uint32_t *groups)
{
	const char *scope, *to, *from;

	if (!take_text(json, "exe", &query->exe))
		return "exe";
	if (!take_text(json, "unit", &query->unit))
		return "unit";
	if (!take_text(json, "cgroup", &query->cgroup))
		return "cgroup";
	if (!take_text(json, "scope", &scope))
		return "scope";
	if (!take_scope(scope, &query->scope))
		return "scope";
	if (!take_text(json, "to", &to) || (to && sw_addr_parse(to, query->to) < 0))
		return "to";
	if (!take_text(json, "from", &from) || (from && sw_addr_parse(from, query->from) < 0))
		return "from";
	if (!take_text(json, "iface", &query->interface))
		return "iface";
	query->has_from = from != NULL;
	if ((from || query->interface) && !scope)
		query->scope = SW_SCOPE_EDGE;
	query->has_to = to != NULL;
	query->to_is_local = to && is_local(daemon, query->to);
	return take_ids(json, query, groups);
}

static json_t *do_why(const struct request *request)
{
	const struct sw_slot *active = sw_slots_active(&request->daemon->slots);
	uint32_t groups[GROUPS_ASKED_MAX];
	struct sw_query query = {};
	struct sw_answer found = {};
	json_t *answer;
	const char *wrong = take_query(request->daemon, request->json, &query, groups);

	if (wrong)
		return wrong_member(wrong);
	sw_daemon_read_image(request->daemon);
	if (!active || !active->image)
		return failure(
			SW_STATUS_NO,
			"the policy in force is known to the kernel alone: its file has changed "
			"or broken since it was applied; apply it again, or ask about a file");
	sw_image_eval(active->image, &query, &found);
	answer = done();
	json_object_update_new(answer, sw_answer_json(&found));
	return answer;
}

/* ---- events ---- */

static json_t *do_events(const struct request *request)
{
	struct sw_daemon *daemon = request->daemon;
	struct sw_stream *stream = request->stream;
	const char *wrong = sw_search_from_json(request->json, &stream->search);
	uint64_t last = 0, first, next;
	json_t *answer;
	bool has_last;

	if (wrong)
		return wrong_member(wrong);
	if (!take_bool(request->json, "follow", &stream->follow))
		return wrong_member("follow");
	if (!take_number(request->json, "last", UINT32_MAX, &last, &has_last))
		return wrong_member("last");
	sw_trail_bounds(daemon->trail, &first, &next);
	stream->next = first;
	if (stream->search.after >= first)
		stream->next = stream->search.after + 1;
	if (has_last && last < next - stream->next)
		stream->next = next - last;
	stream->end = next;
	stream->wanted = true;
	json_decref(stream->asked);
	/* The search borrows its texts; the request itself is not changed by being kept. */
	stream->asked = json_incref((json_t *)request->json);
	answer = done();
	json_object_set_new(answer, "store", sw_json_text(daemon->store_path));
	json_object_set_new(answer, "first", json_integer((json_int_t)first));
	json_object_set_new(answer, "next", json_integer((json_int_t)next));
	return answer;
}

/* ---- flows ---- */

static json_t *do_flows(const struct request *request)
{
	struct sw_fault fault;
	json_t *answer = sw_daemon_flows(request->daemon, &fault);

	if (!answer)
		return failure_of(&fault);
	json_object_set_new(answer, "status", json_integer(SW_STATUS_OK));
	return answer;
}

/* ---- apply, confirm, rollback, stop ---- */

static void source_cleanup(struct sw_source *source)
{
	sw_source_free(source);
}

static void apply_cleanup(struct sw_apply *apply)
{
	sw_image_free(apply->image);
	free(apply->connections);
}

static json_t *existing_json(const struct sw_apply *apply)
{
	json_t *list = json_array();

	for (size_t i = 0; i < apply->n_connections; i++) {
		const struct sw_connection *one = &apply->connections[i];
		char src[SW_ADDR_SIZE], dst[SW_ADDR_SIZE];

		sw_addr_format(one->src, src);
		sw_addr_format(one->dst, dst);
		json_array_append_new(
			list, json_pack("{s:s, s:i, s:s, s:i, s:I, s:I, s:b}", "src", src,
					"src_port", one->src_port, "dst", dst, "dst_port",
					one->dst_port, "uid", (json_int_t)one->uid, "inode",
					(json_int_t)one->inode, "closed", (int)one->closed));
	}
	return list;
}

static json_t *applied_json(struct sw_daemon *daemon, struct sw_apply *apply)
{
	uint64_t until = sw_kernel_head(daemon->kernel)->confirm_before;
	json_t *answer = done();

	json_object_set_new(answer, "generation",
			    json_integer((json_int_t)sw_slots_active(&daemon->slots)->generation));
	json_object_set_new(answer, "unchanged", json_boolean(apply->unchanged));
	if (until)
		json_object_set_new(answer, "confirm_before", sw_json_time(until));
	json_object_set_new(answer, "existing", existing_json(apply));
	return answer;
}

/* NULL, or the name of a member that is wrong. */
static const char *take_apply(const json_t *json, struct sw_apply *apply)
{
	const char *existing;
	uint64_t seconds = 0;
	bool present;

	if (!take_text(json, "path", &apply->path) || !apply->path || !*apply->path ||
	    strlen(apply->path) >= sizeof(((struct sw_policy_info *)0)->path))
		return "path";
	if (!take_number(json, "confirm", CONFIRM_SECONDS_MAX, &seconds, &present))
		return "confirm";
	if (!take_text(json, "existing", &existing) ||
	    (existing && strcmp(existing, "keep") != 0 && strcmp(existing, "close") != 0))
		return "existing";
	apply->confirm_seconds = (uint32_t)seconds;
	apply->close = existing && strcmp(existing, "close") == 0;
	return NULL;
}

static json_t *apply_source(struct sw_daemon *daemon, struct sw_source *source,
			    struct sw_apply *apply)
{
	struct sw_fault fault;

	if (!source->image)
		return failure(SW_STATUS_NO, "the policy has errors; the one in force stays");
	apply->image = sw_take(source->image);
	if (sw_daemon_apply(daemon, apply, &fault) < 0)
		return failure_of(&fault);
	if (!apply->unchanged)
		sw_daemon_existing(daemon, apply);
	return applied_json(daemon, apply);
}

static json_t *do_apply(const struct request *request)
{
	sw_cleanup(source_cleanup) struct sw_source source = {.want_records = true};
	sw_cleanup(apply_cleanup) struct sw_apply apply = {};
	const char *wrong = take_apply(request->json, &apply);
	json_t *answer;

	if (wrong)
		return wrong_member(wrong);
	if (request->n_fds != 2)
		return failure(SW_STATUS_BAD,
			       "the policy file and its folder must come as descriptors");
	sw_source_read(&source, apply.path, request->fds[0], request->fds[1], false);
	answer = apply_source(request->daemon, &source, &apply);
	json_object_set_new(answer, "diagnostics", sw_take(source.diagnostics));
	json_object_set_new(answer, "text", json_string(source.said ? source.said : ""));
	return answer;
}

static json_t *do_confirm(const struct request *request)
{
	struct sw_daemon *daemon = request->daemon;
	struct sw_fault fault;
	json_t *answer;

	if (sw_daemon_confirm(daemon, &fault) < 0)
		return failure_of(&fault);
	answer = done();
	json_object_set_new(answer, "generation",
			    json_integer((json_int_t)sw_slots_active(&daemon->slots)->generation));
	return answer;
}

static json_t *do_rollback(const struct request *request)
{
	struct sw_daemon *daemon = request->daemon;
	const struct sw_slot *active;
	struct sw_fault fault;
	json_t *answer;

	if (sw_daemon_rollback(daemon, &fault) < 0)
		return failure_of(&fault);
	active = sw_slots_active(&daemon->slots);
	answer = done();
	json_object_set_new(answer, "generation", json_integer((json_int_t)active->generation));
	json_object_set_new(answer, "path", json_string(active->info.path));
	return answer;
}

static json_t *do_stop(const struct request *request)
{
	struct sw_daemon *daemon = request->daemon;
	struct sw_fault fault;
	bool detach;

	if (!take_bool(request->json, "detach", &detach))
		return wrong_member("detach");
	if (detach && sw_kernel_detach(daemon->kernel, &fault) < 0)
		return failure_of(&fault);
	if (detach)
		sw_edges_stop(daemon->edges);
	daemon->detached = detach;
	sw_log(SW_LOG_NOTICE, "process %d asks to stop%s", request->peer->pid,
	       detach ? " and to take enforcement off" : "");
	sd_event_exit(daemon->loop, 0);
	return done();
}

/* ---- who may ask what ---- */

static const struct {
	const char *name;
	bool root_only;
	json_t *(*answer)(const struct request *request);
} table[] = {
	{"status", false, do_status},  {"rules", false, do_rules},      {"why", false, do_why},
	{"events", false, do_events},  {"flows", false, do_flows},      {"apply", true, do_apply},
	{"confirm", true, do_confirm}, {"rollback", true, do_rollback}, {"stop", true, do_stop},
};

json_t *sw_daemon_request(void *data, const struct sw_peer *peer, const json_t *json,
			  const int *fds, size_t n_fds, struct sw_stream *stream)
{
	const struct request request = {
		.daemon = data,
		.peer = peer,
		.json = json,
		.fds = fds,
		.n_fds = n_fds,
		.stream = stream,
	};
	const char *name = json_string_value(json_object_get(json, "request"));

	/* Before anything else: who may not ask learns nothing, not even what can be asked. */
	if (!peer->reader)
		return failure(SW_STATUS_DENIED, "not permitted for this user");
	for (size_t i = 0; name && i < sw_count(table); i++) {
		if (strcmp(name, table[i].name) != 0)
			continue;
		if (table[i].root_only && !peer->root)
			return failure(SW_STATUS_DENIED, "only root may do this");
		return table[i].answer(&request);
	}
	return failure(SW_STATUS_BAD, "not a request that is known");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * eval.c - what would happen, by the kernel's own match.h over the image's tables. Only the look-ups
 * are made differently here: the tables are sorted, so they are searched by halves.
 */
#include <stdlib.h>
#include <string.h>

#include "bpf/abi.h"
#include "bpf/edge_match.h"
#include "bpf/match.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/image.h"
#include "daemon/policy/policy.h"

#define SUBMISSIONS_PORT 465

/* What one look-up says, as sw_match_give() takes it. */
struct found {
	const struct sw_vec *rows, *more;
	struct sw_vec sum; /* `rows` may point here */
	bool undecided;
};

/* ---- tables ---- */

static int id_compare(const void *a, const void *b)
{
	const struct sw_id_key *one = a, *other = b;

	if (one->dim != other->dim)
		return one->dim < other->dim ? -1 : 1;
	return (one->id > other->id) - (one->id < other->id);
}

static const struct sw_vec *find_id(const struct sw_image *image, uint32_t dim, uint32_t id)
{
	struct sw_id_key key = {.dim = dim, .id = id};
	const struct sw_id_key *at =
		bsearch(&key, image->ids, image->n_ids, sizeof(key), id_compare);

	return at ? &image->id_rows[at - image->ids] : NULL;
}

static int name_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sw_name_key));
}

/* `name` is shorter than a key. */
static const struct sw_vec *find_name(const struct sw_image *image, const char *name)
{
	struct sw_name_key key = {{0}};

	memcpy(key.name, name, strlen(name));
	const struct sw_name_key *at =
		bsearch(&key, image->names, image->n_names, sizeof(key), name_compare);

	return at ? &image->name_rows[at - image->names] : NULL;
}

static int cgroup_compare(const void *a, const void *b)
{
	const struct sw_cgroup_key *one = a, *other = b;
	uint32_t shorter = one->bits < other->bits ? one->bits : other->bits;
	int differs = memcmp(one->path, other->path, shorter / 8);

	return differs ? differs : (one->bits > other->bits) - (one->bits < other->bits);
}

/* The longest key that `key` begins with, as the trie finds it. */
static const struct sw_vec *find_cgroup(const struct sw_image *image, struct sw_cgroup_key *key)
{
	for (; key->bits; key->bits -= 8) {
		const struct sw_cgroup_key *at;

		if (key->path[key->bits / 8 - 1] != '/')
			continue;
		at = bsearch(key, image->cgroups, image->n_cgroups, sizeof(*key), cgroup_compare);
		if (at)
			return &image->cgroup_rows[at - image->cgroups];
	}
	return NULL;
}

static bool key_is_ipv4(const struct sw_prefix_key *key)
{
	return (key->bits & ~SW_PREFIX_FROM) >= 96 && sw_addr_is_ipv4(key->addr);
}

static int prefix_compare(const void *a, const void *b)
{
	const struct sw_prefix_key *one = a, *other = b;
	int differs = (one->bits >= SW_PREFIX_FROM) - (other->bits >= SW_PREFIX_FROM);

	if (!differs)
		differs = key_is_ipv4(one) - key_is_ipv4(other);
	if (!differs)
		differs = memcmp(one->addr, other->addr, sizeof(one->addr));
	return differs ? differs : (one->bits > other->bits) - (one->bits < other->bits);
}

/* Among the destinations, or (`table` SW_PREFIX_FROM) among the sources. */
static const struct sw_vec *find_prefix(const struct sw_image *image, uint32_t table,
					const uint8_t addr[16])
{
	const struct sw_policy *policy = &image->policy;
	size_t family = sw_addr_is_ipv4(addr) ? 0 : 1;
	const uint8_t *lengths = table ? policy->from_lengths[family] : policy->lengths[family];
	uint32_t n = table ? policy->n_from_lengths[family] : policy->n_lengths[family];
	struct sw_prefix_key key;

	memcpy(key.addr, addr, sizeof(key.addr));
	for (uint32_t i = 0; i < n; i++) {
		const struct sw_prefix_key *at;

		sw_prefix_cut(&key, lengths[i]);
		key.bits |= table;
		at = bsearch(&key, image->prefixes, image->n_prefixes, sizeof(key), prefix_compare);
		if (at)
			return &policy->classes[image->prefix_classes[at - image->prefixes]];
	}
	return NULL;
}

/* ---- dimensions ---- */

static void find_user(const struct sw_image *image, const struct sw_query *query,
		      struct found *found)
{
	if (query->has_user)
		found->rows = find_id(image, SW_DIM_USER, query->user);
}

static void find_groups(const struct sw_image *image, const struct sw_query *query,
			struct found *found)
{
	if (query->n_groups > SW_GROUPS_MAX) {
		found->undecided = true;
		return;
	}
	for (size_t i = 0; i < query->n_groups; i++)
		sw_vec_or(&found->sum, find_id(image, SW_DIM_GROUP, query->groups[i]));
	if (query->has_group)
		sw_vec_or(&found->sum, find_id(image, SW_DIM_GROUP, query->group));
	found->rows = &found->sum;
}

static void find_destination(const struct sw_image *image, const struct sw_query *query,
			     struct found *found)
{
	if (query->has_to)
		found->rows = find_prefix(image, 0, query->to);
	if (query->to_is_local)
		found->more = &image->policy.local;
}

static void find_by_cgroup(const struct sw_image *image, const struct sw_query *query,
			   struct found *found)
{
	struct sw_cgroup_key key;

	if (!query->cgroup)
		return;
	if (sw_cgroup_key(query->cgroup, &key))
		found->rows = find_cgroup(image, &key);
	else
		found->undecided = true;
}

/* Of a path that is too long the unit may be known: it is the topmost component that counts. */
static void find_unit(const struct sw_image *image, const struct sw_query *query,
		      struct found *found)
{
	char unit[SW_NAME_MAX] = "";
	struct sw_cgroup_key key;

	if (query->unit) {
		if (strlen(query->unit) < sizeof(unit))
			memcpy(unit, query->unit, strlen(query->unit));
	} else if (query->cgroup) {
		bool whole = sw_cgroup_key(query->cgroup, &key);

		sw_unit_of_cgroup(key.path, unit); /* there is room for a NUL */
		found->undecided = !whole && !unit[0];
	}
	if (unit[0] && !strchr(unit, '/'))
		found->rows = find_name(image, unit);
}

static void find_exe(const struct sw_image *image, const struct sw_query *query,
		     struct found *found)
{
	if (!query->exe || query->exe[0] != '/')
		return;
	if (strlen(query->exe) >= SW_NAME_MAX)
		found->undecided = true;
	else
		found->rows = find_name(image, query->exe);
}

typedef void find_fn(const struct sw_image *image, const struct sw_query *query,
		     struct found *found);

static find_fn *const finders[] = {
	[SW_DIM_USER] = find_user,       [SW_DIM_GROUP] = find_groups,
	[SW_DIM_DST] = find_destination, [SW_DIM_CGROUP] = find_by_cgroup,
	[SW_DIM_UNIT] = find_unit,       [SW_DIM_EXE] = find_exe,
};
static_assert(sw_count(finders) == SW_DIM_MAX, "a look-up for each dimension");

/* ---- the answer ---- */

/* For a decision between host rules. */
static uint32_t find_host_rule(const struct sw_image *image, const struct sw_query *query,
			       int *certain)
{
	const struct sw_policy *policy = &image->policy;
	uint32_t dim, port = (uint32_t)query->scope << 16 | query->port;
	struct sw_match match;

	sw_match_begin(&match, find_id(image, SW_DIM_PORT, port));
	while ((dim = sw_match_next(&match, policy)) != SW_DIM_MAX) {
		struct found found = {0};

		finders[dim](image, query, &found);
		sw_match_give(&match, policy, dim, found.rows, found.more, !found.undecided);
	}
	*certain = (int)match.certain;
	return sw_match_rule(&match, policy);
}

bool sw_interface_is_pattern(const char *text)
{
	size_t length = strlen(text);
	const char *star = strchr(text, '*');

	return length && length <= SW_INTERFACE_MAX && !strpbrk(text, "/ \t:") &&
	       !(star && star[1]);
}

bool sw_interface_matches(const char *pattern, const char *name)
{
	size_t length = strlen(pattern);

	if (length && pattern[length - 1] == '*')
		return strncmp(pattern, name, length - 1) == 0;
	return strcmp(pattern, name) == 0;
}

static bool have_common(const struct sw_vec *a, const struct sw_vec *b)
{
	uint64_t common = 0;

	for (size_t i = 0; i < SW_WORDS; i++)
		common |= a->w[i] & b->w[i];
	return common;
}

/* The rows of an interface; of none: of one that is named as the first pattern with this port. */
static void find_interface(const struct sw_policy *policy, const char *name,
			   const struct sw_vec *port_rows, struct sw_vec *rows)
{
	for (uint32_t i = 0; !name && port_rows && i < policy->n_patterns; i++)
		if (have_common(&policy->patterns[i].rows, port_rows))
			name = policy->patterns[i].text;
	for (uint32_t i = 0; name && i < policy->n_patterns; i++)
		if (sw_interface_matches(policy->patterns[i].text, name))
			sw_vec_or(rows, &policy->patterns[i].rows);
}

/* False: the port is not guarded on this interface. */
static bool find_edge_rule(const struct sw_image *image, const struct sw_query *query,
			   uint32_t *rule)
{
	const struct sw_policy *policy = &image->policy;
	uint32_t port = (uint32_t)SW_SCOPE_EDGE << 16 | query->port;
	const struct sw_vec *port_rows = find_id(image, SW_DIM_PORT, port);
	struct sw_vec interface_rows = {{0}}, rows;
	struct found to = {0};

	find_interface(policy, query->interface, port_rows, &interface_rows);
	sw_edge_begin(&rows, port_rows, &interface_rows);
	if (sw_vec_first(&rows) == SW_ROW_NONE)
		return false;
	find_destination(image, query, &to);
	sw_edge_give(&rows, &policy->any[SW_DIM_FROM],
		     query->has_from ? find_prefix(image, SW_PREFIX_FROM, query->from) : NULL,
		     NULL);
	sw_edge_give(&rows, &policy->any[SW_DIM_DST], to.rows, to.more);
	*rule = sw_edge_rule(policy, &rows);
	return true;
}

/* For a client of a server of this machine. */
static uint32_t find_serve_rule(const struct sw_image *image, const struct sw_query *query)
{
	const struct sw_policy *policy = &image->policy;
	const struct sw_vec *port_rows = find_id(image, SW_DIM_PORT, SW_SERVE_PORT_ID(query->port));
	struct sw_vec rows = {{0}};
	struct found to = {0};

	sw_vec_or(&rows, port_rows);
	find_destination(image, query, &to);
	sw_edge_give(&rows, &policy->any[SW_DIM_FROM],
		     query->has_from ? find_prefix(image, SW_PREFIX_FROM, query->from) : NULL,
		     NULL);
	sw_edge_give(&rows, &policy->any[SW_DIM_DST], to.rows, to.more);
	return sw_edge_rule(policy, &rows);
}

/* False: not guarded. */
static bool find_rule(const struct sw_image *image, const struct sw_query *query, uint32_t *rule,
		      int *certain)
{
	*certain = 1;
	if (query->scope == SW_SCOPE_EDGE)
		return sw_edge_guarded(&image->policy, query->port) &&
		       find_edge_rule(image, query, rule);
	if (query->scope == SW_SCOPE_SERVE) {
		*rule = find_serve_rule(image, query);
		return sw_serve_guarded(&image->policy, query->port);
	}
	if (!sw_guarded(&image->policy, query->port))
		return false;
	*rule = find_host_rule(image, query, certain);
	return true;
}

/* An address that is not known is of the family that the rule can redirect. */
static bool is_ipv4(const struct sw_query *query, const struct sw_rule *rule)
{
	return query->has_to ? sw_addr_is_ipv4(query->to) : !rule || rule->port4;
}

/* What is asked of the first bytes of a connection that passes. */
static void answer_gate(const struct sw_rule *rule, uint16_t port, struct sw_answer *answer)
{
	const uint8_t ways = SW_RULE_IMPLICIT | SW_RULE_STARTTLS;

	answer->gate = rule->action == SW_ACTION_TLS || rule->action == SW_ACTION_AUDIT;
	if (!answer->gate)
		return;
	answer->tls = rule->action == SW_ACTION_TLS;
	answer->gate_action = rule->action;
	answer->gate_flags = rule->flags;
	answer->tls_version = rule->tls_version;
	/* RFC 8314; the gate takes it so, too. */
	if (answer->tls && port == SUBMISSIONS_PORT && !(rule->flags & ways))
		answer->gate_flags |= SW_RULE_IMPLICIT;
}

const char *sw_answer_way(const struct sw_answer *answer)
{
	if (!answer->tls)
		return NULL;
	if (answer->gate_flags & SW_RULE_IMPLICIT)
		return "implicit";
	return answer->gate_flags & SW_RULE_STARTTLS ? "starttls" : "any";
}

bool sw_answer_proxy(const struct sw_answer *answer)
{
	return answer->tls && answer->gate_flags & SW_RULE_PROXY;
}

void sw_image_eval(const struct sw_image *image, const struct sw_query *query,
		   struct sw_answer *answer)
{
	const struct sw_policy *policy = &image->policy;
	const struct sw_rule *rule = NULL;
	struct sw_decision decision;
	uint32_t index;
	int certain;

	*answer = (struct sw_answer){.verdict = SW_VERDICT_ALLOW, .rule_text = "", .text = ""};
	if (!find_rule(image, query, &index, &certain))
		return;
	answer->guarded = true;
	if (index < SW_RULES_MAX) {
		rule = &policy->rules[index];
		answer->rule = index + 1;
		answer->line = image->info[index].line;
		answer->rule_text = image->info[index].rule;
		answer->text = image->info[index].text;
		answer->audit = rule->flags & SW_RULE_AUDIT;
	}
	sw_decide(rule, certain, is_ipv4(query, rule), &decision);
	answer->verdict = decision.verdict;
	answer->reason = decision.reason;
	if (rule && !decision.refuse)
		answer_gate(rule, query->port, answer);
	answer->answer = rule && rule->flags & SW_RULE_ANSWER &&
			 decision.verdict == SW_VERDICT_REJECT &&
			 decision.reason == SW_REASON_NOT_PERMITTED;
	if (decision.verdict == SW_VERDICT_REDIRECT) {
		answer->new_port = decision.port;
		memcpy(answer->new_to, decision.ipv4 ? rule->target4 : rule->target6,
		       sizeof(answer->new_to));
	}
}

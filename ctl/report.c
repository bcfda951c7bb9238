/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/report.h"

#include <errno.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"

static const struct {
	const char *name, *head;
} tables[SW_REPORT_TABLES] = {
	[SW_BY_PROGRAM] = {"program", "Program"},
	[SW_BY_USER] = {"user", "User"},
	[SW_BY_UNIT] = {"unit", "Unit"},
	[SW_BY_CLIENT] = {"client", "Client"},
	[SW_BY_DESTINATION] = {"destination", "Destination"},
	[SW_BY_PORT] = {"port", "Port"},
	[SW_BY_RULE] = {"rule", "Rule"},
	[SW_BY_REASON] = {"reason", "Reason"},
	[SW_BY_VERDICT] = {"verdict", "Verdict"},
};

const char *sw_report_table_name(enum sw_tally_by by)
{
	return tables[by].name;
}

const char *sw_report_table_head(enum sw_tally_by by)
{
	return tables[by].head;
}

const char *sw_change_name(enum sw_change change)
{
	static const char *const names[] = {"new", "gone", "up", "down"};

	return names[change];
}

const char *sw_report_version_name(enum sw_tally_version version)
{
	static const char *const names[SW_TALLY_TLS_VERSIONS] = {"unknown", "older", "1.0",
								 "1.1",     "1.2",   "1.3"};

	return names[version];
}

struct sw_tally_sessions sw_report_sessions(const struct sw_tally *tally)
{
	struct sw_tally_sessions all = {0};

	for (int s = 0; s < SW_TALLY_SCOPES; s++) {
		const struct sw_tally_sessions *one = &tally->sessions[s];

		all.in_clear += one->in_clear;
		all.starttls += one->starttls;
		all.implicit += one->implicit;
		all.sent += one->sent;
		all.received += one->received;
		for (int v = 0; v < SW_TALLY_TLS_VERSIONS; v++)
			all.versions[v] += one->versions[v];
	}
	return all;
}

const char *sw_report_number(uint64_t n, char to[static SW_GROUPED_SIZE])
{
	char digits[24];
	size_t length = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n),
	       at = 0;

	for (size_t i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			to[at++] = ',';
		to[at++] = digits[i];
	}
	to[at] = '\0';
	return to;
}

const char *sw_report_percent(uint64_t part, uint64_t whole, char to[static SW_PERCENT_SIZE])
{
	double share = whole ? 100.0 * (double)part / (double)whole : 0;

	if (!whole)
		snprintf(to, SW_PERCENT_SIZE, "-");
	else if (part && share < 0.1)
		snprintf(to, SW_PERCENT_SIZE, "<0.1 %%");
	else if (part < whole && share > 99.9)
		snprintf(to, SW_PERCENT_SIZE, ">99.9 %%");
	else
		snprintf(to, SW_PERCENT_SIZE, part && part < whole ? "%.1f %%" : "%.0f %%", share);
	return to;
}

static char *text_of_key(const struct sw_tally_entry *entry)
{
	return strndup(entry->key, entry->length);
}

static char *address_of_key(const struct sw_tally_entry *entry)
{
	char text[SW_ADDR_SIZE];

	sw_addr_format((const uint8_t *)entry->key, text);
	return strdup(text);
}

static char *port_of_key(const struct sw_tally_entry *entry)
{
	char *text = NULL;
	uint16_t port;

	memcpy(&port, entry->key, sizeof(port));
	return asprintf(&text, "%u", port) < 0 ? NULL : text;
}

static char *rule_of_key(const struct sw_tally_entry *entry)
{
	char *text = NULL;
	uint32_t line;
	int n = (int)(entry->length - sizeof(line));

	memcpy(&line, entry->key, sizeof(line));
	if (line)
		n = asprintf(&text, "line %u: %.*s", line, n, entry->key + sizeof(line));
	else
		n = asprintf(&text, "%.*s", n, entry->key + sizeof(line));
	return n < 0 ? NULL : text;
}

static char *name_of(enum sw_tally_by by, const struct sw_tally_entry *entry)
{
	switch (by) {
	case SW_BY_CLIENT:
	case SW_BY_DESTINATION:
		return address_of_key(entry);
	case SW_BY_PORT:
		return port_of_key(entry);
	case SW_BY_RULE:
		return rule_of_key(entry);
	default:
		return text_of_key(entry);
	}
}

/* What stands behind the first `shown` of a sorted list, and what the map has forgotten. */
static void sum_rest(const struct sw_tally_map *map, struct sw_tally_entry *const *sorted,
		     size_t shown, struct sw_report_rest *rest)
{
	*rest = (struct sw_report_rest){.keys = map->n - shown + map->forgotten,
					.short_by = map->short_by};
	memcpy(rest->n, map->rest, sizeof(rest->n));
	for (size_t i = shown; i < map->n; i++)
		for (int o = 0; o < SW_OUTCOMES; o++)
			rest->n[o] += sorted[i]->n[o];
}

static int fill_table(struct sw_report_table *table, const struct sw_tally_map *map,
		      enum sw_tally_by by)
{
	sw_autofree struct sw_tally_entry **sorted = sw_tally_map_sorted(map);

	if (map->n && !sorted)
		return -ENOMEM;
	table->n_rows = map->n < SW_REPORT_TOP ? map->n : SW_REPORT_TOP;
	for (size_t i = 0; i < table->n_rows; i++) {
		table->rows[i].name = name_of(by, sorted[i]);
		if (!table->rows[i].name)
			return -ENOMEM;
		memcpy(table->rows[i].n, sorted[i]->n, sizeof(table->rows[i].n));
	}
	sum_rest(map, sorted, table->n_rows, &table->rest);
	return 0;
}

static int fill_sender(struct sw_report_sender *row, const struct sw_tally_entry *entry)
{
	struct sw_tally_sender sender;
	char peer[SW_ADDR_SIZE];

	sw_tally_sender(entry, &sender);
	sw_addr_format(sender.peer, peer);
	row->user = strdup(sender.user);
	row->program = strdup(sender.program);
	row->unit = strdup(sender.unit);
	row->peer = strdup(peer);
	row->port = sender.port;
	row->scope = sw_scope_name(sender.scope);
	row->reason = sw_reason_name(sender.reason);
	row->cut = sw_command_name(sender.verb, sender.verb_length, sender.mechanism, row->command);
	memcpy(row->n, entry->n, sizeof(row->n));
	return row->user && row->program && row->unit && row->peer ? 0 : -ENOMEM;
}

static int fill_senders(struct sw_report_senders *senders, const struct sw_tally_map *map)
{
	sw_autofree struct sw_tally_entry **sorted = sw_tally_map_sorted(map);

	if (map->n && !sorted)
		return -ENOMEM;
	senders->n_rows = map->n < SW_REPORT_TOP ? map->n : SW_REPORT_TOP;
	for (size_t i = 0; i < senders->n_rows; i++)
		if (fill_sender(&senders->rows[i], sorted[i]))
			return -ENOMEM;
	sum_rest(map, sorted, senders->n_rows, &senders->rest);
	return 0;
}

static uint64_t difference(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

/* Puts a change where it belongs by its size; what falls off the end is only counted. */
static void insert_change(struct sw_report *report, struct sw_report_change change)
{
	struct sw_report_change *list = report->changes;
	size_t at = report->n_changes;
	uint64_t size = difference(change.before, change.now);

	while (at && difference(list[at - 1].before, list[at - 1].now) < size)
		at--;
	if (report->n_changes == SW_REPORT_CHANGES) {
		report->more_changes++;
		if (at == SW_REPORT_CHANGES) {
			free(change.name);
			return;
		}
		free(list[--report->n_changes].name);
	}
	memmove(list + at + 1, list + at, (report->n_changes - at) * sizeof(*list));
	list[at] = change;
	report->n_changes++;
}

/* Is it a change? Of a name that may only have been forgotten nothing is said. A new program counts if it
   came once; clients come and go. */
static bool is_change(uint64_t before, uint64_t now, enum sw_tally_by by, bool other_forgot,
		      enum sw_change *change)
{
	if (!before || !now) {
		*change = before ? SW_CHANGE_GONE : SW_CHANGE_NEW;
		return !other_forgot && (by != SW_BY_CLIENT || before + now >= SW_REPORT_CHANCE);
	}
	*change = now > before ? SW_CHANGE_UP : SW_CHANGE_DOWN;
	return difference(before, now) >= SW_REPORT_CHANCE &&
	       (now >= SW_REPORT_FACTOR * before || before >= SW_REPORT_FACTOR * now);
}

/* Compares the entries of one map with those of another; `back`: only those that the other one has not,
   as the common ones have been seen. */
static int compare_maps(struct sw_report *report, enum sw_tally_by by, bool back)
{
	const struct sw_tally_map *map = back ? &report->before->by[by] : &report->now->by[by],
				  *other = back ? &report->now->by[by] : &report->before->by[by];

	for (size_t i = 0; i < map->n_slots; i++) {
		const struct sw_tally_entry *entry = map->slots[i];
		const uint64_t *match =
			entry ? sw_tally_map_get(other, entry->key, entry->length) : NULL;
		uint64_t here = entry ? sw_tally_sum(entry->n) : 0,
			 there = match ? sw_tally_sum(match) : 0;
		struct sw_report_change change = {
			.by = by, .before = back ? here : there, .now = back ? there : here};

		if (!entry || (back && match) ||
		    !is_change(change.before, change.now, by, other->short_by != 0, &change.change))
			continue;
		change.name = name_of(by, entry);
		if (!change.name)
			return -ENOMEM;
		insert_change(report, change);
	}
	return 0;
}

static int find_changes(struct sw_report *report)
{
	static const enum sw_tally_by compared[] = {SW_BY_PROGRAM, SW_BY_USER, SW_BY_CLIENT,
						    SW_BY_REASON};
	int r = 0;

	for (size_t i = 0; !r && i < sw_count(compared); i++) {
		r = compare_maps(report, compared[i], false);
		if (!r)
			r = compare_maps(report, compared[i], true);
	}
	return r;
}

int sw_report_make(struct sw_report *report, const struct sw_tally *now,
		   const struct sw_tally *before)
{
	int r = 0;

	report->now = now;
	report->before = before;
	report->compares =
		before->first_ns != 0 &&
		report->oldest_ns <= before->since_ns + (before->until_ns - before->since_ns) / 10;
	for (int by = 0; !r && by < SW_REPORT_TABLES; by++)
		r = fill_table(&report->tables[by], &now->by[by], (enum sw_tally_by)by);
	if (!r)
		r = fill_senders(&report->clear, &now->by[SW_BY_CLEAR]);
	if (!r)
		r = fill_senders(&report->elsewhere, &now->by[SW_BY_ELSEWHERE]);
	if (!r && report->compares)
		r = find_changes(report);
	return r;
}

static void free_senders(struct sw_report_senders *senders)
{
	for (size_t i = 0; i < SW_REPORT_TOP; i++) {
		free(senders->rows[i].user);
		free(senders->rows[i].program);
		free(senders->rows[i].unit);
		free(senders->rows[i].peer);
	}
}

void sw_report_free(struct sw_report *report)
{
	for (int by = 0; by < SW_REPORT_TABLES; by++)
		for (size_t i = 0; i < SW_REPORT_TOP; i++)
			free(report->tables[by].rows[i].name);
	free_senders(&report->clear);
	free_senders(&report->elsewhere);
	for (size_t i = 0; i < report->n_changes; i++)
		free(report->changes[i].name);
	*report = (struct sw_report){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/audit/tally.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/base.h"
#include "daemon/policy/ast.h"
#include "daemon/policy/policy.h"

#define MINUTE_NS 60000000000ull
#define HOUR_NS (60 * MINUTE_NS)
#define DAY_NS (24 * HOUR_NS)

/* The longest key: three texts and what stands before them. */
#define KEY_MAX 6400

static_assert(SW_TALLY_SCOPES == SW_SCOPE_MAX, "sessions of each scope");

uint64_t sw_tally_step(uint64_t length_ns)
{
	static const struct {
		uint64_t up_to, step;
	} steps[] = {
		{90 * MINUTE_NS, MINUTE_NS}, {8 * HOUR_NS, 5 * MINUTE_NS},
		{4 * DAY_NS, HOUR_NS},       {21 * DAY_NS, 6 * HOUR_NS},
		{100 * DAY_NS, DAY_NS},      {700 * DAY_NS, 7 * DAY_NS},
	};
	uint64_t step = 30 * DAY_NS;

	for (size_t i = 0; i < sw_count(steps); i++)
		if (length_ns <= steps[i].up_to)
			return steps[i].step;
	while (length_ns / step > 100)
		step *= 2;
	return step;
}

int sw_tally_init(struct sw_tally *tally, uint64_t since_ns, uint64_t until_ns, uint64_t step_ns)
{
	*tally = (struct sw_tally){.since_ns = since_ns, .until_ns = until_ns, .step_ns = step_ns};
	for (int by = 0; by < SW_BYS; by++)
		sw_tally_map_init(&tally->by[by], SW_TALLY_KEYS);
	if (!step_ns || until_ns <= since_ns)
		return 0;
	tally->first_bucket_ns = since_ns - since_ns % step_ns;
	tally->n_buckets = (until_ns - 1 - tally->first_bucket_ns) / step_ns + 1;
	tally->buckets = calloc(tally->n_buckets, sizeof(*tally->buckets));
	return tally->buckets ? 0 : -ENOMEM;
}

void sw_tally_free(struct sw_tally *tally)
{
	for (int by = 0; by < SW_BYS; by++)
		sw_tally_map_free(&tally->by[by]);
	free(tally->buckets);
	*tally = (struct sw_tally){0};
}

static enum sw_outcome outcome_of(const struct sw_record *record)
{
	switch (record->verdict) {
	case SW_VERDICT_REJECT:
	case SW_VERDICT_DROP:
	case SW_VERDICT_RESET:
		return SW_OUTCOME_REFUSED;
	case SW_VERDICT_AUDIT:
		/* Without a reason a rule only wanted it recorded; what no rule names is not refused. */
		if (record->reason == SW_REASON_NONE || record->kind == SW_EVENT_ELSEWHERE)
			return SW_OUTCOME_OTHER;
		return SW_OUTCOME_AUDIT;
	default:
		return SW_OUTCOME_OTHER;
	}
}

/* One record on its way into the maps. */
struct adding {
	struct sw_tally *tally;
	const struct sw_record *record;
	enum sw_outcome outcome;
	uint64_t weight;
	int error;
	size_t length;
	char key[KEY_MAX];
};

static void put(struct adding *adding, const void *bytes, size_t n)
{
	if (n > sizeof(adding->key) - adding->length)
		n = sizeof(adding->key) - adding->length;
	memcpy(adding->key + adding->length, bytes, n);
	adding->length += n;
}

static void put_text(struct adding *adding, const char *text)
{
	put(adding, text, strlen(text));
}

static void count(struct adding *adding, enum sw_tally_by by)
{
	if (!adding->error)
		adding->error = sw_tally_map_add(&adding->tally->by[by], adding->key,
						 adding->length, adding->outcome, adding->weight);
	adding->length = 0;
}

static void count_text(struct adding *adding, enum sw_tally_by by, const char *text)
{
	put_text(adding, text);
	count(adding, by);
}

static void put_program(struct adding *adding)
{
	const char *exe = adding->record->text[SW_TEXT_EXE],
		   *comm = adding->record->text[SW_TEXT_COMM];

	put_text(adding, exe);
	if (*exe || !*comm)
		return;
	put_text(adding, "[");
	put_text(adding, comm);
	put_text(adding, "]");
}

static void put_user(struct adding *adding)
{
	const struct sw_record *record = adding->record;
	char number[16];

	put_text(adding, record->text[SW_TEXT_USER]);
	if (*record->text[SW_TEXT_USER] || record->uid == UINT32_MAX)
		return;
	snprintf(number, sizeof(number), "%u", record->uid);
	put_text(adding, number);
}

/* The guarded cgroup itself says nothing. */
static void put_unit(struct adding *adding)
{
	const char *unit = adding->record->text[SW_TEXT_UNIT],
		   *cgroup = adding->record->text[SW_TEXT_CGROUP];

	if (*unit)
		put_text(adding, unit);
	else if (strcmp(cgroup, "/"))
		put_text(adding, cgroup);
}

static void count_who(struct adding *adding)
{
	const struct sw_record *record = adding->record;

	if (record->scope != SW_SCOPE_HOST) {
		put(adding, record->src, sizeof(record->src));
		count(adding, SW_BY_CLIENT);
		return;
	}
	put_program(adding);
	count(adding, SW_BY_PROGRAM);
	put_user(adding);
	count(adding, SW_BY_USER);
	put_unit(adding);
	count(adding, SW_BY_UNIT);
}

static void count_where(struct adding *adding)
{
	const struct sw_record *record = adding->record;

	if (record->scope != SW_SCOPE_SERVE) {
		put(adding, record->dst, sizeof(record->dst));
		count(adding, SW_BY_DESTINATION);
	}
	put(adding, &record->dst_port, sizeof(record->dst_port));
	count(adding, SW_BY_PORT);
}

static void count_why(struct adding *adding)
{
	const struct sw_record *record = adding->record;

	count_text(adding, SW_BY_REASON, sw_reason_name(record->reason));
	count_text(adding, SW_BY_VERDICT, sw_verdict_name(record->verdict));
	if (!record->rule)
		return;
	put(adding, &record->line, sizeof(record->line));
	count_text(adding, SW_BY_RULE, record->text[SW_TEXT_RULE]);
}

/* In front of the texts of a sender's key. */
struct sender {
	uint8_t peer[16];
	uint16_t port;
	uint8_t scope, reason, verb, verb_length, mechanism, pad;
};

static void count_sender(struct adding *adding, enum sw_tally_by by)
{
	const struct sw_record *record = adding->record;
	struct sender sender = {.port = record->dst_port,
				.scope = record->scope,
				.reason = record->reason,
				.verb = record->verb,
				.verb_length = record->verb_length,
				.mechanism = record->mechanism};

	memcpy(sender.peer, record->scope == SW_SCOPE_HOST ? record->dst : record->src,
	       sizeof(sender.peer));
	put(adding, &sender, sizeof(sender));
	put_user(adding);
	put(adding, "", 1);
	put_program(adding);
	put(adding, "", 1);
	put_unit(adding);
	put(adding, "", 1);
	adding->key[adding->length - 1] = '\0'; /* also when it was cut */
	count(adding, by);
}

void sw_tally_sender(const struct sw_tally_entry *entry, struct sw_tally_sender *sender)
{
	const char *at = entry->key + sizeof(struct sender), *end = entry->key + entry->length;
	const char **const texts[] = {&sender->user, &sender->program, &sender->unit};
	struct sender head;

	memcpy(&head, entry->key, sizeof(head));
	*sender = (struct sw_tally_sender){
		.port = head.port,
		.scope = head.scope,
		.reason = head.reason,
		.verb = head.verb,
		.verb_length = head.verb_length,
		.mechanism = head.mechanism,
	};
	memcpy(sender->peer, head.peer, sizeof(sender->peer));
	for (size_t i = 0; i < sw_count(texts); i++) {
		*texts[i] = at < end ? at : "";
		at += at < end ? strlen(at) + 1 : 0;
	}
}

/* Something went out in clear that should not: a command, or a password. */
static bool is_clear(const struct sw_record *record)
{
	return record->reason == SW_REASON_CLEARTEXT_COMMAND ||
	       record->reason == SW_REASON_STARTTLS_STRIPPED ||
	       (record->verb == SW_VERB_AUTH && record->tls == SW_TLS_NONE);
}

static enum sw_tally_version version_of(uint16_t version)
{
	if (!version)
		return SW_TALLY_TLS_UNKNOWN;
	if (version >= 0x0301 && version <= 0x0304)
		return SW_TALLY_TLS_1_0 + (version - 0x0301);
	return version < 0x0301 ? SW_TALLY_TLS_OLDER : SW_TALLY_TLS_UNKNOWN;
}

static void add_session(struct sw_tally *tally, const struct sw_record *record,
			struct sw_tally_bucket *bucket)
{
	struct sw_tally_sessions *sessions =
		&tally->sessions[record->scope < SW_SCOPE_MAX ? record->scope : SW_SCOPE_HOST];
	bool tls = record->tls != SW_TLS_NONE;

	if (!tls)
		sessions->in_clear++;
	else if (record->tls == SW_TLS_STARTTLS)
		sessions->starttls++;
	else
		sessions->implicit++;
	if (tls)
		sessions->versions[version_of(record->tls_version)]++;
	sessions->sent += record->sent;
	sessions->received += record->received;
	if (bucket) {
		bucket->sessions++;
		bucket->sessions_tls += tls;
	}
}

static int add_event(struct sw_tally *tally, const struct sw_record *record,
		     struct sw_tally_bucket *bucket)
{
	struct adding adding; /* its key is written before it is read */

	adding.tally = tally;
	adding.record = record;
	adding.outcome = outcome_of(record);
	adding.weight = 1 + (uint64_t)record->suppressed;
	adding.error = 0;
	adding.length = 0;
	tally->events++;
	tally->suppressed += record->suppressed;
	tally->n[adding.outcome] += adding.weight;
	if (bucket)
		bucket->n[adding.outcome] += adding.weight;
	count_who(&adding);
	count_where(&adding);
	count_why(&adding);
	if (record->kind == SW_EVENT_ELSEWHERE)
		count_sender(&adding, SW_BY_ELSEWHERE);
	else if (is_clear(record))
		count_sender(&adding, SW_BY_CLEAR);
	return adding.error;
}

int sw_tally_add(struct sw_tally *tally, const struct sw_record *record)
{
	struct sw_tally_bucket *bucket = NULL;

	if (record->time_ns < tally->since_ns || record->time_ns >= tally->until_ns)
		return 0;
	if (tally->n_buckets)
		bucket = &tally->buckets[(record->time_ns - tally->first_bucket_ns) /
					 tally->step_ns];
	if (!tally->first_ns || record->time_ns < tally->first_ns)
		tally->first_ns = record->time_ns;
	if (record->time_ns > tally->last_ns)
		tally->last_ns = record->time_ns;
	if (record->kind != SW_EVENT_SESSION)
		return add_event(tally, record, bucket);
	add_session(tally, record, bucket);
	return 0;
}

uint64_t sw_tally_session_count(const struct sw_tally_sessions *sessions)
{
	return sessions->in_clear + sw_tally_session_tls(sessions);
}

uint64_t sw_tally_session_tls(const struct sw_tally_sessions *sessions)
{
	return sessions->starttls + sessions->implicit;
}

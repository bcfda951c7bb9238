/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/report.h"

#include "daemon/base.h"
#include "daemon/proto.h"

static json_t *count_json(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *time_json(uint64_t ns)
{
	char text[SW_TIME_SIZE];

	if (!ns)
		return json_null();
	sw_time_format(ns, text);
	return json_string(text);
}

static json_t *text_json(const char *text)
{
	return *text ? json_string(text) : json_null();
}

static void set_outcomes(json_t *object, const uint64_t n[static SW_OUTCOMES])
{
	json_object_set_new(object, "refused", count_json(n[SW_OUTCOME_REFUSED]));
	json_object_set_new(object, "would_refuse", count_json(n[SW_OUTCOME_AUDIT]));
	json_object_set_new(object, "other", count_json(n[SW_OUTCOME_OTHER]));
}

static json_t *rest_json(const struct sw_report_rest *rest)
{
	json_t *object = json_object();

	json_object_set_new(object, "names", count_json(rest->keys));
	set_outcomes(object, rest->n);
	json_object_set_new(object, "short_by", count_json(rest->short_by));
	return object;
}

static json_t *table_json(const struct sw_report_table *table)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < table->n_rows; i++) {
		json_t *row = json_object();

		json_object_set_new(row, "name", text_json(table->rows[i].name));
		set_outcomes(row, table->rows[i].n);
		json_array_append_new(rows, row);
	}
	return json_pack("{s:o, s:o}", "rows", rows, "rest", rest_json(&table->rest));
}

static json_t *sender_json(const struct sw_report_sender *sender)
{
	json_t *row = json_object();

	json_object_set_new(row, "scope", json_string(sender->scope));
	json_object_set_new(row, "user", text_json(sender->user));
	json_object_set_new(row, "program", text_json(sender->program));
	json_object_set_new(row, "unit", text_json(sender->unit));
	json_object_set_new(row, "peer", json_string(sender->peer));
	json_object_set_new(row, "port", json_integer(sender->port));
	json_object_set_new(row, "command", text_json(sender->command));
	json_object_set_new(row, "command_cut", json_boolean(sender->cut));
	json_object_set_new(row, "reason", json_string(sender->reason));
	set_outcomes(row, sender->n);
	return row;
}

static json_t *senders_json(const struct sw_report_senders *senders)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < senders->n_rows; i++)
		json_array_append_new(rows, sender_json(&senders->rows[i]));
	return json_pack("{s:o, s:o}", "rows", rows, "rest", rest_json(&senders->rest));
}

static json_t *events_json(const struct sw_tally *tally)
{
	json_t *object = json_object();

	json_object_set_new(object, "recorded", count_json(tally->events));
	json_object_set_new(object, "suppressed", count_json(tally->suppressed));
	set_outcomes(object, tally->n);
	return object;
}

static json_t *scope_json(const struct sw_tally_sessions *sessions)
{
	json_t *object = json_object(), *versions = json_object();

	for (int v = SW_TALLY_TLS_VERSIONS - 1; v >= 0; v--)
		json_object_set_new(versions, sw_report_version_name((enum sw_tally_version)v),
				    count_json(sessions->versions[v]));
	json_object_set_new(object, "count", count_json(sw_tally_session_count(sessions)));
	json_object_set_new(object, "in_clear", count_json(sessions->in_clear));
	json_object_set_new(object, "starttls", count_json(sessions->starttls));
	json_object_set_new(object, "implicit", count_json(sessions->implicit));
	json_object_set_new(object, "tls_versions", versions);
	json_object_set_new(object, "sent", count_json(sessions->sent));
	json_object_set_new(object, "received", count_json(sessions->received));
	return object;
}

static json_t *sessions_json(const struct sw_tally *tally)
{
	static const char *const scopes[SW_TALLY_SCOPES] = {"host", "edge", "serve"};
	json_t *object = json_object();

	for (int s = 0; s < SW_TALLY_SCOPES; s++)
		json_object_set_new(object, scopes[s], scope_json(&tally->sessions[s]));
	return object;
}

static json_t *time_line_json(const struct sw_tally *tally)
{
	json_t *buckets = json_array();

	for (size_t i = 0; i < tally->n_buckets; i++) {
		const struct sw_tally_bucket *bucket = &tally->buckets[i];
		json_t *object = json_object();

		json_object_set_new(object, "from",
				    time_json(tally->first_bucket_ns + i * tally->step_ns));
		set_outcomes(object, bucket->n);
		json_object_set_new(object, "sessions", count_json(bucket->sessions));
		json_object_set_new(object, "sessions_tls", count_json(bucket->sessions_tls));
		json_array_append_new(buckets, object);
	}
	return json_pack("{s:I, s:o}", "step_seconds", (json_int_t)(tally->step_ns / 1000000000u),
			 "steps", buckets);
}

static json_t *before_json(const struct sw_report *report)
{
	json_t *object;

	if (!report->compares)
		return json_null();
	object = json_object();
	json_object_set_new(object, "since", time_json(report->before->since_ns));
	json_object_set_new(object, "until", time_json(report->before->until_ns));
	json_object_set_new(object, "events", events_json(report->before));
	json_object_set_new(object, "sessions", sessions_json(report->before));
	return object;
}

static json_t *changes_json(const struct sw_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->n_changes; i++) {
		const struct sw_report_change *change = &report->changes[i];
		json_t *object = json_object();

		json_object_set_new(object, "by", json_string(sw_report_table_name(change->by)));
		json_object_set_new(object, "name", text_json(change->name));
		json_object_set_new(object, "change", json_string(sw_change_name(change->change)));
		json_object_set_new(object, "before", count_json(change->before));
		json_object_set_new(object, "now", count_json(change->now));
		json_array_append_new(list, object);
	}
	return list;
}

static json_t *gaps_json(const struct sw_report *report)
{
	json_t *list = json_array();

	for (int why = 0; why < SW_GAP_MAX; why++)
		if (report->gaps[why])
			json_array_append_new(
				list, json_pack("{s:s, s:I}", "why", sw_gap_words((enum sw_gap)why),
						"events", (json_int_t)report->gaps[why]));
	return list;
}

json_t *sw_report_json(const struct sw_report *report)
{
	json_t *object = json_object(), *by = json_object();

	for (int t = 0; t < SW_REPORT_TABLES; t++)
		json_object_set_new(by, sw_report_table_name((enum sw_tally_by)t),
				    table_json(&report->tables[t]));
	json_object_set_new(object, "host", json_string(report->host));
	json_object_set_new(object, "store", json_string(report->store));
	json_object_set_new(object, "made", time_json(report->made_ns));
	json_object_set_new(object, "since", time_json(report->now->since_ns));
	json_object_set_new(object, "until", time_json(report->now->until_ns));
	json_object_set_new(object, "oldest", time_json(report->oldest_ns));
	json_object_set_new(object, "events", events_json(report->now));
	json_object_set_new(object, "not_recorded", gaps_json(report));
	json_object_set_new(object, "by", by);
	json_object_set_new(object, "sessions", sessions_json(report->now));
	json_object_set_new(object, "clear", senders_json(&report->clear));
	json_object_set_new(object, "elsewhere", senders_json(&report->elsewhere));
	json_object_set_new(object, "time", time_line_json(report->now));
	json_object_set_new(object, "before", before_json(report));
	json_object_set_new(object, "changes", changes_json(report));
	json_object_set_new(object, "more_changes", count_json(report->more_changes));
	return object;
}

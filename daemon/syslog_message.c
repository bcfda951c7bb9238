/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_message.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf/vocabulary.h"
#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/policy/text.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

#define FACILITY_MAIL 2

enum severity { WARNING = 4, NOTICE = 5, INFORMATIONAL = 6 };

/* No text takes more than its share; together with the facts they leave room for the sentence. */
#define TEXT_SHARE 1024
#define EXE_SHARE 2048
#define SENTENCE_ROOM 1024

struct out {
	char *to;
	size_t used,
		size; /* all of it is left for the sentence once parameters have come to `size` */
	bool cut;
};

void sw_syslog_origin(struct sw_syslog_origin *origin)
{
	*origin = (struct sw_syslog_origin){.pid = getpid()};
	if (gethostname(origin->host, sizeof(origin->host) - 1) < 0 || !*origin->host)
		strcpy(origin->host, "-");
	for (char *at = origin->host; *at; at++)
		if (*at <= ' ' || *at > '~')
			*at = '?';
}

/* ---- pieces ---- */

/* Numbers and names of fixed lists, which always have room. */
static sw_printf(2, 3) void put(struct out *out, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out->to + out->used, out->size - out->used, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < out->size - out->used)
		out->used += (size_t)n;
	else
		out->cut = true;
}

static bool is_control(char byte)
{
	return (unsigned char)byte < ' ' || byte == 0x7f;
}

/* One character, as it may stand between the quotes of a parameter or, without `quoted`, in MSG. Records
   have no control characters; a store is a file, and here a line feed could begin another message. */
static size_t put_character(char *to, const char *from, size_t length, bool quoted)
{
	size_t n = 0;

	if (quoted && (*from == '"' || *from == '\\' || *from == ']'))
		to[n++] = '\\';
	memcpy(to + n, from, length);
	if (is_control(*from))
		to[n] = ' ';
	return n + length;
}

/* As much of a text as `room` has place for. What is no UTF-8 becomes question marks. */
static void put_text(struct out *out, const char *text, size_t room, bool quoted)
{
	const char *end = text + strlen(text);
	size_t until = out->used + room;

	while (text < end) {
		uint32_t code;
		size_t length = sw_utf8_next(text, end, &code), n;
		char piece[8];

		n = put_character(piece, length ? text : "?", length ? length : 1, quoted);
		if (n > until - out->used) {
			out->cut = true;
			return;
		}
		memcpy(out->to + out->used, piece, n);
		out->used += n;
		text += length ? length : 1;
	}
}

/* ---- parameters ---- */

static void param_number(struct out *out, const char *name, uint64_t number)
{
	put(out, " %s=\"%llu\"", name, (unsigned long long)number);
}

static void param_word(struct out *out, const char *name, const char *word)
{
	put(out, " %s=\"%s\"", name, word);
}

static void param_text(struct out *out, const char *name, const char *text, size_t share)
{
	size_t around = strlen(name) + strlen(" =\"\"");
	size_t room = out->size - out->used;

	if (!*text)
		return;
	if (room <= around) {
		out->cut = true;
		return;
	}
	room -= around;
	put(out, " %s=\"", name);
	put_text(out, text, room < share ? room : share, true);
	out->to[out->used++] = '"';
}

static void param_address(struct out *out, const char *name, const uint8_t address[static 16])
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(address, text);
	param_word(out, name, text);
}

static void param_time(struct out *out, const char *name, uint64_t ns)
{
	char text[SW_TIME_SIZE];

	sw_time_format(ns, text);
	param_word(out, name, text);
}

static void put_decision(struct out *out, const struct sw_record *record)
{
	param_number(out, "id", record->id);
	param_word(out, "verdict", sw_verdict_name(record->verdict));
	param_word(out, "reason", sw_reason_name(record->reason));
	if (record->rule)
		param_number(out, "rule", record->rule);
	if (record->line)
		param_number(out, "line", record->line);
	param_word(out, "scope", sw_scope_name(record->scope));
}

static void put_ends(struct out *out, const struct sw_record *record)
{
	if (sw_record_is_bound(record)) {
		param_address(out, "src", record->src);
		param_number(out, "src_port", record->src_port);
	}
	param_address(out, "dst", record->dst);
	param_number(out, "dst_port", record->dst_port);
	/* One that is refused with an answer goes to the daemon, which is nobody's redirect. */
	if (record->new_port && record->verdict != SW_VERDICT_REJECT) {
		char to[SW_ADDR_SIZE];

		sw_addr_format(record->new_dst, to);
		put(out, strchr(to, ':') ? " redirect=\"[%s\\]:%u\"" : " redirect=\"%s:%u\"", to,
		    record->new_port);
	}
}

static void put_caller(struct out *out, const struct sw_record *record)
{
	if (record->pid)
		param_number(out, "pid", record->pid);
	if (record->uid != UINT32_MAX)
		param_number(out, "uid", record->uid);
	if (record->gid != UINT32_MAX)
		param_number(out, "gid", record->gid);
}

static void put_where(struct out *out, const struct sw_record *record)
{
	char mac[SW_MAC_SIZE];

	if (sw_record_mac(record, mac))
		param_word(out, "mac", mac);
	/* A name may stand more than once (RFC 5424, 6.3.3). */
	for (size_t i = 0; i < sw_count(record->vlan); i++)
		if (record->vlan[i])
			param_number(out, "vlan", record->vlan[i]);
	if (record->pppoe_session)
		param_number(out, "pppoe_session", record->pppoe_session);
}

static void put_tls(struct out *out, const struct sw_record *record)
{
	bool gates = sw_record_is_gates(record);
	char verb[SW_COMMAND_SIZE];

	if (gates || record->kind == SW_EVENT_SESSION)
		param_word(out, "tls", sw_tls_name(record->tls));
	if (record->tls_version)
		put(out, " tls_version=\"0x%04x\"", record->tls_version);
	if (record->cipher)
		put(out, " cipher_suite=\"0x%04x\"", record->cipher);
	if (!gates)
		return;
	param_word(out, "from", record->from_server ? "server" : "client");
	if (sw_command_name(record->verb, record->verb_length, record->mechanism, verb))
		param_number(out, "verb_length", record->verb_length);
	if (*verb)
		param_word(out, "verb", verb);
}

static void put_session(struct out *out, const struct sw_record *record)
{
	if (record->opened_ns)
		param_time(out, "opened", record->opened_ns);
	if (record->kind == SW_EVENT_SESSION) {
		param_number(out, "sent", record->sent);
		param_number(out, "received", record->received);
	}
	if (record->suppressed)
		param_number(out, "suppressed", record->suppressed);
	param_number(out, "generation", record->generation);
}

/* The most telling first: what does not fit is left out from the end. */
static void put_texts(struct out *out, const struct sw_record *record)
{
	static const struct {
		enum sw_record_text text;
		const char *name;
	} texts[] = {
		{SW_TEXT_USER, "user"},           {SW_TEXT_EXE, "exe"},
		{SW_TEXT_UNIT, "unit"},           {SW_TEXT_SNI, "sni"},
		{SW_TEXT_INTERFACE, "interface"}, {SW_TEXT_COMM, "comm"},
		{SW_TEXT_GROUP, "group"},         {SW_TEXT_EXE_NOTE, "exe_note"},
		{SW_TEXT_RULE, "rule_text"},      {SW_TEXT_SENTENCE, "text"},
		{SW_TEXT_CGROUP, "cgroup"},
	};
	static_assert(sw_count(texts) == SW_TEXTS, "a name for each text");

	for (size_t i = 0; i < sw_count(texts); i++)
		param_text(out, texts[i].name, record->text[texts[i].text],
			   texts[i].text == SW_TEXT_EXE ? EXE_SHARE : TEXT_SHARE);
}

/* ---- the message ---- */

static enum severity severity_of(const struct sw_record *record)
{
	switch (record->verdict) {
	case SW_VERDICT_ALLOW:
		return INFORMATIONAL;
	case SW_VERDICT_AUDIT:
	case SW_VERDICT_REDIRECT:
		return NOTICE;
	default:
		return WARNING;
	}
}

/* The kind in capitals. */
static void put_msgid(struct out *out, unsigned int kind)
{
	for (const char *name = sw_record_kind_name(kind); *name; name++)
		put(out, "%c", *name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
}

static void put_head(struct out *out, const struct sw_syslog_origin *origin,
		     const struct sw_record *record)
{
	time_t seconds = (time_t)(record->time_ns / 1000000000u);
	char time[32];
	struct tm utc;

	if (gmtime_r(&seconds, &utc) && strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc))
		put(out, "<%d>1 %s.%06luZ", FACILITY_MAIL * 8 + severity_of(record), time,
		    (unsigned long)(record->time_ns % 1000000000u / 1000u));
	else
		put(out, "<%d>1 -", FACILITY_MAIL * 8 + severity_of(record));
	put(out, " %s smtpwalld %ld ", origin->host, origin->pid);
	put_msgid(out, record->kind);
}

static bool is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

size_t sw_syslog_message(const struct sw_syslog_origin *origin, const struct sw_record *record,
			 const char *sentence, char to[static SW_SYSLOG_MESSAGE_MAX])
{
	struct out out = {.to = to, .size = SW_SYSLOG_MESSAGE_MAX - SENTENCE_ROOM};

	put_head(&out, origin, record);
	put(&out, " [%s", SW_SYSLOG_SD_ID);
	put_decision(&out, record);
	put_ends(&out, record);
	put_caller(&out, record);
	put_where(&out, record);
	put_tls(&out, record);
	put_session(&out, record);
	put_texts(&out, record);
	out.size = SW_SYSLOG_MESSAGE_MAX;
	if (out.cut)
		param_number(&out, "cut", 1);
	put(&out, "] %s", is_ascii(sentence) ? "" : "\xef\xbb\xbf");
	put_text(&out, sentence, out.size - out.used, false);
	return out.used;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* record_line.c - a record as a sentence. Texts of records are escaped already. */
#include <string.h>

#include "bpf/vocabulary.h"
#include "daemon/policy/policy.h"
#include "daemon/proto.h"
#include "daemon/record_json.h"

bool sw_record_mac(const struct sw_record *record, char to[static SW_MAC_SIZE])
{
	static const uint8_t none[sizeof(record->mac)];
	const uint8_t *mac = record->mac;

	snprintf(to, SW_MAC_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		 mac[4], mac[5]);
	return memcmp(mac, none, sizeof(none)) != 0;
}

/* Is it about a client's packets, and not about a program's call? */
static bool of_client(const struct sw_record *record)
{
	return record->kind == SW_EVENT_EDGE || record->kind == SW_EVENT_SERVE;
}

/* The gate's reasons, those of a connection that was let through first. */
static bool did_wrong(const struct sw_record *record)
{
	return record->reason >= SW_REASON_CLEARTEXT_COMMAND;
}

static const char *what_happened(const struct sw_record *record)
{
	if (record->kind == SW_EVENT_SESSION)
		return "ended";
	switch (record->verdict) {
	case SW_VERDICT_ALLOW:
		return "passed";
	case SW_VERDICT_REDIRECT:
		return "redirected";
	case SW_VERDICT_RESET:
		return "reset";
	case SW_VERDICT_AUDIT:
		/* Of a connection that was open the words that follow say what it did. */
		return !record->reason || did_wrong(record) || record->kind == SW_EVENT_GATE
			       ? "recorded"
			       : "would be refused";
	case SW_VERDICT_DROP:
		/* A program is told; who sends from elsewhere waits in vain. */
		return of_client(record) ? "dropped" : "refused";
	default:
		return "refused";
	}
}

/* "user www-data (/usr/bin/php8.2, unit php8.2-fpm.service)" */
static void print_caller(const struct sw_record *record, FILE *to)
{
	const char *const *text = record->text;
	const char *name = *text[SW_TEXT_EXE] ? text[SW_TEXT_EXE] : text[SW_TEXT_COMM];

	if (*text[SW_TEXT_USER])
		fprintf(to, "user %s (", text[SW_TEXT_USER]);
	else if (record->uid == UINT32_MAX)
		fputs("unknown user (", to);
	else
		fprintf(to, "user %u (", record->uid);
	fputs(*name ? name : "a program without a name", to);
	if (*text[SW_TEXT_UNIT])
		fprintf(to, ", unit %s", text[SW_TEXT_UNIT]);
	if (*text[SW_TEXT_EXE_NOTE])
		fprintf(to, "; %s", text[SW_TEXT_EXE_NOTE]);
	fputc(')', to);
}

/* Whose server it is: " (user mail, unit postfix.service)". */
static void print_server(const struct sw_record *record, FILE *to)
{
	if (*record->text[SW_TEXT_USER])
		fprintf(to, " (user %s", record->text[SW_TEXT_USER]);
	else if (record->uid == UINT32_MAX)
		fputs(" (unknown user", to);
	else
		fprintf(to, " (user %u", record->uid);
	if (*record->text[SW_TEXT_UNIT])
		fprintf(to, ", unit %s", record->text[SW_TEXT_UNIT]);
	fputc(')', to);
}

static void print_end(const uint8_t address[static 16], unsigned int port, FILE *to)
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(address, text);
	fputs(text, to);
	if (port)
		fprintf(to, " port %u", port);
}

/* "192.0.2.7 port 40000 (tap3, 52:54:00:12:34:56, VLAN 7)" */
static void print_source(const struct sw_record *record, FILE *to)
{
	const char *name = record->text[SW_TEXT_INTERFACE];
	bool gone = name[strspn(name, "0123456789")] == '\0';
	char mac[SW_MAC_SIZE];

	print_end(record->src, record->src_port, to);
	fprintf(to, " (%s%s", gone ? "interface " : "", name);
	if (sw_record_mac(record, mac))
		fprintf(to, ", %s", mac);
	for (size_t i = 0; i < sw_count(record->vlan); i++)
		if (record->vlan[i])
			fprintf(to, ", VLAN %u", record->vlan[i]);
	if (record->pppoe_session)
		fprintf(to, ", PPPoE session %u", record->pppoe_session);
	fputc(')', to);
}

/* The command in a sentence: "AUTH PLAIN", "a command that begins with A", "a command". */
static void print_command(const struct sw_record *record, FILE *to)
{
	char text[SW_COMMAND_SIZE];

	if (sw_command_name(record->verb, record->verb_length, record->mechanism, text))
		fprintf(to, "a command that begins with %s", text);
	else
		fputs(*text ? text : "a command", to);
}

/* What was sent that should not have been. False: the words of the reason say it as well. */
static bool print_gate(const struct sw_record *record, FILE *to)
{
	const char *older = sw_tls_version_name(record->tls_version);

	switch (record->reason) {
	case SW_REASON_CLEARTEXT_COMMAND:
		print_command(record, to);
		fputs(" was sent before TLS began", to);
		return true;
	case SW_REASON_STARTTLS_STRIPPED:
		print_command(record, to);
		fputs(" was sent without TLS, as the server did not offer STARTTLS", to);
		return true;
	case SW_REASON_STARTTLS_INJECTION:
		fputs(record->from_server
			      ? "the server sent what was not asked for before TLS began"
			      : "plain bytes were sent behind STARTTLS",
		      to);
		return true;
	case SW_REASON_NOT_TLS:
		if (record->from_server)
			fputs("the server's answer to the ClientHello", to);
		else if (record->verb)
			print_command(record, to);
		else
			fputs("what was sent", to);
		fputs(record->verb && !record->from_server ? " was sent where TLS was due"
							   : " is not TLS",
		      to);
		return true;
	case SW_REASON_TLS_TOO_OLD:
		if (older)
			fprintf(to, "the server chose TLS %s", older);
		return older != NULL;
	default:
		return false;
	}
}

static void print_reason(const struct sw_record *record, FILE *to)
{
	bool edge = record->kind == SW_EVENT_EDGE;

	if (sw_record_is_gates(record) && print_gate(record, to))
		return;
	/* The reason's words are about sockets of this machine. */
	if (edge && record->reason == SW_REASON_UNATTRIBUTED)
		fputs("the beginning of the connection was not seen, or is forgotten", to);
	else
		fputs(sw_reason_words(record->reason), to);
}

static void print_why(const struct sw_record *record, FILE *to)
{
	if (record->line)
		fprintf(to, ": line %u: %s", record->line, record->text[SW_TEXT_RULE]);
	else if (record->rule)
		fprintf(to, ": rule %u of an earlier policy", record->rule);
	/* "A rule says so" says nothing next to the rule. */
	if (record->reason != SW_REASON_NONE && record->reason != SW_REASON_NOT_PERMITTED) {
		fputs(": ", to);
		print_reason(record, to);
	}
	if (record->suppressed)
		fprintf(to, " (and %u more like it)", record->suppressed);
}

static void print_session(const struct sw_record *record, FILE *to)
{
	const char *version = sw_tls_version_name(record->tls_version);
	uint64_t ns = record->time_ns > record->opened_ns ? record->time_ns - record->opened_ns : 0;

	fprintf(to, ": %s%s%s, %llu.%03llu s, %llu bytes sent, %llu received",
		record->tls == SW_TLS_NONE ? "no TLS seen" : "TLS", version ? " " : "",
		version ? version : "", (unsigned long long)(ns / 1000000000u),
		(unsigned long long)(ns / 1000000u % 1000u), (unsigned long long)record->sent,
		(unsigned long long)record->received);
}

void sw_record_line(const struct sw_record *record, FILE *to)
{
	bool served = record->scope == SW_SCOPE_SERVE;

	fprintf(to, "%s  ", what_happened(record));
	if (record->kind == SW_EVENT_EDGE)
		print_source(record, to);
	else if (served)
		print_end(record->src, record->src_port, to);
	else
		print_caller(record, to);
	fputs(" -> ", to);
	print_end(record->dst, record->dst_port, to);
	if (served)
		print_server(record, to);
	if (record->new_port && record->verdict == SW_VERDICT_REJECT) {
		fputs(" (and told so)", to);
	} else if (record->new_port) {
		fputs(", to ", to);
		print_end(record->new_dst, record->new_port, to);
		fputs(" instead", to);
	}
	if (record->kind == SW_EVENT_PACKET)
		fputs(" (a packet)", to);
	if (record->kind == SW_EVENT_SESSION)
		print_session(record, to);
	print_why(record, to);
}

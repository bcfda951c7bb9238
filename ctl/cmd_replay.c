/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/capture.h"
#include "ctl/ctl.h"
#include "ctl/policyfile.h"
#include "ctl/query.h"
#include "daemon/proto.h"

#define PROGRESS_PACKETS 4096 /* between two looks at how far it is */
#define TABLE_ROWS 1000       /* in one table: it is printed before memory grows with the capture */

struct args {
	const char *policy, *as, *iface;
};

static const struct sw_option options[] = {
	{.name = "policy",
	 .value = "FILE",
	 .kind = SW_OPTION_TEXT,
	 .required = true,
	 .offset = offsetof(struct args, policy),
	 .help = "judge the streams by this policy"},
	{.name = "as",
	 .value = "edge|host",
	 .kind = SW_OPTION_WORD,
	 .offset = offsetof(struct args, as),
	 .help = "edge: as traffic that a router forwards, by the policy's\n"
		 "edge blocks; host: as this machine's own (the default)"},
	{.name = "iface",
	 .value = "I",
	 .kind = SW_OPTION_TEXT,
	 .offset = offsetof(struct args, iface),
	 .help = "edge: clients come in through this interface (the first\n"
		 "with this port in an edge block)"},
};

/* What the streams of a capture are told to. */
struct report {
	const struct sw_ctl *ctl;
	const char *file, *interface;
	bool edge;
	struct sw_system progress;
	struct sw_world world;
	size_t size; /* of the capture, 0: not known */
	struct sw_table *table;
	size_t n_rows;
	bool told; /* rows were printed */
	uint64_t allowed, refused, redirected, recorded, reset, unguarded, incomplete;
};

/* ---- one stream ---- */

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *number_or_null(uint32_t number)
{
	return number ? json_integer(number) : json_null();
}

static json_t *hex_or_null(uint16_t number)
{
	char text[8];

	snprintf(text, sizeof(text), "0x%04x", number);
	return number ? json_string(text) : json_null();
}

static void add_verdict(json_t *object, const struct sw_stream *stream)
{
	char verb[SW_COMMAND_SIZE];
	bool cut = sw_command_name(stream->verb, stream->verb_length, stream->mechanism, verb);

	json_object_set_new(object, "guarded", json_boolean(stream->guarded));
	json_object_set_new(object, "verdict", json_string(sw_verdict_name(stream->verdict)));
	json_object_set_new(object, "reason", json_string(sw_reason_name(stream->reason)));
	json_object_set_new(object, "rule", number_or_null(stream->rule));
	json_object_set_new(object, "line", number_or_null(stream->line));
	json_object_set_new(object, "rule_text", text_or_null(stream->rule_text));
	json_object_set_new(object, "verb", text_or_null(verb));
	if (cut)
		json_object_set_new(object, "verb_length", json_integer(stream->verb_length));
	json_object_set_new(object, "from",
			    stream->violation
				    ? json_string(stream->from_server ? "server" : "client")
				    : json_null());
	json_object_set_new(object, "incomplete", json_boolean(stream->incomplete));
}

static void add_tls(json_t *object, const struct sw_stream *stream)
{
	json_object_set_new(object, "tls", json_string(sw_tls_name(stream->tls)));
	json_object_set_new(object, "sni", text_or_null(stream->sni));
	json_object_set_new(object, "tls_version", hex_or_null(stream->tls_version));
	json_object_set_new(object, "cipher", hex_or_null(stream->cipher));
	json_object_set_new(object, "alpn", text_or_null(stream->alpn));
	json_object_set_new(object, "ja4", text_or_null(stream->ja4));
	json_object_set_new(object, "first_cleartext_verb",
			    text_or_null(sw_verb_name(stream->first_verb)));
}

static json_t *stream_json(const struct report *report, const struct sw_stream *stream)
{
	char src[SW_ADDR_SIZE], dst[SW_ADDR_SIZE], time[SW_TIME_SIZE];
	sw_autofree char *name = sw_escaped(report->file);
	sw_autofree char *interface = report->interface ? sw_escaped(report->interface) : NULL;
	json_t *object;

	sw_addr_format(stream->src, src);
	sw_addr_format(stream->dst, dst);
	sw_time_format(stream->first_ns, time);
	object = json_pack("{s:s, s:I, s:s, s:s, s:i, s:s, s:i}", "file", name, "stream",
			   (json_int_t)stream->number, "time", time, "src", src, "src_port",
			   (int)stream->src_port, "dst", dst, "dst_port", (int)stream->dst_port);
	if (interface)
		json_object_set_new(object, "iface", json_string(interface));
	add_verdict(object, stream);
	add_tls(object, stream);
	return object;
}

static void end_words(const uint8_t addr[16], uint16_t port, char to[static SW_ADDR_SIZE + 8])
{
	char text[SW_ADDR_SIZE];

	sw_addr_format(addr, text);
	snprintf(to, SW_ADDR_SIZE + 8, strchr(text, ':') ? "[%s]:%u" : "%s:%u", text, port);
}

/* "TLS 1.2 by STARTTLS, mail.example.net" */
static void tls_words(const struct sw_stream *stream, char to[static SW_HELLO_NAME_MAX + 64])
{
	static const char *const ways[] = {"", " by STARTTLS", " at once"};
	const char *tls = sw_tls_name(stream->tls),
		   *version = sw_hello_version_name(stream->tls_version);
	size_t way = !strcmp(tls, "starttls") ? 1 : !strcmp(tls, "implicit") ? 2 : 0;

	snprintf(to, SW_HELLO_NAME_MAX + 64, "%s%s%s%s", way ? version ? version : "TLS" : "none",
		 ways[way], *stream->sni ? ", " : "", stream->sni);
}

/* "line 4. A mail command was sent before TLS began." */
static void why_words(const struct report *report, const struct sw_stream *stream, char *to,
		      size_t size)
{
	char line[64];
	bool reason = strcmp(sw_reason_name(stream->reason), "none");

	snprintf(line, sizeof(line), "No %s block names this port%s.",
		 report->edge ? "edge" : "host", report->interface ? " on this interface" : "");
	if (stream->guarded)
		*line = '\0';
	if (stream->line)
		snprintf(line, sizeof(line), "line %u.", stream->line);
	snprintf(to, size, "%s%s%s%s", line, reason ? " " : "",
		 reason ? sw_reason_words(stream->reason) : "",
		 stream->incomplete ? " Bytes are missing in the capture." : "");
}

static void stream_row(const struct report *report, const struct sw_stream *stream)
{
	char number[24], src[SW_ADDR_SIZE + 8], dst[SW_ADDR_SIZE + 8], why[512];
	char tls[SW_HELLO_NAME_MAX + 64];
	const char *verb = sw_verb_name(stream->first_verb);
	const char *cells[] = {
		number, sw_verdict_name(stream->verdict), src, dst, tls, verb ? verb : "", why};

	snprintf(number, sizeof(number), "%llu", (unsigned long long)stream->number);
	end_words(stream->src, stream->src_port, src);
	end_words(stream->dst, stream->dst_port, dst);
	tls_words(stream, tls);
	why_words(report, stream, why, sizeof(why));
	sw_table_row(report->table, cells);
}

/* ---- all of them ---- */

static void hide_progress(struct report *report)
{
	report->world.progress(report->world.data, "", 1, 1);
}

static void rows_text(FILE *to, const json_t *data, const void *context)
{
	(void)data;
	sw_table_print(context, to);
}

static void print_rows(struct report *report)
{
	if (!report->table)
		return;
	hide_progress(report);
	report->ctl->out->data(NULL, rows_text, report->table);
	sw_table_free(sw_take(report->table));
	report->n_rows = 0;
	report->told = true;
}

static void count_verdict(struct report *report, const struct sw_stream *stream)
{
	struct {
		const char *name;
		uint64_t *count;
	} const counts[] = {
		{"allow", &report->allowed},  {"reject", &report->refused},
		{"drop", &report->refused},   {"redirect", &report->redirected},
		{"audit", &report->recorded}, {"reset", &report->reset},
	};
	const char *verdict = sw_verdict_name(stream->verdict);

	report->incomplete += stream->incomplete;
	if (!stream->guarded) {
		report->unguarded++;
		return;
	}
	for (size_t i = 0; i < sw_count(counts); i++)
		if (!strcmp(counts[i].name, verdict))
			++*counts[i].count;
}

static void tell(void *data, const struct sw_stream *stream)
{
	static const char *const heads[] = {">stream", "verdict", "client", "server",
					    "TLS",     "clear",   "why"};
	struct report *report = data;

	count_verdict(report, stream);
	if (report->ctl->json) {
		json_auto_t *object = stream_json(report, stream);

		report->ctl->out->data(object, NULL, NULL);
		return;
	}
	if (!report->table)
		report->table = sw_table_new(heads, sw_count(heads));
	stream_row(report, stream);
	if (++report->n_rows == TABLE_ROWS)
		print_rows(report);
}

static void say_count(FILE *to, uint64_t n, const char *words)
{
	if (n)
		fprintf(to, "%12llu  %s\n", (unsigned long long)n, words);
}

static void summary_text(FILE *to, const json_t *data, const void *context)
{
	const struct report *report = context;

	if (report->told)
		fputc('\n', to);
	fprintf(to, "%12lld  packets\n", (long long)sw_integer(data, "packets"));
	fprintf(to, "%12lld  streams\n", (long long)sw_integer(data, "streams"));
	say_count(to, report->allowed, "allowed");
	say_count(to, report->recorded, "allowed and recorded");
	say_count(to, report->redirected, "redirected");
	say_count(to, report->refused, "refused");
	say_count(to, report->reset, "reset");
	say_count(to, report->unguarded, "not guarded");
	say_count(to, report->incomplete, "of which bytes are missing in the capture");
	say_count(to, (uint64_t)sw_integer(data, "forgotten"),
		  "given up before their end, as too many were open");
	say_count(to, (uint64_t)sw_integer(data, "unread"),
		  "packets left out, as their headers cannot be read");
	say_count(to, (uint64_t)sw_integer(data, "fragments"),
		  "fragments; of a packet that was cut only the first is read");
}

static void summarize(const struct report *report, const struct sw_streams *streams)
{
	struct sw_streams_counts counts;

	sw_streams_count(streams, &counts);

	json_auto_t *data = json_pack(
		"{s:I, s:I, s:I, s:I, s:I}", "streams", (json_int_t)counts.streams, "packets",
		(json_int_t)counts.packets, "unread", (json_int_t)counts.unread, "fragments",
		(json_int_t)counts.fragments, "forgotten", (json_int_t)counts.forgotten);

	report->ctl->out->data(data, summary_text, report);
}

/* ---- the capture ---- */

static void close_capture(struct sw_capture **capture)
{
	sw_capture_close(*capture);
}

static void free_streams(struct sw_streams **streams)
{
	sw_streams_free(*streams);
}

static size_t size_of(const char *name)
{
	struct stat about;

	return stat(name, &about) || !S_ISREG(about.st_mode) ? 0 : (size_t)about.st_size;
}

/* 0, or an exit code after saying what is wrong; *n counts the packets. */
static int read_packets(struct report *report, struct sw_capture *capture,
			struct sw_streams *streams, uint64_t *n)
{
	char error[SW_CAPTURE_ERROR_SIZE];
	struct sw_captured packet;
	int r;

	while ((r = sw_capture_next(capture, &packet, error)) == 1) {
		if (sw_streams_packet(streams, sw_capture_link(capture), packet.time_ns,
				      packet.bytes, packet.n, packet.whole))
			return -ENOMEM;
		if (++*n % PROGRESS_PACKETS == 0 && report->size)
			report->world.progress(report->world.data, report->file,
					       sw_capture_at(capture), report->size);
	}
	if (!r)
		return 0;
	hide_progress(report);
	sw_complain("%s is damaged behind packet %llu: %s", report->file, (unsigned long long)*n,
		    error);
	return r;
}

static int replay_capture(struct report *report, const struct sw_image *image)
{
	char error[SW_CAPTURE_ERROR_SIZE];
	sw_cleanup(close_capture) struct sw_capture *capture =
		sw_capture_open(report->ctl->operand, error);
	sw_cleanup(free_streams) struct sw_streams *streams = NULL;
	uint64_t n = 0;
	int r, ended;

	if (!capture) {
		sw_complain("cannot read %s: %s", report->file, error);
		return SW_EXIT_USAGE;
	}
	streams = sw_streams_new(image, tell, report);
	if (!streams)
		abort();
	if (report->edge)
		sw_streams_at_edge(streams, report->interface);
	r = read_packets(report, capture, streams, &n);
	ended = sw_streams_end(streams);
	if (r == -ENOMEM || ended) {
		sw_complain("out of memory behind packet %llu", (unsigned long long)n);
		return SW_EXIT_NO;
	}
	print_rows(report);
	hide_progress(report);
	if (!report->ctl->json)
		summarize(report, streams);
	return r ? SW_EXIT_USAGE : SW_EXIT_OK;
}

static int replay(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autopolicy struct sw_policy_file file = SW_POLICY_FILE_NONE;
	struct args args = {0};
	struct report report = {.ctl = ctl};
	int r = sw_ctl_arguments(ctl, &sw_cmd_replay, argc, argv, &args);

	if (r >= 0)
		return r;
	report.edge = args.as && !strcmp(args.as, "edge");
	report.interface = args.iface;
	if (args.iface && !report.edge) {
		fputs("smtpwall replay: --iface goes with --as edge\ntry: smtpwall replay --help\n",
		      stderr);
		return SW_EXIT_USAGE;
	}
	if (args.iface && !sw_query_is_interface(args.iface)) {
		fprintf(stderr,
			"smtpwall replay: --iface takes the name of one interface, not "
			"\"%s\"\ntry: "
			"smtpwall replay --help\n",
			args.iface);
		return SW_EXIT_USAGE;
	}
	file.elsewhere = true;
	r = sw_policy_file_check(&file, args.policy, ctl->json);
	sw_diags_print(file.diags, stderr);
	if (r)
		return SW_EXIT_NO;
	if (!file.image) {
		sw_complain("%s would not be put in force, so nothing would happen", args.policy);
		return SW_EXIT_NO;
	}
	report.file = strcmp(ctl->operand, "-") ? ctl->operand : "<stdin>";
	report.size = size_of(report.file);
	report.progress.dir_fd = -1;
	report.progress.show_progress = isatty(STDERR_FILENO);
	sw_system_world(&report.progress, &report.world);
	return replay_capture(&report, file.image);
}

const struct sw_command sw_cmd_replay = {
	.name = "replay",
	.operand = "FILE",
	.summary = "run a capture through the same gate and rules",
	.about = "Reads a capture (pcap or pcapng), and says of each TCP stream in it what the\n"
		 "policy would have done: its verdict, how TLS began, and the first command that\n"
		 "was sent in clear. Nothing else of what was sent is shown. No daemon and no\n"
		 "privileges are needed. FILE may be \"-\" for standard input.\n"
		 "A capture does not tell which program sent what, so rules with \"from\" do not\n"
		 "match; of \"to local\" only loopback addresses are known. The kernel reads "
		 "packets\n"
		 "before they are cut into fragments, this command the first one alone.\n"
		 "With --as edge rules match by both addresses and the interface, and a stream "
		 "whose\n"
		 "SYN is not in the capture is unattributed where TLS is required.\n"
		 "Streams are numbered and printed in the order of their first packets.\n"
		 "Exit code: 0 the capture was read to its end, whatever the verdicts; 1 the "
		 "policy\n"
		 "has errors; 2 the capture cannot be read, or is damaged: what came before that "
		 "is\n"
		 "printed.",
	.options = options,
	.n_options = sw_count(options),
	.run = replay,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/when.h"

static bool is_edge(const json_t *flow)
{
	return !strcmp(sw_string(flow, "scope"), "edge");
}

/* "php8.2-fpm.service" or, without a unit, where the process lies; "-": the guarded cgroup itself. */
static const char *unit_of(const json_t *flow)
{
	const char *unit = sw_string(flow, "unit"), *cgroup = sw_string(flow, "cgroup");

	if (*unit)
		return unit;
	return strcmp(cgroup, "/") && *cgroup ? cgroup : "-";
}

static const char *program_of(const json_t *flow)
{
	const char *exe = sw_string(flow, "exe");

	return *exe ? exe : sw_string(flow, "comm");
}

static char *user_of(const json_t *flow)
{
	const char *user = sw_string(flow, "user");
	char *text = NULL;

	if (*user || !json_is_integer(json_object_get(flow, "uid")))
		return strdup(*user ? user : "-");
	return asprintf(&text, "%lld", (long long)sw_integer(flow, "uid")) < 0 ? NULL : text;
}

static void bytes_text(const json_t *flow, const char *member, char to[24])
{
	if (json_is_integer(json_object_get(flow, member)))
		snprintf(to, 24, "%lld", (long long)sw_integer(flow, member));
	else
		snprintf(to, 24, "-");
}

/* "TLS 1.3, mail.example.net (ended)": what is over, or not known to be there, says so. */
static char *state_of(const json_t *flow)
{
	const char *words = sw_string(flow, "state_words"), *behind = "";
	char *text = NULL;

	/* At the edge FIN and RST pass the program that keeps the flow: whether it ended is known. */
	if (!is_edge(flow) && json_is_null(json_object_get(flow, "live")))
		behind = " (not seen here: another network namespace, or gone)";
	else if (!sw_is_true(flow, "live"))
		behind = " (ended)";
	return asprintf(&text, "%s%s", words, behind) < 0 ? NULL : text;
}

static void add_row(struct sw_table *table, const json_t *flow)
{
	const char *redirect = sw_string(flow, "redirect");
	char age[SW_SPAN_SIZE], sent[24], received[24];
	sw_autofree char *user = user_of(flow), *state = state_of(flow), *peer = NULL;

	sw_span_format((uint64_t)sw_integer(flow, "age_seconds") * 1000000000u, age);
	bytes_text(flow, "sent", sent);
	bytes_text(flow, "received", received);
	if (!user || !state ||
	    asprintf(&peer, "%s port %lld%s%s%s", sw_string(flow, "dst"),
		     (long long)sw_integer(flow, "port"), *redirect ? " (sent to " : "", redirect,
		     *redirect ? ")" : "") < 0)
		return;
	sw_table_row(table, (const char *const[]){age, user, program_of(flow), unit_of(flow), peer,
						  sent, received, state});
}

static char *end_of(const json_t *flow, const char *address, const char *port)
{
	char *text = NULL;
	int n = asprintf(&text, "%s port %lld", sw_string(flow, address),
			 (long long)sw_integer(flow, port));

	return n < 0 ? NULL : text;
}

static void add_edge_row(struct sw_table *table, const json_t *flow)
{
	char age[SW_SPAN_SIZE];
	sw_autofree char *client = end_of(flow, "src", "src_port"), *state = state_of(flow),
			 *peer = end_of(flow, "dst", "dst_port");

	sw_span_format((uint64_t)sw_integer(flow, "age_seconds") * 1000000000u, age);
	if (client && peer && state)
		sw_table_row(table, (const char *const[]){age, client, sw_string(flow, "interface"),
							  peer, state});
}

/* Client, and whose server it came to. */
static void add_serve_row(struct sw_table *table, const json_t *flow)
{
	char age[SW_SPAN_SIZE], sent[24], received[24];
	sw_autofree char *client = end_of(flow, "src", "src_port"), *state = state_of(flow),
			 *peer = end_of(flow, "dst", "dst_port"), *user = user_of(flow);

	sw_span_format((uint64_t)sw_integer(flow, "age_seconds") * 1000000000u, age);
	bytes_text(flow, "sent", sent);
	bytes_text(flow, "received", received);
	if (client && peer && state && user)
		sw_table_row(table, (const char *const[]){age, client, user, unit_of(flow), peer,
							  sent, received, state});
}

static const char *const host_heads[] = {">AGE", "USER",  "PROGRAM",   "UNIT",
					 "PEER", ">SENT", ">RECEIVED", "STATE"};
static const char *const serve_heads[] = {">AGE",    "CLIENT", "USER",      "UNIT",
					  "CAME TO", ">SENT",  ">RECEIVED", "STATE"};
static const char *const edge_heads[] = {">AGE", "CLIENT", "INTERFACE", "PEER", "STATE"};

/* A table for each scope, in this order. */
static const struct view {
	const char *scope;
	const char *const *heads;
	size_t n_heads;
	void (*add)(struct sw_table *table, const json_t *flow);
} views[] = {
	{"host", host_heads, sw_count(host_heads), add_row},
	{"serve", serve_heads, sw_count(serve_heads), add_serve_row},
	{"edge", edge_heads, sw_count(edge_heads), add_edge_row},
};

/* Those of one scope; returns how many there are. */
static size_t show_scope(FILE *to, const json_t *flows, const struct view *view, bool below)
{
	struct sw_table *table = sw_table_new(view->heads, view->n_heads);
	size_t i, n = 0;
	json_t *flow;

	json_array_foreach (flows, i, flow) {
		if (strcmp(sw_string(flow, "scope"), view->scope))
			continue;
		view->add(table, flow);
		n++;
	}
	if (n && below)
		fputc('\n', to);
	if (n)
		sw_table_print(table, to);
	sw_table_free(table);
	return n;
}

static void flows_text(FILE *to, const json_t *data, const void *context)
{
	const json_t *flows = json_object_get(data, "flows");
	size_t n = 0;

	(void)context;
	for (size_t i = 0; i < sw_count(views); i++)
		n += show_scope(to, flows, &views[i], n > 0);
	if (!n)
		fputs("No connection to a guarded port is known.\n", to);
}

/* One object a line. */
static void flows_json(const struct sw_ctl *ctl, const json_t *answer)
{
	size_t i;
	json_t *flow;

	json_array_foreach (json_object_get(answer, "flows"), i, flow)
		ctl->out->data(flow, flows_text, NULL);
}

static int flows(struct sw_ctl *ctl, int argc, char **argv)
{
	json_auto_t *request = json_pack("{s:s}", "request", "flows"), *answer = NULL;
	int r = sw_ctl_arguments(ctl, &sw_cmd_flows, argc, argv, NULL);

	if (r >= 0)
		return r;
	r = sw_ctl_ask(ctl, request, NULL, 0, &answer);
	if (r)
		return r;
	if (ctl->json)
		flows_json(ctl, answer);
	else
		ctl->out->data(answer, flows_text, NULL);
	if (sw_integer(answer, "left_out"))
		sw_complain("%lld older connections are left out: there are too many for one "
			    "answer",
			    (long long)sw_integer(answer, "left_out"));
	return SW_EXIT_OK;
}

const struct sw_command sw_cmd_flows = {
	.name = "flows",
	.summary = "connections to guarded ports: who, where, TLS or not",
	.about =
		"Lists the connections to guarded ports that were let through, those that are\n"
		"open first, then recent ones: how old, who opened it, to where, bytes of both\n"
		"directions, and how far it has come towards TLS. Those that this machine\n"
		"answers stand below, and those that it forwards and whose first bytes are looked\n"
		"at: client, interface.",
	.run = flows,
};

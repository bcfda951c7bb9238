/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/options.h"

static bool take_flows(struct sw_options *options, const char *value)
{
	char *end;
	unsigned long number;

	if (*value < '0' || *value > '9')
		return false;
	errno = 0;
	number = strtoul(value, &end, 10);
	if (*end || errno || number < SW_EDGE_FLOWS_MIN || number > SW_EDGE_FLOWS_LIMIT)
		return false;
	options->edge_flows = (uint32_t)number;
	return true;
}

static bool take_xdp(struct sw_options *options, const char *value)
{
	static const char *const names[] = {
		[SW_XDP_AUTO] = "auto", [SW_XDP_NATIVE] = "native", [SW_XDP_GENERIC] = "generic"};

	for (unsigned int i = 0; i < sw_count(names); i++) {
		if (strcmp(value, names[i]) != 0)
			continue;
		options->xdp = i;
		return true;
	}
	return false;
}

static bool take_size(struct sw_options *options, const char *value)
{
	static const char units[] = "KMGT";
	unsigned long number;
	const char *unit;
	char *end;

	if (*value < '0' || *value > '9')
		return false;
	errno = 0;
	number = strtoul(value, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || (*end && (!unit || end[1])) || number > SW_STORE_BYTES_MAX)
		return false;
	for (ptrdiff_t i = unit ? unit - units : -1; i >= 0; i--)
		number = number > SW_STORE_BYTES_MAX ? number : number << 10;
	if (number > SW_STORE_BYTES_MAX || (number && number < SW_STORE_BYTES_MIN))
		return false;
	options->store_bytes = number;
	return true;
}

static bool take_days(struct sw_options *options, const char *value)
{
	unsigned int days;
	char more;

	if (*value < '0' || *value > '9' || sscanf(value, "%5u%c", &days, &more) != 1)
		return false;
	options->keep_days = days;
	return true;
}

static bool take_format(struct sw_options *options, const char *value)
{
	options->json_ecs = strcmp(value, "ecs") == 0;
	return options->json_ecs || strcmp(value, "native") == 0;
}

/* The table is the usage text and the parser at once. An option with a `word` takes a value: a text at
   `offset`, or what `take` makes of it. */
static const struct option_row {
	const char *name, *word, *help;
	size_t offset;
	bool (*take)(struct sw_options *options, const char *value);
} rows[] = {
	{"policy", "FILE", "the policy to enforce [/etc/smtpwall/policy]",
	 offsetof(struct sw_options, policy), NULL},
	{"cgroup", "DIR", "guard the processes below this cgroup [the cgroup2 root]",
	 offsetof(struct sw_options, cgroup), NULL},
	{"run-dir", "DIR", "control socket and lock [/run/smtpwall]",
	 offsetof(struct sw_options, run_dir), NULL},
	{"state-dir", "DIR", "what outlives a reboot [/var/lib/smtpwall]",
	 offsetof(struct sw_options, state_dir), NULL},
	{"pin-dir", "DIR", "where programs, links and maps are pinned [/sys/fs/bpf/smtpwall]",
	 offsetof(struct sw_options, pin_dir), NULL},
	{.name = "flows",
	 .word = "N",
	 .help = "room for connections through the edge, 64 to 67108864 [1048576]",
	 .take = take_flows},
	{.name = "xdp",
	 .word = "MODE",
	 .help = "how the edge attaches: auto, native or generic [auto]",
	 .take = take_xdp},
	{.name = "store-size",
	 .word = "SIZE",
	 .help = "room for the audit store in STATE-DIR, as 512M or 2G; 0: none is kept [1G]",
	 .take = take_size},
	{.name = "keep-days",
	 .word = "N",
	 .help = "how long events stay in it, 0: until it is full [90]",
	 .take = take_days},
	{"journal", NULL, "write events to the systemd journal, with a field for each member",
	 offsetof(struct sw_options, journal), NULL},
	{"json-file", "FILE", "write events to FILE, one JSON object a line",
	 offsetof(struct sw_options, json_file), NULL},
	{.name = "json-format",
	 .word = "FORMAT",
	 .help = "native, or ecs: Elastic Common Schema [native]",
	 .take = take_format},
	{"syslog", "TARGET", "send events on: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT",
	 offsetof(struct sw_options, syslog), NULL},
	{"syslog-sessions", NULL, "send sessions on as well",
	 offsetof(struct sw_options, syslog_sessions), NULL},
	{"syslog-name", "NAME", "the name that its certificate must have [HOST]",
	 offsetof(struct sw_options, syslog_name), NULL},
	{"syslog-ca", "FILE", "who may have signed it [those of the system]",
	 offsetof(struct sw_options, syslog_ca), NULL},
	{"syslog-cert", "FILE", "our own certificate", offsetof(struct sw_options, syslog_cert),
	 NULL},
	{"syslog-key", "FILE", "and its key", offsetof(struct sw_options, syslog_key), NULL},
	{"metrics", "ADDR", "serve metrics at 127.0.0.1:PORT, [::1]:PORT or unix:PATH",
	 offsetof(struct sw_options, metrics), NULL},
	{"elsewhere", NULL, "tell of SMTP on ports that no rule names",
	 offsetof(struct sw_options, elsewhere), NULL},
	{"foreground", NULL, "show each refusal as a line on standard output",
	 offsetof(struct sw_options, foreground), NULL},
	{"check", NULL, "check the policy, enforce nothing; exit 0 when it is right, 1 when not",
	 offsetof(struct sw_options, check), NULL},
	{"detach", NULL, "take off what a daemon that has ended left in force, and end",
	 offsetof(struct sw_options, detach), NULL},
	{"verbose", NULL, "say more, with what libbpf says", offsetof(struct sw_options, verbose),
	 NULL},
	{"help", NULL, "show this", offsetof(struct sw_options, help), NULL},
	{"version", NULL, "show the version", offsetof(struct sw_options, version), NULL},
};

void sw_options_help(FILE *to)
{
	fputs("usage: smtpwalld [OPTION]...\n"
	      "Enforces an smtpwall policy on the processes of this machine, and on what it "
	      "forwards.\n\n",
	      to);
	for (size_t i = 0; i < sw_count(rows); i++) {
		char left[40];

		snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].word ? " " : "",
			 rows[i].word ? rows[i].word : "");
		fprintf(to, "  %-20s %s\n", left, rows[i].help);
	}
	fputs("\nEnforcement goes on when the daemon ends; `smtpwall stop --detach`, or without a\n"
	      "daemon `smtpwalld --detach`, takes it off.\n"
	      "Exit codes: 0 done, 1 the policy has errors, 2 wrong usage, 4 the kernel refused.\n",
	      to);
}

static const struct option_row *find_row(const char *name, size_t length)
{
	for (size_t i = 0; i < sw_count(rows); i++)
		if (strlen(rows[i].name) == length && strncmp(rows[i].name, name, length) == 0)
			return &rows[i];
	return NULL;
}

static int set_value(struct sw_options *options, const struct option_row *row, const char *value,
		     FILE *errors)
{
	void *member = (char *)options + row->offset;

	if (!value || !*value) {
		fprintf(errors, "smtpwalld: --%s needs a value: %s\n", row->name, row->word);
		return -1;
	}
	if (row->take && !row->take(options, value)) {
		fprintf(errors, "smtpwalld: --%s: '%s' will not do: %s\n", row->name, value,
			row->help);
		return -1;
	}
	if (!row->take)
		memcpy(member, &value, sizeof(value));
	return 0;
}

int sw_options_parse(int argc, char *const *argv, struct sw_options *options, FILE *errors)
{
	*options = (struct sw_options){
		.policy = "/etc/smtpwall/policy",
		.run_dir = "/run/smtpwall",
		.state_dir = "/var/lib/smtpwall",
		.pin_dir = "/sys/fs/bpf/smtpwall",
		.edge_flows = SW_EDGE_FLOWS_DEFAULT,
		.xdp = SW_XDP_AUTO,
		.store_bytes = 1ull << 30,
		.keep_days = 90,
	};
	for (int i = 1; i < argc; i++) {
		const char *name, *equals;
		const struct option_row *row;

		if (strncmp(argv[i], "--", 2) != 0 || !argv[i][2]) {
			fprintf(errors, "smtpwalld: unexpected argument '%s'; see --help\n",
				argv[i]);
			return -1;
		}
		name = argv[i] + 2;
		equals = strchr(name, '=');
		row = find_row(name, equals ? (size_t)(equals - name) : strlen(name));
		if (!row || (equals && !row->word)) {
			fprintf(errors, "smtpwalld: %s '%s'; see --help\n",
				row ? "this option takes no value:" : "unknown option", argv[i]);
			return -1;
		}
		if (!row->word) {
			*(bool *)((char *)options + row->offset) = true;
			continue;
		}
		/* argv ends in NULL, which set_value() takes for a value that is missing. */
		if (set_value(options, row, equals ? equals + 1 : argv[++i], errors) < 0)
			return -1;
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/policyfile.h"
#include "ctl/query.h"
#include "daemon/proto.h"

struct args {
	long port, pid;
	bool serve;
	const char *exe, *user, *group, *unit, *cgroup, *to, *from, *iface, *policy;
};

#define TEXT_OPTION(member, called, words)                                                         \
	{                                                                                          \
		.name = #member, .value = (called), .kind = SW_OPTION_TEXT,                        \
		.offset = offsetof(struct args, member), .help = (words)                           \
	}

static const struct sw_option options[] = {
	{.name = "port",
	 .value = "P",
	 .kind = SW_OPTION_NUMBER,
	 .required = true,
	 .offset = offsetof(struct args, port),
	 .low = 1,
	 .high = 65535,
	 .help = "destination port"},
	{.name = "pid",
	 .value = "N",
	 .kind = SW_OPTION_NUMBER,
	 .offset = offsetof(struct args, pid),
	 .low = 1,
	 .high = INT_MAX,
	 .help = "for this process, as it is now; options beside it win"},
	TEXT_OPTION(exe, "E", "for this program, by its whole path"),
	TEXT_OPTION(user, "U", "for this effective user, name or number, with its groups"),
	TEXT_OPTION(group, "G", "for this effective group, name or number"),
	TEXT_OPTION(unit, "N", "for this systemd unit"),
	TEXT_OPTION(cgroup, "C", "for this cgroup, told from the guarded one: /a/b"),
	TEXT_OPTION(to, "A", "to this address"),
	TEXT_OPTION(from, "A", "edge, serve: from a client with this address"),
	TEXT_OPTION(iface, "I",
		    "edge: that comes in through this interface (the first\n"
		    "with this port in an edge block)"),
	{.name = "serve",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, serve),
	 .help = "for a client that comes to a server here, which listens on\n"
		 "port P; --to is the address that it comes to"},
	TEXT_OPTION(policy, "FILE", "ask this policy file; no daemon is needed"),
};

static int wrong(const char *option, const char *words, const char *value)
{
	fprintf(stderr, "smtpwall why: --%s %s, not \"%s\"\ntry: smtpwall why --help\n", option,
		words, value);
	return SW_EXIT_USAGE;
}

static int add_address(json_t *query, const char *name, const char *address)
{
	uint8_t bytes[16];

	if (!address)
		return 0;
	if (sw_addr_parse(address, bytes))
		return wrong(name, "takes an IPv4 or IPv6 address", address);
	json_object_set_new(query, name, json_string(address));
	return 0;
}

/* JSON carries no other text than UTF-8. */
static int add_text(json_t *query, const char *name, const char *text)
{
	if (text && json_object_set_new(query, name, json_string(text)))
		return wrong(name, "takes UTF-8 text", text);
	return 0;
}

/* Of what comes from elsewhere there are packets and no processes. */
static int check_edge(const struct args *args)
{
	const struct {
		const char *name;
		bool given;
	} host[] = {
		{"pid", args->pid > 0}, {"exe", args->exe},   {"user", args->user},
		{"group", args->group}, {"unit", args->unit}, {"cgroup", args->cgroup},
	};

	if (args->serve && args->iface) {
		fputs("smtpwall why: --iface asks about traffic that this machine forwards, "
		      "--serve about\nwhat it answers: not both at once\n"
		      "try: smtpwall why --help\n",
		      stderr);
		return SW_EXIT_USAGE;
	}
	for (size_t i = 0; i < sw_count(host); i++) {
		if (!host[i].given)
			continue;
		fprintf(stderr,
			"smtpwall why: --%s asks about a program of this machine, --%s about "
			"%s: not both at once\ntry: smtpwall why --help\n",
			host[i].name,
			args->serve  ? "serve"
			: args->from ? "from"
				     : "iface",
			args->serve ? "clients\nthat come to it" : "traffic that it\nforwards");
		return SW_EXIT_USAGE;
	}
	return 0;
}

static int check_options(const struct args *args)
{
	if (args->exe && args->exe[0] != '/')
		return wrong("exe", "takes a whole path", args->exe);
	if (args->iface && !sw_query_is_interface(args->iface))
		return wrong("iface", "takes the name of one interface", args->iface);
	if (args->cgroup && args->cgroup[0] != '/')
		return wrong("cgroup", "takes a path that begins with \"/\"", args->cgroup);
	return 0;
}

/* What the options say; it wins over what --pid found. */
static int add_options(json_t *query, const struct args *args)
{
	int r = check_options(args);

	if (r)
		return r;
	if (args->user && sw_query_user(query, args->user))
		return wrong("user", "takes a user of this machine or a number", args->user);
	if (args->group && sw_query_group(query, args->group))
		return wrong("group", "takes a group of this machine or a number", args->group);
	if (args->cgroup)
		sw_query_cgroup(query, args->cgroup);
	r = add_text(query, "exe", args->exe);
	if (!r)
		r = add_text(query, "cgroup", args->cgroup);
	if (!r)
		r = add_text(query, "unit", args->unit);
	if (!r)
		r = add_address(query, "to", args->to);
	if (!r)
		r = add_address(query, "from", args->from);
	return r ? r : add_text(query, "iface", args->iface);
}

/* The guarded cgroup in the cgroup-v2 tree, malloc'ed. A policy file is read for the root of it. */
static int guarded_cgroup(const struct sw_ctl *ctl, const struct args *args, char **root)
{
	json_auto_t *request = json_pack("{s:s}", "request", "status"), *answer = NULL;
	sw_autofree char *mounts = NULL;
	int r;

	*root = NULL;
	if (args->policy) {
		*root = strdup("/");
		return 0;
	}
	r = sw_ctl_ask(ctl, request, NULL, 0, &answer);
	if (r)
		return r;
	mounts = sw_read_whole("/proc/self/mountinfo");
	*root = sw_cgroup_of_folder(mounts, sw_string(answer, "cgroup"));
	return 0;
}

/* Puts a process into the question. *outside: it lies in no cgroup that is guarded. */
static int add_process(const struct sw_ctl *ctl, const struct args *args, json_t *query,
		       json_t *notes, bool *outside)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;
	sw_autofree char *root = NULL;
	const char *below;
	int r = sw_process_read((pid_t)args->pid, &process);

	if (r) {
		sw_complain(r == -ESRCH ? "there is no process %ld" : "cannot read /proc/%ld",
			    args->pid);
		return SW_EXIT_USAGE;
	}
	sw_query_process(query, &process, notes);
	r = guarded_cgroup(ctl, args, &root);
	if (r)
		return r;
	below = process.cgroup && root ? sw_path_below(process.cgroup, root) : NULL;
	if (below) {
		sw_query_cgroup(query, below);
	} else if (process.cgroup && root) {
		*outside = true;
		json_array_append_new(notes, json_sprintf("its cgroup %s lies outside the guarded "
							  "one, %s: nothing is decided for it",
							  process.cgroup, root));
	} else {
		json_array_append_new(notes, json_string("its cgroup cannot be found out: one that "
							 "no rule names"));
	}
	return 0;
}

static int ask_file(const struct sw_ctl *ctl, const char *name, const json_t *query,
		    json_t **answer)
{
	sw_autopolicy struct sw_policy_file file = SW_POLICY_FILE_NONE;

	if (sw_policy_file_check(&file, name, ctl->json)) {
		sw_diags_print(file.diags, stderr);
		return SW_EXIT_NO;
	}
	*answer = sw_query_eval(query, file.image);
	return 0;
}

/* What is not known counts as what no rule names, and that is said. */
static void show_member(FILE *to, const json_t *query, const char *label, const char *member,
			const char *option)
{
	const char *text = sw_string(query, member);
	sw_autofree char *shown = sw_escaped(text);

	if (*text)
		fprintf(to, "  %-9s %s\n", label, shown);
	else if (sw_integer(query, "pid"))
		fprintf(to, "  %-9s not known: one that no rule names\n", label);
	else
		fprintf(to, "  %-9s not given (%s): one that no rule names\n", label, option);
}

static void show_user(FILE *to, const json_t *query)
{
	const json_t *uid = json_object_get(query, "uid");
	const char *name = sw_string(query, "user");
	sw_autofree char *shown = sw_escaped(name);

	if (!uid)
		fputs("  user      not given (--user): one that no rule names\n", to);
	else if (*name)
		fprintf(to, "  user      %lld (%s)\n", (long long)json_integer_value(uid), shown);
	else
		fprintf(to, "  user      %lld\n", (long long)json_integer_value(uid));
}

static void show_groups(FILE *to, const json_t *query)
{
	const json_t *gid = json_object_get(query, "gid");
	json_t *group;
	size_t i;

	if (!gid) {
		fputs("  group     not given (--group): one that no rule names\n", to);
		return;
	}
	fprintf(to, "  group     %lld", (long long)json_integer_value(gid));
	json_array_foreach (json_object_get(query, "groups"), i, group) {
		if (json_integer_value(group) != json_integer_value(gid))
			fprintf(to, ", %lld", (long long)json_integer_value(group));
	}
	fputc('\n', to);
}

static void show_cgroup(FILE *to, const json_t *query)
{
	bool has_cgroup = *sw_string(query, "cgroup");

	if (has_cgroup && !*sw_string(query, "unit"))
		fputs("  unit      none\n", to);
	else
		show_member(to, query, "unit", "unit", "--unit");
	if (has_cgroup)
		show_member(to, query, "cgroup", "cgroup", "--cgroup");
}

static bool is_edge(const json_t *query)
{
	return !strcmp(sw_string(query, "scope"), "edge");
}

static bool is_serve(const json_t *query)
{
	return !strcmp(sw_string(query, "scope"), "serve");
}

static void show_question(FILE *to, const json_t *query)
{
	if (is_serve(query)) {
		show_member(to, query, "client", "from", "--from");
	} else if (is_edge(query)) {
		show_member(to, query, "client", "from", "--from");
		if (*sw_string(query, "iface"))
			show_member(to, query, "interface", "iface", "--iface");
		else
			fputs("  interface not given (--iface): the first with this port in an "
			      "edge block\n",
			      to);
	} else {
		show_member(to, query, "program", "exe", "--exe");
		show_user(to, query);
		show_groups(to, query);
		show_cgroup(to, query);
	}
	if (*sw_string(query, "to"))
		show_member(to, query, "address", "to", "--to");
	else
		fputs("  address   not given (--to): one that no rule names\n", to);
}

/* What `require tls` asks of the first bytes. */
static void show_tls(FILE *to, const json_t *data)
{
	static const char implicit[] = "a ClientHello at once (implicit TLS)",
			  starttls[] = "STARTTLS before any other mail command";
	const json_t *tls = json_object_get(data, "tls_required");
	const char *way = sw_string(tls, "way");
	sw_autofree char *version = sw_escaped(sw_string(tls, "version"));
	bool recorded = sw_is_true(data, "audit");

	if (!*way)
		return;
	fputs(recorded ? "; it is recorded unless TLS" : ", if TLS", to);
	if (*version)
		fprintf(to, " %s or newer", version);
	fputs(" comes first: ", to);
	if (strcmp(way, "starttls"))
		fputs(implicit, to);
	if (!strcmp(way, "any"))
		fputs(", or ", to);
	if (strcmp(way, "implicit"))
		fputs(starttls, to);
	if (sw_is_true(tls, "proxy"))
		fputs("; a PROXY protocol header may stand before it", to);
}

/* What a verdict means for the program that connects, here or behind a router. */
static const struct meaning {
	const char *verdict, *here, *edge, *serve;
	enum sw_color color;
} meanings[] = {
	{"allow", "allowed", "let through", "let through", SW_GREEN},
	{"reject", "refused at once with \"Permission denied\"",
	 "refused at once: it is answered with a TCP reset",
	 "refused: it is reset when it has been made, before anything is said", SW_RED},
	{"drop", "refused at once with \"Permission denied\"",
	 "dropped: the client waits until it gives up",
	 "dropped: the client waits until it gives up", SW_RED},
	{"redirect", "sent to ", "", "", SW_YELLOW},
	{"audit", "allowed and recorded", "let through and recorded", "let through and recorded",
	 SW_YELLOW},
};

static void show_verdict(FILE *to, const json_t *data)
{
	const char *verdict = sw_string(data, "verdict");
	const json_t *query = json_object_get(data, "query");
	sw_autofree char *redirect = sw_escaped(sw_string(data, "redirect"));
	sw_autofree char *text = sw_escaped(sw_string(data, "text"));
	bool audited = !strcmp(verdict, "audit") && strcmp(sw_string(data, "reason"), "none");

	for (size_t i = 0; i < sw_count(meanings); i++) {
		const struct meaning *one = &meanings[i];

		if (strcmp(one->verdict, verdict))
			continue;
		fputs(sw_color(to, one->color), to);
		if (sw_is_true(data, "answer") && !audited)
			fprintf(to, "refused: it is answered with \"" SW_ANSWER_CODE " %s\"", text);
		else
			fprintf(to, "%s%s",
				is_serve(query)  ? one->serve
				: is_edge(query) ? one->edge
						 : one->here,
				redirect);
		fputs(sw_color(to, SW_PLAIN), to);
	}
	if (audited)
		fputs("; it would be refused if the mode were enforce", to);
	show_tls(to, data);
	fputc('\n', to);
}

/* Why nothing is decided. */
static const char *unguarded_words(const json_t *data, const json_t *query)
{
	if (sw_is_true(data, "outside"))
		return "the process is not guarded";
	if (is_serve(query))
		return "no serve block names this port";
	if (!is_edge(query))
		return "no host block names this port";
	return *sw_string(query, "iface") ? "no edge block names this port on this interface"
					  : "no edge block names this port";
}

static void why_text(FILE *to, const json_t *data, const void *context)
{
	const json_t *query = json_object_get(data, "query");
	json_t *note;
	sw_autofree char *rule = sw_escaped(sw_string(data, "rule_text"));
	size_t i;

	(void)context;
	fprintf(to, "A %sconnection to port %lld would be ",
		is_edge(query)    ? "forwarded "
		: is_serve(query) ? "client's "
				  : "",
		(long long)sw_integer(query, "port"));
	if (sw_is_true(data, "guarded"))
		show_verdict(to, data);
	else
		fprintf(to, "let through: %s\n", unguarded_words(data, query));
	show_question(to, query);
	if (sw_is_true(data, "guarded")) {
		if (sw_integer(data, "rule"))
			fprintf(to, "  rule      %lld, line %lld: %s\n",
				(long long)sw_integer(data, "rule"),
				(long long)sw_integer(data, "line"), rule);
		if (strcmp(sw_string(data, "reason"), "none"))
			fprintf(to, "  reason    %s (%s)\n", sw_string(data, "reason_words"),
				sw_string(data, "reason"));
	}
	json_array_foreach (json_object_get(data, "notes"), i, note) {
		sw_autofree char *shown = sw_escaped(json_string_value(note));

		fprintf(to, "  note      %s\n", shown);
	}
}

static int exit_code(const json_t *data)
{
	static const char *const passing[] = {"allow", "redirect", "audit"};

	if (!sw_is_true(data, "guarded"))
		return SW_EXIT_OK;
	for (size_t i = 0; i < sw_count(passing); i++)
		if (!strcmp(sw_string(data, "verdict"), passing[i]))
			return SW_EXIT_OK;
	return SW_EXIT_NO;
}

/* Collects the question, then asks the file or the daemon. */
static int answer_query(const struct sw_ctl *ctl, const struct args *args, json_t *query,
			json_t *notes, json_t **answer)
{
	bool outside = false;
	int r = 0;

	if (args->pid > 0) {
		json_object_set_new(query, "pid", json_integer(args->pid));
		r = add_process(ctl, args, query, notes, &outside);
	}
	if (!r)
		r = add_options(query, args);
	if (r)
		return r;
	if (outside && !args->cgroup && !args->unit) {
		*answer = sw_query_outside();
		return 0;
	}
	if (args->policy)
		return ask_file(ctl, args->policy, query, answer);
	json_object_set_new(query, "request", json_string("why"));
	r = sw_ctl_ask(ctl, query, NULL, 0, answer);
	json_object_del(query, "request");
	return r;
}

static int why(struct sw_ctl *ctl, int argc, char **argv)
{
	struct args args = {.port = -1, .pid = -1};
	json_auto_t *query = NULL, *notes = json_array(), *answer = NULL;
	int r = sw_ctl_arguments(ctl, &sw_cmd_why, argc, argv, &args);
	const char *scope;

	if (r >= 0)
		return r;
	scope = args.serve ? "serve" : args.from || args.iface ? "edge" : "host";
	r = strcmp(scope, "host") ? check_edge(&args) : 0;
	if (r)
		return r;
	query = json_pack("{s:i, s:s}", "port", (int)args.port, "scope", scope);
	r = answer_query(ctl, &args, query, notes, &answer);
	if (r)
		return r;
	json_object_set(answer, "query", query);
	json_object_set(answer, "notes", notes);
	r = exit_code(answer);
	ctl->out->data(answer, why_text, NULL);
	return r;
}

const struct sw_command sw_cmd_why = {
	.name = "why",
	.summary = "what would happen to a connection, by which rule, why",
	.about =
		"Says what would happen to a connection, which rule decides, and why. What is not\n"
		"given is taken as one that no rule names. With --from or --iface it is about "
		"one\n"
		"that this machine forwards: then edge blocks decide, by address and interface.\n"
		"With --serve it is about one that a server of this machine answers.\n"
		"Exit code: 0 when the connection would pass; 1 when it would be refused.",
	.options = options,
	.n_options = sw_count(options),
	.run = why,
};

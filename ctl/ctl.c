/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "ctl/client.h"
#include "daemon/proto.h"

static const struct sw_option common[] = {
	{.name = "json",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct sw_ctl, json),
	 .help = "print data as JSON"},
	{.name = "help",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct sw_ctl, help),
	 .help = "print this and exit"},
};

static void help(const struct sw_command *command, const struct sw_option_set *sets, size_t n_sets)
{
	int n = printf("usage: smtpwall %s%s%s", command->name, command->operand ? " " : "",
		       command->operand ? command->operand : "");

	sw_opts_synopsis(sets, n_sets, (size_t)n, 16, stdout);
	printf("\n\n%s\n\n", command->about);
	sw_opts_help(sets, n_sets, stdout);
}

int sw_ctl_arguments(struct sw_ctl *ctl, const struct sw_command *command, int argc, char **argv,
		     void *args)
{
	const struct sw_option_set sets[] = {
		{command->options, command->n_options, args},
		{common, sw_count(common), ctl},
	};
	char error[SW_ERROR_SIZE] = "";
	const struct sw_option *missing;
	const char *extra = NULL;
	int next = 1;

	ctl->operand = NULL;
	if (!sw_opts_read(sets, sw_count(sets), argc, argv, &next,
			  command->operand ? &ctl->operand : &extra, error) &&
	    !ctl->help) {
		missing = sw_opts_missing(&sets[0]);
		if (extra)
			snprintf(error, sizeof(error), "unexpected word \"%s\"", extra);
		else if (command->operand && !ctl->operand)
			snprintf(error, sizeof(error), "which %s?", command->operand);
		else if (missing)
			snprintf(error, sizeof(error), "--%s %s is needed", missing->name,
				 missing->value);
	}
	if (*error) {
		fprintf(stderr, "smtpwall %s: %s\ntry: smtpwall %s --help\n", command->name, error,
			command->name);
		return SW_EXIT_USAGE;
	}
	if (ctl->help) {
		help(command, sets, sw_count(sets));
		return SW_EXIT_OK;
	}
	ctl->out = ctl->json ? &sw_output_json : &sw_output_text;
	return -1;
}

void sw_complain(const char *format, ...)
{
	va_list args;

	fputs("smtpwall: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* `found`: what is at the place where the socket should be. */
static int not_running(const struct sw_ctl *ctl, const char *found)
{
	if (strcmp(ctl->run_dir, SW_RUN_DIR))
		sw_complain("smtpwalld is not running (%s %s/control): start it with "
			    "\"smtpwalld --run-dir %s\"",
			    found, ctl->run_dir, ctl->run_dir);
	else
		sw_complain("smtpwalld is not running (%s %s/control): start it with "
			    "\"systemctl start smtpwalld\"",
			    found, ctl->run_dir);
	return SW_EXIT_NO_DAEMON;
}

int sw_ctl_unreachable(const struct sw_ctl *ctl, int error)
{
	switch (error) {
	case -ENOENT:
	case -ENOTDIR:
		return not_running(ctl, "no socket at");
	case -ECONNREFUSED:
		return not_running(ctl, "nobody answers at");
	case -EACCES:
	case -EPERM:
		sw_complain("you may not speak to smtpwalld: %s/control is for root and for the "
			    "group that owns it",
			    ctl->run_dir);
		return SW_EXIT_NO;
	case -ECONNRESET:
	case -EPIPE:
		sw_complain("smtpwalld ended the conversation without an answer");
		return SW_EXIT_NO_DAEMON;
	case -ETIMEDOUT:
		sw_complain("smtpwalld does not answer");
		return SW_EXIT_NO_DAEMON;
	case -EBADMSG:
	case -EMSGSIZE:
		sw_complain("what answers at %s/control does not speak as smtpwalld does",
			    ctl->run_dir);
		return SW_EXIT_NO_DAEMON;
	default:
		sw_complain("cannot speak to smtpwalld at %s/control: %s", ctl->run_dir,
			    strerror(-error));
		return SW_EXIT_NO_DAEMON;
	}
}

int sw_ctl_answer(const json_t *answer)
{
	const json_t *status = json_object_get(answer, "status");
	const char *error = sw_string(answer, "error");
	sw_autofree char *shown = sw_escaped(error);

	if (!json_is_integer(status)) {
		sw_complain("the answer of smtpwalld has no status");
		return SW_EXIT_NO_DAEMON;
	}
	if (json_integer_value(status) && *error)
		sw_complain("%s", shown);
	switch (json_integer_value(status)) {
	case SW_STATUS_OK:
		return SW_EXIT_OK;
	case SW_STATUS_BAD:
		return SW_EXIT_USAGE;
	case SW_STATUS_KERNEL:
		return SW_EXIT_KERNEL;
	default:
		return SW_EXIT_NO;
	}
}

int sw_ctl_exchange(const struct sw_ctl *ctl, struct sw_client *client, const json_t *request,
		    const int *fds, size_t n_fds, json_t **answer)
{
	int r = sw_client_send(client, request, fds, n_fds);

	*answer = NULL;
	/* A daemon that refuses early may answer before it has read everything. */
	if (!r || r == -EPIPE)
		r = sw_client_next(client, -1, answer);
	return r ? sw_ctl_unreachable(ctl, r) : sw_ctl_answer(*answer);
}

int sw_ctl_ask(const struct sw_ctl *ctl, const json_t *request, const int *fds, size_t n_fds,
	       json_t **answer)
{
	sw_autoclient struct sw_client client = SW_CLIENT_CLOSED;
	int r = sw_client_open(&client, ctl->run_dir);

	*answer = NULL;
	return r ? sw_ctl_unreachable(ctl, r)
		 : sw_ctl_exchange(ctl, &client, request, fds, n_fds, answer);
}

const char *sw_string(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return text ? text : "";
}

json_int_t sw_integer(const json_t *object, const char *member)
{
	return json_integer_value(json_object_get(object, member));
}

bool sw_is_true(const json_t *object, const char *member)
{
	return json_is_true(json_object_get(object, member));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/ctl.h"

struct args {
	bool detach;
};

static const struct sw_option options[] = {
	{.name = "detach",
	 .kind = SW_OPTION_FLAG,
	 .offset = offsetof(struct args, detach),
	 .help = "take enforcement off as well: every port is open again"},
};

static void stop_text(FILE *to, const json_t *data, const void *context)
{
	(void)context;
	if (sw_is_true(data, "detach"))
		fputs("smtpwalld has ended, and enforcement is off: nothing is guarded.\n", to);
	else
		fputs("smtpwalld has ended. What it enforced is still enforced, by the kernel "
		      "alone.\nTo take that off as well, run: smtpwalld --detach\n"
		      "(with the --pin-dir that it was started with, if it was given one)\n",
		      to);
}

static int stop(struct sw_ctl *ctl, int argc, char **argv)
{
	json_auto_t *request = NULL, *answer = NULL;
	struct args args = {0};
	int r = sw_ctl_arguments(ctl, &sw_cmd_stop, argc, argv, &args);

	if (r >= 0)
		return r;
	request = json_pack("{s:s, s:b}", "request", "stop", "detach", (int)args.detach);
	r = sw_ctl_ask(ctl, request, NULL, 0, &answer);
	if (r == SW_EXIT_NO_DAEMON && args.detach)
		sw_complain("what a daemon that has ended left in force is taken off by: smtpwalld "
			    "--detach");
	if (r)
		return r;
	json_object_set_new(answer, "detach", json_boolean(args.detach));
	ctl->out->data(answer, stop_text, NULL);
	return SW_EXIT_OK;
}

const struct sw_command sw_cmd_stop = {
	.name = "stop",
	.summary = "end the daemon; enforcement goes on unless --detach",
	.about = "Ends smtpwalld. The policy in force stays in the kernel and is enforced\n"
		 "without it; only events are no longer recorded.",
	.options = options,
	.n_options = sw_count(options),
	.run = stop,
};

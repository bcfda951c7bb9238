/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/ctl.h"

/* How long the daemon may take to end once it has said that it does. */
#define END_MS 15000

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

/* A descriptor of the process that listens; -1 when the kernel does not tell it here (another pid
   namespace). */
static int open_process(const struct sw_client *client)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || peer.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

static int no_daemon(const struct sw_ctl *ctl, int error, bool detach)
{
	int code = sw_ctl_unreachable(ctl, error);

	if (code == SW_EXIT_NO_DAEMON && detach)
		sw_complain("what a daemon that has ended left in force is taken off by: smtpwalld "
			    "--detach");
	return code;
}

/* It says that it ends before it does. Whoever starts another one behind this command must find
   the place empty, so the process is waited for. */
static int wait_for_end(int process)
{
	struct pollfd end = {.fd = process, .events = POLLIN};
	int n;

	if (process < 0)
		return SW_EXIT_OK;
	do
		n = poll(&end, 1, END_MS);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return SW_EXIT_OK;
	sw_complain("smtpwalld said that it ends, and has not");
	return SW_EXIT_NO;
}

static int stop(struct sw_ctl *ctl, int argc, char **argv)
{
	sw_autoclient struct sw_client client = SW_CLIENT_CLOSED;
	json_auto_t *request = NULL, *answer = NULL;
	sw_autoclose int process = -1;
	struct args args = {0};
	int r = sw_ctl_arguments(ctl, &sw_cmd_stop, argc, argv, &args);

	if (r >= 0)
		return r;
	r = sw_client_open(&client, ctl->run_dir);
	if (r)
		return no_daemon(ctl, r, args.detach);
	process = open_process(&client);
	request = json_pack("{s:s, s:b}", "request", "stop", "detach", (int)args.detach);
	r = sw_ctl_exchange(ctl, &client, request, NULL, 0, &answer);
	if (!r)
		r = wait_for_end(process);
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

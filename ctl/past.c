/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/past.h"

#include <errno.h>
#include <string.h>

#include "ctl/client.h"

/* Where the daemon says its store is. 0 or -errno. */
static int ask_daemon(const struct sw_ctl *ctl, char **path)
{
	sw_autoclient struct sw_client client = SW_CLIENT_CLOSED;
	json_auto_t *request = json_pack("{s:s, s:i}", "request", "events", "last", 0),
		    *answer = NULL;
	int r = sw_client_open(&client, ctl->run_dir);

	if (!r)
		r = sw_client_send(&client, request, NULL, 0);
	/* One that refuses at once may have closed before it read. */
	if (!r || r == -EPIPE)
		r = sw_client_next(&client, -1, &answer);
	if (!r && sw_integer(answer, "status") == SW_STATUS_DENIED)
		r = -EACCES;
	if (!r && *sw_string(answer, "store")) {
		*path = strdup(sw_string(answer, "store"));
		r = *path ? 0 : -ENOMEM;
	}
	return r;
}

void sw_past_open(struct sw_past *past, const struct sw_ctl *ctl, bool own)
{
	const char *dir = ctl->state_dir ? ctl->state_dir : SW_STATE_DIR;

	*past = (struct sw_past)SW_PAST_NONE;
	past->daemon = own ? -ENOENT : ask_daemon(ctl, &past->path);
	if (past->daemon && asprintf(&past->path, "%s/%s", dir, SW_STORE_NAME) < 0)
		past->path = NULL;
	if (past->path)
		past->fault = sw_store_read(past->path, &past->reader, past->error);
}

void sw_past_close(struct sw_past *past)
{
	sw_store_read_end(past->reader);
	free(past->path);
	*past = (struct sw_past)SW_PAST_NONE;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "ctl/ctl.h"
#include "ctl/filter.h"
#include "ctl/past.h"
#include "ctl/report.h"
#include "ctl/when.h"

#define WEEK_NS (7 * 86400 * 1000000000ull)

struct args {
	const char *since, *until, *html;
};

static const struct sw_option options[] = {
	{.name = "since",
	 .value = "T",
	 .kind = SW_OPTION_TEXT,
	 .offset = offsetof(struct args, since),
	 .help = "from T on: 2h, 1d, 4w, or 2026-01-02T03:04:05Z (default: 7 days)"},
	{.name = "until",
	 .value = "T",
	 .kind = SW_OPTION_TEXT,
	 .offset = offsetof(struct args, until),
	 .help = "before T (default: now)"},
	{.name = "html",
	 .value = "FILE",
	 .kind = SW_OPTION_TEXT,
	 .offset = offsetof(struct args, html),
	 .help = "write it as one HTML page to FILE instead"},
};

/* [*since, *until). 0, or -EINVAL with a sentence in `error`. */
static int take_times(const struct args *args, uint64_t now, uint64_t *since, uint64_t *until,
		      char error[static SW_ERROR_SIZE])
{
	int r;

	*until = now;
	r = sw_filter_time("until", args->until, now, until, error);
	if (r)
		return r;
	*since = *until > WEEK_NS ? *until - WEEK_NS : 0;
	r = sw_filter_time("since", args->since, now, since, error);
	if (!r && *since >= *until) {
		snprintf(error, SW_ERROR_SIZE,
			 "--since must lie before --until, which is now if not given");
		r = -EINVAL;
	}
	return r;
}

/* Why there is no store to read. Exit code. */
static int no_store(const struct sw_ctl *ctl, const struct sw_past *past)
{
	if (!past->path) {
		sw_complain(
			"smtpwalld keeps no store of events (it was started without one), so there "
			"is nothing to report");
		return SW_EXIT_NO;
	}
	if (past->daemon && past->fault == -ENOENT && !ctl->state_dir) {
		sw_ctl_unreachable(ctl, past->daemon);
		sw_complain("%s", past->error);
		return SW_EXIT_NO_DAEMON;
	}
	if (past->fault == -EACCES)
		sw_complain("you may not read %s: it is for root and for the group that owns it",
			    past->path);
	else
		sw_complain("%s", past->error);
	return SW_EXIT_NO;
}

/* ---- the page ---- */

/* The mode of the file that is replaced; a new one's is what open() would give it. 0 or -errno. */
static int mode_of(const char *path, mode_t *mode)
{
	mode_t mask = umask(0);
	struct stat old;

	umask(mask);
	*mode = 0666 & ~mask;
	if (lstat(path, &old))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(old.st_mode))
		return -EEXIST;
	*mode = old.st_mode & 0777;
	return 0;
}

/* Whoever opens the file meanwhile sees the old page or the new one, whole. 0 or -errno. */
static int write_page(const char *path, const struct sw_report *report)
{
	sw_autofree char *new = NULL;
	FILE *to = NULL;
	mode_t mode;
	int fd, r = mode_of(path, &mode);

	if (r)
		return r;
	if (asprintf(&new, "%s.XXXXXX", path) < 0)
		return -ENOMEM;
	fd = mkostemp(new, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (fchmod(fd, mode) || !(to = fdopen(fd, "w"))) {
		r = -errno;
		close(fd);
	} else {
		sw_report_html(to, report);
		if (fflush(to) || ferror(to) || fsync(fd))
			r = errno ? -errno : -EIO;
		if (fclose(to) && !r)
			r = -errno;
	}
	if (!r && rename(new, path))
		r = -errno;
	if (r)
		unlink(new);
	return r;
}

static int show_page(const struct sw_ctl *ctl, const char *path, const struct sw_report *report)
{
	sw_autofree char *shown = sw_escaped(path);
	int r = write_page(path, report);

	if (r == -EEXIST) {
		sw_complain("%s is not a regular file: it stays as it is", shown);
		return SW_EXIT_NO;
	}
	if (r) {
		sw_complain("cannot write %s: %s", shown, strerror(-r));
		return SW_EXIT_NO;
	}
	ctl->out->say("The report is in %s.", shown);
	return SW_EXIT_OK;
}

/* ---- the report ---- */

static int show(const struct sw_ctl *ctl, const struct args *args, const struct sw_report *report)
{
	json_auto_t *data = NULL;
	int code = args->html ? show_page(ctl, args->html, report) : SW_EXIT_OK;

	if (code || (args->html && !ctl->json))
		return code;
	data = sw_report_json(report);
	if (data)
		ctl->out->data(data, sw_report_text, report);
	return data ? SW_EXIT_OK : SW_EXIT_NO;
}

/* Both tallies, the gaps and where the store begins. 0 or -1 after filling past->error. */
static int read_store(struct sw_past *past, struct sw_tally *now, struct sw_tally *before,
		      struct sw_report *report)
{
	char *error = past->error;

	if (sw_tally_oldest(past->reader, &report->oldest_ns, error) ||
	    sw_store_gaps(past->reader, now->since_ns, now->until_ns, report->gaps, error) ||
	    sw_tally_store(now, past->reader, error) || sw_tally_store(before, past->reader, error))
		return -1;
	return 0;
}

static int report_of(const struct sw_ctl *ctl, const struct args *args, struct sw_past *past,
		     uint64_t since, uint64_t until)
{
	uint64_t length = until - since;
	struct sw_tally now, before;
	struct sw_report report = {.store = past->path, .made_ns = sw_when_now()};
	char host[256] = "";
	int r, code = SW_EXIT_NO;

	gethostname(host, sizeof(host) - 1);
	report.host = host;
	snprintf(past->error, sizeof(past->error), "there is no memory for a report");
	r = sw_tally_init(&now, since, until, sw_tally_step(length));
	/* Without a time line it needs no memory. */
	sw_tally_init(&before, since > length ? since - length : 0, since, 0);
	if (!r)
		r = read_store(past, &now, &before, &report);
	if (!r && !(r = sw_report_make(&report, &now, &before)))
		code = show(ctl, args, &report);
	if (r)
		sw_complain("%s", past->error);
	sw_report_free(&report);
	sw_tally_free(&now);
	sw_tally_free(&before);
	return code;
}

static int report(struct sw_ctl *ctl, int argc, char **argv)
{
	struct args args = {0};
	sw_autopast struct sw_past past = SW_PAST_NONE;
	uint64_t since, until;
	char error[SW_ERROR_SIZE];
	int r = sw_ctl_arguments(ctl, &sw_cmd_report, argc, argv, &args);

	if (r >= 0)
		return r;
	if (take_times(&args, sw_when_now(), &since, &until, error)) {
		fprintf(stderr, "smtpwall report: %s\ntry: smtpwall report --help\n", error);
		return SW_EXIT_USAGE;
	}
	sw_past_open(&past, ctl, ctl->state_dir != NULL);
	return past.reader ? report_of(ctl, &args, &past, since, until) : no_store(ctl, &past);
}

const struct sw_command sw_cmd_report = {
	.name = "report",
	.summary = "how many, by whom, to where, why; TLS; what changed",
	.about = "Sums up what smtpwalld has recorded in a time, and compares it with the time of\n"
		 "the same length before: refusals by program, user, unit, client, destination,\n"
		 "port, rule, reason and verdict, the TLS of connections, who sends in clear, and\n"
		 "what is new. Reads the store of events; no smtpwalld needs to run.",
	.options = options,
	.n_options = sw_count(options),
	.run = report,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/log.h"

static struct {
	bool verbose;
	bool prefix; /* standard error is the journal */
} log_state;

/* systemd names the device and inode of the stream that it gave us; a stream redirected since
   then does not match and gets plain lines. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, inode;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == inode;
}

void sw_log_open(bool verbose)
{
	log_state.verbose = verbose;
	log_state.prefix = stderr_is_journal();
}

static void put_line(enum sw_level level, const char *line, size_t length)
{
	if (log_state.prefix)
		fprintf(stderr, "<%d>%.*s\n", level, (int)length, line);
	else if (level <= SW_LOG_WARNING)
		fprintf(stderr, "smtpwalld: %s%.*s\n", level == SW_LOG_WARNING ? "warning: " : "",
			(int)length, line);
	else
		fprintf(stderr, "smtpwalld: %.*s\n", (int)length, line);
}

void sw_log(enum sw_level level, const char *format, ...)
{
	sw_autofree char *text = NULL;
	va_list args;

	if (level == SW_LOG_DEBUG && !log_state.verbose)
		return;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (!text)
		return;
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");

		put_line(level, line, length);
		line += length + (line[length] == '\n');
	}
}

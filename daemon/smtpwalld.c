/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * smtpwalld.c - the daemon: options, start, loop, end.
 */
#include <malloc.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "daemon/daemon.h"
#include "daemon/lock.h"
#include "daemon/log.h"
#include "daemon/source.h"

/* How long the answer to `stop` may take to be sent. */
#define FLUSH_USEC 1000000ull

static void verbose_line(const char *text)
{
	sw_log(SW_LOG_DEBUG, "%s", text);
}

static int show_fault(const struct sw_fault *fault)
{
	/* libbpf's words are for the refusals of the kernel; elsewhere they only distract. */
	if (fault->status == SW_EXIT_KERNEL && *sw_kernel_said())
		sw_log(SW_LOG_INFO, "%s", sw_kernel_said());
	sw_log(SW_LOG_ERROR, "%s", fault->text);
	return fault->status;
}

static int check(const struct sw_options *options)
{
	struct sw_source source = {};
	int status;

	sw_source_open(&source, options->policy, isatty(STDERR_FILENO));
	fputs(source.said ? source.said : "", stderr);
	status = source.image ? SW_EXIT_OK : SW_EXIT_NO;
	if (source.image)
		printf("%s: %u rules, no errors, %zu warnings\n", options->policy,
		       source.image->policy.n_rules, source.warnings);
	sw_source_free(&source);
	return status;
}

static int detach(const struct sw_options *options)
{
	sw_autoclose int run_lock = -1, pin_lock = -1;
	struct sw_fault fault;
	bool found;

	/* Without its folders no daemon runs. */
	if (access(options->run_dir, F_OK) == 0) {
		run_lock = sw_lock_run_dir(options->run_dir, &fault);
		if (run_lock < 0)
			return show_fault(&fault);
	}
	if (access(options->pin_dir, F_OK) == 0) {
		pin_lock = sw_lock_pin_dir(options->pin_dir, &fault);
		if (pin_lock < 0)
			return show_fault(&fault);
	}
	if (sw_pins_detach(options->pin_dir, &found, &fault) < 0)
		return show_fault(&fault);
	printf("smtpwalld: %s\n", found ? "enforcement is off" : "nothing was in force");
	return SW_EXIT_OK;
}

static int loop(struct sw_daemon *daemon)
{
	int error;

	sd_notify(0, "READY=1");
	sw_daemon_tell_status(daemon);
	error = sd_event_loop(daemon->loop);
	sd_notify(0, "STOPPING=1");
	if (error < 0) {
		sw_log(SW_LOG_ERROR, "the event loop ended: %s", strerror(-error));
		return SW_EXIT_KERNEL;
	}
	sw_control_flush(daemon->control, FLUSH_USEC);
	if (daemon->detached)
		sw_log(SW_LOG_NOTICE, "ended; enforcement is off");
	else
		sw_log(SW_LOG_NOTICE,
		       "ended; enforcement goes on. To take it off: smtpwalld --detach --run-dir "
		       "%s "
		       "--pin-dir %s",
		       daemon->options.run_dir, daemon->options.pin_dir);
	return SW_EXIT_OK;
}

static int run(const struct sw_options *options)
{
	struct sw_daemon daemon = {
		.options = *options, .cgroup_fd = -1, .run_lock = -1, .pin_lock = -1};
	struct sw_fault fault;
	int status;

	if (geteuid() != 0) {
		sw_log(SW_LOG_ERROR, "must be run as root");
		return SW_EXIT_KERNEL;
	}
	if (sw_daemon_start(&daemon, &fault) < 0) {
		/* Threads may have more to say until it has ended. */
		sw_daemon_end(&daemon);
		return show_fault(&fault);
	}
	status = loop(&daemon);
	sw_daemon_end(&daemon);
	return status;
}

int main(int argc, char **argv)
{
	struct sw_options options;

	if (sw_options_parse(argc, argv, &options, stderr) < 0)
		return SW_EXIT_USAGE;
	if (options.help) {
		sw_options_help(stdout);
		return SW_EXIT_OK;
	}
	if (options.version) {
		puts("smtpwalld " SW_VERSION);
		return SW_EXIT_OK;
	}
	/* Of the C library's arenas the first one alone gives back what was freed at its end (malloc_trim(3)). */
	mallopt(M_ARENA_MAX, 1);
	sw_log_open(options.verbose);
	if (sw_inspect_prepare() < 0) {
		sw_log(SW_LOG_ERROR, "OpenSSL was used before it was set up to wipe its memory");
		return SW_EXIT_KERNEL;
	}
	sw_kernel_capture(options.verbose ? verbose_line : NULL);
	if (options.check)
		return check(&options);
	return options.detach ? detach(&options) : run(&options);
}

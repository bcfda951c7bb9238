/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policyfile.h - a policy file as the commands need it: read, parsed, checked, compiled. What is wrong
 * with it, from "no such file" to a limit of the compiler, is a record in `diags`.
 */
#ifndef SW_POLICYFILE_H
#define SW_POLICYFILE_H

#include "daemon/policy/policy.h"

struct sw_policy_file {
	const char *name; /* as given; "-" is standard input */
	int fd, dir_fd;   /* the file and its folder */
	char *text;
	size_t length;
	struct sw_system system;
	struct sw_diags *diags;
	struct sw_policy_ast *policy;
	struct sw_image *image; /* NULL until checked */
	bool elsewhere; /* set by the caller before the check: what it guards may be another machine's
			   interfaces */
};

#define sw_autopolicy __attribute__((cleanup(sw_policy_file_close)))
#define SW_POLICY_FILE_NONE                                                                        \
	{                                                                                          \
		.fd = -1, .dir_fd = -1                                                             \
	}

/* Reads and parses. 0, or -EINVAL with errors in `diags`. Close it in any case. */
int sw_policy_file_open(struct sw_policy_file *file, const char *name);
void sw_policy_file_close(struct sw_policy_file *file);

/*
 * The same, then checks against this machine and compiles, so that limits are errors as well; on a
 * terminal a long list shows a bar unless `quiet`. 0, or -EINVAL with errors in `diags`.
 */
int sw_policy_file_check(struct sw_policy_file *file, const char *name, bool quiet);

/* "2 errors and 1 warning", "no errors and no warnings". */
#define SW_COUNTS_SIZE 64
void sw_policy_file_counts(const struct sw_policy_file *file, char to[static SW_COUNTS_SIZE]);

#endif

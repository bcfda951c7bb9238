/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy fmt|check FILE - what `smtpwall fmt` and `smtpwall check` are made of, on a machine that is
 * the same everywhere. Diagnostics go to standard output; status 1 when there are errors.
 */
#include <fcntl.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/unit/policy_world.h"

static void examine(const char *name, const char *text, size_t length, bool format,
		    struct sw_diags *diags)
{
	struct sw_world world = fake_world(NULL);
	struct sw_policy_ast *policy = sw_policy_parse(name, text, length, diags);

	if (format)
		sw_policy_print(policy, stdout);
	else
		sw_policy_check(policy, &world, diags);
	sw_policy_free(policy);
}

int main(int argc, char **argv)
{
	bool format = argc == 3 && strcmp(argv[1], "fmt") == 0;
	struct sw_diags *diags;
	size_t length = 0;
	int status;

	if (!format && (argc != 3 || strcmp(argv[1], "check") != 0))
		return 2;
	sw_autoclose int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	const char *slash = strrchr(argv[2], '/');
	const char *name = slash ? slash + 1 : argv[2];

	diags = sw_diags_new();
	sw_autofree char *text = sw_policy_read(fd, name, diags, &length);

	if (text)
		examine(name, text, length, format, diags);
	sw_diags_print(diags, stdout);
	status = sw_diags_errors(diags) > 0;
	sw_diags_free(diags);
	return status;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a policy: it is read as a file is, parsed, checked against a machine that is always
 * the same, printed. What parses without an error must print to a text that parses and prints to
 * itself, and that is checked with the same result.
 */
#include <assert.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/unit/policy_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct result {
	size_t errors, warnings; /* of the check alone */
	uint32_t rules;
	char *text; /* canonical, NULL when there were errors of the parser */
};

static struct result examine(const char *text, size_t length)
{
	struct sw_world world = fake_world(NULL);
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("fuzz", text, length, diags);
	struct result result = {.text = NULL};
	size_t parse_errors = sw_diags_errors(diags);
	int checked;

	if (!parse_errors)
		result.text = fake_printed(policy);
	checked = sw_policy_check(policy, &world, diags);
	result.errors = sw_diags_errors(diags) - parse_errors;
	result.warnings = sw_diags_warnings(diags);
	result.rules = policy->n_rules;
	assert((checked == 0) == (sw_diags_errors(diags) == 0));
	free(fake_said(diags));
	sw_policy_free(policy);
	sw_diags_free(diags);
	return result;
}

/* What cannot be read is parsed all the same: the parser must not rely on its caller. */
static void read_it(const uint8_t *bytes, size_t n)
{
	struct sw_diags *diags = sw_diags_new();
	sw_autoclose int fd = memfd_create("policy", MFD_CLOEXEC);
	size_t length = 0;
	sw_autofree char *text = NULL;

	assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	text = sw_policy_read(fd, "fuzz", diags, &length);
	assert(!text == (sw_diags_errors(diags) == 1));
	assert(!text || (length == n && memcmp(text, bytes, n) == 0));
	sw_diags_free(diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct result first, second;

	read_it(bytes, n);
	first = examine((const char *)bytes, n);
	if (!first.text)
		return 0;
	second = examine(first.text, strlen(first.text));
	assert(second.text && strcmp(first.text, second.text) == 0);
	assert(first.errors == second.errors && first.warnings == second.warnings &&
	       first.rules == second.rules);
	free(first.text);
	free(second.text);
	return 0;
}

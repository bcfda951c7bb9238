/* SPDX-License-Identifier: GPL-2.0-or-later */
/* policy_image.h - policy text to image, on the machine of policy_world.h. Behind cmocka.h. */
#ifndef SW_TEST_POLICY_IMAGE_H
#define SW_TEST_POLICY_IMAGE_H

#include "daemon/base.h"
#include "daemon/policy/image.h"
#include "tests/unit/policy_world.h"

/* NULL when it was refused. *said: the diagnostics as printed, malloc'ed. */
static inline struct sw_image *image_of(const char *text, const struct fake_file *files,
					char **said)
{
	struct sw_world world = fake_world(files);
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse("policy", text, strlen(text), diags);
	struct sw_image *image = NULL;

	if (!sw_diags_errors(diags) && sw_policy_check(policy, &world, diags) == 0)
		image = sw_policy_compile(policy, diags);
	*said = fake_said(diags);
	sw_policy_free(policy);
	sw_diags_free(diags);
	return image;
}

/* One port block around the rules, definitions before it. */
static inline char *host_policy(const char *definitions, const char *rules)
{
	char *text = NULL;

	if (asprintf(&text, "mode enforce\n%s\nhost {\nport 25 {\n%s\n}\n}\n", definitions, rules) <
	    0)
		abort();
	return text;
}

static inline void image_cleanup(struct sw_image **image)
{
	sw_image_free(*image);
}
#define autoimage sw_cleanup(image_cleanup)

static inline struct sw_image *compiled(const char *text, const struct fake_file *files)
{
	sw_autofree char *said = NULL;
	struct sw_image *image = image_of(text, files, &said);

	if (!image) {
		print_error("%s", said);
		fail();
		abort(); /* fail() does not return, which its declaration does not say */
	}
	return image;
}

/* One port block with these rules. */
static inline struct sw_image *compiled_rules(const char *definitions, const char *rules)
{
	sw_autofree char *text = host_policy(definitions, rules);

	return compiled(text, NULL);
}

static inline void assert_refused(const char *text, const struct fake_file *files,
				  const char *because)
{
	sw_autofree char *said = NULL;
	struct sw_image *image = image_of(text, files, &said);

	sw_image_free(image);
	assert_null(image);
	if (!strstr(said, because))
		print_error("expected \"%s\" in:\n%s", because, said);
	assert_non_null(strstr(said, because));
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* expect_json.h - what a member of an object is to be. Include it behind cmocka. */
#ifndef SW_TEST_EXPECT_JSON_H
#define SW_TEST_EXPECT_JSON_H

#include <jansson.h>

/* NULL: null */
static inline void expect_text(const json_t *object, const char *member, const char *text)
{
	const json_t *value = json_object_get(object, member);

	assert_non_null(value);
	if (text)
		assert_string_equal(json_string_value(value), text);
	else
		assert_true(json_is_null(value));
}

static inline void expect_number(const json_t *object, const char *member, json_int_t number)
{
	assert_true(json_is_integer(json_object_get(object, member)));
	assert_int_equal(json_integer_value(json_object_get(object, member)), number);
}

#endif

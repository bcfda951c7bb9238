/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy_world.h - a machine that is the same everywhere, for tests, goldens and the fuzzer of the
 * policy language, and what the diagnostics about it read like.
 */
#ifndef SW_TEST_POLICY_WORLD_H
#define SW_TEST_POLICY_WORLD_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/policy/policy.h"

struct fake_id {
	const char *name;
	uint32_t id;
};

static inline int fake_find(const struct fake_id *ids, size_t n, const char *name, uint32_t *id)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(ids[i].name, name) == 0) {
			*id = ids[i].id;
			return 0;
		}
	return -ENOENT;
}

static inline int fake_user(void *data, const char *name, uint32_t *id)
{
	static const struct fake_id users[] = {
		{"root", 0},      {"mail", 8},
		{"www-data", 33}, {"postfix", 101},
		{"opensmtpq", 7}, {"Debian-exim", 102},
		{"audit", 700},   {"DOMAIN\\some one", 90000},
	};

	(void)data;
	if (strcmp(name, "broken") == 0)
		return -EIO;
	return fake_find(users, sizeof(users) / sizeof(users[0]), name, id);
}

static inline int fake_group(void *data, const char *name, uint32_t *id)
{
	static const struct fake_id groups[] = {
		{"root", 0}, {"mail", 8}, {"www-data", 33}, {"postdrop", 103}};

	(void)data;
	return fake_find(groups, sizeof(groups) / sizeof(groups[0]), name, id);
}

/* A list file; the last one of an array has no name. `data` of the world points to the array. */
struct fake_file {
	const char *name, *text;
	size_t length; /* 0: up to the NUL */
};

static const struct fake_file fake_files[] = {
	{"partners.list", "# partners\n198.51.100.0/24\n2001:db8:1::/48 # one\r\n\n203.0.113.7\n",
	 0},
	{"empty.list", "# nobody\n", 0},
	{"wrong.list",
	 "192.0.2.0/24\n\t192.0.2.1/24 # inside\n 10.0.0.0/8 10.0.0.0/9\nfe80::/129\n", 0},
	{NULL, NULL, 0},
};

static inline int fake_read_file(void *data, const char *name, char **text, size_t *length)
{
	const struct fake_file *file = data ? data : fake_files;

	if (strcmp(name, "secret.list") == 0)
		return -EACCES;
	if (strcmp(name, "huge.list") == 0)
		return -EFBIG;
	for (; file->name; file++) {
		if (strcmp(file->name, name) != 0)
			continue;
		*length = file->length ? file->length : strlen(file->text);
		*text = malloc(*length + 1);
		if (!*text)
			return -ENOMEM;
		memcpy(*text, file->text, *length);
		(*text)[*length] = '\0';
		return 0;
	}
	return -ENOENT;
}

static inline int fake_program(void *data, const char *path, const char **where)
{
	static const char *const good[] = {"/usr/lib/postfix/sbin/smtp", "/usr/sbin/exim4",
					   "/usr/sbin/smtpd"};

	(void)data;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(path, good[i]) == 0)
			return 0;
	if (strcmp(path, "/usr/sbin/sendmail") == 0) {
		*where = "/usr/sbin/exim4";
		return -ELOOP;
	}
	if (strcmp(path, "/opt/mailer/send") == 0) {
		*where = "/opt/mailer";
		return -EPERM;
	}
	return strcmp(path, "/etc/mailname") == 0 ? -EACCES : -ENOENT;
}

static inline int fake_unit(void *data, const char *name)
{
	(void)data;
	return strcmp(name, "cron.service") == 0 || strcmp(name, "blackbox-exporter.service") == 0
		       ? 0
		       : -ENOENT;
}

static inline int fake_interface(void *data, const char *name)
{
	(void)data;
	return strcmp(name, "nosuch0") == 0 ? -ENOENT : 0;
}

static inline struct sw_world fake_world(const struct fake_file *files)
{
	return (struct sw_world){
		.data = (void *)(uintptr_t)files,
		.user = fake_user,
		.group = fake_group,
		.read_file = fake_read_file,
		.program = fake_program,
		.unit = fake_unit,
		.interface = fake_interface,
	};
}

/* What sw_diags_print() prints; malloc'ed. Inlined, gcc 12 takes the stream's pointer for dangling. */
static __attribute__((noinline, unused)) char *fake_said(const struct sw_diags *diags)
{
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	if (!to)
		abort();
	sw_diags_print(diags, to);
	fclose(to);
	return text;
}

/* Canonical text; malloc'ed. */
static __attribute__((noinline, unused)) char *fake_printed(const struct sw_policy_ast *policy)
{
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	if (!to)
		abort();
	sw_policy_print(policy, to);
	fclose(to);
	return text;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prefixes.c - reads every prefix of the policies that it is given, byte by byte, the way the command
 * and the daemon do: parse, check, print, compile. Nothing may crash; a prefix is either a policy or
 * has an error with a place, and a policy that is whole must print to something that is one again.
 *
 *     prefixes FILE ...       every prefix of each file
 *     prefixes random N       N texts of random bytes and of shuffled words (a fixed seed)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/policy/policy.h"

static unsigned long tried, whole;

static void reject(const char *name, size_t length, const char *why)
{
	printf("# %s: %zu bytes: %s\n", name, length, why);
	exit(1);
}

/* Ids do not matter here, only that nothing of this machine decides. */
static int any_id(void *data, const char *name, uint32_t *id)
{
	(void)data, (void)name;
	*id = 1;
	return 0;
}

static int no_file(void *data, const char *name, char **text, size_t *length)
{
	(void)data, (void)name;
	*text = strdup("192.0.2.0/24\n");
	*length = strlen(*text);
	return 0;
}

static char *print_policy(const struct sw_policy_ast *policy)
{
	char *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);

	sw_policy_print(policy, to);
	fclose(to);
	return text;
}

static size_t errors_of(const char *name, const char *text, size_t length, char **printed)
{
	struct sw_world world = {.user = any_id, .group = any_id, .read_file = no_file};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *policy = sw_policy_parse(name, text, length, diags);
	char *shown = NULL;
	size_t shown_length = 0, errors;
	FILE *to = open_memstream(&shown, &shown_length);

	if (sw_diags_errors(diags) == 0 && sw_policy_check(policy, &world, diags) == 0) {
		sw_image_free(sw_policy_compile(policy, diags));
		if (printed)
			*printed = print_policy(policy);
		whole++;
		errors = 0;
	} else {
		errors = sw_diags_errors(diags);
		if (errors == 0)
			reject(name, length, "refused without an error");
	}
	sw_diags_print(diags, to);
	fclose(to);
	if (errors && !strstr(shown, ": error: "))
		reject(name, length, "an error that is not printed");
	free(shown);
	sw_policy_free(policy);
	sw_diags_free(diags);
	tried++;
	return errors;
}

static void try_text(const char *name, const char *text, size_t length)
{
	char *printed = NULL;
	/* An exact copy, so that a sanitizer sees any read behind the end. */
	char *copy = malloc(length + 1);

	memcpy(copy, text, length);
	copy[length] = '\0';
	if (errors_of(name, copy, length, &printed) == 0 && printed &&
	    errors_of("printed", printed, strlen(printed), NULL) != 0)
		reject(name, length, "its canonical text is no policy");
	free(printed);
	free(copy);
}

static void try_prefixes(const char *path)
{
	FILE *file = fopen(path, "re");
	static char text[1 << 20];

	if (!file)
		reject(path, 0, "cannot be opened");
	size_t length = fread(text, 1, sizeof(text), file);
	fclose(file);
	for (size_t n = 0; n <= length; n++)
		try_text(path, text, n);
	if (errors_of(path, text, length, NULL) != 0)
		reject(path, length, "the whole file is refused");
}

static void try_random(unsigned long n)
{
	static const char *const words[] = {
		"mode ",  "enforce\n", "audit ", "who ",
		"net ",   "host ",     "edge ",  "serve ",
		"port ",  "25 ",       "{\n",    "}\n",
		"= ",     "allow ",    "from ",  "to ",
		"local ", "reject ",   "\"x\" ", ", ",
		"a ",     "exe ",      "user ",  "redirect ",
		"::1/64", "\0",        "#\n",    "\n",
		"file ",  "require ",  "tls ",   "127.0.0.1:25 ",
		"drop\n", "[::1]:25 ", "99999 ", "\"",
		"\\",     "\xff\xfe",  "unit ",  "cgroup ",
	};
	char text[600];

	srand(25);
	for (unsigned long i = 0; i < n; i++) {
		size_t length = 0, limit = (size_t)rand() % 500;
		while (length < limit) {
			const char *word =
				words[(size_t)rand() % (sizeof(words) / sizeof(words[0]))];
			size_t take = *word ? strlen(word) : 1;
			if (i % 2) {
				text[length++] = (char)rand();
				continue;
			}
			memcpy(text + length, word, take);
			length += take;
		}
		try_text("random", text, length);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "random") == 0)
		try_random(strtoul(argv[2], NULL, 10));
	else
		for (int i = 1; i < argc; i++)
			try_prefixes(argv[i]);
	printf("tried %lu whole %lu\n", tried, whole);
	return 0;
}

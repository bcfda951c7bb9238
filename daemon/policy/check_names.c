/* SPDX-License-Identifier: GPL-2.0-or-later */
/* check_names.c - names and what they stand for: doubles, unknown ones, users, groups, paths. */
#include <errno.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/check.h"
#include "daemon/policy/prefix.h"

/* The last id is what system calls take for "none". */
#define ID_MAX (UINT32_MAX - 1)

/* FNV-1a: names come from the administrator, nobody aims at a bucket. */
static struct sw_name **bucket_of(struct sw_checker *checker, const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
	return &checker->buckets[hash % checker->n_buckets];
}

struct sw_name *sw_check_find(struct sw_checker *checker, const char *text)
{
	struct sw_name *name = *bucket_of(checker, text);

	while (name && strcmp(name->text, text) != 0)
		name = name->next;
	return name;
}

static void add_name(struct sw_checker *checker, const char *text, struct sw_pos pos,
		     struct sw_who *who, struct sw_net *net)
{
	struct sw_name *name = sw_check_find(checker, text);
	struct sw_name **bucket = bucket_of(checker, text);

	if (name) {
		sw_diag(checker->diags, SW_ERROR, pos, "\"%s\" is defined a second time", text);
		sw_diag(checker->diags, SW_NOTE, name->pos, "the first is here");
		return;
	}
	name = sw_arena_alloc(checker->arena, sizeof(*name));
	*name = (struct sw_name){.next = *bucket, .text = text, .pos = pos, .who = who, .net = net};
	*bucket = name;
	checker->n_names++;
}

void sw_check_collect(struct sw_checker *checker)
{
	const struct sw_item *item;

	checker->n_buckets = 64;
	for (item = checker->policy->items; item; item = item->next)
		checker->n_buckets += item->kind == SW_ITEM_WHO || item->kind == SW_ITEM_NET;
	checker->buckets =
		sw_arena_alloc(checker->arena, checker->n_buckets * sizeof(*checker->buckets));
	for (item = checker->policy->items; item; item = item->next) {
		if (item->kind == SW_ITEM_WHO)
			add_name(checker, item->who->name, item->who->pos, item->who, NULL);
		else if (item->kind == SW_ITEM_NET)
			add_name(checker, item->net->name, item->net->pos, NULL, item->net);
	}
}

/* A second definition of a name (an error already) does not define the first one. */
void sw_check_define(struct sw_checker *checker, const char *text, const void *object)
{
	struct sw_name *name = sw_check_find(checker, text);

	if (name && (name->who == object || name->net == object))
		name->defined = true;
}

static const char *nearest_name(struct sw_checker *checker, const char *text, bool wants_net)
{
	const char **words = sw_arena_alloc(checker->arena, checker->n_names * sizeof(*words));
	size_t n = 0;

	for (size_t i = 0; i < checker->n_buckets; i++)
		for (struct sw_name *name = checker->buckets[i]; name; name = name->next)
			if (name->defined && (name->net != NULL) == wants_net)
				words[n++] = name->text;
	return sw_diag_nearest(text, words, n);
}

static void report_unknown(struct sw_checker *checker, const char *text, struct sw_pos pos,
			   bool wants_net)
{
	const struct sw_world *world = checker->world;
	const char *near = NULL;
	uint32_t id;

	sw_diag(checker->diags, SW_ERROR, pos, "there is no %s \"%s\"", wants_net ? "net" : "who",
		text);
	/* Past the errors that are shown, hints are not worth their time. */
	if (sw_diags_errors(checker->diags) > SW_DIAGS_MAX)
		return;
	near = nearest_name(checker, text, wants_net);
	if (near)
		sw_diag(checker->diags, SW_NOTE, pos, "did you mean \"%s\"?", near);
	else if (!wants_net && world->user && world->user(world->data, text, &id) == 0)
		sw_diag(checker->diags, SW_NOTE, pos, "there is such a user: user %s", text);
}

struct sw_name *sw_check_use(struct sw_checker *checker, const char *text, struct sw_pos pos,
			     bool wants_net)
{
	struct sw_name *name = sw_check_find(checker, text);

	if (!name) {
		report_unknown(checker, text, pos, wants_net);
		return NULL;
	}
	if (name->who)
		name->who->used = true;
	else
		name->net->used = true;
	if (!name->defined) {
		sw_diag(checker->diags, SW_ERROR, pos, "\"%s\" is used before it is defined", text);
		sw_diag(checker->diags, SW_NOTE, name->pos, "it is defined here");
		return NULL;
	}
	if ((name->net != NULL) != wants_net) {
		sw_diag(checker->diags, SW_ERROR, pos,
			wants_net ? "\"%s\" is a who; addresses are expected here"
				  : "\"%s\" is a net; programs, users or units are expected here",
			text);
		sw_diag(checker->diags, SW_NOTE, name->pos, "it is defined here");
		return NULL;
	}
	return name;
}

static void check_id(struct sw_checker *checker, struct sw_selector *selector)
{
	const struct sw_world *world = checker->world;
	bool user = selector->kind == SW_SELECT_USER;
	const char *what = user ? "user" : "group";
	int (*find)(void *, const char *, uint32_t *) = user ? world->user : world->group;
	int found;

	if (!selector->text[strspn(selector->text, "0123456789")]) {
		if (!sw_number_parse(selector->text, strlen(selector->text), ID_MAX, &selector->id))
			sw_diag(checker->diags, SW_ERROR, selector->pos,
				"the number of a %s is 0 to %u", what, ID_MAX);
		return;
	}
	found = find ? find(world->data, selector->text, &selector->id) : -ENOSYS;
	if (found >= 0 && checker->digest)
		sw_digest_add(checker->digest, &selector->id, sizeof(selector->id));
	if (found == -ENOENT)
		sw_diag(checker->diags, SW_ERROR, selector->pos, "there is no %s \"%.60s\" here",
			what, selector->text);
	else if (found < 0)
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the %s \"%.60s\" cannot be looked up: %s", what, selector->text,
			strerrordesc_np(-found));
}

/* The kernel tells paths without these; a rule written with them would match nobody. */
static bool is_clean_path(const char *path)
{
	size_t length = strlen(path);

	for (const char *at = path; (at = strchr(at, '/')); at++) {
		size_t part = strcspn(at + 1, "/");

		if (part == 0 || (part == 1 && at[1] == '.') ||
		    (part == 2 && at[1] == '.' && at[2] == '.'))
			return false;
	}
	return length > 1;
}

static bool check_exe(struct sw_checker *checker, const struct sw_selector *selector)
{
	size_t length = strlen(selector->text);

	if (*selector->text != '/')
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the path of a program begins with \"/\"");
	else if (length >= SW_NAME_MAX)
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"this path has %zu bytes, %d are the most", length, SW_NAME_MAX - 1);
	else if (!is_clean_path(selector->text))
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the path of a program has no \"//\", \"/./\" or \"/../\" and no \"/\" at "
			"its "
			"end: the kernel tells it without them");
	else
		return true;
	return false;
}

static bool check_unit(struct sw_checker *checker, const struct sw_selector *selector)
{
	const char *text = selector->text;
	size_t length = strlen(text);

	if (length >= SW_NAME_MAX)
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"this name has %zu bytes, %d are the most", length, SW_NAME_MAX - 1);
	else if (strchr(text, '/'))
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the name of a unit has no \"/\"; a path is written as cgroup \"...\"");
	else if (strpbrk(text, "*?"))
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the name of a unit is compared whole: \"*\" and \"?\" stand for nothing");
	else if (length >= 6 && strcmp(text + length - 6, ".slice") == 0)
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"a slice is no unit here, it holds units: write cgroup \"...\"");
	else
		return true;
	return false;
}

/* The kernel side keeps the path with a slash at its end. */
static void check_cgroup(struct sw_checker *checker, const struct sw_selector *selector)
{
	size_t length = strlen(selector->text);

	if (length >= SW_NAME_MAX - 1)
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"this path has %zu bytes, %d are the most", length, SW_NAME_MAX - 2);
	else if (length > 1 && !is_clean_path(selector->text))
		sw_diag(checker->diags, SW_ERROR, selector->pos,
			"the path of a cgroup has no \".\" and no \"..\"");
}

void sw_check_who(struct sw_checker *checker, struct sw_who *who)
{
	bool exe_good = true;

	for (struct sw_selector *selector = who->selectors; selector; selector = selector->next) {
		switch (selector->kind) {
		case SW_SELECT_EXE:
			exe_good = check_exe(checker, selector);
			break;
		case SW_SELECT_USER:
		case SW_SELECT_GROUP:
			check_id(checker, selector);
			break;
		case SW_SELECT_UNIT:
			if (check_unit(checker, selector))
				sw_warn_unit(checker, selector);
			break;
		case SW_SELECT_CGROUP:
			check_cgroup(checker, selector);
			break;
		case SW_SELECT_MAX:
			break;
		}
	}
	if (exe_good && !who->broken)
		sw_warn_exe(checker, who);
}

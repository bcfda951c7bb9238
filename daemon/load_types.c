/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * load_types.c - picks types out of the kernel's BTF (Documentation/bpf/btf.rst of the kernel).
 *
 * One pass over all types finds those whose names are wanted; each of them is copied, and what it refers to
 * is put behind it, until nothing is missing. Types lie one behind the other, each as long as its kind says,
 * and are referred to by their number; so where every 16th begins is kept.
 */
#include "daemon/load_types.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/base.h"
#include "daemon/pages.h"

#define MARK_EVERY 16u

/* Bytes that grow. */
struct heap {
	uint8_t *bytes;
	size_t n, room;
	bool failed;
};

/* What the kernel gives, and where in it everything is. */
struct source {
	void *bytes;
	size_t size;
	const uint8_t *types, *end;
	const char *strings;
	uint32_t strings_size;
	uint32_t n;      /* types; their numbers begin with 1 */
	uint32_t *marks; /* where the types 1, 17, 33 ... begin, from `types` on */
};

/* Names, in the order of strcmp(). */
struct names {
	const char **all;
	size_t n;
};

struct picked {
	struct source from;
	uint32_t *number; /* for each type of `from` the one that it gets, or 0 */
	struct heap list; /* uint32_t: numbers in `from`, in the order of the new ones */
	struct heap types, strings;
};

static void put(struct heap *heap, const void *bytes, size_t n)
{
	if (heap->n + n > heap->room) {
		size_t room = (heap->n + n) * 2 + 4096;
		uint8_t *more = realloc(heap->bytes, room);

		heap->failed |= !more;
		if (!more)
			return;
		heap->bytes = more;
		heap->room = room;
	}
	memcpy(heap->bytes + heap->n, bytes, n);
	heap->n += n;
}

/* ---- the source ---- */

/* From 6.16 on the kernel's own pages can be mapped; before that they are read, a page with each call. */
static int read_all(int fd, struct source *from)
{
	size_t at = 0;

	from->bytes = mmap(NULL, from->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (from->bytes != MAP_FAILED)
		return 0;
	from->bytes =
		mmap(NULL, from->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (from->bytes == MAP_FAILED)
		return -errno;
	sw_pages_enlarge(from->bytes, from->size);
	while (at < from->size) {
		ssize_t n = read(fd, (uint8_t *)from->bytes + at, from->size - at);

		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		at += (size_t)n;
	}
	return 0;
}

static int find_sections(struct source *from)
{
	const struct btf_header *head = from->bytes;
	const uint8_t *begin = from->bytes;
	size_t rest;

	if (from->size < sizeof(*head) || head->magic != BTF_MAGIC ||
	    head->version != BTF_VERSION || head->hdr_len > from->size)
		return -EPROTO;
	rest = from->size - head->hdr_len;
	if (head->type_off > rest || head->type_len > rest - head->type_off ||
	    head->str_off > rest || head->str_len > rest - head->str_off || !head->str_len ||
	    head->type_off % 4 || head->hdr_len % 4)
		return -EPROTO;
	from->types = begin + head->hdr_len + head->type_off;
	from->end = from->types + head->type_len;
	from->strings = (const char *)begin + head->hdr_len + head->str_off;
	from->strings_size = head->str_len;
	if (from->strings[head->str_len - 1])
		return -EPROTO;
	from->marks = calloc(head->type_len / sizeof(struct btf_type) / MARK_EVERY + 1,
			     sizeof(*from->marks));
	return from->marks ? 0 : -ENOMEM;
}

/* Bytes of a type, or 0 when its kind is not known. */
static size_t size_of(const struct btf_type *type)
{
	size_t n = btf_vlen(type), size = sizeof(*type);

	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return size;
	case BTF_KIND_INT:
		return size + sizeof(uint32_t);
	case BTF_KIND_ARRAY:
		return size + sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return size + n * sizeof(struct btf_member);
	case BTF_KIND_ENUM:
		return size + n * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return size + n * sizeof(struct btf_enum64);
	case BTF_KIND_FUNC_PROTO:
		return size + n * sizeof(struct btf_param);
	case BTF_KIND_VAR:
		return size + sizeof(struct btf_var);
	case BTF_KIND_DATASEC:
		return size + n * sizeof(struct btf_var_secinfo);
	case BTF_KIND_DECL_TAG:
		return size + sizeof(struct btf_decl_tag);
	default:
		return 0;
	}
}

static const char *string_at(const struct source *from, uint32_t offset)
{
	return offset < from->strings_size ? from->strings + offset : "";
}

/* The type of that number, which is one of 1 to n. */
static const struct btf_type *type_at(const struct source *from, uint32_t number)
{
	const uint8_t *at = from->types + from->marks[(number - 1) / MARK_EVERY];

	for (uint32_t i = (number - 1) % MARK_EVERY; i; i--)
		at += size_of((const struct btf_type *)at);
	return (const struct btf_type *)at;
}

static int open_source(const char *path, struct source *from)
{
	sw_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	from->size = (size_t)size;
	return from->size ? read_all(fd, from) : -ENODATA;
}

/* ---- names ---- */

static bool has_a_name(const struct btf_type *type)
{
	switch (btf_kind(type)) {
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_TYPEDEF:
		return type->name_off;
	default:
		return false;
	}
}

/* What comes behind the last three underscores tells namesakes apart and is no part of the name, as in libbpf. */
static size_t essential(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = n < 5 ? 0 : n - 4; i-- > 0;)
		if (name[i] != '_' && memcmp(name + i + 1, "___", 3) == 0 && name[i + 4] != '_')
			return i + 1;
	return n;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free((char *)names->all[i]);
	free(names->all);
}

static int names_of(const struct btf *ours, struct names *names)
{
	uint32_t n = btf__type_cnt(ours);

	names->all = calloc(n, sizeof(*names->all));
	if (!names->all)
		return -ENOMEM;
	for (uint32_t i = 1; i < n; i++) {
		const struct btf_type *type = btf__type_by_id(ours, i);
		const char *name = btf__name_by_offset(ours, type->name_off);

		if (!has_a_name(type) || !name)
			continue;
		names->all[names->n] = strndup(name, essential(name));
		if (!names->all[names->n++])
			return -ENOMEM;
	}
	qsort(names->all, names->n, sizeof(*names->all), compare);
	return 0;
}

static bool is_wanted(const struct names *names, const char *name)
{
	sw_autofree char *without = NULL;
	size_t length = essential(name);

	if (name[length]) {
		without = strndup(name, length);
		name = without ? without : name;
	}
	return bsearch(&name, names->all, names->n, sizeof(*names->all), compare);
}

/* ---- picking ---- */

/* The number that a type of the source gets; it is put on the list when it was on none. Functions, which
   relocations do not look into, are void. */
static uint32_t want(struct picked *picked, uint32_t number)
{
	if (!number || number > picked->from.n)
		return 0;
	if (btf_is_func_proto(type_at(&picked->from, number)))
		return 0;
	if (!picked->number[number]) {
		put(&picked->list, &number, sizeof(number));
		picked->number[number] = (uint32_t)(picked->list.n / sizeof(number));
	}
	return picked->number[number];
}

/* Finds where types begin, and those with a wanted name. */
static int find_types(struct picked *picked, const struct names *names)
{
	struct source *from = &picked->from;
	const uint8_t *at = from->types;

	while ((size_t)(from->end - at) >= sizeof(struct btf_type)) {
		const struct btf_type *type = (const struct btf_type *)at;
		size_t size = size_of(type);

		if (!size || size > (size_t)(from->end - at))
			return -EPROTO;
		if (from->n % MARK_EVERY == 0)
			from->marks[from->n / MARK_EVERY] = (uint32_t)(at - from->types);
		from->n++;
		if (has_a_name(type) && is_wanted(names, string_at(from, type->name_off)))
			put(&picked->list, &from->n, sizeof(from->n));
		at += size;
	}
	picked->number = calloc((size_t)from->n + 1, sizeof(*picked->number));
	if (!picked->number || picked->list.failed)
		return -ENOMEM;
	for (size_t i = 0; i < picked->list.n / sizeof(uint32_t); i++)
		picked->number[((const uint32_t *)picked->list.bytes)[i]] = (uint32_t)i + 1;
	return at == from->end ? 0 : -EPROTO;
}

static uint32_t put_string(struct picked *picked, uint32_t offset)
{
	const char *text = string_at(&picked->from, offset);
	uint32_t at = (uint32_t)picked->strings.n;

	if (!*text)
		return 0;
	put(&picked->strings, text, strlen(text) + 1);
	return at;
}

/* Brings a copied type's names and numbers to what they are in the file. */
static void adapt(struct picked *picked, struct btf_type *type)
{
	struct btf_member *member = btf_members(type);
	struct btf_array *array = btf_array(type);

	type->name_off = put_string(picked, type->name_off);
	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
		type->type = 0;
		break;
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_TYPE_TAG:
		type->type = want(picked, type->type);
		break;
	case BTF_KIND_ARRAY:
		array->type = want(picked, array->type);
		array->index_type = want(picked, array->index_type);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		for (uint32_t i = 0; i < btf_vlen(type); i++) {
			member[i].name_off = put_string(picked, member[i].name_off);
			member[i].type = want(picked, member[i].type);
		}
		break;
	case BTF_KIND_ENUM:
		for (uint32_t i = 0; i < btf_vlen(type); i++)
			btf_enum(type)[i].name_off = put_string(picked, btf_enum(type)[i].name_off);
		break;
	case BTF_KIND_ENUM64:
		for (uint32_t i = 0; i < btf_vlen(type); i++)
			btf_enum64(type)[i].name_off =
				put_string(picked, btf_enum64(type)[i].name_off);
		break;
	}
}

/* The list grows while this goes along it. */
static int copy_types(struct picked *picked)
{
	put(&picked->strings, "", 1);
	for (size_t i = 0; i < picked->list.n / sizeof(uint32_t); i++) {
		const struct btf_type *type =
			type_at(&picked->from, ((const uint32_t *)picked->list.bytes)[i]);
		size_t at = picked->types.n;

		put(&picked->types, type, size_of(type));
		if (picked->types.failed)
			return -ENOMEM;
		adapt(picked, (struct btf_type *)(picked->types.bytes + at));
		if (picked->list.failed || picked->strings.failed)
			return -ENOMEM;
	}
	return 0;
}

/* ---- the file ---- */

static int write_all(int fd, const void *bytes, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t wrote = write(fd, (const uint8_t *)bytes + at, n - at);

		if (wrote < 0)
			return -errno;
		at += (size_t)wrote;
	}
	return 0;
}

static int write_file(int fd, const struct picked *picked)
{
	const struct btf_header head = {
		.magic = BTF_MAGIC,
		.version = BTF_VERSION,
		.hdr_len = sizeof(head),
		.type_len = (uint32_t)picked->types.n,
		.str_off = (uint32_t)picked->types.n,
		.str_len = (uint32_t)picked->strings.n,
	};
	int error = write_all(fd, &head, sizeof(head));

	if (!error)
		error = write_all(fd, picked->types.bytes, picked->types.n);
	return error ? error : write_all(fd, picked->strings.bytes, picked->strings.n);
}

static void picked_free(struct picked *picked)
{
	if (picked->from.bytes != MAP_FAILED)
		munmap(picked->from.bytes, picked->from.size);
	free(picked->from.marks);
	free(picked->number);
	free(picked->list.bytes);
	free(picked->types.bytes);
	free(picked->strings.bytes);
}

/* ---- the outside ---- */

int sw_types_new(char path[static SW_TYPES_PATH])
{
	int fd = memfd_create("smtpwall-types", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(path, SW_TYPES_PATH, "/proc/self/fd/%d", fd);
	return fd;
}

int sw_types_fill(int fd, const char *from, const struct btf *ours)
{
	sw_cleanup(picked_free) struct picked picked = {.from.bytes = MAP_FAILED};
	sw_cleanup(names_free) struct names names = {};
	int error = open_source(from, &picked.from);

	if (error)
		return error;
	error = names_of(ours, &names);
	if (!error)
		error = find_sections(&picked.from);
	if (!error)
		error = find_types(&picked, &names);
	if (!error)
		error = copy_types(&picked);
	return error ? write_all(fd, picked.from.bytes, picked.from.size) : write_file(fd, &picked);
}

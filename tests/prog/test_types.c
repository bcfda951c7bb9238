/* SPDX-License-Identifier: GPL-2.0-or-later */
/* load_types.h: the running kernel's types picked for the real programs, and files made here. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "bpf/host.skel.h"
#include "daemon/base.h"
#include "daemon/load_types.h"
#include "tests/prog/fixture.h"

#define MOST (1 << 20) /* bytes; all types of a kernel are some megabytes */

static void btf_cleanup(struct btf **btf)
{
	btf__free(*btf);
}

#define autobtf sw_cleanup(btf_cleanup)

/* What sw_types_fill() makes of a file. */
static struct btf *pick(const char *from, const struct btf *ours, size_t *size)
{
	char path[SW_TYPES_PATH];
	int fd sw_autoclose = sw_types_new(path);
	struct btf *picked;
	struct stat info;

	assert_true(fd >= 0);
	assert_int_equal(sw_types_fill(fd, from, ours), 0);
	assert_return_code(fstat(fd, &info), errno);
	if (size)
		*size = (size_t)info.st_size;
	picked = btf__parse(path, NULL);
	assert_non_null(picked);
	return picked;
}

/* Writes types into a file of memory. */
static int file_of(const struct btf *btf, char path[static SW_TYPES_PATH])
{
	__u32 size;
	const void *bytes = btf__raw_data(btf, &size);
	int fd = sw_types_new(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	return fd;
}

/* ---- of the running kernel ---- */

/* Has a struct of the kernel that name, and the same members at the same places? */
static bool is_one_of(const struct btf *kernel, const char *name, const struct btf *picked,
		      const struct btf_type *type)
{
	for (__u32 id = 1; id < btf__type_cnt(kernel); id++) {
		const struct btf_type *other = btf__type_by_id(kernel, id);
		bool same = other->info == type->info && other->size == type->size &&
			    !strcmp(btf__name_by_offset(kernel, other->name_off), name);

		for (__u32 i = 0; same && i < btf_vlen(type); i++) {
			const struct btf_member *a = btf_members(type) + i;
			const struct btf_member *b = btf_members(other) + i;

			same = a->offset == b->offset &&
			       !strcmp(btf__name_by_offset(picked, a->name_off),
				       btf__name_by_offset(kernel, b->name_off)) &&
			       btf_kind(btf__type_by_id(picked, a->type)) ==
				       btf_kind(btf__type_by_id(kernel, b->type)) &&
			       btf__resolve_size(picked, a->type) ==
				       btf__resolve_size(kernel, b->type);
		}
		if (same)
			return true;
	}
	return false;
}

static void of_the_kernel(void **state)
{
	static const char *const names[] = {"task_struct",  "cgroup",  "kernfs_node", "sock",
					    "socket_alloc", "sk_buff", "net_device"};
	struct sw_host *skeleton = sw_host__open();
	struct btf *kernel autobtf = btf__load_vmlinux_btf(), *picked autobtf = NULL;
	size_t size;

	(void)state;
	assert_non_null(skeleton);
	assert_non_null(kernel);
	picked = pick(SW_TYPES_KERNEL, bpf_object__btf(skeleton->obj), &size);
	assert_in_range(size, 1, MOST);
	for (size_t i = 0; i < sw_count(names); i++) {
		__s32 id = btf__find_by_name_kind(picked, names[i], BTF_KIND_STRUCT);

		assert_true(id > 0);
		assert_true(
			is_one_of(kernel, names[i], picked, btf__type_by_id(picked, (__u32)id)));
	}
	assert_true(btf__find_by_name_kind(picked, "xfs_mount", BTF_KIND_STRUCT) < 0);
	sw_host__destroy(skeleton);
}

/* ---- of files made here ---- */

/* struct wanted { struct inner part[3]; struct other *other; kind_t kind; } and what it consists of, struct
   wanted a second time, and struct other, which nobody asks for. */
static struct btf *sample(void)
{
	struct btf *btf = btf__new_empty();
	int integer, inner, array, other, pointer, kind, named;

	assert_non_null(btf);
	other = btf__add_struct(btf, "other", 1);
	integer = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	inner = btf__add_struct(btf, "inner", 4);
	btf__add_field(btf, "number", integer, 0, 0);
	array = btf__add_array(btf, integer, inner, 3);
	pointer = btf__add_ptr(btf, other);
	kind = btf__add_enum(btf, "kind", 4);
	btf__add_enum_value(btf, "SEVEN", 7);
	named = btf__add_typedef(btf, "kind_t", kind);
	btf__add_struct(btf, "wanted", 32);
	btf__add_field(btf, "part", array, 0, 0);
	btf__add_field(btf, "other", pointer, 128, 0);
	assert_int_equal(btf__add_field(btf, "kind", named, 192, 0), 0);
	assert_true(btf__add_struct(btf, "wanted___old", 8) > 0);
	return btf;
}

static struct btf *asking_for(const char *name)
{
	struct btf *btf = btf__new_empty();

	assert_non_null(btf);
	assert_true(btf__add_struct(btf, name, 0) > 0);
	return btf;
}

static const struct btf_type *member(const struct btf *btf, const struct btf_type *type,
				     unsigned int n)
{
	return btf__type_by_id(btf, btf_members(type)[n].type);
}

static void with_what_they_consist_of(void **state)
{
	struct btf *from autobtf = sample(), *ours autobtf = asking_for("wanted___mine");
	struct btf *picked autobtf = NULL;
	const struct btf_type *wanted, *type;
	char path[SW_TYPES_PATH];
	int fd sw_autoclose = file_of(from, path);

	(void)state;
	(void)fd; /* keeps the file */
	picked = pick(path, ours, NULL);
	wanted = btf__type_by_id(picked,
				 (__u32)btf__find_by_name_kind(picked, "wanted", BTF_KIND_STRUCT));
	assert_non_null(wanted);
	assert_int_equal(wanted->size, 32);
	assert_int_equal(btf_vlen(wanted), 3);
	type = member(picked, wanted, 0);
	assert_true(btf_is_array(type));
	assert_int_equal(btf_array(type)->nelems, 3);
	type = btf__type_by_id(picked, btf_array(type)->type);
	assert_string_equal(btf__name_by_offset(picked, type->name_off), "inner");
	assert_string_equal(btf__name_by_offset(picked, member(picked, type, 0)->name_off), "int");
	type = member(picked, wanted, 1);
	assert_true(btf_is_ptr(type));
	assert_int_equal(type->type, 0);
	type = member(picked, wanted, 2);
	assert_true(btf_is_typedef(type));
	type = btf__type_by_id(picked, type->type);
	assert_string_equal(btf__name_by_offset(picked, btf_enum(type)->name_off), "SEVEN");
	assert_true(btf__find_by_name(picked, "wanted___old") > 0);
	assert_true(btf__find_by_name(picked, "other") < 0);
}

/* A kind that is not known may be of any length: what lies behind it cannot be read. */
static void all_when_one_is_not_known(void **state)
{
	struct btf *from autobtf = sample(), *ours autobtf = asking_for("wanted");
	char path[SW_TYPES_PATH], to[SW_TYPES_PATH], bytes[4096], copy[4096];
	int fd sw_autoclose = file_of(from, path), copied sw_autoclose = sw_types_new(to);
	struct btf_type type = {.info = 31u << 24};
	ssize_t n;

	(void)state;
	assert_int_equal(pwrite(fd, &type, sizeof(type), sizeof(struct btf_header)), sizeof(type));
	n = pread(fd, bytes, sizeof(bytes), 0);
	assert_int_equal(sw_types_fill(copied, path, ours), 0);
	assert_int_equal(pread(copied, copy, sizeof(copy), 0), n);
	assert_memory_equal(bytes, copy, (size_t)n);
}

static void nothing_to_read(void **state)
{
	struct btf *ours autobtf = asking_for("wanted");
	char path[SW_TYPES_PATH];
	int fd sw_autoclose = sw_types_new(path);

	(void)state;
	assert_int_equal(sw_types_fill(fd, "/does/not/exist", ours), -ENOENT);
	assert_int_equal(sw_types_fill(fd, path, ours), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_the_kernel),
		cmocka_unit_test(with_what_they_consist_of),
		cmocka_unit_test(all_when_one_is_not_known),
		cmocka_unit_test(nothing_to_read),
	};

	return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}

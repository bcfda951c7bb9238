/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * compile_prefix.c - the tables of destination prefixes, and of the source prefixes of edge blocks.
 * The two lie in one array, destinations first, told apart by SW_PREFIX_FROM; they share the classes.
 *
 * A look-up takes the longest prefix around an address and no other, so the entry must hold the rows
 * of every shorter prefix around it. Sorted by address, shorter first, the prefixes around the
 * current one are exactly a stack. Row sets repeat: a million prefixes of one list share one, so
 * entries hold the number of their set, the class.
 *
 * IPv4 and IPv6 are sorted apart, each with its own stack and its own list of lengths: ::/0 covers
 * the sixteen bytes of every v4-mapped address, but nobody who writes it means IPv4.
 */
#include <string.h>

#include "bpf/abi.h"
#include "bpf/match.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/prefix.h"

/* A prefix of one list. 24 bytes: there may be a million. */
struct entry {
	uint64_t high, low; /* address, so that numbers compare as bytes do */
	uint32_t list;
	uint8_t bits;
	uint8_t ipv4;
};

struct lists {
	const struct sw_net **nets;
	struct sw_vec *rows; /* that name this list */
	size_t n;
};

struct classes {
	uint16_t *slots; /* number + 1, 0: free */
	struct sw_vec *rows;
	uint32_t n;
};

#define CLASS_SLOTS ((size_t)4 * SW_CLASSES_MAX)

/* One of the two tables. */
struct table {
	struct sw_hits *hits; /* lists, by the rows that name them */
	uint32_t flag;        /* in the bits of its keys: 0 or SW_PREFIX_FROM */
	const char *word;     /* what the lists stand behind */
	uint32_t *n_lengths;
	uint8_t (*lengths)[136];
	struct lists lists;
	struct entry *entries;
	size_t n;
};

struct around {
	const struct entry *prefix;
	uint32_t class;
};

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return __builtin_bswap64(value);
}

static void store64(uint8_t *bytes, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(bytes, &value, sizeof(value));
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "load64() turns the bytes around");

static int entry_compare(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	if (one->ipv4 != other->ipv4)
		return one->ipv4 - other->ipv4;
	if (one->high != other->high)
		return one->high < other->high ? -1 : 1;
	if (one->low != other->low)
		return one->low < other->low ? -1 : 1;
	return one->bits - other->bits;
}

/* Each list once, with the rows that name it. */
static void gather_lists(struct sw_compile *compile, struct sw_hits *hits, struct lists *lists)
{
	sw_hits_sort(hits);
	lists->nets = sw_arena_alloc(compile->arena, (hits->n + 1) * sizeof(struct sw_net *));
	lists->rows = sw_arena_alloc(compile->arena, (hits->n + 1) * sizeof(*lists->rows));
	for (size_t i = 0; i < hits->n; lists->n++) {
		lists->nets[lists->n] = (const struct sw_net *)(uintptr_t)hits->at[i].key;
		i = sw_hits_run(hits, i, &lists->rows[lists->n]);
	}
}

static struct entry entry_of(const struct sw_prefix *prefix, size_t list)
{
	return (struct entry){.high = load64(prefix->addr),
			      .low = load64(prefix->addr + 8),
			      .list = (uint32_t)list,
			      .bits = prefix->bits,
			      .ipv4 = sw_prefix_is_v4(prefix)};
}

static size_t largest_list(const struct lists *lists)
{
	size_t largest = 0;

	for (size_t i = 1; i < lists->n; i++)
		if (lists->nets[i]->n_prefixes > lists->nets[largest]->n_prefixes)
			largest = i;
	return largest;
}

/* The entries of all lists but one, sorted. */
static struct entry *gather_others(struct sw_arena *arena, const struct lists *lists, size_t except,
				   size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < lists->n; i++)
		*n += i == except ? 0 : lists->nets[i]->n_prefixes;
	struct entry *entries = sw_arena_alloc(arena, (*n + 1) * sizeof(*entries)), *to = entries;

	for (size_t i = 0; i < lists->n; i++)
		for (size_t k = 0; i != except && k < lists->nets[i]->n_prefixes; k++)
			*to++ = entry_of(&lists->nets[i]->prefixes[k], i);
	qsort(entries, *n, sizeof(*entries), entry_compare);
	return entries;
}

/* In the order of entry_compare(). A list is sorted, but for the two families, so that the largest, which may have a
   million, need not be sorted again: the others are, and each of them put where it belongs. */
static struct entry *gather_entries(struct sw_arena *arena, const struct lists *lists, size_t *n)
{
	size_t large = largest_list(lists), n_others, at = 0;
	const struct entry *others = gather_others(arena, lists, large, &n_others);
	const struct sw_net *net = lists->n ? lists->nets[large] : NULL;

	*n = n_others + (net ? net->n_prefixes : 0);
	struct entry *entries = sw_arena_alloc(arena, (*n + 1) * sizeof(*entries)), *to = entries;

	for (int ipv4 = 0; net && ipv4 < 2; ipv4++)
		for (size_t k = 0; k < net->n_prefixes; k++) {
			struct entry entry = entry_of(&net->prefixes[k], large);

			if (entry.ipv4 != ipv4)
				continue;
			while (at < n_others && entry_compare(&others[at], &entry) < 0)
				*to++ = others[at++];
			*to++ = entry;
		}
	memcpy(to, others + at, (n_others - at) * sizeof(*to));
	return entries;
}

static bool covers(const struct entry *wide, const struct entry *narrow)
{
	uint64_t high = wide->bits >= 64 ? ~0ull : ~(~0ull >> wide->bits);
	uint64_t low = wide->bits <= 64 ? 0 : ~(~0ull >> 1 >> (wide->bits - 65));

	return wide->ipv4 == narrow->ipv4 && wide->bits <= narrow->bits &&
	       !((wide->high ^ narrow->high) & high) && !((wide->low ^ narrow->low) & low);
}

/* The number of a row set; SW_CLASSES_MAX: no room for another. */
static uint32_t class_of(struct classes *classes, const struct sw_vec *rows)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < SW_WORDS; i++) {
		hash = (hash ^ rows->w[i]) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 32;
	}
	size_t slot = hash & (CLASS_SLOTS - 1);

	for (; classes->slots[slot]; slot = (slot + 1) & (CLASS_SLOTS - 1)) {
		uint32_t class = classes->slots[slot] - 1u;

		if (memcmp(&classes->rows[class], rows, sizeof(*rows)) == 0)
			return class;
	}
	if (classes->n == SW_CLASSES_MAX)
		return SW_CLASSES_MAX;
	classes->rows[classes->n] = *rows;
	classes->slots[slot] = (uint16_t)(classes->n + 1);
	return classes->n++;
}

static void put_prefix(struct sw_image *image, const struct entry *entry, uint32_t flag,
		       uint32_t class)
{
	struct sw_prefix_key *key = &image->prefixes[image->n_prefixes];

	key->bits = entry->bits | flag;
	store64(key->addr, entry->high);
	store64(key->addr + 8, entry->low);
	image->prefix_classes[image->n_prefixes++] = class;
}

/* An entry that says the same as the nearest one around it is left out: without it the look-up finds
   that one. */
static bool put_entries(struct sw_compile *compile, const struct table *table,
			struct classes *classes)
{
	const struct lists *lists = &table->lists;
	const struct entry *entries = table->entries;
	struct around stack[SW_LENGTHS_MAX];
	size_t depth = 0, n = table->n;

	for (size_t i = 0, end; i < n; i = end) {
		struct sw_vec rows = {{0}};

		while (depth && !covers(stack[depth - 1].prefix, &entries[i]))
			depth--;
		if (depth)
			rows = classes->rows[stack[depth - 1].class];
		for (end = i; end < n && entry_compare(&entries[i], &entries[end]) == 0; end++)
			sw_vec_or(&rows, &lists->rows[entries[end].list]);
		uint32_t class = class_of(classes, &rows);

		if (class == SW_CLASSES_MAX) {
			sw_diag(compile->diags, SW_ERROR, lists->nets[entries[i].list]->pos,
				"the lists behind `%s` overlap in more than %d different ways: "
				"join lists "
				"that the same rules name",
				table->word, SW_CLASSES_MAX);
			return false;
		}
		if (depth && stack[depth - 1].class == class)
			continue;
		put_prefix(compile->image, &entries[i], table->flag, class);
		stack[depth++] = (struct around){&entries[i], class};
	}
	return true;
}

/* Of the prefixes from `first` on. */
static void put_lengths(const struct sw_image *image, size_t first, const struct table *table)
{
	bool used[2][SW_LENGTHS_MAX] = {0};

	for (size_t i = first; i < image->n_prefixes; i++) {
		const struct sw_prefix_key *key = &image->prefixes[i];
		uint32_t bits = key->bits & ~table->flag;
		bool ipv4 = bits >= 96 && sw_addr_is_ipv4(key->addr);

		used[ipv4 ? 0 : 1][bits] = true;
	}
	for (size_t family = 0; family < 2; family++)
		for (size_t bits = SW_LENGTHS_MAX; bits-- > 0;)
			if (used[family][bits])
				table->lengths[family][table->n_lengths[family]++] = (uint8_t)bits;
}

void sw_compile_prefixes(struct sw_compile *compile)
{
	struct sw_image *image = compile->image;
	struct sw_policy *policy = &image->policy;
	struct classes classes = {.rows = policy->classes};
	struct table tables[] = {
		{.hits = &compile->nets,
		 .word = "to",
		 .n_lengths = policy->n_lengths,
		 .lengths = policy->lengths},
		{.hits = &compile->sources,
		 .flag = SW_PREFIX_FROM,
		 .word = "from",
		 .n_lengths = policy->n_from_lengths,
		 .lengths = policy->from_lengths},
	};
	size_t n = 0;

	for (size_t i = 0; i < sw_count(tables); i++) {
		struct table *table = &tables[i];

		gather_lists(compile, table->hits, &table->lists);
		table->entries = gather_entries(compile->arena, &table->lists, &table->n);
		n += table->n;
	}
	classes.slots = sw_arena_alloc(compile->arena, CLASS_SLOTS * sizeof(*classes.slots));
	image->prefixes = sw_compile_array(n, sizeof(*image->prefixes));
	image->prefix_classes = sw_compile_array(n, sizeof(*image->prefix_classes));
	for (size_t i = 0; i < sw_count(tables); i++) {
		size_t first = image->n_prefixes;

		if (!put_entries(compile, &tables[i], &classes))
			return;
		put_lengths(image, first, &tables[i]);
	}
}

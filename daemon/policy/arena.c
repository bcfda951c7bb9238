/* SPDX-License-Identifier: GPL-2.0-or-later */
/* arena.c - blocks in a list; an allocation is a step forward in the newest one. */
#include "daemon/policy/arena.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/pages.h"

#define BLOCK_BYTES ((size_t)64 << 10)
#define ALIGN alignof(max_align_t)

struct block {
	struct block *next;
	size_t used, size;
	alignas(max_align_t) unsigned char bytes[];
};

struct sw_arena {
	struct block *newest;
};

static void *or_end(void *memory)
{
	if (!memory) {
		fputs("smtpwall: out of memory\n", stderr);
		abort();
	}
	return memory;
}

struct sw_arena *sw_arena_new(void)
{
	return or_end(calloc(1, sizeof(struct sw_arena)));
}

void sw_arena_free(struct sw_arena *arena)
{
	if (!arena)
		return;
	for (struct block *block = arena->newest, *next; block; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

static struct block *block_new(size_t size)
{
	/* calloc: fresh pages are zero already, so a large block costs no memory until it is used */
	struct block *block =
		size <= SIZE_MAX - sizeof(*block) ? calloc(1, sizeof(*block) + size) : NULL;
	or_end(block);
	sw_pages_enlarge(block, sizeof(*block) + size);
	block->size = size;
	return block;
}

void *sw_arena_alloc(struct sw_arena *arena, size_t size)
{
	struct block *block = arena->newest;

	if (size > SIZE_MAX - ALIGN)
		or_end(NULL);
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (!block || block->size - block->used < size) {
		bool large = size > BLOCK_BYTES / 4;

		block = block_new(large ? size : BLOCK_BYTES);
		/* A large one goes behind the newest, whose room is then still used. */
		if (large && arena->newest) {
			block->next = arena->newest->next;
			arena->newest->next = block;
		} else {
			block->next = arena->newest;
			arena->newest = block;
		}
	}
	void *memory = block->bytes + block->used;
	block->used += size;
	return memory;
}

char *sw_arena_strndup(struct sw_arena *arena, const char *text, size_t length)
{
	char *copy = sw_arena_alloc(arena, length + 1);

	memcpy(copy, text, length);
	return copy;
}

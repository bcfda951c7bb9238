/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.h - memory that is not needed for now goes back to the system, and much of it is asked for in large pages. */
#ifndef SW_PAGES_H
#define SW_PAGES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The whole pages among these bytes. They may be used again: then memory of one's own is zeros, and what lies in a
   file is read from there. */
static inline void sw_pages_let_go(const void *bytes, size_t n)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)bytes;
	uintptr_t first = (at + page - 1) / page * page, end = (at + n) / page * page;

	if (first < end)
		madvise((void *)first, end - first, MADV_DONTNEED);
}

#define SW_PAGE_LARGE ((size_t)2 << 20)

/*
 * These bytes are about to be written from one end to the other. A page that is touched first is a fault, and a
 * list of a million prefixes touches 25,000 of them, so where large pages fit in the kernel is asked for them. It takes
 * no more of them than are touched; where it has none (/sys/kernel/mm/transparent_hugepage) nothing changes.
 */
static inline void sw_pages_enlarge(void *bytes, size_t n)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)bytes;
	uintptr_t first = at / page * page, end = (at + n + page - 1) / page * page;

	if (n >= SW_PAGE_LARGE)
		madvise((void *)first, end - first, MADV_HUGEPAGE);
}

#endif

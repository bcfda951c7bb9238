/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pages.h - memory that is not needed for now goes back to the system. */
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

#endif

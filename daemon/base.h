/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * base.h - ownership that a reader can check locally. A local variable that owns something is
 * declared with one of these; whatever leaves the function leaves through sw_take or sw_take_fd.
 * An fd variable that owns nothing is -1.
 */
#ifndef SW_BASE_H
#define SW_BASE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define sw_cleanup(function) __attribute__((cleanup(function)))
#define sw_autofree sw_cleanup(sw_free_cleanup)
#define sw_autoclose sw_cleanup(sw_close_cleanup)
#define sw_autofclose sw_cleanup(sw_fclose_cleanup)
#define sw_printf(at, first) __attribute__((format(printf, at, first)))
#define sw_count(array) (sizeof(array) / sizeof((array)[0]))

#define sw_take(pointer)                                                                           \
	({                                                                                         \
		__typeof__(pointer) sw_taken = (pointer);                                          \
		(pointer) = NULL;                                                                  \
		sw_taken;                                                                          \
	})
#define sw_take_fd(fd)                                                                             \
	({                                                                                         \
		int sw_taken_fd = (fd);                                                            \
		(fd) = -1;                                                                         \
		sw_taken_fd;                                                                       \
	})

static inline void sw_free_cleanup(void *pointer)
{
	free(*(void **)pointer);
}

static inline void sw_close_cleanup(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void sw_fclose_cleanup(FILE **file)
{
	if (*file)
		fclose(*file);
}

#endif

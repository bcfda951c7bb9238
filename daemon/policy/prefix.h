/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * prefix.h - addresses and prefixes as text and as numbers. An IPv4 address is held v4-mapped. The
 * two families never cover each other: ::/0 holds no IPv4 address, and IPv4 cannot be written in
 * the form of IPv6, so that each prefix has one spelling.
 */
#ifndef SW_PREFIX_H
#define SW_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy/ast.h"

#define SW_PREFIX_TEXT 52 /* longest text of a prefix, its NUL included */
#define SW_PREFIX_WHY 160 /* longest sentence that says why a text is none */

/* ADDR or ADDR/BITS. false: `why` says what is wrong. */
bool sw_prefix_parse(const char *text, size_t length, struct sw_prefix *prefix,
		     char why[static SW_PREFIX_WHY]);
/* ADDR:PORT, an IPv6 address in brackets. *family becomes 0 (IPv4) or 1 (IPv6). */
bool sw_target_parse(const char *text, size_t length, struct sw_target *target,
		     unsigned int *family, char why[static SW_PREFIX_WHY]);
/* A decimal number of at most `max`. */
bool sw_number_parse(const char *text, size_t length, uint32_t max, uint32_t *number);

void sw_prefix_print(const struct sw_prefix *prefix, char to[static SW_PREFIX_TEXT]);
void sw_target_print(const struct sw_target *target, char to[static SW_PREFIX_TEXT]);

bool sw_addr_is_v4(const uint8_t addr[static 16]);
bool sw_prefix_is_v4(const struct sw_prefix *prefix);
bool sw_prefix_covers(const struct sw_prefix *wide, const struct sw_prefix *narrow);

/* By address, shorter prefixes first, no doubles. Returns how many are left. */
size_t sw_prefix_sort(struct sw_prefix *prefixes, size_t n);
/* Is each prefix of `narrow` covered by one of `wide`? Both are sorted. */
bool sw_prefixes_cover(const struct sw_prefix *wide, size_t n_wide, const struct sw_prefix *narrow,
		       size_t n_narrow);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* text.h - what counts as text: UTF-8 without characters that hide or fake what a reader sees. */
#ifndef SW_TEXT_H
#define SW_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes of the character at `at` and its code point; 0: not UTF-8. at < end. */
size_t sw_utf8_next(const char *at, const char *end, uint32_t *code);

/* A character that a terminal would act on or not show: C0 but tab and newline, DEL, C1, line
   separators, marks that change the direction of writing. */
bool sw_is_control(uint32_t code);

/* Bytes of a UTF-8 byte order mark at the start of the text: 3 or 0. */
size_t sw_bom_length(const char *text, size_t length);

enum sw_text_fault { SW_TEXT_OK, SW_TEXT_NUL, SW_TEXT_INVALID, SW_TEXT_CONTROL };

/* The first fault of a text, and at which byte. A carriage return is one unless a newline follows. */
enum sw_text_fault sw_text_check(const char *text, size_t length, size_t *where);

/* Line and column (from 1, in characters; a byte that is not UTF-8 counts as one) of a byte. */
void sw_text_place(const char *text, size_t length, size_t where, uint32_t *line, uint32_t *column);

/* Copies with control characters and invalid bytes written as \xNN and \u{NNNN}; cuts at `size`. */
void sw_text_escape(const char *text, size_t length, char *to, size_t size);

#endif

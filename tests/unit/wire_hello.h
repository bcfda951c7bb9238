/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire_hello.h - bytes put together from text, and messages cut into records. */
#ifndef SW_TEST_WIRE_HELLO_H
#define SW_TEST_WIRE_HELLO_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct wire {
	size_t n;
	uint8_t data[16384];
};

static inline uint8_t *wire_room(struct wire *wire, size_t n)
{
	uint8_t *at = wire->data + wire->n;

	assert_true(n <= sizeof(wire->data) - wire->n);
	wire->n += n;
	return at;
}

/* Pairs of digits; blanks between them are for readers. */
static inline void wire_hex(struct wire *wire, const char *hex)
{
	unsigned int value;
	int used;

	while (sscanf(hex, " %2x%n", &value, &used) == 1) {
		*wire_room(wire, 1) = (uint8_t)value;
		hex += used;
	}
	assert_true(!*hex);
}

static inline void wire_text(struct wire *wire, const char *text)
{
	memcpy(wire_room(wire, strlen(text)), text, strlen(text));
}

static inline void wire_fill(struct wire *wire, uint8_t byte, size_t n)
{
	memset(wire_room(wire, n), byte, n);
}

/* Writes how many bytes stand behind the `width` bytes at `at`. */
static inline void wire_length(struct wire *wire, size_t at, size_t width)
{
	size_t n = wire->n - at - width;

	for (size_t i = width; i--; n >>= 8)
		wire->data[at + i] = (uint8_t)n;
}

/* The message in records of at most `most` bytes. */
static inline struct wire wire_records(const struct wire *message, uint8_t type, uint16_t version,
				       size_t most)
{
	struct wire wire = {0};

	for (size_t at = 0; at < message->n; at += most) {
		size_t n = message->n - at < most ? message->n - at : most;
		uint8_t head[] = {type, (uint8_t)(version >> 8), (uint8_t)version,
				  (uint8_t)(n >> 8), (uint8_t)n};

		memcpy(wire_room(&wire, sizeof(head)), head, sizeof(head));
		memcpy(wire_room(&wire, n), message->data + at, n);
	}
	return wire;
}

#endif

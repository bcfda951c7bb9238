/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gate_hello.h - ClientHello and ServerHello of every version (RFC 8446, 4.1; RFC 5246, 7.4.1), put
 * into as many records as wanted.
 */
#ifndef SW_TEST_GATE_HELLO_H
#define SW_TEST_GATE_HELLO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HELLO_BYTES 20000

struct hello_bytes {
	size_t n;
	uint8_t data[HELLO_BYTES];
};

/* Members that are 0 or NULL are left out, or as a TLS 1.3 client or server has them. */
struct hello_spec {
	uint16_t record;      /* version of the record header */
	uint16_t legacy;      /* version in the message */
	uint16_t versions[4]; /* supported_versions; of a server the first one */
	const char *sni;
	size_t size;       /* bytes of the message with its header, filled up with padding */
	size_t per_record; /* bytes of the message in a record; 0: all */
	const char *body;  /* text in the padding */
	uint8_t retry;     /* HelloRetryRequest */
};

static inline void hello_add(struct hello_bytes *to, const void *bytes, size_t n)
{
	if (n > sizeof(to->data) - to->n)
		__builtin_trap();
	if (n)
		memcpy(to->data + to->n, bytes, n);
	to->n += n;
}

static inline void hello_number(struct hello_bytes *to, uint32_t value, size_t width)
{
	while (width--) {
		uint8_t byte = (uint8_t)(value >> (8 * width));

		hello_add(to, &byte, 1);
	}
}

static inline void hello_fill(struct hello_bytes *to, uint8_t byte, size_t n)
{
	while (n--)
		hello_add(to, &byte, 1);
}

/* Writes the length of what was added behind `at`, where `width` bytes were left for it. */
static inline void hello_length(struct hello_bytes *to, size_t at, size_t width)
{
	size_t n = to->n - at - width;

	for (size_t i = 0; i < width; i++)
		to->data[at + i] = (uint8_t)(n >> (8 * (width - 1 - i)));
}

/* The message in records of type 22. */
static inline void hello_records(struct hello_bytes *to, const struct hello_bytes *message,
				 uint16_t version, size_t per_record)
{
	size_t most = per_record ? per_record : message->n;

	for (size_t at = 0; at < message->n; at += most) {
		size_t n = message->n - at < most ? message->n - at : most;

		hello_number(to, 22, 1);
		hello_number(to, version, 2);
		hello_number(to, (uint32_t)n, 2);
		hello_add(to, message->data + at, n);
	}
}

static inline void hello_client_extensions(struct hello_bytes *to, const struct hello_spec *spec)
{
	size_t n_versions = 0;

	if (spec->sni) {
		size_t n = strlen(spec->sni);

		hello_number(to, 0, 2);
		hello_number(to, (uint32_t)n + 5, 2);
		hello_number(to, (uint32_t)n + 3, 2);
		hello_number(to, 0, 1);
		hello_number(to, (uint32_t)n, 2);
		hello_add(to, spec->sni, n);
	}
	while (n_versions < 4 && spec->versions[n_versions])
		n_versions++;
	if (n_versions) {
		hello_number(to, 43, 2);
		hello_number(to, (uint32_t)n_versions * 2 + 1, 2);
		hello_number(to, (uint32_t)n_versions * 2, 1);
		for (size_t i = 0; i < n_versions; i++)
			hello_number(to, spec->versions[i], 2);
	}
}

/* Fills the message up to spec->size with the padding extension (RFC 7685). */
static inline void hello_pad(struct hello_bytes *to, const struct hello_spec *spec)
{
	size_t text = spec->body ? strlen(spec->body) : 0;
	size_t n = spec->size > to->n + 4 + text ? spec->size - to->n - 4 - text : 0;

	if (!n && !text)
		return;
	hello_number(to, 21, 2);
	hello_number(to, (uint32_t)(n + text), 2);
	hello_add(to, spec->body, text);
	hello_fill(to, 0, n);
}

static inline void hello_client_message(struct hello_bytes *to, const struct hello_spec *spec)
{
	size_t extensions;

	hello_number(to, 1, 1);
	hello_number(to, 0, 3);
	hello_number(to, spec->legacy ? spec->legacy : 0x0303, 2);
	hello_fill(to, 0x5a, 32);
	hello_number(to, 32, 1);
	hello_fill(to, 0xa5, 32);
	hello_number(to, 4, 2);
	hello_number(to, 0x1301c02f, 4);
	hello_number(to, 0x0100, 2);
	extensions = to->n;
	hello_number(to, 0, 2);
	hello_client_extensions(to, spec);
	hello_pad(to, spec);
	hello_length(to, extensions, 2);
	/* As clients of TLS 1.0 do, without the field instead of an empty one. */
	if (to->n == extensions + 2)
		to->n = extensions;
	hello_length(to, 1, 3);
}

static inline void hello_server_message(struct hello_bytes *to, const struct hello_spec *spec)
{
	/* RFC 8446, 4.1.3: the SHA-256 of "HelloRetryRequest" stands for the random bytes. */
	static const uint8_t retry[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
					  0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
					  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
					  0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
	size_t extensions;

	hello_number(to, 2, 1);
	hello_number(to, 0, 3);
	hello_number(to, spec->legacy ? spec->legacy : 0x0303, 2);
	if (spec->retry)
		hello_add(to, retry, sizeof(retry));
	else
		hello_fill(to, 0x3c, 32);
	hello_number(to, 32, 1);
	hello_fill(to, 0xa5, 32);
	hello_number(to, spec->versions[0] == 0x0304 ? 0x1301 : 0xc02f, 2);
	hello_number(to, 0, 1);
	extensions = to->n;
	hello_number(to, 0, 2);
	hello_pad(to, spec);
	if (spec->versions[0]) {
		hello_number(to, 43, 2);
		hello_number(to, 2, 2);
		hello_number(to, spec->versions[0], 2);
	}
	hello_length(to, extensions, 2);
	if (to->n == extensions + 2)
		to->n = extensions;
	hello_length(to, 1, 3);
}

static inline void hello_client(struct hello_bytes *to, const struct hello_spec *spec)
{
	struct hello_bytes message = {.n = 0};

	hello_client_message(&message, spec);
	hello_records(to, &message, spec->record ? spec->record : 0x0301, spec->per_record);
}

static inline void hello_server(struct hello_bytes *to, const struct hello_spec *spec)
{
	struct hello_bytes message = {.n = 0};

	hello_server_message(&message, spec);
	hello_records(to, &message, spec->record ? spec->record : 0x0303, spec->per_record);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * hello.h - what the first handshake messages of a TLS connection say: ClientHello, ServerHello, and
 * where the server's certificate lies when it is sent in clear. Pure and bounded: bytes in, facts out;
 * nothing is allocated, and no byte outside of the given ones is read.
 *
 * The bytes are TLS records as they came, one or several; a message may lie in one record or be cut
 * over many (RFC 8446, 5.1). They may end anywhere: then what is there is read, and the result says so.
 * Values of GREASE (RFC 8701: 0x0a0a, 0x1a1a, ... 0xfafa) are left out of every list, as they say
 * nothing about the sender.
 */
#ifndef SW_HELLO_H
#define SW_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sw_hello {
	SW_HELLO_WHOLE = 0, /* read to its end */
	SW_HELLO_CUT,       /* the bytes end before it does; what was there is filled in */
	/* No such message, or lengths that do not fit into each other; what stood before the fault is
	   filled in. */
	SW_HELLO_BAD,
};

#define SW_HELLO_BYTES_MAX 16384 /* of handshake that are looked at; a longer message is cut */
#define SW_HELLO_NAME_MAX 256    /* a name and its NUL */
#define SW_HELLO_CIPHERS_MAX 512
#define SW_HELLO_EXTENSIONS_MAX 256
#define SW_HELLO_VALUES_MAX 128

/* A ClientHello. All numbers in host order, all lists in the sender's order. */
struct sw_client_hello {
	uint16_t legacy_version; /* of the message */
	bool lists_full;         /* a list had more values than there is room for here */

	/* Only what host names and protocol names are made of is copied: bytes 0x21 to 0x7e; a name
	   with others is left empty, but `has_sni` is set all the same. */
	bool has_sni;
	char sni[SW_HELLO_NAME_MAX];
	char alpn[SW_HELLO_NAME_MAX]; /* "h2,http/1.1", as many whole names as fit */
	uint8_t alpn_ends[2];         /* first and last byte of the first ALPN name, as they came */
	uint8_t alpn_first_length;    /* of that name; 0: there is none */

	uint16_t n_ciphers, n_extensions, n_versions, n_signatures;
	uint16_t ciphers[SW_HELLO_CIPHERS_MAX];
	uint16_t extensions[SW_HELLO_EXTENSIONS_MAX];
	uint16_t versions[SW_HELLO_VALUES_MAX];   /* supported_versions */
	uint16_t signatures[SW_HELLO_VALUES_MAX]; /* signature_algorithms */
};

enum sw_hello sw_client_hello_read(const uint8_t *bytes, size_t n, struct sw_client_hello *hello);

/* The server's first flight. */
struct sw_server_hello {
	bool has_hello; /* a ServerHello stood there; what follows is of it */
	bool retry;     /* it is a HelloRetryRequest: the real one comes later, with the same cipher
			   and version */
	uint16_t version; /* negotiated: supported_versions if that is there */
	uint16_t cipher;

	/* The server's own certificate (DER), where it is sent in clear: TLS 1.2 and below. The place is
	   counted in the handshake as sw_handshake_join() puts it together. `certificate_whole`: all of
	   it is in these bytes. Length 0: none. */
	bool certificate_whole;
	size_t certificate_at, certificate_length;
};

/*
 * Reads ServerHello and, when one may follow, Certificate. SW_HELLO_WHOLE: the ServerHello was read to
 * its end, and so was the certificate if one is to come and the bytes go on so far; SW_HELLO_CUT: the ServerHello itself, or of TLS 1.2 and below what follows up to the end of the leaf
 * certificate or to ServerHelloDone, is not all there.
 */
enum sw_hello sw_server_hello_read(const uint8_t *bytes, size_t n, struct sw_server_hello *hello);

/*
 * The handshake messages in those records without the records' headers, up to the first record of
 * another type. Returns how many bytes were written, at most `size`. `to` may be `bytes` itself.
 */
size_t sw_handshake_join(const uint8_t *bytes, size_t n, uint8_t *to, size_t size);

/* "TLS 1.3", "SSL 3.0"; NULL for a number that is no version. (sw_tls_version_name(): "1.3".) */
const char *sw_hello_version_name(uint16_t version);

#endif

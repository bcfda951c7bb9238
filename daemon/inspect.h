/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inspect.h - a second look at the first bytes of a connection, with OpenSSL: is it TLS, and what do
 * both sides say. Bytes in, plain facts out; the bytes are not kept. Beside policy/digest.c the only
 * file that knows OpenSSL.
 */
#ifndef SW_INSPECT_H
#define SW_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"

/* Texts are printable: whatever a peer chose is escaped, and cut when it is longer. */
#define SW_INSPECT_TEXT 256
#define SW_INSPECT_VERSIONS 8
#define SW_INSPECT_NAMES 16
#define SW_INSPECT_JA4 40
#define SW_INSPECT_CIPHER 64

enum sw_inspected {
	SW_INSPECTED_HELLO = 0, /* a ClientHello that OpenSSL takes */
	SW_INSPECTED_CUT,       /* its beginning; the rest is not in the sample */
	SW_INSPECTED_PRETENDED, /* none, whatever its first bytes say */
};

struct sw_client_facts {
	char sni[SW_INSPECT_TEXT], alpn[SW_INSPECT_TEXT]; /* empty: not sent */
	char ja4[SW_INSPECT_JA4];                         /* empty: not whole */
	uint16_t versions[SW_INSPECT_VERSIONS];           /* offered, in the order of the client */
	unsigned int n_versions;
};

struct sw_certificate {
	char subject[SW_INSPECT_TEXT]; /* RFC 2253 */
	char names[SW_INSPECT_NAMES]
		  [SW_INSPECT_TEXT]; /* DNS names and addresses of subjectAltName */
	unsigned int n_names;
	bool more_names;               /* it has more than are here */
	int64_t not_before, not_after; /* seconds since 1970 */
	bool asked, matches; /* a name was asked for by SNI; it is one of the certificate's */
};

struct sw_server_facts {
	uint16_t version; /* negotiated; 0: not told */
	uint16_t cipher;
	char cipher_name[SW_INSPECT_CIPHER]; /* as IANA has it */
	bool has_certificate;                /* it came in clear, and whole */
	struct sw_certificate certificate;
};

struct sw_inspector;

/*
 * Makes OpenSSL overwrite all memory that it gives back, so that nothing of what it read stays behind.
 * Before anything else of OpenSSL is called in this process. 0 or -1: too late.
 */
int sw_inspect_prepare(void);

struct sw_inspector *sw_inspector_new(struct sw_fault *fault);
void sw_inspector_free(struct sw_inspector *inspector);

/* What a client sent, from the first byte of TLS on. `whole`: its hello ends within. */
enum sw_inspected sw_inspect_client(struct sw_inspector *inspector, const uint8_t *bytes, size_t n,
				    bool whole, struct sw_client_facts *facts);

/* What a server answered, likewise; `sni` is the name that its client asked for, or empty. False: no
   ServerHello stands there. */
bool sw_inspect_server(struct sw_inspector *inspector, const uint8_t *bytes, size_t n,
		       const char *sni, struct sw_server_facts *facts);

/* "TLS_AES_128_GCM_SHA256"; a number that OpenSSL does not know becomes "0x1301". */
void sw_inspect_cipher(struct sw_inspector *inspector, uint16_t cipher,
		       char to[static SW_INSPECT_CIPHER]);

#endif

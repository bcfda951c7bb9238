/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ja4.h - the JA4 fingerprint of a TLS client, as FoxIO's technical details have it ("JA4: TLS Client
 * Fingerprinting", BSD 3-clause): version, name, counts and protocol in letters, then what remains of
 * the sorted ciphers and of the sorted extensions with the signature algorithms. Two connections of one
 * program have the same one, whichever server they go to.
 */
#ifndef SW_JA4_H
#define SW_JA4_H

#include "daemon/wire/hello.h"

#define SW_JA4_SIZE 37 /* "t13d1516h2_8daaf6152771_e5627efa2ab1" and a NUL */

/*
 * Of a ClientHello over TCP that was read to its end. 0; -E2BIG: it has more values than were kept, so
 * the sums cannot be made; -EIO: no SHA-256 to be had. Then `ja4` is "".
 */
int sw_ja4(const struct sw_client_hello *hello, char ja4[static SW_JA4_SIZE]);

#endif

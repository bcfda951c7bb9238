/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layers.h - the headers of a captured packet, by the parser that the kernel runs (bpf/parse.h). Private
 * to daemon/wire.
 */
#ifndef SW_LAYERS_H
#define SW_LAYERS_H

#include <stdbool.h>

#include "daemon/wire/bytes.h"
#include "daemon/wire/streams.h"

#define SW_PARSE_LOAD(from, offset, to, size) sw_bytes_load(from, offset, to, size)
#include "bpf/parse.h"

/*
 * Of `whole` bytes `bytes` were captured. False: no header that leads to IP or to something else can be
 * read. *payload: bytes that the TCP segment had on the wire.
 */
bool sw_layers_read(struct sw_bytes *bytes, enum sw_layer layer, size_t whole,
		    struct sw_packet *packet, size_t *payload);

#endif

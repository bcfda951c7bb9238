/* SPDX-License-Identifier: GPL-2.0-or-later */
/* edge_words.h - short words for what frames of the edge's tests are made of, and parse.h to name it. */
#ifndef SW_TESTS_EDGE_WORDS_H
#define SW_TESTS_EDGE_WORDS_H

#include "daemon/wire/bytes.h"

#define SW_PARSE_LOAD(from, offset, to, size) sw_bytes_load(from, offset, to, size)
#include "bpf/parse.h"

#define FIN SW_TCP_FIN
#define SYN SW_TCP_SYN
#define RST SW_TCP_RST
#define PSH SW_TCP_PSH
#define ACK SW_TCP_ACK

#define CLIENT6 "2001:db8::1"
#define SERVER6 "2001:db8:1::1"
#define V6 .from = CLIENT6, .to = SERVER6

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * record_json.h - a record as the event object of proto.h, and as a line for people. Shared with the
 * command, which reads records from the store.
 */
#ifndef SW_RECORD_JSON_H
#define SW_RECORD_JSON_H

#include <jansson.h>
#include <stdio.h>

#include "daemon/audit/record.h"

/* The event object of proto.h. NULL: out of memory. */
json_t *sw_record_json(const struct sw_record *record);

/* One line in plain words, without time and without the newline at its end: "refused  user www-data
   (/usr/bin/php8.2, unit ...) -> 203.0.113.5 port 25: line 14: reject ..." */
void sw_record_line(const struct sw_record *record, FILE *to);

/* Does it tell of first bytes that were looked at: tls, verb and whose bytes were at fault? */
bool sw_record_is_gates(const struct sw_record *record);

/* "52:54:00:12:34:56". False: the frame had none. */
#define SW_MAC_SIZE 18
bool sw_record_mac(const struct sw_record *record, char to[static SW_MAC_SIZE]);

/* "connect", "session", ...; "?": none of them. */
const char *sw_record_kind_name(unsigned int kind);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * syslog_message.h - a record as a message of RFC 5424. Pure.
 *
 *   <20>1 2026-03-01T08:15:30.123456Z host smtpwalld 812 CONNECT [smtpwall@32473 id="7" ...] refused ...
 *
 * Facility: mail (2). Severity: warning (4) of what was refused or ended, notice (5) of what was
 * recorded or redirected, informational (6) of what passed. MSGID is the kind. STRUCTURED-DATA has the
 * names that event objects have (proto.h); what is not known is left out. MSG is the sentence that
 * people read, in UTF-8, with a byte order mark where it is more than ASCII (section 6.4).
 *
 * RFC 5424, 7.2.2 wants an SD-ID of one's own to end in an enterprise number that IANA has assigned.
 * smtpwall has none; 32473 is assigned to examples (RFC 5612), so no other program's number is taken.
 *
 * There is no `meta sequenceId` (7.3.1): it counts what is submitted, starts anew with each start, and
 * would give a message that is sent twice two numbers. `id` is the same in both.
 */
#ifndef SW_SYSLOG_MESSAGE_H
#define SW_SYSLOG_MESSAGE_H

#include <stddef.h>

#include "daemon/audit/record.h"

/* A receiver should take messages of this size (RFC 5424, 6.1; RFC 5425, 4.3.1); longer ones are cut. */
#define SW_SYSLOG_MESSAGE_MAX 8192

#define SW_SYSLOG_SD_ID "smtpwall@32473"

/* Who speaks. */
struct sw_syslog_origin {
	char host[256]; /* HOSTNAME: printable ASCII without spaces; "-": not known */
	long pid;
};

/* This machine and process. */
void sw_syslog_origin(struct sw_syslog_origin *origin);

/*
 * Writes the message without a frame, without a NUL and without any control character; returns its
 * length. `sentence` is MSG. Texts that do not fit are cut between characters, and the parameter
 * `cut` says so.
 */
size_t sw_syslog_message(const struct sw_syslog_origin *origin, const struct sw_record *record,
			 const char *sentence, char to[static SW_SYSLOG_MESSAGE_MAX]);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SW_CTL_EVENT_H
#define SW_CTL_EVENT_H

#include <jansson.h>
#include <stdio.h>

/* One event (proto.h) as one line that is read at a glance. */
void sw_event_text(FILE *to, const json_t *event, const void *context);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SW_CTL_EVENT_H
#define SW_CTL_EVENT_H

#include <jansson.h>
#include <stdio.h>

/* One event (proto.h) as one line that is read at a glance. `today` is a date ("2026-01-02") that need not
   be said, or NULL. */
void sw_event_text(FILE *to, const json_t *event, const void *today);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ecs.h - a record in the field names of the Elastic Common Schema. Pure. */
#ifndef SW_ECS_H
#define SW_ECS_H

#include <jansson.h>

#include "daemon/audit/record.h"

/* The version of the schema whose fields and values are used. */
#define SW_ECS_VERSION "8.17.0"

/* One event. What ECS has no field for stands below "smtpwall", under the name that proto.h gives it;
   what is not known is left out. NULL: out of memory. */
json_t *sw_ecs_json(const struct sw_record *record);

/* `n` events from id `first` on could not be written. NULL: out of memory. */
json_t *sw_ecs_lost(uint64_t time_ns, uint64_t first, uint64_t n);

#endif

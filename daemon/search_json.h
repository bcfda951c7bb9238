/* SPDX-License-Identifier: GPL-2.0-or-later */
/* search_json.h - what a request for events asks for (proto.h). */
#ifndef SW_SEARCH_JSON_H
#define SW_SEARCH_JSON_H

#include <jansson.h>

#include "daemon/audit/store.h"

/* Texts of *search are those of the request. Returns the member that is not of its type, or not one of
   its values; NULL: all are. */
const char *sw_search_from_json(const json_t *request, struct sw_search *search);

#endif

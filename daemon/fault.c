/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "daemon/fault.h"

int sw_fault(struct sw_fault *fault, int status, const char *format, ...)
{
	va_list args;

	fault->status = status;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return -1;
}

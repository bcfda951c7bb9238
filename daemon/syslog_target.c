/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_target.h"

#include <stdbool.h>
#include <string.h>
#include <sys/un.h>

static int wrong(const char *text, const char *why, struct sw_fault *fault)
{
	return sw_fault(
		fault, SW_EXIT_USAGE,
		"--syslog: '%.200s' %s; it is unix:PATH, tcp:HOST[:PORT] or tls:HOST[:PORT], "
		"an IPv6 address in brackets",
		text, why);
}

static bool take_port(const char *text, char to[static 6])
{
	unsigned long number = 0;
	size_t length = strspn(text, "0123456789");

	if (!length || length > 5 || text[length])
		return false;
	number = strtoul(text, NULL, 10);
	if (number < 1 || number > 65535)
		return false;
	snprintf(to, 6, "%lu", number);
	return true;
}

/* Puts the host apart; *rest is what follows it. */
static bool take_host(const char *text, struct sw_syslog_target *target, const char **rest)
{
	bool bracket = *text == '[';
	size_t length;

	text += bracket;
	length = strcspn(text, bracket ? "]" : ":");
	if (!length || length >= sizeof(target->host) || (bracket && text[length] != ']'))
		return false;
	memcpy(target->host, text, length);
	target->host[length] = '\0';
	*rest = text + length + bracket;
	return true;
}

static int take_network(const char *text, const char *host, const char *port,
			struct sw_syslog_target *target, struct sw_fault *fault)
{
	const char *rest;

	if (!take_host(host, target, &rest))
		return wrong(text, "names no host", fault);
	if (!*rest)
		snprintf(target->port, sizeof(target->port), "%s", port);
	else if (*rest != ':' || !take_port(rest + 1, target->port))
		return wrong(text, "has no port from 1 to 65535 behind the host", fault);
	return 0;
}

static int take_path(const char *text, const char *path, struct sw_syslog_target *target,
		     struct sw_fault *fault)
{
	if (*path != '/')
		return wrong(text, "has no absolute path", fault);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return wrong(text, "is too long for the path of a socket", fault);
	memcpy(target->host, path, strlen(path) + 1);
	return 0;
}

int sw_syslog_target(const char *text, struct sw_syslog_target *target, struct sw_fault *fault)
{
	*target = (struct sw_syslog_target){};
	if (strlen(text) >= sizeof(target->text))
		return wrong(text, "is too long", fault);
	memcpy(target->text, text, strlen(text) + 1);
	if (strncmp(text, "unix:", 5) == 0) {
		target->transport = SW_SYSLOG_UNIX;
		return take_path(text, text + 5, target, fault);
	}
	if (strncmp(text, "tcp:", 4) == 0) {
		target->transport = SW_SYSLOG_TCP;
		return take_network(text, text + 4, "514", target, fault);
	}
	if (strncmp(text, "tls:", 4) == 0) {
		target->transport = SW_SYSLOG_TLS;
		return take_network(text, text + 4, "6514", target, fault);
	}
	return wrong(text, "is no target", fault);
}

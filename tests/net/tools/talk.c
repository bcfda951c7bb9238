/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * talk.c - plays dialogues of a client with a server, byte for byte, and says what came of each.
 *
 *     talk CONTROL ADDRESS PORT <SCRIPT
 *
 * This program is the client. The server's end is accepted by the program `answer`, in its network
 * namespace and cgroup, and handed over through the socket CONTROL, so that one script tells both
 * ends and knows what arrived. A script has one step a line; bytes stand as they are but for
 * \r \n \t \0 \\ \xNN, or after `x` in hexadecimal.
 *
 *     dialogue NAME       a new connection; the settings below are as at the start
 *     port N, to ADDRESS  where it goes
 *     mptcp, fast-open    how: the latter has the first bytes in the SYN
 *     device NAME         bound to this interface
 *     patience N          the kernel may send N times again before bytes count as held (6: some 12 s)
 *     way NAME [N]        how the client sends from here on, see talk_ways.c
 *     > BYTES   >x HEX    the client sends, until all of it has arrived
 *     >> BYTES  >>x HEX   likewise, without waiting
 *     < BYTES   <x HEX    the server sends, until all of it has come to the client
 *     << BYTES  <<x HEX   likewise, without waiting
 *     >% N                the client sends N bytes of a pattern
 *     close               the server closes its end, the client reads that
 *     end                 until the client has an error or the end of the connection
 *
 * For each dialogue a line of fields with a tab between them:
 *     NAME ENDING ERROR STEP MICROSECONDS SRC_PORT ARRIVED
 * ENDING: passed | refused | held | lost | unconnected | skipped. ERROR: that the client saw, EOF, or -.
 * STEP: the first that was not done. MICROSECONDS: that it took. ARRIVED: what came to the far side,
 * printable, blanks as \x20, at most 4096 bytes of it. Exit code: 0 unless the script cannot be played.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "talk.h"

#define LIMIT 240 /* seconds: nothing here may outlive the test that asked */
#define SHOWN 4096

static void wrong(const char *line)
{
	fprintf(stderr, "talk: not a step: %s\n", line);
	exit(2);
}

/* ---- steps ---- */

static uint8_t hex_digit(const char *at, const char *line)
{
	const char *digits = "0123456789abcdef", *found = strchr(digits, *at | 0x20);

	if (!*at || !found)
		wrong(line);
	return (uint8_t)(found - digits);
}

static size_t read_hex(const char *text, uint8_t *to, const char *line)
{
	size_t n = 0;

	for (; text[0] && text[0] != '\n'; text += 2)
		to[n++] = (uint8_t)(hex_digit(text, line) << 4 | hex_digit(text + 1, line));
	return n;
}

static size_t read_text(const char *text, uint8_t *to, const char *line)
{
	size_t n = 0;

	for (; *text; text++) {
		if (*text != '\\') {
			to[n++] = (uint8_t)*text;
			continue;
		}
		switch (*++text) {
		case 'r':
			to[n++] = '\r';
			break;
		case 'n':
			to[n++] = '\n';
			break;
		case 't':
			to[n++] = '\t';
			break;
		case '0':
			to[n++] = '\0';
			break;
		case '\\':
			to[n++] = '\\';
			break;
		case 'x':
			to[n++] = (uint8_t)(hex_digit(text + 1, line) << 4 |
					    hex_digit(text + 2, line));
			text += 2;
			break;
		default:
			wrong(line);
		}
	}
	return n;
}

static size_t read_pattern(const char *text, uint8_t *to, const char *line)
{
	size_t n = strtoul(text, NULL, 10);

	if (n == 0 || n > TALK_BYTES_MAX)
		wrong(line);
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(i * 7 + i / 251);
	return n;
}

/* > >> < << with x or %, a blank, and bytes. */
static void step_bytes(struct talk *talk, const char *line)
{
	static uint8_t data[TALK_BYTES_MAX];
	const char *at = line + 1;
	bool waits = *at != line[0];
	size_t length;

	at += waits ? 0 : 1;
	if (*at && *at != ' ' && at[1] != ' ')
		wrong(line);
	if (*at == 'x')
		length = read_hex(at + 2, data, line);
	else if (*at == '%')
		length = read_pattern(at + 2, data, line);
	else
		length = read_text(at + (*at ? 1 : 0), data, line);
	if (line[0] == '>') {
		talk->sending->send(talk, data, length);
		if (waits)
			talk_wait_arrived(talk);
	} else {
		talk_say(talk, data, length);
		if (waits)
			talk_wait_received(talk);
	}
}

static const char *argument(const char *line, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(line, word, length) != 0 || (line[length] && line[length] != ' '))
		return NULL;
	return line + length + (line[length] == ' ');
}

static bool set_address(struct talk *talk, const char *text)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&talk->to;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&talk->to;
	in_port_t port = v6->sin6_port; /* lies where sin_port does */

	memset(&talk->to, 0, sizeof(talk->to));
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		talk->to_length = sizeof(*v6);
	} else if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		talk->to_length = sizeof(*v4);
	} else {
		return false;
	}
	v6->sin6_port = port;
	return true;
}

static void set_port(struct talk *talk, const char *text)
{
	((struct sockaddr_in6 *)&talk->to)->sin6_port = htons((uint16_t)atoi(text));
}

static void set_way(struct talk *talk, const char *text, const char *line)
{
	char name[32] = "";

	talk->split = 0;
	if (sscanf(text, "%31s %zu", name, &talk->split) < 1)
		wrong(line);
	for (talk->sending = sendings; talk->sending->name; talk->sending++)
		if (strcmp(talk->sending->name, name) == 0)
			return;
	wrong(line);
}

/* Settings; true when the line is one. */
static bool step_setting(struct talk *talk, const char *line)
{
	const char *at;

	if ((at = argument(line, "port")))
		set_port(talk, at);
	else if ((at = argument(line, "to")) && !set_address(talk, at))
		wrong(line);
	else if (at)
		return true;
	else if (argument(line, "mptcp"))
		talk->mptcp = true;
	else if (argument(line, "fast-open"))
		talk->fast_open = true;
	else if ((at = argument(line, "device")))
		snprintf(talk->device, sizeof(talk->device), "%s", at);
	else if ((at = argument(line, "patience")))
		talk->patience = (unsigned int)atoi(at);
	else if ((at = argument(line, "way")))
		set_way(talk, at, line);
	else
		return false;
	return true;
}

static void step(struct talk *talk, const char *line)
{
	if (talk->client < 0)
		talk_open(talk);
	if (talk->ending != GOING)
		return;
	talk->client_again = talk_sent_again(talk->client);
	talk->server_again = talk_sent_again(talk->server);
	if (line[0] == '>' || line[0] == '<') {
		step_bytes(talk, line);
	} else if (argument(line, "close")) {
		shutdown(talk->server, SHUT_WR);
		while (talk->ending == GOING)
			talk_pump(talk, 20);
	} else if (argument(line, "end")) {
		talk->patience = UINT32_MAX / 2;
		while (talk->ending == GOING)
			talk_pump(talk, 20);
	} else {
		wrong(line);
	}
}

/* ---- one dialogue ---- */

static void print_bytes(const struct bytes *bytes)
{
	for (size_t i = 0; i < bytes->length && i < SHOWN; i++) {
		uint8_t c = bytes->data[i];
		if (c > ' ' && c < 0x7f && c != '\\')
			putchar(c);
		else if (c == '\r' || c == '\n')
			printf("\\%c", c == '\r' ? 'r' : 'n');
		else
			printf("\\x%02x", c);
	}
}

static void print_result(const struct talk *talk, const char *name, unsigned int step, uint64_t us)
{
	static const char *const endings[] = {
		[GOING] = "passed",    [PASSED] = "passed", [REFUSED] = "refused",
		[HELD] = "held",       [LOST] = "lost",     [UNCONNECTED] = "unconnected",
		[SKIPPED] = "skipped",
	};
	const char *error = "-";

	if (talk->error)
		error = strerrorname_np(talk->error);
	else if (talk->ending == REFUSED)
		error = "EOF";
	printf("%s\t%s\t%s\t%u\t%llu\t%u\t", name, endings[talk->ending], error, step,
	       (unsigned long long)us, talk->src_port);
	print_bytes(&talk->arrived);
	putchar('\n');
	fflush(stdout);
}

/* Plays the lines up to the next dialogue; returns the first line of that, or NULL. */
static char *play(const struct talk *settings, char *name, size_t room, FILE *script)
{
	static char line[2 * TALK_BYTES_MAX];
	struct talk talk = *settings;
	unsigned int steps = 0;
	uint64_t took = 0;
	char *next = NULL;

	while (fgets(line, sizeof(line), script)) {
		line[strcspn(line, "\n")] = '\0';
		const char *at = argument(line, "dialogue");
		if (at) {
			next = name;
			break;
		}
		if (!line[0] || line[0] == '#' || talk.ending != GOING || step_setting(&talk, line))
			continue;
		uint64_t began = now_us();
		step(&talk, line);
		took = now_us() - began;
		if (talk.ending == GOING)
			steps++;
	}
	talk_end(&talk, PASSED, 0);
	talk_hang_up(&talk);
	if (name[0])
		print_result(&talk, name, steps + (talk.ending != PASSED), took);
	free(talk.arrived.data);
	if (next)
		snprintf(name, room, "%.200s", line + strlen("dialogue "));
	return next;
}

int main(int argc, char **argv)
{
	struct talk settings = {
		.client = -1, .server = -1, .asking = -1, .patience = 6, .sending = sendings};
	char name[256] = "";

	if (argc != 4 || !set_address(&settings, argv[2])) {
		fputs("usage: talk CONTROL ADDRESS PORT <SCRIPT\n", stderr);
		for (const struct sending *way = sendings; way->name; way++)
			fprintf(stderr, "  way %-12s %s\n", way->name, way->does);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	alarm(LIMIT);
	settings.control = argv[1];
	set_port(&settings, argv[3]);
	while (play(&settings, name, sizeof(name), stdin))
		;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any segments of client and server through the gate. What it lets pass is put together as a server
 * would, and read again by a reader written another way; and the same bytes, cut otherwise, must come
 * to the same end.
 *
 * The input: rule flags, port and version, then segments of three bytes - what, where, length - and the
 * payload. Where: 0 is behind what passed before, else that far from it, as a signed number.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tests/unit/gate_host.h"

#define STREAM 65536
#define SEGMENTS 400

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { WHAT_SERVER = 1, WHAT_SYN = 2, WHAT_URGENT = 4, WHAT_LONG = 8, WHAT_SHARED = 16 };

struct config {
	uint8_t flags, action;
	uint16_t port, version;
};

/* What the other side has of a stream: no gap before `n`. */
struct stream {
	uint32_t first; /* sequence number */
	size_t n;
	uint8_t bytes[STREAM];
};

static struct {
	struct config config;
	struct sw_gate gate;
	struct stream streams[2];
	bool violated, in_tls;
} world;

static struct config read_config(const uint8_t *bytes)
{
	static const uint16_t ports[] = {587, 465, 2525, 587};
	static const uint16_t versions[] = {0, 0x0301, 0x0302, 0x0303, 0x0304, 0, 0, 0};
	struct config config = {
		.flags = bytes[0] &
			 (SW_RULE_AUDIT | SW_RULE_IMPLICIT | SW_RULE_STARTTLS | SW_RULE_PROXY),
		.action = bytes[1] & 64 ? SW_ACTION_AUDIT : SW_ACTION_TLS,
		.port = ports[bytes[1] & 3],
		.version = versions[bytes[1] >> 3 & 7],
	};

	/* A policy says one of the two or none. */
	if (config.flags & SW_RULE_IMPLICIT)
		config.flags &= (uint8_t)~SW_RULE_STARTTLS;
	return config;
}

static void begin(const struct config *config)
{
	memset(&world.gate, 0, sizeof(world.gate));
	sw_gate_begin(&world.gate, config->action, config->flags, config->port, config->version);
	world.config = *config;
	world.violated = world.in_tls = false;
	world.streams[0] = (struct stream){.first = 0xffffff00};
	world.streams[1] = (struct stream){.first = 77};
	for (int side = 0; side < 2; side++)
		assert(!gh_segment(&world.gate, side, world.streams[side].first - 1, "", 0,
				   GH_SYN));
}

/* ---- the naive reader ---- */

static bool is_end(uint8_t c)
{
	return c == '\r' || c == '\n';
}

/* Behind a PROXY header that may be there; 0: there is none, SIZE_MAX: it has not ended. */
static size_t behind_proxy(const uint8_t *bytes, size_t n)
{
	const uint8_t *end;
	size_t length;

	if (!(world.config.flags & SW_RULE_PROXY) || !n)
		return 0;
	if (bytes[0] == '\r') {
		length = n < 16 ? SIZE_MAX : 16u + bytes[14] * 256u + bytes[15];
		return length > n ? SIZE_MAX : length;
	}
	if (bytes[0] != 'P')
		return 0;
	end = memchr(bytes, '\n', n);
	return end ? (size_t)(end - bytes) + 1 : SIZE_MAX;
}

/* Is the line, without blanks before it, a command that may be sent in clear, or `open`, its beginning? */
static bool may_be_sent(const uint8_t *line, size_t n, bool open)
{
	static const char *const verbs[] = {"EHLO", "HELO", "LHLO", "NOOP",
					    "RSET", "QUIT", "HELP", "STARTTLS"};
	size_t word = 0;

	while (word < n && line[word] != ' ' && line[word] != '\t')
		word++;
	open = open && word == n;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (word <= strlen(verbs[i]) && !strncasecmp((const char *)line, verbs[i], word) &&
		    (open || word == strlen(verbs[i])))
			return true;
	return false;
}

static bool server_said_220(void)
{
	const struct stream *server = &world.streams[1];

	for (size_t i = 0; i + 3 <= server->n; i++)
		if ((!i || server->bytes[i - 1] == '\n') && !memcmp(server->bytes + i, "220", 3))
			return true;
	return false;
}

/* Where TLS begins in what the client could send; SIZE_MAX: it has not. Dies of what may not be there. */
static size_t read_naively(const uint8_t *bytes, size_t n)
{
	size_t at = behind_proxy(bytes, n), from, end;
	bool granted = !(world.gate.flags & SW_RULE_STARTTLS), hard = true;

	if (at == SIZE_MAX)
		return SIZE_MAX;
	while (at < n) {
		if (bytes[at] == 0x16) {
			assert(granted);
			return at;
		}
		assert(!(world.gate.flags & SW_RULE_IMPLICIT));
		for (from = at; from < n && (bytes[from] == ' ' || bytes[from] == '\t');)
			from++;
		for (end = from; end < n && !is_end(bytes[end]);)
			end++;
		assert(may_be_sent(bytes + from, end - from, end == n));
		at = end + 1;
		if (end + 1 < n && bytes[end] == '\r' && bytes[end + 1] == '\n')
			at++;
		granted = hard && at == end + 2 && end - from >= 8 &&
			  !strncasecmp((const char *)bytes + from, "STARTTLS", 8) &&
			  server_said_220();
		hard = at == end + 2;
	}
	return SIZE_MAX;
}

/* Line ends of a client, bare ones among them. */
static size_t count_commands(const struct stream *client)
{
	size_t n = 0;

	for (size_t i = 0; i < client->n; i++)
		n += is_end(client->bytes[i]) &&
		     !(i && client->bytes[i] == '\n' && client->bytes[i - 1] == '\r');
	return n;
}

/* Three digits of 200 to 599, then a blank, '-', or the line's end; 0: no line of a reply. */
static int reply_code(const uint8_t *line, size_t n)
{
	int code = 0;

	for (size_t i = 0; i < 3; i++) {
		if (i >= n || line[i] < '0' || line[i] > '9')
			return 0;
		code = code * 10 + line[i] - '0';
	}
	if (n > 3 && line[3] != ' ' && line[3] != '-' && line[3] != '\r')
		return 0;
	return code < 200 || code > 599 ? 0 : code;
}

/* A server that says yes more often than it was asked says it to what comes in TLS. */
static void check_replies(void)
{
	const struct stream *server = &world.streams[1];
	size_t yes = 0, at = 0;
	int first = 0;

	for (size_t i = 0; i < server->n; i++) {
		const uint8_t *line = server->bytes + at;
		int code;

		if (server->bytes[i] != '\n')
			continue;
		code = reply_code(line, i - at);
		at = i + 1;
		if (!code)
			continue;
		if (!first)
			first = code;
		if (line[3] == '-')
			continue;
		yes += first < 400;
		first = 0;
	}
	assert(yes <= count_commands(&world.streams[0]) + 1);
}

static void check_what_passed(void)
{
	const struct stream *client = &world.streams[0];
	size_t hello;

	if (world.in_tls)
		return;
	if (!world.gate.begun)
		check_replies();
	hello = read_naively(client->bytes, client->n);
	assert((hello != SIZE_MAX) == (world.gate.tls != SW_TLS_NONE));
	assert((hello == SIZE_MAX ? client->n : hello) <= SW_GATE_CLEAR_MAX);
	assert(client->n <= SW_GATE_MAX);
	assert(hello == SIZE_MAX || hello == world.gate.hello_at);
	assert(!memcmp(client->bytes, world.gate.seen, client->n));
}

/* ---- segments as they come ---- */

static void take(struct stream *stream, bool server, uint32_t at, const uint8_t *bytes, size_t n)
{
	/* Of a server, what lies before its first byte is passed over. */
	if (server && at > UINT32_MAX / 2) {
		uint32_t before = -at;

		if (before >= n)
			return;
		bytes += before;
		n -= before;
		at = 0;
	}
	/* A client that is let through leaves no gap, and says nothing twice in two ways. */
	if (at > stream->n || at + n > STREAM) {
		assert(server || at + n > STREAM || !n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (at + i < stream->n)
			assert(server || stream->bytes[at + i] == bytes[i]);
		else
			stream->bytes[stream->n++] = bytes[i];
	}
}

static void send_segment(uint8_t what, int8_t where, const uint8_t *bytes, size_t n)
{
	bool server = what & WHAT_SERVER;
	struct stream *stream = &world.streams[server];
	uint32_t at = (uint32_t)stream->n + (uint32_t)where;
	unsigned int flags = (what & WHAT_SYN ? GH_SYN : 0) | (what & WHAT_URGENT ? GH_URGENT : 0) |
			     (what & WHAT_SHARED ? GH_SHARED : 0);
	bool tls = world.gate.phase == SW_GATE_TLS,
	     anew = !server && flags & GH_SYN && !world.gate.read;
	int answer = gh_segment(&world.gate, server, stream->first + at - !!(flags & GH_SYN), bytes,
				n, flags);

	/* Until a byte was read, another SYN is another beginning. */
	if (anew) {
		stream->first += at;
		at = 0;
	}
	assert(answer >= SW_GATE_PASS && answer <= SW_GATE_VIOLATION);
	if (!world.gate.enforced) {
		assert(answer != SW_GATE_HOLD);
		assert(answer == SW_GATE_PASS || !world.violated);
	} else if (world.violated && n) {
		assert(answer == SW_GATE_VIOLATION);
	}
	if (answer == SW_GATE_VIOLATION) {
		world.violated = true;
		assert(world.gate.reason || world.gate.server_reason);
		assert(!world.gate.reason || !world.gate.server_reason);
	}
	/* The client's half learns of the ServerHello with its next segment, which passes unread. */
	world.in_tls = tls || world.gate.phase == SW_GATE_TLS;
	assert(!world.in_tls ||
	       (world.gate.negotiated >= 0x0301 && world.gate.negotiated >= world.config.version));
	if (answer == SW_GATE_PASS && world.gate.enforced && !world.violated && !world.in_tls) {
		take(stream, server, at, bytes, n);
		check_what_passed();
	}
}

/* ---- the same bytes, cut otherwise ---- */

struct turn {
	bool server;
	size_t n;
	const uint8_t *bytes;
};

struct end {
	uint8_t reason, server_reason, phase, server_phase, tls;
	uint16_t negotiated;
};

/* `most`: bytes of a segment; 0: whole turns. */
static struct end play(const struct config *config, const struct turn *turns, size_t n_turns,
		       size_t most)
{
	uint32_t seq[2] = {0xffffff00, 77};
	const struct sw_gate *gate = &world.gate;

	begin(config);
	for (size_t i = 0; i < n_turns; i++)
		for (size_t at = 0; at < turns[i].n;) {
			bool server = turns[i].server;
			size_t n = turns[i].n - at;

			if (most && n > most)
				n = most;
			gh_segment(&world.gate, server, seq[server], turns[i].bytes + at, n, 0);
			seq[server] += (uint32_t)n;
			at += n;
		}
	return (struct end){gate->reason,       gate->server_reason, gate->phase,
			    gate->server_phase, gate->tls,           gate->negotiated};
}

static void check_cuts(const struct config *config, const struct turn *turns, size_t n_turns)
{
	struct end whole = play(config, turns, n_turns, 0);

	for (size_t most = 1; most < 130; most = most * 3 + 1) {
		struct end cut = play(config, turns, n_turns, most);

		assert(cut.reason == whole.reason && cut.server_reason == whole.server_reason);
		assert(cut.phase == whole.phase && cut.server_phase == whole.server_phase);
		assert(cut.tls == whole.tls && cut.negotiated == whole.negotiated);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct turn turns[SEGMENTS];
	struct config config;
	size_t n_turns = 0;

	if (n < 2)
		return 0;
	config = read_config(bytes);
	begin(&config);
	for (size_t at = 2; at + 3 <= n && n_turns < SEGMENTS;) {
		const uint8_t *head = bytes + at;
		size_t length = head[2] * (head[0] & WHAT_LONG ? 16u : 1u);

		at += 3;
		if (length > n - at)
			length = n - at;
		send_segment(head[0], (int8_t)head[1], bytes + at, length);
		turns[n_turns++] = (struct turn){head[0] & WHAT_SERVER, length, bytes + at};
		at += length;
	}
	check_cuts(&config, turns, n_turns);
	return 0;
}

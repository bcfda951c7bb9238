/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * watch.c - one stream, read by two gates. The observing one enforces nothing, lets a PROXY header in
 * where the matching rule does, and finds how TLS came and the first command in clear; the other one is
 * as the matching rule has it and finds the verdict.
 * Both get segments in order, each as it was captured. The observer stops at the first violation, so
 * what comes behind it (TLS after mail in clear, or after another protocol's STARTTLS) is looked for
 * here: a ClientHello where a segment begins.
 */
#include "daemon/wire/watch.h"

#include <errno.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/wire/bytes.h"
#include "daemon/wire/streams.h"

#define SW_GATE_LOAD(from, offset, to, size) sw_bytes_load(from, offset, to, size)
#define SW_GATE_LOOP(count, step, context)                                                         \
	do {                                                                                       \
		for (__u32 loop_index = 0; loop_index < (count); loop_index++)                     \
			if (step(loop_index, context))                                             \
				break;                                                             \
	} while (0)
#include "bpf/gate.h"

#define HELLO_BYTES 16384
#define HELD_MAX 256 /* segments of one side ahead of a gap */

/* A segment that waits for earlier ones. */
struct held {
	struct held *next;
	struct sw_segment segment; /* its bytes follow */
	uint8_t bytes[];
};

struct side {
	bool begun;        /* `next` is known */
	bool from_syn;     /* and so is that nothing came before */
	bool stuck;        /* bytes are missing and will not come: read no further */
	uint32_t start;    /* sequence number of the first byte */
	uint32_t next;     /* and of the first that was not read yet */
	struct held *held; /* in order */
	size_t n_held;
};

/* Bytes of TLS records from a hello on. */
struct grab {
	uint8_t *bytes;
	size_t n;
	bool done;
};

/* Where in a line of the client the next byte stands. */
enum place { LINE_BEGIN, IN_WORD, BEHIND_WORD };

struct sw_watch {
	struct side client, server;
	size_t *held; /* bytes that are kept, of all watches */

	struct sw_gate *observer;
	struct sw_gate *judge; /* NULL: the rule asks for no gate, or it is done */
	unsigned int verdict, reason, verb, verb_length, mechanism;
	bool violated, from_server;
	bool unsure; /* the judge would need what the capture lacks */

	enum place place;
	uint64_t word; /* the line's first letters, as gate_verb.h has words */
	uint32_t letters;
	bool naming;      /* the first verb was cut by the end of a segment */
	bool asked;       /* a line of the client was STARTTLS */
	size_t asked_end; /* index behind that line in this segment, 0: it is not in this one */
	unsigned int first_verb;
	bool client_spoke, server_spoke;
	struct grab client_hello, server_hello;
	bool server_only; /* `server_hello` was found without a client's */
	bool server_spoke_first;
};

struct sw_watch *sw_watch_new(const struct sw_answer *answer, uint16_t port, size_t *held)
{
	struct sw_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->held = held;
	watch->observer = calloc(1, sizeof(*watch->observer));
	if (watch->observer)
		sw_gate_begin(watch->observer, SW_ACTION_AUDIT, answer->gate_flags & SW_RULE_PROXY,
			      port, 0);
	if (answer->gate)
		watch->judge = calloc(1, sizeof(*watch->judge));
	if (watch->judge)
		sw_gate_begin(watch->judge, answer->gate_action, answer->gate_flags, port,
			      answer->tls_version);
	if (watch->observer && !answer->gate == !watch->judge)
		return watch;
	sw_watch_free(watch);
	return NULL;
}

static void release(struct sw_watch *watch, struct side *side)
{
	while (side->held) {
		struct held *one = side->held;

		side->held = one->next;
		*watch->held -= one->segment.n;
		free(one);
	}
	side->n_held = 0;
}

void sw_watch_free(struct sw_watch *watch)
{
	release(watch, &watch->client);
	release(watch, &watch->server);
	free(watch->observer);
	free(watch->judge);
	free(watch->client_hello.bytes);
	free(watch->server_hello.bytes);
	free(watch);
}

/* ---- lines of the client ---- */

static void end_word(struct sw_watch *watch)
{
	if (watch->word == SW_GATE_STARTTLS && watch->letters == 8)
		watch->asked = true;
	if (watch->naming)
		watch->first_verb = sw_gate_verb(watch->word, watch->letters, 0);
	watch->naming = false;
}

static void read_byte(struct sw_watch *watch, uint8_t c)
{
	bool line_end = c == '\r' || c == '\n';

	if (watch->place == IN_WORD && !sw_gate_is_letter(c)) {
		if (line_end || sw_gate_is_blank(c))
			end_word(watch);
		watch->naming = false;
		watch->place = BEHIND_WORD;
	}
	if (line_end) {
		watch->place = LINE_BEGIN;
		watch->word = watch->letters = 0;
	} else if (watch->place == LINE_BEGIN && !sw_gate_is_blank(c)) {
		watch->place = sw_gate_is_letter(c) ? IN_WORD : BEHIND_WORD;
	}
	if (watch->place != IN_WORD)
		return;
	if (watch->letters < 8)
		watch->word |= (uint64_t)(c & 0xdf) << watch->letters * 8;
	if (watch->letters < 9)
		watch->letters++;
}

static void read_lines(struct sw_watch *watch, const uint8_t *bytes, size_t n)
{
	watch->asked_end = 0;
	for (size_t i = 0; i < n; i++) {
		bool asked = watch->asked;

		/* Its line end is CRLF, of which the CR ends the word. */
		if (asked && watch->asked_end == i && i && bytes[i] == '\n')
			watch->asked_end++;
		read_byte(watch, bytes[i]);
		if (!asked && watch->asked)
			watch->asked_end = i + 1;
	}
}

/* ---- hellos that the observer does not see ---- */

static bool begins_hello(const uint8_t *bytes, size_t n, uint8_t message)
{
	return n >= 6 && bytes[0] == SW_GATE_HANDSHAKE && bytes[1] == 3 && bytes[2] <= 4 &&
	       bytes[5] == message;
}

static int grab(struct grab *grab, const uint8_t *bytes, size_t n)
{
	if (grab->done)
		return 0;
	if (!grab->bytes)
		grab->bytes = malloc(HELLO_BYTES);
	if (!grab->bytes)
		return -ENOMEM;
	if (n > HELLO_BYTES - grab->n)
		n = HELLO_BYTES - grab->n;
	memcpy(grab->bytes + grab->n, bytes, n);
	grab->n += n;
	grab->done = grab->n == HELLO_BYTES;
	return 0;
}

/* Where in new bytes of the client a hello begins or goes on; `n`: nowhere. */
static size_t hello_in(const struct sw_watch *watch, const uint8_t *bytes, size_t n)
{
	size_t behind = watch->asked_end;

	if (watch->client_hello.n || begins_hello(bytes, n, SW_GATE_CLIENT_HELLO))
		return 0;
	return behind && begins_hello(bytes + behind, n - behind, SW_GATE_CLIENT_HELLO) ? behind
											: n;
}

/* New bytes of the client, once the observer has stopped. */
static int look_client(struct sw_watch *watch, const uint8_t *bytes, size_t n)
{
	struct grab *hello = &watch->client_hello;
	size_t at = hello_in(watch, bytes, n);
	struct sw_client_hello unused;
	int r;

	if (at == n || hello->done)
		return 0;
	r = grab(hello, bytes + at, n - at);
	if (!r && sw_client_hello_read(hello->bytes, hello->n, &unused) != SW_HELLO_CUT)
		hello->done = true;
	return r;
}

static int look_server(struct sw_watch *watch, const uint8_t *bytes, size_t n)
{
	struct grab *hello = &watch->server_hello;
	struct sw_server_hello facts;
	int r;

	if (hello->done || (!hello->n && !begins_hello(bytes, n, SW_GATE_SERVER_HELLO)))
		return 0;
	if (!hello->n && !watch->client_hello.n) {
		if (watch->client_spoke)
			return 0;
		watch->server_only = true;
		watch->server_spoke_first = watch->server_spoke;
	}
	r = grab(hello, bytes, n);
	if (!r && (sw_server_hello_read(hello->bytes, hello->n, &facts) != SW_HELLO_CUT ||
		   facts.certificate_length))
		hello->done = true;
	return r;
}

/* ---- the gates ---- */

static void observe_client(struct sw_watch *watch, struct sw_bytes *bytes,
			   struct sw_gate_segment segment, const uint8_t *new_bytes, size_t n_new)
{
	struct sw_gate *gate = watch->observer;
	bool violated;

	segment.urgent = 0; /* what it does to a command is for the judge to say */
	violated = sw_gate_client(gate, bytes, &segment) == SW_GATE_VIOLATION;
	if (!gate->begun)
		read_lines(watch, new_bytes, n_new);
	if (!violated || !gate->verb || gate->verb >= SW_VERB_EHLO)
		return;
	watch->first_verb = gate->verb;
	watch->naming = gate->naming == SW_GATE_NAME_VERB && watch->place == IN_WORD;
}

/* What a server says wrongly ends the observer as well; but its client is still to be looked at. */
static void observe_server(struct sw_watch *watch, struct sw_bytes *bytes,
			   const struct sw_gate_segment *segment)
{
	struct sw_gate *gate = watch->observer;

	sw_gate_server(gate, bytes, segment);
	if (gate->begun || (!gate->server_reason && gate->server_phase != SW_GATE_UNREAD))
		return;
	gate->server_reason = SW_REASON_NONE;
	gate->server_phase = SW_GATE_REFUSED_HELLO; /* in which nothing is read any more */
}

static void judged(struct sw_watch *watch, const struct sw_gate *gate)
{
	watch->violated = true;
	watch->verdict = gate->enforced ? SW_VERDICT_RESET : SW_VERDICT_AUDIT;
	watch->from_server = !gate->reason;
	watch->reason = gate->reason ? gate->reason : gate->server_reason;
	watch->verb = gate->verb;
	watch->verb_length = gate->verb_length;
	watch->mechanism = gate->mechanism;
}

static bool is_through(const struct sw_gate *gate)
{
	return gate->phase == SW_GATE_TLS || gate->phase == SW_GATE_OVER ||
	       (gate->phase == SW_GATE_HELLO_DONE && gate->server_tls);
}

/* Does this segment answer to bytes of the other side that the capture does not have? A FIN counts as
   one that nobody sends. */
static bool other_missing(const struct sw_watch *watch, const struct sw_segment *segment)
{
	const struct side *other = segment->from_server ? &watch->client : &watch->server;

	return other->begun && segment->has_ack && (int32_t)(segment->ack - other->next) > 1;
}

/* The kernel has always seen what one side answers to. Where that decides, nothing can be said without
   it. */
static bool is_undecidable(const struct sw_watch *watch, const struct sw_gate *gate,
			   const struct sw_segment *segment)
{
	bool waits = gate->phase == SW_GATE_ASKED || gate->phase == SW_GATE_HELLO_DONE;

	return segment->n && (segment->from_server || waits) && other_missing(watch, segment);
}

static void judge(struct sw_watch *watch, struct sw_bytes *bytes,
		  const struct sw_gate_segment *piece, const struct sw_segment *segment)
{
	struct sw_gate *gate = watch->judge;
	int answer = SW_GATE_PASS;

	if (!gate)
		return;
	sw_gate_look_answered(gate);
	watch->unsure = is_undecidable(watch, gate, segment);
	if (!watch->unsure)
		answer = segment->from_server ? sw_gate_server(gate, bytes, piece)
					      : sw_gate_client(gate, bytes, piece);
	if (answer == SW_GATE_VIOLATION)
		judged(watch, gate);
	else if (!watch->unsure && !is_through(gate))
		return;
	free(watch->judge);
	watch->judge = NULL;
}

/* ---- segments ---- */

static struct side *side_of(struct sw_watch *watch, const struct sw_segment *segment)
{
	return segment->from_server ? &watch->server : &watch->client;
}

static uint32_t first_byte(const struct sw_segment *segment)
{
	return segment->seq + segment->syn;
}

/* A segment that does not begin behind what was read. */
static int deliver(struct sw_watch *watch, const struct sw_segment *segment)
{
	struct side *side = side_of(watch, segment);
	uint32_t old = side->next - first_byte(segment);
	struct sw_bytes bytes = {segment->bytes, segment->n};
	struct sw_gate_segment piece = {
		.seq = segment->seq,
		.length = (uint32_t)segment->n,
		.syn = segment->syn,
		.urgent = segment->urgent,
	};
	size_t n_new = old < segment->n ? segment->n - old : 0;
	const uint8_t *new_bytes = segment->bytes + (segment->n - n_new);
	int r = 0;

	judge(watch, &bytes, &piece, segment);
	if (segment->from_server)
		observe_server(watch, &bytes, &piece);
	else
		observe_client(watch, &bytes, piece, new_bytes, n_new);
	side->next += (uint32_t)n_new;
	side->stuck |= segment->cut;
	if (segment->from_server && n_new)
		r = look_server(watch, new_bytes, n_new);
	else if (n_new && !watch->observer->begun && watch->observer->phase == SW_GATE_OVER)
		r = look_client(watch, new_bytes, n_new);
	watch->client_spoke |= !segment->from_server && n_new;
	watch->server_spoke |= segment->from_server && n_new;
	return r;
}

static int hold(struct sw_watch *watch, struct side *side, const struct sw_segment *segment)
{
	uint32_t first = first_byte(segment);
	struct held **at = &side->held, *one;

	if (side->n_held == HELD_MAX || *watch->held + segment->n > SW_STREAMS_HELD_MAX) {
		side->stuck = true;
		release(watch, side);
		return 0;
	}
	while (*at && (int32_t)(first_byte(&(*at)->segment) - first) <= 0)
		at = &(*at)->next;
	one = malloc(sizeof(*one) + segment->n);
	if (!one)
		return -ENOMEM;
	memcpy(one->bytes, segment->bytes, segment->n);
	one->segment = *segment;
	one->segment.bytes = one->bytes;
	one->next = *at;
	*at = one;
	side->n_held++;
	*watch->held += segment->n;
	return 0;
}

static int deliver_held(struct sw_watch *watch, struct side *side)
{
	while (side->held) {
		struct held *one = side->held;
		int r;

		if ((int32_t)(first_byte(&one->segment) - side->next) > 0)
			return 0;
		side->held = one->next;
		side->n_held--;
		*watch->held -= one->segment.n;
		r = deliver(watch, &one->segment);
		free(one);
		if (r)
			return r;
	}
	return 0;
}

/* The first byte of a side. Without a SYN it is one that is there, or that the other side waits for. */
static void begin(struct sw_watch *watch, struct side *side, uint32_t start, bool from_syn)
{
	struct sw_gate_segment syn = {.seq = start - 1, .syn = 1};
	struct sw_gate *gates[] = {watch->observer, watch->judge};
	struct sw_bytes none = {NULL, 0};

	if (side->begun)
		return;
	side->begun = true;
	side->from_syn = from_syn;
	side->start = side->next = start;
	for (size_t i = 0; i < sw_count(gates); i++) {
		if (gates[i] && side == &watch->server)
			sw_gate_server(gates[i], &none, &syn);
		else if (gates[i])
			sw_gate_client(gates[i], &none, &syn);
	}
}

/* Leaves out what lies before the first byte of its side. */
static void trim(const struct side *side, struct sw_segment *segment)
{
	uint32_t before = side->start - first_byte(segment);

	if ((int32_t)before <= 0)
		return;
	if (before > segment->n)
		before = (uint32_t)segment->n;
	segment->seq += before + segment->syn;
	segment->syn = false;
	segment->bytes += before;
	segment->n -= before;
}

int sw_watch_segment(struct sw_watch *watch, const struct sw_segment *given)
{
	struct sw_segment segment = *given;
	struct side *side = side_of(watch, given);
	struct side *other = side == &watch->client ? &watch->server : &watch->client;
	int r;

	if (given->n || given->syn)
		begin(watch, side, first_byte(given), given->syn);
	if (given->has_ack)
		begin(watch, other, given->ack, false);
	if (side->begun)
		trim(side, &segment);
	if (!segment.n || side->stuck)
		return 0;
	if ((int32_t)(first_byte(&segment) - side->next) > 0)
		return hold(watch, side, &segment);
	r = deliver(watch, &segment);
	return r ? r : deliver_held(watch, side);
}

bool sw_watch_judged(const struct sw_watch *watch)
{
	return !watch->judge;
}

bool sw_watch_waits(const struct sw_watch *watch)
{
	return watch->client.held || watch->server.held;
}

bool sw_watch_done(const struct sw_watch *watch)
{
	const struct sw_gate *gate = watch->observer;
	bool seen = (gate->begun && gate->server_tls) ||
		    (watch->client_hello.done && watch->server_hello.done);

	return seen && (!watch->judge || watch->unsure);
}

/* ---- what was found ---- */

static bool tell_client_hello(const uint8_t *bytes, size_t n, struct sw_stream *stream)
{
	struct sw_client_hello hello;
	enum sw_hello read = sw_client_hello_read(bytes, n, &hello);

	if (!hello.legacy_version)
		return false;
	if (read == SW_HELLO_WHOLE)
		sw_ja4(&hello, stream->ja4);
	memcpy(stream->sni, hello.sni, sizeof(stream->sni));
	memcpy(stream->alpn, hello.alpn, sizeof(stream->alpn));
	return true;
}

static void tell_server_hello(const uint8_t *bytes, size_t n, struct sw_stream *stream)
{
	struct sw_server_hello hello;

	sw_server_hello_read(bytes, n, &hello);
	stream->tls_version = hello.version;
	stream->cipher = hello.cipher;
}

static void tell_tls(const struct sw_watch *watch, struct sw_stream *stream)
{
	const struct sw_gate *gate = watch->observer;
	const struct grab *client = &watch->client_hello, *server = &watch->server_hello;

	if (gate->begun) {
		if (tell_client_hello(gate->seen + gate->hello_at, gate->read - gate->hello_at,
				      stream))
			stream->tls = gate->tls;
		if (stream->tls)
			tell_server_hello(gate->served, gate->n_served, stream);
	} else if (client->n && tell_client_hello(client->bytes, client->n, stream)) {
		stream->tls = watch->asked ? SW_TLS_STARTTLS : SW_TLS_IMPLICIT;
		tell_server_hello(server->bytes, server->n, stream);
	} else if (watch->server_only) {
		stream->tls = watch->server_spoke_first ? SW_TLS_STARTTLS : SW_TLS_IMPLICIT;
		tell_server_hello(server->bytes, server->n, stream);
	}
}

static bool lacks(const struct side *side)
{
	return side->begun && (!side->from_syn || side->stuck || side->held);
}

void sw_watch_tell(const struct sw_watch *watch, struct sw_stream *stream)
{
	tell_tls(watch, stream);
	stream->first_verb = watch->first_verb;
	if (watch->violated) {
		stream->verdict = watch->verdict;
		stream->reason = watch->reason;
		stream->violation = true;
		stream->verb = watch->verb;
		stream->verb_length = watch->verb_length;
		stream->mechanism = watch->mechanism;
		stream->from_server = watch->from_server;
	}
	if (watch->unsure ||
	    (!sw_watch_done(watch) && (lacks(&watch->client) || lacks(&watch->server))))
		stream->incomplete = true;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/wire/streams.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/wire/layers.h"
#include "daemon/wire/watch.h"

#define BUCKETS 65536 /* power of two */

/* Two ends in the order of their bytes, so that both directions have the same. */
struct ends {
	uint8_t addr[2][16];
	uint16_t port[2];
};

struct stream {
	struct ends ends;
	uint8_t client; /* which end */
	bool base_known[2], syn[2], fin[2];
	bool ended; /* nothing more is read */
	bool told;
	bool given_up;    /* ended before its time, for memory */
	bool orphan;      /* the client sent something before its SYN */
	bool cut;         /* the client sent a packet in fragments before TLS */
	uint32_t base[2]; /* initial sequence numbers, as far as they are known */
	uint64_t number, first_ns;
	struct stream *next;      /* in its bucket: younger ones come first */
	struct sw_watch *watch;   /* while it is read, once there is payload */
	struct sw_stream *result; /* of an ended one, when there was payload */
};

struct sw_streams {
	const struct sw_image *image;
	bool edge;             /* forwarded traffic */
	const char *interface; /* that it came in through; NULL: the first that is named */
	void (*tell)(void *data, const struct sw_stream *stream);
	void *data;
	uint64_t seed; /* so that nobody can choose ports that all fall into one bucket */
	struct sw_streams_counts counts;
	size_t held, n_watched;
	uint64_t known_from;   /* the oldest that is known */
	uint64_t tell_from;    /* the oldest that was not told */
	uint64_t watched_from; /* none before it is watched */
	struct stream **known; /* by number % SW_STREAMS_KNOWN_MAX */
	struct stream *buckets[BUCKETS];
};

struct sw_streams *sw_streams_new(const struct sw_image *image,
				  void (*tell)(void *data, const struct sw_stream *stream),
				  void *data)
{
	struct sw_streams *streams = calloc(1, sizeof(*streams));

	if (!streams)
		return NULL;
	streams->known = calloc(SW_STREAMS_KNOWN_MAX, sizeof(struct stream *));
	if (!streams->known) {
		free(streams);
		return NULL;
	}
	streams->image = image;
	streams->tell = tell;
	streams->data = data;
	if (getrandom(&streams->seed, sizeof(streams->seed), GRND_NONBLOCK) < 0)
		streams->seed = (uintptr_t)streams;
	return streams;
}

void sw_streams_at_edge(struct sw_streams *streams, const char *interface)
{
	streams->edge = true;
	streams->interface = interface;
}

static struct stream **slot(struct sw_streams *streams, uint64_t number)
{
	return &streams->known[number % SW_STREAMS_KNOWN_MAX];
}

/* ---- the table ---- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	return hash ^ hash >> 29;
}

static struct stream **bucket_of(struct sw_streams *streams, const struct ends *ends)
{
	uint64_t hash = streams->seed, words[4];

	memcpy(words, ends->addr, sizeof(words));
	for (size_t i = 0; i < sw_count(words); i++)
		hash = mix(hash, words[i]);
	hash = mix(hash, (uint64_t)ends->port[0] << 16 | ends->port[1]);
	return &streams->buckets[hash % BUCKETS];
}

static bool same_ends(const struct ends *a, const struct ends *b)
{
	return !memcmp(a->addr, b->addr, sizeof(a->addr)) &&
	       !memcmp(a->port, b->port, sizeof(a->port));
}

static struct stream *find(struct sw_streams *streams, const struct ends *ends)
{
	struct stream *one = *bucket_of(streams, ends);

	while (one && !same_ends(&one->ends, ends))
		one = one->next;
	return one;
}

static void stream_free(struct sw_streams *streams, struct stream *stream)
{
	if (stream->watch) {
		sw_watch_free(stream->watch);
		streams->n_watched--;
	}
	free(stream->result);
	free(stream);
}

void sw_streams_free(struct sw_streams *streams)
{
	if (!streams)
		return;
	for (uint64_t i = streams->known_from; i < streams->counts.streams; i++)
		stream_free(streams, *slot(streams, i));
	free(streams->known);
	free(streams);
}

/* ---- what is told ---- */

/* All of 127.0.0.0/8, ::1, and whoever speaks to itself. */
static bool is_local(const uint8_t src[16], const uint8_t dst[16])
{
	static const uint8_t loop4[13] = {[10] = 0xff, [11] = 0xff, [12] = 127},
			     loop6[16] = {[15] = 1};

	return !memcmp(dst, loop4, sizeof(loop4)) || !memcmp(dst, loop6, sizeof(loop6)) ||
	       !memcmp(src, dst, 16);
}

/* What the policy says of a connection from one end to the other. */
static void ask_ends(const struct sw_streams *streams, const struct ends *ends, uint8_t client,
		     struct sw_answer *answer)
{
	const uint8_t *src = ends->addr[client], *dst = ends->addr[!client];
	struct sw_query query = {
		.scope = streams->edge ? SW_SCOPE_EDGE : SW_SCOPE_HOST,
		.port = ends->port[!client],
		.has_to = true,
		.to_is_local = is_local(src, dst),
		.has_from = streams->edge,
		.interface = streams->interface,
	};

	memcpy(query.to, dst, sizeof(query.to));
	memcpy(query.from, src, sizeof(query.from));
	sw_image_eval(streams->image, &query, answer);
}

static void ask(const struct sw_streams *streams, const struct stream *stream,
		struct sw_answer *answer)
{
	ask_ends(streams, &stream->ends, stream->client, answer);
}

/* What the edge decides before its gate reads anything. Of a connection whose beginning it did not see it
   reads nothing; where `audit` asks for no more than a record, that is all. */
static void describe_edge(const struct stream *stream, const struct sw_answer *answer,
			  struct sw_stream *result)
{
	bool judged = stream->watch && sw_watch_judged(stream->watch);

	if (!answer->gate || !(stream->orphan || (stream->cut && answer->tls && !judged)))
		return;
	result->verdict = answer->verdict;
	result->reason = answer->reason;
	result->violation = false;
	result->verb = result->mechanism = result->verb_length = 0;
	if (!answer->tls)
		return;
	if (stream->orphan) {
		result->verdict = answer->audit ? SW_VERDICT_AUDIT : SW_VERDICT_RESET;
		result->reason = SW_REASON_UNATTRIBUTED;
	} else if (answer->audit) {
		result->incomplete = true;
	} else {
		result->verdict = SW_VERDICT_DROP;
		result->reason = SW_REASON_MALFORMED;
	}
}

static void describe(const struct sw_streams *streams, const struct stream *stream,
		     struct sw_stream *result)
{
	const struct ends *ends = &stream->ends;
	struct sw_answer answer;

	ask(streams, stream, &answer);
	*result = (struct sw_stream){
		.number = stream->number,
		.first_ns = stream->first_ns,
		.src_port = ends->port[stream->client],
		.dst_port = ends->port[!stream->client],
		.guarded = answer.guarded,
		.verdict = answer.verdict,
		.reason = answer.reason,
		.rule = answer.rule,
		.line = answer.line,
		.rule_text = answer.rule_text,
		.incomplete = stream->given_up,
	};
	memcpy(result->src, ends->addr[stream->client], sizeof(result->src));
	memcpy(result->dst, ends->addr[!stream->client], sizeof(result->dst));
	if (stream->watch)
		sw_watch_tell(stream->watch, result);
	describe_edge(stream, &answer, result);
}

/* Keeps what was found of a stream and frees what it was read with. */
static int finish(struct sw_streams *streams, struct stream *stream)
{
	if (stream->ended)
		return 0;
	stream->ended = true;
	if (!stream->watch)
		return 0;
	stream->result = malloc(sizeof(*stream->result));
	if (!stream->result)
		return -ENOMEM;
	describe(streams, stream, stream->result);
	sw_watch_free(sw_take(stream->watch));
	streams->n_watched--;
	return 0;
}

/* Tells the oldest that was not told, which has ended. */
static void tell_one(struct sw_streams *streams, struct stream *stream)
{
	struct sw_stream result;

	if (stream->result) {
		streams->tell(streams->data, stream->result);
		free(sw_take(stream->result));
	} else {
		describe(streams, stream, &result);
		streams->tell(streams->data, &result);
	}
	stream->told = true;
	streams->tell_from++;
}

static void tell_ended(struct sw_streams *streams)
{
	while (streams->tell_from < streams->counts.streams) {
		struct stream *oldest = *slot(streams, streams->tell_from);

		if (!oldest->ended)
			return;
		tell_one(streams, oldest);
	}
}

/* ---- room ---- */

static int give_up(struct sw_streams *streams, struct stream *stream)
{
	if (stream->ended)
		return 0;
	stream->given_up = true;
	streams->counts.forgotten++;
	return finish(streams, stream);
}

static void forget(struct sw_streams *streams)
{
	struct stream *oldest = *slot(streams, streams->known_from);
	struct stream **at = bucket_of(streams, &oldest->ends);

	while (*at != oldest)
		at = &(*at)->next;
	*at = oldest->next;
	stream_free(streams, oldest);
	streams->known_from++;
}

/* Makes room for one more stream. */
static int make_room(struct sw_streams *streams)
{
	uint64_t n = streams->counts.streams;
	int r = 0;

	if (n - streams->tell_from >= SW_STREAMS_WAITING_MAX)
		r = give_up(streams, *slot(streams, streams->tell_from));
	tell_ended(streams);
	if (n - streams->known_from >= SW_STREAMS_KNOWN_MAX)
		forget(streams);
	return r;
}

static int make_watch_room(struct sw_streams *streams)
{
	if (streams->n_watched < SW_STREAMS_WATCHED_MAX)
		return 0;
	if (streams->watched_from < streams->known_from)
		streams->watched_from = streams->known_from;
	while (!(*slot(streams, streams->watched_from))->watch)
		streams->watched_from++;
	return give_up(streams, *slot(streams, streams->watched_from));
}

/* ---- packets ---- */

/* What a packet says of its stream. `end` is the sender's. */
struct arrival {
	const struct sw_packet *packet;
	uint64_t time_ns;
	struct ends ends;
	uint8_t end;
	struct sw_segment segment;
};

static void order_ends(const struct sw_packet *packet, struct arrival *arrival)
{
	int differs = memcmp(packet->src, packet->dst, sizeof(packet->src));
	uint8_t src;

	if (!differs)
		differs = (packet->src_port > packet->dst_port) -
			  (packet->src_port < packet->dst_port);
	src = differs > 0;
	arrival->end = src;
	memcpy(arrival->ends.addr[src], packet->src, sizeof(packet->src));
	memcpy(arrival->ends.addr[!src], packet->dst, sizeof(packet->dst));
	arrival->ends.port[src] = packet->src_port;
	arrival->ends.port[!src] = packet->dst_port;
}

/* At the edge the server is who has a port that is guarded, whatever comes first. */
static bool is_guarded(const struct sw_streams *streams, const struct ends *ends, uint8_t server)
{
	struct sw_answer answer;

	ask_ends(streams, ends, !server, &answer);
	return answer.guarded;
}

static uint8_t client_of(const struct sw_streams *streams, const struct arrival *arrival)
{
	const uint16_t *port = arrival->ends.port;
	uint8_t flags = arrival->packet->tcp_flags;
	bool guarded;

	if (flags & SW_TCP_SYN)
		return flags & SW_TCP_ACK ? !arrival->end : arrival->end;
	guarded = streams->edge && is_guarded(streams, &arrival->ends, 0);
	if (streams->edge && guarded != is_guarded(streams, &arrival->ends, 1))
		return guarded;
	if (port[0] == port[1])
		return arrival->end;
	return port[1] > port[0];
}

static bool is_new_syn(const struct stream *stream, const struct arrival *arrival)
{
	uint8_t flags = arrival->packet->tcp_flags & (SW_TCP_SYN | SW_TCP_ACK);

	return flags == SW_TCP_SYN && stream->base_known[arrival->end] &&
	       stream->base[arrival->end] != arrival->packet->seq;
}

static int open_stream(struct sw_streams *streams, const struct arrival *arrival,
		       struct stream **opened)
{
	struct stream **bucket = bucket_of(streams, &arrival->ends);
	struct stream *stream = calloc(1, sizeof(*stream));
	int r = make_room(streams);

	if (!stream || r) {
		free(stream);
		return -ENOMEM;
	}
	stream->ends = arrival->ends;
	stream->client = client_of(streams, arrival);
	stream->number = streams->counts.streams++;
	stream->first_ns = arrival->time_ns;
	stream->next = *bucket;
	*bucket = stream;
	*slot(streams, stream->number) = stream;
	*opened = stream;
	return 0;
}

static int open_watch(struct sw_streams *streams, struct stream *stream)
{
	struct sw_segment syn = {.syn = true};
	struct sw_answer answer;
	int r = make_watch_room(streams);

	if (r)
		return r;
	ask(streams, stream, &answer);
	stream->watch = sw_watch_new(&answer, stream->ends.port[!stream->client], &streams->held);
	if (!stream->watch)
		return -ENOMEM;
	streams->n_watched++;
	if (stream->number < streams->watched_from)
		streams->watched_from = stream->number;
	/* What the packets before said of where the sides begin. */
	for (uint8_t end = 0; end < 2 && !r; end++) {
		syn.from_server = end != stream->client;
		syn.seq = stream->base[end];
		if (stream->syn[end])
			r = sw_watch_segment(stream->watch, &syn);
	}
	return r;
}

/* Of a side without a SYN the first packet counts as if one had come right before it. */
static void note_begin(struct stream *stream, const struct arrival *arrival)
{
	bool syn = arrival->packet->tcp_flags & SW_TCP_SYN;
	uint8_t end = arrival->end;

	if (stream->base_known[end])
		return;
	stream->base_known[end] = true;
	stream->syn[end] = syn;
	stream->base[end] = arrival->packet->seq - !syn;
}

/* What the edge makes of a client's packet before its gate does. A reset that carries nothing passes; a
   fragment says nothing before TLS. */
static void note_edge(struct stream *stream, struct arrival *arrival)
{
	const struct sw_packet *packet = arrival->packet;

	if (arrival->end != stream->client)
		return;
	if (packet->tcp_flags & SW_TCP_RST && !packet->payload && !packet->fragment)
		return;
	stream->orphan |= !stream->syn[stream->client];
	if (packet->fragment != 1 || (stream->watch && sw_watch_judged(stream->watch)))
		return;
	stream->cut = true;
	arrival->segment.n = 0;
}

/* Is there a stream for this packet already? */
static int stream_of(struct sw_streams *streams, const struct arrival *arrival,
		     struct stream **found)
{
	struct stream *stream = find(streams, &arrival->ends);
	int r = 0;

	if (stream && is_new_syn(stream, arrival)) {
		r = finish(streams, stream);
		stream = NULL;
	}
	if (!r && !stream)
		r = open_stream(streams, arrival, &stream);
	*found = stream;
	return r;
}

static bool is_over(const struct stream *stream, uint8_t flags)
{
	if (flags & SW_TCP_RST || (stream->watch && sw_watch_done(stream->watch)))
		return true;
	return stream->fin[0] && stream->fin[1] &&
	       !(stream->watch && sw_watch_waits(stream->watch));
}

static int take(struct sw_streams *streams, struct arrival *arrival)
{
	uint8_t flags = arrival->packet->tcp_flags;
	struct stream *stream;
	int r = stream_of(streams, arrival, &stream);

	if (r || stream->ended)
		return r;
	note_begin(stream, arrival);
	arrival->segment.from_server = arrival->end != stream->client;
	if (streams->edge)
		note_edge(stream, arrival);
	if (!stream->watch && arrival->segment.n)
		r = open_watch(streams, stream);
	if (!r && stream->watch)
		r = sw_watch_segment(stream->watch, &arrival->segment);
	stream->fin[arrival->end] |= flags & SW_TCP_FIN;
	if (!r && is_over(stream, flags))
		r = finish(streams, stream);
	tell_ended(streams);
	return r;
}

/* ---- headers ---- */

static void read_segment(const struct sw_packet *packet, const struct sw_bytes *bytes, size_t want,
			 struct sw_segment *segment)
{
	uint8_t flags = packet->tcp_flags;
	size_t there = bytes->n > packet->at ? bytes->n - packet->at : 0;

	segment->syn = flags & SW_TCP_SYN;
	segment->urgent = flags & SW_TCP_URG;
	segment->has_ack = flags & SW_TCP_ACK;
	segment->seq = packet->seq;
	segment->ack = packet->ack;
	segment->bytes = bytes->at + packet->at;
	segment->n = want < there ? want : there;
	segment->cut = want > there || packet->fragment == 1;
	/* What a reset carries is for people, not for the program. */
	if (flags & SW_TCP_RST)
		segment->n = 0;
}

int sw_streams_packet(struct sw_streams *streams, enum sw_layer layer, uint64_t time_ns,
		      const uint8_t *bytes, size_t n, size_t whole)
{
	struct arrival arrival = {.time_ns = time_ns};
	struct sw_bytes from = {bytes, n};
	struct sw_packet packet;
	size_t payload;

	streams->counts.packets++;
	if (!sw_layers_read(&from, layer, whole, &packet, &payload)) {
		streams->counts.unread++;
		return 0;
	}
	streams->counts.fragments += packet.fragment != 0;
	if (packet.verdict == SW_PARSE_OTHER || packet.verdict == SW_PARSE_NOT_IP)
		streams->counts.other++;
	else if (packet.verdict != SW_PARSE_TCP && packet.verdict != SW_PARSE_LATER_FRAGMENT)
		streams->counts.unread++;
	if (packet.verdict != SW_PARSE_TCP)
		return 0;
	arrival.packet = &packet;
	order_ends(&packet, &arrival);
	read_segment(&packet, &from, payload, &arrival.segment);
	return take(streams, &arrival);
}

int sw_streams_end(struct sw_streams *streams)
{
	while (streams->tell_from < streams->counts.streams) {
		int r = finish(streams, *slot(streams, streams->tell_from));

		if (r)
			return r;
		tell_ended(streams);
	}
	return 0;
}

void sw_streams_count(const struct sw_streams *streams, struct sw_streams_counts *counts)
{
	*counts = streams->counts;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/* gate_client.h - part of gate.h: the client half. */
#ifndef SW_GATE_CLIENT_H
#define SW_GATE_CLIENT_H

/* ---- TLS ---- */

SW_GATE_INLINE __u8 sw_gate_in_hello(struct sw_gate *gate, __u8 c)
{
	struct sw_gate_tls *tls = &gate->hello;
	int got, message;

	if (sw_gate_hides_command(tls, c))
		return SW_REASON_NOT_TLS;
	got = sw_gate_record(tls, c);
	if (got == SW_GATE_RECORD_BAD || tls->type != SW_GATE_HANDSHAKE)
		return SW_REASON_NOT_TLS;
	if (got == SW_GATE_RECORD_HEAD)
		return SW_REASON_NONE;
	message = sw_gate_message(tls, c, 0, 0);
	if (message == SW_GATE_MESSAGE_BAD)
		return SW_REASON_NOT_TLS;
	if (message == SW_GATE_MESSAGE_DONE) {
		if (tls->head)
			return SW_REASON_NOT_TLS; /* something else in the same record */
		gate->phase = SW_GATE_HELLO_DONE;
	}
	return SW_REASON_NONE;
}

/* Behind the hello: a client that gives up sends an alert, one that asks for nothing else may send the
   empty change_cipher_spec of RFC 8446, D.4. Early data has no place in SMTP. */
SW_GATE_INLINE __u8 sw_gate_behind_hello(struct sw_gate *gate, __u8 c)
{
	struct sw_gate_tls *tls = &gate->hello;

	if (sw_gate_record(tls, c) == SW_GATE_RECORD_BAD)
		return SW_REASON_NOT_TLS;
	if (tls->type != SW_GATE_ALERT && tls->type != SW_GATE_CHANGE_CIPHER)
		return SW_REASON_NOT_TLS;
	if (tls->head == 5 && tls->left > 2)
		return SW_REASON_NOT_TLS;
	return SW_REASON_NONE;
}

SW_GATE_INLINE __u8 sw_gate_begin_hello(struct sw_gate *gate, __u32 at, __u8 tls)
{
	gate->phase = SW_GATE_HELLO;
	gate->hello_at = at;
	gate->tls = tls;
	SW_GATE_WRITE(gate->begun, 1);
	return SW_GATE_AGAIN;
}

/* The first byte, or the first one behind a PROXY header. */
SW_GATE_INLINE __u8 sw_gate_in_start(struct sw_gate *gate, __u8 c, __u32 at)
{
	if (gate->flags & SW_RULE_PROXY && (c == 'P' || c == '\r')) {
		gate->flags &= (__u8)~SW_RULE_PROXY; /* one */
		gate->proxy = 1;
		gate->phase = c == 'P' ? SW_GATE_PROXY_TEXT : SW_GATE_PROXY_SIGN;
		return SW_REASON_NONE;
	}
	if (c == SW_GATE_HANDSHAKE && !(gate->flags & SW_RULE_STARTTLS))
		return sw_gate_begin_hello(gate, at, SW_TLS_IMPLICIT);
	if (gate->flags & SW_RULE_IMPLICIT)
		return SW_REASON_NOT_TLS;
	gate->phase = SW_GATE_LINE;
	return SW_GATE_AGAIN;
}

/* Behind STARTTLS. */
SW_GATE_INLINE __u8 sw_gate_in_answered(struct sw_gate *gate, __u8 c, __u32 at)
{
	gate->word = 0;
	gate->letters = 0;
	if (gate->phase == SW_GATE_ASKED)
		return SW_REASON_STARTTLS_INJECTION;
	if (c != SW_GATE_HANDSHAKE)
		return SW_REASON_NOT_TLS;
	return sw_gate_begin_hello(gate, at, SW_TLS_STARTTLS);
}

/* ---- a byte, a segment ---- */

/* Has the server answered STARTTLS? */
SW_GATE_INLINE void sw_gate_look_answered(struct sw_gate *gate)
{
	__u32 answered = SW_GATE_READ(gate->answered);

	if (gate->phase == SW_GATE_ASKED && answered >> 8 == gate->asked)
		gate->phase =
			(answered & 0xff) == SW_GATE_ANSWER_220 ? SW_GATE_GRANTED : SW_GATE_LINE;
}

/* Phases that others don't lead to with the same byte. */
SW_GATE_INLINE __u8 sw_gate_client_first(struct sw_gate *gate, __u8 c, __u32 at)
{
	switch (gate->phase) {
	case SW_GATE_START:
		return sw_gate_in_start(gate, c, at);
	case SW_GATE_PROXY_TEXT:
		return sw_gate_proxy_text(gate, c);
	case SW_GATE_PROXY_SIGN:
		return sw_gate_proxy_sign(gate, c);
	case SW_GATE_PROXY_BODY:
		gate->proxy--;
		if (!gate->proxy)
			gate->phase = SW_GATE_START;
		return SW_REASON_NONE;
	case SW_GATE_ARGUMENT:
	case SW_GATE_CR:
		return sw_gate_in_argument(gate, c);
	case SW_GATE_ASKED:
	case SW_GATE_GRANTED:
		return sw_gate_in_answered(gate, c, at);
	case SW_GATE_HELLO_DONE:
		return sw_gate_behind_hello(gate, c);
	default:
		return SW_GATE_AGAIN;
	}
}

SW_GATE_INLINE __u8 sw_gate_client_byte(struct sw_gate *gate, __u8 c, __u32 at)
{
	__u8 reason;

	if (at >= SW_GATE_MAX || (at >= SW_GATE_CLEAR_MAX && gate->phase < SW_GATE_ASKED))
		return SW_REASON_TOO_LONG;
	reason = sw_gate_client_first(gate, c, at);
	if (reason == SW_GATE_AGAIN && SW_GATE_READ(gate->phase) == SW_GATE_LINE)
		reason = sw_gate_in_line(gate, c);
	if (reason == SW_GATE_AGAIN && SW_GATE_READ(gate->phase) == SW_GATE_VERB)
		reason = sw_gate_in_verb(gate, c);
	if (reason == SW_GATE_AGAIN)
		reason = sw_gate_in_hello(gate, c);
	return reason;
}

static long sw_gate_client_step(__u32 index, struct sw_gate_look *look)
{
	struct sw_gate *gate = look->gate;
	__u32 at = look->first + index, left = look->length - index;
	__u64 in = index, place = at;
	__u8 c;

	SW_GATE_OPAQUE(in);
	in &= SW_GATE_CHUNK - 1;
	if (!in) {
		if (left > SW_GATE_CHUNK)
			left = SW_GATE_CHUNK;
		if (!left || SW_GATE_LOAD(look->from, look->at + index, gate->chunk,
					  sw_gate_bounded(left)) < 0) {
			gate->found = SW_REASON_MALFORMED;
			return 1;
		}
	}
	c = gate->chunk[in];
	SW_GATE_OPAQUE(place);
	place &= SW_GATE_MAX - 1;
	if (at < gate->read) {
		if (gate->seen[place] == c)
			return 0;
		gate->found = SW_REASON_RESEND_MISMATCH;
		return 1;
	}
	sw_gate_look_answered(gate);
	gate->found = sw_gate_client_byte(gate, c, at);
	if (SW_GATE_READ(gate->found)) {
		gate->bad = index;
		return 1;
	}
	gate->seen[place] = c;
	gate->read = at + 1;
	return 0;
}

/* Ends the client half: names what was refused and wipes what the names were read from. */
SW_GATE_INLINE int sw_gate_refuse(struct sw_gate_look *look)
{
	struct sw_gate *gate = look->gate;
	__u8 reason = gate->found, phase = gate->phase;

	gate->reason = reason;
	gate->phase = gate->enforced ? SW_GATE_CONDEMNED : SW_GATE_OVER;
	if (phase < SW_GATE_HELLO &&
	    (reason == SW_REASON_CLEARTEXT_COMMAND || reason == SW_REASON_STARTTLS_STRIPPED ||
	     reason == SW_REASON_STARTTLS_INJECTION || reason == SW_REASON_NOT_TLS))
		sw_gate_name(look);
	for (__u32 i = 0; i < SW_GATE_CHUNK / 8; i++)
		((volatile __u64 *)gate->chunk)[i] = 0;
	return SW_GATE_VIOLATION;
}

/* What of a client's segment needs no reading: its answer, or -1. */
SW_GATE_INLINE int sw_gate_client_early(struct sw_gate *gate, const struct sw_gate_segment *segment)
{
	if (gate->phase == SW_GATE_HELLO_DONE && SW_GATE_READ(gate->server_tls))
		gate->phase = SW_GATE_TLS;
	if (SW_GATE_READ(gate->server_reason) ||
	    SW_GATE_READ(gate->server_phase) == SW_GATE_UNREAD) {
		if (gate->enforced)
			return segment->length ? SW_GATE_VIOLATION : SW_GATE_PASS;
		gate->phase = SW_GATE_OVER;
	}
	if (gate->phase == SW_GATE_TLS || gate->phase == SW_GATE_OVER)
		return SW_GATE_PASS;
	if (gate->phase == SW_GATE_CONDEMNED)
		return segment->length ? SW_GATE_VIOLATION : SW_GATE_PASS;
	if (segment->syn && !gate->read && gate->synced != SW_GATE_MET) {
		gate->start = segment->seq + 1;
		gate->synced = 1;
	}
	return segment->length ? -1 : SW_GATE_PASS;
}

/* Why a segment is not even looked into. */
SW_GATE_INLINE __u8 sw_gate_unreadable(const struct sw_gate *gate,
				       const struct sw_gate_segment *segment)
{
	if (segment->shared)
		return SW_REASON_SHARED_PAGES;
	/* A connection without a beginning; or bytes that reach the server in another order. */
	return !gate->synced || segment->urgent ? SW_REASON_MALFORMED : SW_REASON_NONE;
}

/* A segment that the client sends. */
SW_GATE_INLINE int sw_gate_client(struct sw_gate *gate, void *from,
				  const struct sw_gate_segment *segment)
{
	struct sw_gate_look look = {.gate = gate, .from = from, .at = segment->at};
	int early = sw_gate_client_early(gate, segment);

	if (early >= 0)
		return early;
	look.first = segment->seq + !!segment->syn - gate->start;
	look.length = segment->length;
	if (!sw_gate_unreadable(gate, segment) && look.first > gate->read) {
		if (gate->enforced)
			return SW_GATE_HOLD;
		gate->phase = SW_GATE_OVER; /* it passes, and is not seen again */
		return SW_GATE_PASS;
	}
	gate->found = sw_gate_unreadable(gate, segment);
	if (!gate->found)
		SW_GATE_LOOP(look.length, sw_gate_client_step, &look);
	return SW_GATE_READ(gate->found) ? sw_gate_refuse(&look) : SW_GATE_PASS;
}

#endif

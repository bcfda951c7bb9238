/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_server.h - part of gate.h: the server half. Reads replies (RFC 5321, 4.2) and counts them, so
 * that it knows which command each one answers: number 0 is the greeting, number n answers the client's
 * line n. What servers send twice is not compared: a client takes the first copy, and so does this.
 */
#ifndef SW_GATE_SERVER_H
#define SW_GATE_SERVER_H

SW_GATE_INLINE void sw_gate_reply_begin(struct sw_gate *gate)
{
	gate->reply_code = 0;
	gate->mixed = 0;
	gate->caps = 0;
}

/* A whole reply. Returns enum sw_reason. */
SW_GATE_INLINE __u8 sw_gate_reply(struct sw_gate *gate)
{
	__u32 number = gate->replies, commands = SW_GATE_READ(gate->commands);
	__u32 asked = SW_GATE_READ(gate->asked), greeted = SW_GATE_READ(gate->greeted);
	__u16 code = gate->reply_code;

	/* Nobody asked. Servers that give up say so at any time (421), and that answers nothing; what
	   says yes would be taken for the answer to the next command. */
	if (number > commands)
		return code < 400 ? SW_REASON_STARTTLS_INJECTION : SW_REASON_NONE;
	gate->replies = number + 1;
	if (greeted && number == greeted)
		SW_GATE_WRITE(gate->capable, greeted << 8 | (code == 250 && gate->caps));
	if (!asked || number != asked)
		return SW_REASON_NONE;
	if (gate->mixed)
		return SW_REASON_MALFORMED;
	if (code == 220)
		gate->server_phase = SW_GATE_PROMISED;
	SW_GATE_WRITE(gate->answered,
		      asked << 8 | (code == 220 ? SW_GATE_ANSWER_220 : SW_GATE_ANSWER_OTHER));
	return SW_REASON_NONE;
}

SW_GATE_INLINE __u8 sw_gate_reply_line(struct sw_gate *gate)
{
	__u32 asked = SW_GATE_READ(gate->asked), column = gate->column, keyword = gate->keyword;
	__u16 code = gate->code;
	__u8 bad = gate->code_bad, more = gate->more, reason;

	gate->column = gate->keyword = 0;
	gate->code = gate->code_bad = gate->more = 0;
	if (bad || column < 3 || code < 200 || code > 599) {
		/* What clients make of it can't be known; only for STARTTLS does it matter. */
		return asked && gate->replies == asked ? SW_REASON_MALFORMED : SW_REASON_NONE;
	}
	if (!gate->reply_code)
		gate->reply_code = code;
	else if (gate->reply_code != code)
		gate->mixed = 1;
	if (keyword == 8)
		gate->caps = 1;
	if (more)
		return SW_REASON_NONE;
	reason = sw_gate_reply(gate);
	sw_gate_reply_begin(gate);
	return reason;
}

/* A byte of a reply: three digits, '-' or blank, text. */
SW_GATE_INLINE __u8 sw_gate_reply_byte(struct sw_gate *gate, __u8 c)
{
	__u32 column = gate->column, keyword = gate->keyword;

	gate->server_read++;
	if (gate->server_read > SW_GATE_REPLY_MAX)
		return SW_REASON_TOO_LONG;
	if (c == '\n')
		return sw_gate_reply_line(gate);
	gate->column = column + 1;
	if (column < 3) {
		if (c >= '0' && c <= '9')
			gate->code = (__u16)(gate->code * 10 + (c - '0'));
		else
			gate->code_bad = 1;
	} else if (column == 3) {
		gate->more = c == '-';
		if (c != '-' && c != ' ' && c != '\r')
			gate->code_bad = 1;
	} else if (keyword < 8 && keyword == column - 4) {
		if ((SW_GATE_STARTTLS >> keyword * 8 & 0xff) == (c & 0xdf))
			gate->keyword = keyword + 1;
	} else if (keyword == 8 && column == 12 && c != '\r' && c != ' ') {
		gate->keyword = 9; /* another word that begins like it */
	}
	return SW_REASON_NONE;
}

SW_GATE_INLINE void sw_gate_serve(struct sw_gate *gate, __u8 c)
{
	__u64 n = gate->n_served;

	if (gate->sealed || n >= SW_GATE_SERVED_MAX) {
		gate->sealed = 1;
		return;
	}
	SW_GATE_OPAQUE(n);
	n &= SW_GATE_SERVED_MAX - 1;
	gate->served[n] = c;
	gate->n_served = (__u32)n + 1;
}

/* The ServerHello is whole: does its version do? */
SW_GATE_INLINE __u8 sw_gate_negotiated(struct sw_gate *gate)
{
	if (gate->negotiated < 0x0301 || gate->negotiated < gate->tls_version)
		return SW_REASON_TLS_TOO_OLD;
	if (gate->negotiated >= 0x0304)
		gate->sealed = 1; /* what follows is encrypted */
	gate->server_phase = SW_GATE_SERVER_TLS;
	SW_GATE_WRITE(gate->server_tls, 1);
	return SW_REASON_NONE;
}

/* A byte of what must be a ServerHello, or an alert instead. */
SW_GATE_INLINE __u8 sw_gate_answer_byte(struct sw_gate *gate, __u8 c)
{
	struct sw_gate_tls *tls = &gate->answer;
	int got = sw_gate_record(tls, c), message;

	if (tls->type != SW_GATE_ALERT)
		sw_gate_serve(gate, c);
	if (got == SW_GATE_RECORD_BAD ||
	    (tls->type != SW_GATE_HANDSHAKE && tls->type != SW_GATE_ALERT))
		return SW_REASON_NOT_TLS;
	if (got == SW_GATE_RECORD_HEAD)
		return SW_REASON_NONE;
	if (tls->type == SW_GATE_ALERT) {
		/* Of two bytes the first is the level. Behind a warning, as of a server that does not
		   know the name (RFC 6066, 3), the ServerHello still comes. */
		if (tls->left & 1 && c == SW_GATE_FATAL)
			gate->server_phase = SW_GATE_REFUSED_HELLO;
		return SW_REASON_NONE;
	}
	message = sw_gate_message(tls, c, &gate->negotiated, &gate->cipher);
	if (message == SW_GATE_MESSAGE_BAD)
		return SW_REASON_NOT_TLS;
	return message == SW_GATE_MESSAGE_DONE ? sw_gate_negotiated(gate) : SW_REASON_NONE;
}

SW_GATE_INLINE __u8 sw_gate_server_byte(struct sw_gate *gate, __u8 c)
{
	switch (gate->server_phase) {
	case SW_GATE_REPLIES:
	case SW_GATE_PROMISED:
		if (!SW_GATE_READ(gate->begun))
			return gate->server_phase == SW_GATE_PROMISED ? SW_REASON_STARTTLS_INJECTION
								      : sw_gate_reply_byte(gate, c);
		gate->server_phase = SW_GATE_ANSWER;
		return sw_gate_answer_byte(gate, c);
	case SW_GATE_ANSWER:
		return sw_gate_answer_byte(gate, c);
	case SW_GATE_SERVER_TLS:
		sw_gate_serve(gate, c);
		return SW_REASON_NONE;
	default:
		return SW_REASON_NONE;
	}
}

static long sw_gate_server_step(__u32 index, struct sw_gate_look *look)
{
	struct sw_gate *gate = look->gate;
	__u32 left = look->length - index;
	__u64 in = index;

	SW_GATE_OPAQUE(in);
	in &= SW_GATE_CHUNK - 1;
	if (!in) {
		if (left > SW_GATE_CHUNK)
			left = SW_GATE_CHUNK;
		if (!left || SW_GATE_LOAD(look->from, look->at + index, gate->server_chunk,
					  sw_gate_bounded(left)) < 0) {
			gate->server_found = SW_REASON_MALFORMED;
			return 1;
		}
	}
	gate->server_found = sw_gate_server_byte(gate, gate->server_chunk[in]);
	gate->server_next++;
	return SW_GATE_READ(gate->server_found) || gate->server_phase == SW_GATE_REFUSED_HELLO ||
	       (gate->server_phase == SW_GATE_SERVER_TLS && gate->sealed);
}

/* A SYN that answers ours: TCP drops one that is left from an earlier connection of the same ports, or
   that somebody guessed, and so must its sequence number be. */
SW_GATE_INLINE int sw_gate_is_answer(const struct sw_gate *gate,
				     const struct sw_gate_segment *segment)
{
	__u32 acked = segment->ack - SW_GATE_READ(gate->start);

	return !segment->acks || (SW_GATE_READ(gate->synced) && acked <= SW_GATE_READ(gate->read));
}

/* What of a server's segment needs no reading: its answer, or -1. */
SW_GATE_INLINE int sw_gate_server_early(struct sw_gate *gate, const struct sw_gate_segment *segment)
{
	__u8 phase = gate->server_phase;

	if (SW_GATE_READ(gate->reason) || gate->server_reason)
		return gate->enforced && segment->length ? SW_GATE_VIOLATION : SW_GATE_PASS;
	if (phase == SW_GATE_UNREAD || phase == SW_GATE_REFUSED_HELLO ||
	    (phase == SW_GATE_SERVER_TLS && gate->sealed))
		return SW_GATE_PASS;
	if (segment->syn && !gate->server_synced && sw_gate_is_answer(gate, segment)) {
		gate->server_next = segment->seq + 1;
		gate->server_synced = 1;
	}
	return segment->length ? -1 : SW_GATE_PASS;
}

/* A segment that the server sends. */
SW_GATE_INLINE int sw_gate_server(struct sw_gate *gate, void *from,
				  const struct sw_gate_segment *segment)
{
	struct sw_gate_look look = {.gate = gate, .from = from};
	int early = sw_gate_server_early(gate, segment);
	__u32 known;

	if (early >= 0)
		return early;
	gate->server_found = SW_REASON_NONE;
	known = gate->server_next - segment->seq - !!segment->syn;
	if (!gate->server_synced) {
		gate->server_found = SW_REASON_MALFORMED; /* a connection without a beginning */
	} else if ((__s32)known < 0) {
		if (gate->server_phase == SW_GATE_SERVER_TLS) {
			gate->sealed = 1;
			return SW_GATE_PASS;
		}
		if (gate->enforced)
			return SW_GATE_HOLD;
		gate->server_phase = SW_GATE_UNREAD;
		return SW_GATE_PASS;
	} else if (known < segment->length) {
		look.at = segment->at + known;
		look.length = segment->length - known;
		SW_GATE_LOOP(look.length, sw_gate_server_step, &look);
	}
	if (!SW_GATE_READ(gate->server_found))
		return SW_GATE_PASS;
	SW_GATE_WRITE(gate->server_reason, gate->server_found);
	return SW_GATE_VIOLATION;
}

#endif

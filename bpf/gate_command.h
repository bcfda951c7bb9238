/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_command.h - part of gate.h: what a client says before TLS, a PROXY header and command lines. Each
 * function takes the next byte and returns enum sw_reason; or SW_GATE_AGAIN: the phase has changed, and
 * the byte belongs to the new one. So each function is there once in the code, however it is come to.
 */
#ifndef SW_GATE_COMMAND_H
#define SW_GATE_COMMAND_H

#define SW_GATE_AGAIN 0xff

/* ---- PROXY protocol header (HAProxy's proxy-protocol.txt), where the policy lets it in ---- */

#define SW_GATE_PROXY_TEXT_MAX 107 /* bytes of a version 1 header, CRLF included */

/* `hard` is 0 behind the CR that must be followed by LF. */
SW_GATE_INLINE __u8 sw_gate_proxy_text(struct sw_gate *gate, __u8 c)
{
	const __u64 begin = SW_GATE_WORD8('P', 'R', 'O', 'X', 'Y', ' ', 0, 0);
	__u32 at = gate->proxy;

	gate->proxy = at + 1;
	if (at < 6)
		return (begin >> (at & 7) * 8 & 0xff) == c ? SW_REASON_NONE : SW_REASON_MALFORMED;
	if (!gate->hard) {
		gate->hard = 1;
		gate->phase = SW_GATE_START;
		return c == '\n' ? SW_REASON_NONE : SW_REASON_MALFORMED;
	}
	if (c == '\r')
		gate->hard = 0;
	/* One byte is kept for the LF. */
	return c == '\n' || at + 1 >= SW_GATE_PROXY_TEXT_MAX ? SW_REASON_MALFORMED : SW_REASON_NONE;
}

SW_GATE_INLINE __u8 sw_gate_proxy_sign(struct sw_gate *gate, __u8 c)
{
	const __u64 sign = SW_GATE_WORD8('\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q');
	const __u64 rest = SW_GATE_WORD4('U', 'I', 'T', '\n');
	__u32 at = gate->proxy;
	__u64 word = at < 8 ? sign : rest;

	gate->proxy = at + 1;
	if (at < 12)
		return (word >> (at & 7) * 8 & 0xff) == c ? SW_REASON_NONE : SW_REASON_MALFORMED;
	if (at == 12) /* version 2, LOCAL or PROXY */
		return c == 0x20 || c == 0x21 ? SW_REASON_NONE : SW_REASON_MALFORMED;
	if (at == 14)
		gate->word = c;
	if (at != 15)
		return SW_REASON_NONE;
	gate->proxy = (__u32)gate->word << 8 | c;
	gate->word = 0;
	gate->phase = gate->proxy ? SW_GATE_PROXY_BODY : SW_GATE_START;
	return SW_REASON_NONE;
}

/* ---- commands ---- */

/* A byte that continues no permitted command. */
SW_GATE_INLINE __u8 sw_gate_clear_reason(const struct sw_gate *gate)
{
	__u32 capable = SW_GATE_READ(gate->capable);

	if (gate->greeted && capable >> 8 == gate->greeted && !(capable & 1))
		return SW_REASON_STARTTLS_STRIPPED;
	return SW_REASON_CLEARTEXT_COMMAND;
}

/* A line has ended; `crlf`: by both. The server half reads `commands` last, so it is written last. */
SW_GATE_INLINE void sw_gate_line_end(struct sw_gate *gate, int crlf)
{
	__u32 commands = gate->commands + 1;
	__u64 word = gate->word;

	gate->phase = SW_GATE_LINE;
	if (word == SW_GATE_EHLO)
		SW_GATE_WRITE(gate->greeted, commands);
	if (word == SW_GATE_STARTTLS && crlf && gate->hard) {
		SW_GATE_WRITE(gate->asked, commands);
		gate->phase = SW_GATE_ASKED;
	}
	gate->hard = crlf;
	gate->word = 0;
	gate->letters = 0;
	SW_GATE_WRITE(gate->commands, commands);
}

SW_GATE_INLINE __u8 sw_gate_in_verb(struct sw_gate *gate, __u8 c)
{
	__u32 letters = gate->letters;
	__u8 upper = c & 0xdf;

	if (sw_gate_is_letter(c)) {
		if (letters >= 8)
			return sw_gate_clear_reason(gate);
		gate->candidates = sw_gate_continue(gate->candidates, letters, upper);
		if (!gate->candidates)
			return sw_gate_clear_reason(gate);
		gate->word |= (__u64)upper << letters * 8;
		gate->letters = (__u8)(letters + 1);
		return SW_REASON_NONE;
	}
	if (!sw_gate_permitted(gate->word))
		return sw_gate_clear_reason(gate);
	if (c == '\r')
		gate->phase = SW_GATE_CR;
	else if (c == '\n')
		sw_gate_line_end(gate, 0);
	else if (sw_gate_is_blank(c))
		gate->phase = SW_GATE_ARGUMENT;
	else
		return sw_gate_clear_reason(gate);
	return SW_REASON_NONE;
}

/* Before a command. An empty line is none that may be sent. */
SW_GATE_INLINE __u8 sw_gate_in_line(struct sw_gate *gate, __u8 c)
{
	gate->word = 0;
	gate->letters = 0;
	if (sw_gate_is_blank(c))
		return SW_REASON_NONE;
	if ((c < ' ' && c != '\r' && c != '\n') || c >= 0x7f)
		return SW_REASON_NOT_TLS;
	if (!sw_gate_is_letter(c))
		return sw_gate_clear_reason(gate);
	gate->phase = SW_GATE_VERB;
	gate->candidates = 0xff;
	return SW_GATE_AGAIN;
}

SW_GATE_INLINE __u8 sw_gate_in_argument(struct sw_gate *gate, __u8 c)
{
	if (gate->phase == SW_GATE_CR) {
		sw_gate_line_end(gate, c == '\n');
		return c == '\n' ? SW_REASON_NONE : SW_GATE_AGAIN;
	}
	if (c == '\r')
		gate->phase = SW_GATE_CR;
	else if (c == '\n')
		sw_gate_line_end(gate, 0);
	return SW_REASON_NONE;
}

#endif

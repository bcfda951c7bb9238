/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_verb.h - part of gate.h: which letters may come before TLS, and what a refused command is called.
 * A word is its letters in upper case, the first one in the lowest byte.
 */
#ifndef SW_GATE_VERB_H
#define SW_GATE_VERB_H

#define SW_GATE_WORD8(a, b, c, d, e, f, g, h)                                                      \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |   \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)
#define SW_GATE_WORD4(a, b, c, d) SW_GATE_WORD8(a, b, c, d, 0, 0, 0, 0)

#define SW_GATE_EHLO SW_GATE_WORD4('E', 'H', 'L', 'O')
#define SW_GATE_STARTTLS SW_GATE_WORD8('S', 'T', 'A', 'R', 'T', 'T', 'L', 'S')

/* What may come before TLS: X(word, enum sw_verb). */
#define SW_GATE_PERMITTED(X)                                                                       \
	X(SW_GATE_EHLO, SW_VERB_EHLO)                                                              \
	X(SW_GATE_WORD4('H', 'E', 'L', 'O'), SW_VERB_HELO)                                         \
	X(SW_GATE_WORD4('L', 'H', 'L', 'O'), SW_VERB_LHLO)                                         \
	X(SW_GATE_WORD4('N', 'O', 'O', 'P'), SW_VERB_NOOP)                                         \
	X(SW_GATE_WORD4('R', 'S', 'E', 'T'), SW_VERB_RSET)                                         \
	X(SW_GATE_WORD4('Q', 'U', 'I', 'T'), SW_VERB_QUIT)                                         \
	X(SW_GATE_WORD4('H', 'E', 'L', 'P'), SW_VERB_HELP)                                         \
	X(SW_GATE_STARTTLS, SW_VERB_STARTTLS)

/* What else a violation may be named after. Where only a beginning was seen, the first one counts. */
#define SW_GATE_FORBIDDEN(X)                                                                       \
	X(SW_GATE_WORD4('A', 'U', 'T', 'H'), SW_VERB_AUTH)                                         \
	X(SW_GATE_WORD4('M', 'A', 'I', 'L'), SW_VERB_MAIL)                                         \
	X(SW_GATE_WORD4('R', 'C', 'P', 'T'), SW_VERB_RCPT)                                         \
	X(SW_GATE_WORD4('D', 'A', 'T', 'A'), SW_VERB_DATA)                                         \
	X(SW_GATE_WORD4('B', 'D', 'A', 'T'), SW_VERB_BDAT)                                         \
	X(SW_GATE_WORD4('B', 'U', 'R', 'L'), SW_VERB_BURL)                                         \
	X(SW_GATE_WORD4('V', 'R', 'F', 'Y'), SW_VERB_VRFY)                                         \
	X(SW_GATE_WORD4('E', 'X', 'P', 'N'), SW_VERB_EXPN)                                         \
	X(SW_GATE_WORD4('E', 'T', 'R', 'N'), SW_VERB_ETRN)                                         \
	X(SW_GATE_WORD4('A', 'T', 'R', 'N'), SW_VERB_ATRN)                                         \
	X(SW_GATE_WORD4('T', 'U', 'R', 'N'), SW_VERB_TURN)                                         \
	X(SW_GATE_WORD4('S', 'E', 'N', 'D'), SW_VERB_SEND)                                         \
	X(SW_GATE_WORD4('S', 'O', 'M', 'L'), SW_VERB_SOML)                                         \
	X(SW_GATE_WORD4('S', 'A', 'M', 'L'), SW_VERB_SAML)                                         \
	X(SW_GATE_WORD8('X', 'C', 'L', 'I', 'E', 'N', 'T', 0), SW_VERB_XCLIENT)                    \
	X(SW_GATE_WORD8('X', 'F', 'O', 'R', 'W', 'A', 'R', 'D'), SW_VERB_XFORWARD)                 \
	X(SW_GATE_WORD8('P', 'R', 'O', 'X', 'Y', 0, 0, 0), SW_VERB_PROXY)

/* Eight letters tell them apart. */
#define SW_GATE_MECHANISMS(X)                                                                      \
	X(SW_GATE_WORD8('P', 'L', 'A', 'I', 'N', 0, 0, 0), SW_MECHANISM_PLAIN)                     \
	X(SW_GATE_WORD8('L', 'O', 'G', 'I', 'N', 0, 0, 0), SW_MECHANISM_LOGIN)                     \
	X(SW_GATE_WORD8('C', 'R', 'A', 'M', '-', 'M', 'D', '5'), SW_MECHANISM_CRAM_MD5)            \
	X(SW_GATE_WORD8('D', 'I', 'G', 'E', 'S', 'T', '-', 'M'), SW_MECHANISM_DIGEST_MD5)          \
	X(SW_GATE_WORD8('S', 'C', 'R', 'A', 'M', '-', 'S', 'H'), SW_MECHANISM_SCRAM)               \
	X(SW_GATE_WORD8('X', 'O', 'A', 'U', 'T', 'H', '2', 0), SW_MECHANISM_XOAUTH2)               \
	X(SW_GATE_WORD8('O', 'A', 'U', 'T', 'H', 'B', 'E', 'A'), SW_MECHANISM_OAUTHBEARER)         \
	X(SW_GATE_WORD8('N', 'T', 'L', 'M', 0, 0, 0, 0), SW_MECHANISM_NTLM)                        \
	X(SW_GATE_WORD8('G', 'S', 'S', 'A', 'P', 'I', 0, 0), SW_MECHANISM_GSSAPI)                  \
	X(SW_GATE_WORD8('E', 'X', 'T', 'E', 'R', 'N', 'A', 'L'), SW_MECHANISM_EXTERNAL)

SW_GATE_INLINE int sw_gate_is_letter(__u8 c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

SW_GATE_INLINE int sw_gate_is_blank(__u8 c)
{
	return c == ' ' || c == '\t';
}

/* Of these candidates, those whose letter number `at` (below 8) is this one. Without branches, which would
   be two to the power of eight ways for the verifier. */
SW_GATE_INLINE __u8 sw_gate_continue(__u8 candidates, __u32 at, __u8 letter)
{
	__u32 shift = at * 8, left = 0, bit = 0;

#define SW_GATE_STEP(word, verb)                                                                   \
	left |= (((__u32)((word) >> shift & 0xff) ^ letter) - 1) >> 31 << bit++;
	SW_GATE_PERMITTED(SW_GATE_STEP)
#undef SW_GATE_STEP
	return candidates & (__u8)left;
}

#define SW_GATE_EQUAL(known, is)                                                                   \
	if (word == (known))                                                                       \
		return (is);

/* The permitted verb that these letters are; SW_VERB_NONE: none, or a beginning only. */
SW_GATE_INLINE __u8 sw_gate_permitted(__u64 word)
{
	SW_GATE_PERMITTED(SW_GATE_EQUAL)
	return SW_VERB_NONE;
}

SW_GATE_INLINE __u8 sw_gate_mechanism(__u64 word)
{
	SW_GATE_MECHANISMS(SW_GATE_EQUAL)
	return SW_MECHANISM_NONE;
}

/* The verb that is, or with `cut` begins with, these letters. */
SW_GATE_INLINE __u8 sw_gate_verb(__u64 word, __u32 letters, int cut)
{
	__u64 mask = cut && letters < 8 ? (1ull << letters * 8) - 1 : ~0ull;

	if (!letters || letters > 8)
		return SW_VERB_NONE;
#define SW_GATE_BEGINS(known, is)                                                                  \
	if (word == ((known)&mask))                                                                \
		return (is);
	SW_GATE_FORBIDDEN(SW_GATE_BEGINS)
	SW_GATE_PERMITTED(SW_GATE_BEGINS)
#undef SW_GATE_BEGINS
	return SW_VERB_NONE;
}
#undef SW_GATE_EQUAL

/* What is being read. */
enum sw_gate_naming {
	SW_GATE_NAME_VERB = 0,
	SW_GATE_NAME_BLANK,  /* between it and its first argument */
	SW_GATE_NAME_METHOD, /* that argument */
	SW_GATE_NAME_END,
};

SW_GATE_INLINE void sw_gate_name_verb(struct sw_gate *gate, __u8 c)
{
	__u32 letters = gate->letters;

	if (!sw_gate_is_letter(c)) {
		gate->naming = sw_gate_is_blank(c) ? SW_GATE_NAME_BLANK : SW_GATE_NAME_END;
		return;
	}
	if (letters < 8)
		gate->word |= (__u64)(c & 0xdf) << letters * 8;
	if (letters < 9)
		gate->letters = (__u8)(letters + 1);
}

/* `proxy` is free to count here: nothing more is read of this connection. */
SW_GATE_INLINE void sw_gate_name_method(struct sw_gate *gate, __u8 c)
{
	__u32 letters = gate->proxy;

	if (sw_gate_is_letter(c))
		c &= 0xdf;
	else if (c != '-' && c != '_' && (c < '0' || c > '9'))
		gate->naming = SW_GATE_NAME_END;
	if (gate->naming == SW_GATE_NAME_END || letters >= 8)
		return;
	gate->method |= (__u64)c << letters * 8;
	gate->proxy = letters + 1;
}

static long sw_gate_name_step(__u32 index, struct sw_gate_look *look)
{
	struct sw_gate *gate = look->gate;
	__u64 in = index;
	__u8 c;

	SW_GATE_OPAQUE(in);
	c = gate->chunk[in & (SW_GATE_CHUNK - 1)];
	if (gate->naming == SW_GATE_NAME_VERB)
		sw_gate_name_verb(gate, c);
	if (gate->naming == SW_GATE_NAME_BLANK && !sw_gate_is_blank(c)) {
		gate->naming = SW_GATE_NAME_METHOD;
		gate->proxy = 0;
	}
	if (gate->naming == SW_GATE_NAME_METHOD)
		sw_gate_name_method(gate, c);
	return gate->naming == SW_GATE_NAME_END;
}

/*
 * Names the command that the refused byte belongs to: `word` and `letters` are what was let through of
 * it, the rest is in `look`, from `bad` on. Leaves numbers of fixed lists; what is no such name never
 * leaves this function.
 */
SW_GATE_INLINE void sw_gate_name(struct sw_gate_look *look)
{
	struct sw_gate *gate = look->gate;
	__u32 n = look->length - gate->bad;

	if (n > SW_GATE_CHUNK)
		n = SW_GATE_CHUNK;
	if (n &&
	    SW_GATE_LOAD(look->from, look->at + gate->bad, gate->chunk, sw_gate_bounded(n)) >= 0) {
		gate->naming = SW_GATE_NAME_VERB;
		gate->method = 0;
		SW_GATE_LOOP(n, sw_gate_name_step, look);
		gate->verb =
			sw_gate_verb(gate->word, gate->letters, gate->naming == SW_GATE_NAME_VERB);
		if (gate->verb)
			gate->verb_length = gate->letters;
		if (gate->verb == SW_VERB_AUTH)
			gate->mechanism = sw_gate_mechanism(gate->method);
	}
	gate->word = gate->method = 0;
	gate->letters = 0;
}

#endif

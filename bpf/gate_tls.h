/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_tls.h - part of gate.h: TLS records and the first handshake message in them, byte by byte. The
 * outer form of a hello is checked to its end (RFC 8446, 4.1.2 and 4.1.3; RFC 5246, 7.4.1), what its
 * extensions hold is not, but for the version that the server chose.
 */
#ifndef SW_GATE_TLS_H
#define SW_GATE_TLS_H

#define SW_GATE_CHANGE_CIPHER 20
#define SW_GATE_ALERT 21
#define SW_GATE_HANDSHAKE 22
#define SW_GATE_CLIENT_HELLO 1
#define SW_GATE_SERVER_HELLO 2
#define SW_GATE_SUPPORTED_VERSIONS 43
#define SW_GATE_FATAL 2 /* level of an alert */

#define SW_GATE_RECORD_MAX (16384 + 2048) /* RFC 5246, 6.2.3 */
#define SW_GATE_MESSAGE_MAX 131072        /* longer than any hello that somebody would read */

enum sw_gate_record {
	SW_GATE_RECORD_HEAD, /* a byte of a header */
	SW_GATE_RECORD_BODY, /* of what it carries */
	SW_GATE_RECORD_BAD,
};

/* The next byte of a stream of records. What types are right is the caller's to say. */
SW_GATE_INLINE int sw_gate_record(struct sw_gate_tls *tls, __u8 c)
{
	int good = 1;

	if (tls->head >= 5) {
		tls->left--;
		if (!tls->left)
			tls->head = 0;
		return SW_GATE_RECORD_BODY;
	}
	if (!tls->head)
		tls->type = c;
	else if (tls->head == 1)
		good = c == 3;
	else if (tls->head == 2)
		good = c <= 4;
	else if (tls->head == 3)
		tls->left = (__u16)(c << 8);
	else
		tls->left |= c;
	tls->head++;
	if (tls->head == 5)
		good = tls->left && tls->left <= SW_GATE_RECORD_MAX;
	return good ? SW_GATE_RECORD_HEAD : SW_GATE_RECORD_BAD;
}

/* Parts of a hello. Each begins with a number of one to four bytes. */
enum sw_gate_field {
	SW_GATE_FIXED = 0,   /* type, length, version, random: told by their place */
	SW_GATE_SESSION,     /* session id */
	SW_GATE_CIPHERS,     /* client: list of cipher suites */
	SW_GATE_COMPRESSION, /* client: list of methods */
	SW_GATE_SUITE,       /* server: the suite and the method that it chose */
	SW_GATE_EXTENSIONS,  /* length of all extensions */
	SW_GATE_EXTENSION,   /* type and length of one */
	SW_GATE_VERSION,     /* server: what supported_versions holds */
};

enum sw_gate_message {
	SW_GATE_MESSAGE_MORE,
	SW_GATE_MESSAGE_DONE,
	SW_GATE_MESSAGE_BAD,
};

/* The message's first 38 bytes. Returns whether the byte may stand there. */
SW_GATE_INLINE int sw_gate_fixed(struct sw_gate_tls *tls, __u32 at, __u8 c, __u16 *version)
{
	if (!at)
		return c == (version ? SW_GATE_SERVER_HELLO : SW_GATE_CLIENT_HELLO);
	if (at < 4) {
		tls->value = tls->value << 8 | c;
		if (at < 3)
			return 1;
		tls->length = tls->value + 4;
		tls->value = 0;
		return tls->length > 38 && tls->length <= SW_GATE_MESSAGE_MAX;
	}
	if (at == 4)
		return c == 3;
	if (at == 5) {
		if (version)
			*version = 0x0300 | c;
		return version || (c >= 1 && c <= 4);
	}
	if (at == 37)
		tls->field = SW_GATE_SESSION;
	return 1;
}

/* How many bytes of number a part begins with. */
SW_GATE_INLINE __u32 sw_gate_digits(__u8 field)
{
	switch (field) {
	case SW_GATE_SESSION:
	case SW_GATE_COMPRESSION:
		return 1;
	case SW_GATE_SUITE:
		return 3;
	case SW_GATE_EXTENSION:
		return 4;
	default:
		return 2;
	}
}

/* A part's number is read; `left` bytes of the message follow. Sets what follows it and the next part.
   Returns whether the number may stand there. */
SW_GATE_INLINE int sw_gate_part(struct sw_gate_tls *tls, __u32 left, __u16 *version, __u16 *cipher)
{
	__u32 value = tls->value;

	switch (tls->field) {
	case SW_GATE_SESSION:
		tls->skip = value;
		tls->field = version ? SW_GATE_SUITE : SW_GATE_CIPHERS;
		return value <= 32 && value < left;
	case SW_GATE_CIPHERS:
		tls->skip = value;
		tls->field = SW_GATE_COMPRESSION;
		return value >= 2 && !(value & 1) && value < left;
	case SW_GATE_COMPRESSION:
		tls->skip = value;
		tls->field = SW_GATE_EXTENSIONS;
		return value && value <= left;
	case SW_GATE_SUITE:
		if (cipher)
			*cipher = (__u16)(value >> 8);
		tls->field = SW_GATE_EXTENSIONS;
		return 1;
	case SW_GATE_EXTENSIONS:
		tls->field = SW_GATE_EXTENSION;
		return value == left;
	case SW_GATE_EXTENSION:
		if (version && value >> 16 == SW_GATE_SUPPORTED_VERSIONS) {
			tls->field = SW_GATE_VERSION;
			return (value & 0xffff) == 2 && left >= 2;
		}
		tls->skip = value & 0xffff;
		return tls->skip <= left;
	default:
		if (version)
			*version = (__u16)value;
		tls->field = SW_GATE_EXTENSION;
		return 1;
	}
}

/*
 * The next byte of the handshake message. `version` and `cipher` are where those of a ServerHello go;
 * NULL: it is a ClientHello.
 */
SW_GATE_INLINE int sw_gate_message(struct sw_gate_tls *tls, __u8 c, __u16 *version, __u16 *cipher)
{
	__u32 at = tls->at, left;

	tls->at = at + 1;
	if (at < 38)
		return sw_gate_fixed(tls, at, c, version) ? SW_GATE_MESSAGE_MORE
							  : SW_GATE_MESSAGE_BAD;
	left = tls->length - tls->at;
	if (tls->skip) {
		tls->skip--;
	} else {
		tls->value = tls->value << 8 | c;
		tls->number++;
		if (tls->number == sw_gate_digits(tls->field)) {
			if (!sw_gate_part(tls, left, version, cipher))
				return SW_GATE_MESSAGE_BAD;
			tls->value = 0;
			tls->number = 0;
		}
	}
	if (left)
		return SW_GATE_MESSAGE_MORE;
	if (tls->skip || tls->number)
		return SW_GATE_MESSAGE_BAD;
	/* Extensions may be missing altogether (RFC 5246, 7.4.1.2). */
	return tls->field == SW_GATE_EXTENSIONS || tls->field == SW_GATE_EXTENSION
		       ? SW_GATE_MESSAGE_DONE
		       : SW_GATE_MESSAGE_BAD;
}

#define SW_GATE_FOUR(a, b, c, d)                                                                   \
	((__u32)(a) << 24 | (__u32)(b) << 16 | (__u32)(c) << 8 | (__u32)(d))

/*
 * A server that does not expect TLS takes a hello for lines of text, complains, and does what a line
 * within says. A line end, one of the commands that carry mail or passwords, and a blank or line end
 * after it don't come about by chance: once in some hundred million hellos.
 */
SW_GATE_INLINE int sw_gate_hides_command(struct sw_gate_tls *tls, __u8 c)
{
	int ends = c == '\r' || c == '\n';
	int blank = c == ' ' || c == '\t' || c == '\v' || c == '\f'; /* as isspace() has it */
	__u32 text = tls->text;

	if (tls->line == 5 && (ends || blank) &&
	    (text == SW_GATE_FOUR('A', 'U', 'T', 'H') || text == SW_GATE_FOUR('M', 'A', 'I', 'L') ||
	     text == SW_GATE_FOUR('R', 'C', 'P', 'T') || text == SW_GATE_FOUR('D', 'A', 'T', 'A') ||
	     text == SW_GATE_FOUR('B', 'D', 'A', 'T')))
		return 1;
	if (ends) {
		tls->line = 1; /* and so many letters more */
		tls->text = 0;
	} else if (tls->line && !(blank && tls->line == 1)) {
		tls->text = text << 8 | (c & 0xdf);
		tls->line = tls->line < 5 ? tls->line + 1 : 0;
	}
	return 0;
}

#endif

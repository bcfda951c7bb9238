/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/wire/hello.h"

#include <string.h>

#define RECORD_HEAD 5
#define RECORD_MAX 16384 /* of plaintext, RFC 8446, 5.1 */
#define RECORD_HANDSHAKE 22
#define MESSAGE_HEAD 4

enum { CLIENT_HELLO = 1, SERVER_HELLO = 2, CERTIFICATE = 11 };
enum {
	EXT_SERVER_NAME = 0,
	EXT_SIGNATURES = 13,
	EXT_ALPN = 16,
	EXT_VERSIONS = 43,
};

const char *sw_hello_version_name(uint16_t version)
{
	switch (version) {
	case 0x0002:
		return "SSL 2.0";
	case 0x0300:
		return "SSL 3.0";
	case 0x0301:
		return "TLS 1.0";
	case 0x0302:
		return "TLS 1.1";
	case 0x0303:
		return "TLS 1.2";
	case 0x0304:
		return "TLS 1.3";
	default:
		return NULL;
	}
}

/* ---- records ---- */

/* How the handshake in some records ended. */
struct joined {
	size_t n;  /* bytes of handshake */
	bool open; /* the bytes ended, more may come; else another record follows, or none that
			    can be read */
};

static uint16_t u16_at(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* A header that no record may have ends the handshake as a record of another type does. */
static bool is_handshake(const uint8_t *head)
{
	uint16_t length = u16_at(head + 3);

	return head[0] == RECORD_HANDSHAKE && head[1] == 3 && length && length <= RECORD_MAX;
}

static struct joined join(const uint8_t *bytes, size_t n, uint8_t *to, size_t size)
{
	struct joined joined = {.open = true};
	size_t at = 0;

	while (n - at >= RECORD_HEAD) {
		size_t length, there;

		if (!is_handshake(bytes + at)) {
			joined.open = false;
			break;
		}
		length = u16_at(bytes + at + 3);
		at += RECORD_HEAD;
		there = length < n - at ? length : n - at;
		if (there > size - joined.n) {
			memmove(to + joined.n, bytes + at, size - joined.n);
			joined.n = size;
			break;
		}
		memmove(to + joined.n, bytes + at, there);
		joined.n += there;
		at += there;
	}
	return joined;
}

size_t sw_handshake_join(const uint8_t *bytes, size_t n, uint8_t *to, size_t size)
{
	return join(bytes, n, to, size).n;
}

/* ---- reading ---- */

/*
 * A part of a message. `left` is what its length field says, `here` how much of that is there: what is
 * longer than its surroundings is wrong, what is longer than the bytes is cut. The first fault ends all
 * reading, as it empties every part that is read afterwards.
 */
struct part {
	const uint8_t *at;
	size_t left, here;
	enum sw_hello *fault;
};

static bool has(struct part *part, size_t n)
{
	if (*part->fault == SW_HELLO_WHOLE && n > part->left)
		*part->fault = SW_HELLO_BAD;
	else if (*part->fault == SW_HELLO_WHOLE && n > part->here)
		*part->fault = SW_HELLO_CUT;
	return *part->fault == SW_HELLO_WHOLE;
}

static bool more(const struct part *part)
{
	return *part->fault == SW_HELLO_WHOLE && part->left;
}

static void step(struct part *part, size_t n)
{
	part->at += n;
	part->left -= n;
	part->here -= n;
}

static uint32_t number(struct part *part, size_t n)
{
	uint32_t value = 0;

	if (!has(part, n))
		return 0;
	for (size_t i = 0; i < n; i++)
		value = value << 8 | part->at[i];
	step(part, n);
	return value;
}

static const uint8_t *take(struct part *part, size_t n)
{
	const uint8_t *at = part->at;

	if (!has(part, n))
		return NULL;
	step(part, n);
	return at;
}

/* The part behind a length of `head` bytes. */
static struct part inner(struct part *part, size_t head)
{
	size_t length = number(part, head);
	struct part found = {part->at, 0, 0, part->fault};

	if (*part->fault == SW_HELLO_WHOLE && length > part->left)
		*part->fault = SW_HELLO_BAD;
	if (*part->fault != SW_HELLO_WHOLE)
		return found;
	found.left = length;
	found.here = length < part->here ? length : part->here;
	part->left -= length;
	part->here -= found.here;
	part->at += found.here;
	return found;
}

static void skip(struct part *part, size_t head)
{
	struct part unread = inner(part, head);

	/* What is not there to be skipped is not there to be read behind it either. */
	has(&unread, unread.left);
}

struct list {
	uint16_t *values, *n;
	size_t size;
};

static bool is_grease(uint16_t value)
{
	return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

static void add(struct sw_client_hello *hello, struct list list, uint16_t value)
{
	if (is_grease(value))
		return;
	if (*list.n == list.size)
		hello->lists_full = true;
	else
		list.values[(*list.n)++] = value;
}

static void read_list(struct sw_client_hello *hello, struct part part, struct list list)
{
	while (more(&part)) {
		uint16_t value = (uint16_t)number(&part, 2);

		if (*part.fault == SW_HELLO_WHOLE)
			add(hello, list, value);
	}
}

/* What may stand in a name that is shown. */
static bool is_plain(const uint8_t *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name[i] < 0x21 || name[i] > 0x7e)
			return false;
	return true;
}

/* ---- extensions of the client ---- */

static void read_server_name(struct sw_client_hello *hello, struct part part)
{
	struct part names = inner(&part, 2);

	while (more(&names)) {
		uint32_t type = number(&names, 1);
		struct part one = inner(&names, 2);
		size_t n = one.left;
		const uint8_t *name = take(&one, n);

		if (name && !type && !hello->sni[0] && n < sizeof(hello->sni) && is_plain(name, n))
			memcpy(hello->sni, name, n);
	}
}

static void add_protocol(struct sw_client_hello *hello, const uint8_t *name, size_t n)
{
	size_t used = strlen(hello->alpn);

	if (!n || !is_plain(name, n) || used + 1 + n >= sizeof(hello->alpn))
		return;
	if (used)
		hello->alpn[used++] = ',';
	memcpy(hello->alpn + used, name, n);
}

static void read_alpn(struct sw_client_hello *hello, struct part part)
{
	struct part names = inner(&part, 2);
	bool first = true;

	while (more(&names)) {
		struct part one = inner(&names, 1);
		size_t n = one.left;
		const uint8_t *name = take(&one, n);

		if (!name)
			break;
		if (first && n) {
			hello->alpn_first_length = (uint8_t)n;
			hello->alpn_ends[0] = name[0];
			hello->alpn_ends[1] = name[n - 1];
		}
		first = false;
		add_protocol(hello, name, n);
	}
}

static void read_extension(struct sw_client_hello *hello, uint32_t type, struct part part)
{
	switch (type) {
	case EXT_SERVER_NAME:
		hello->has_sni = true;
		read_server_name(hello, part);
		break;
	case EXT_ALPN:
		read_alpn(hello, part);
		break;
	case EXT_VERSIONS:
		read_list(hello, inner(&part, 1),
			  (struct list){hello->versions, &hello->n_versions, SW_HELLO_VALUES_MAX});
		break;
	case EXT_SIGNATURES:
		read_list(hello, inner(&part, 2),
			  (struct list){hello->signatures, &hello->n_signatures,
					SW_HELLO_VALUES_MAX});
		break;
	default:
		has(&part, part.left);
	}
}

static void read_extensions(struct sw_client_hello *hello, struct part *message)
{
	struct list list = {hello->extensions, &hello->n_extensions, SW_HELLO_EXTENSIONS_MAX};
	struct part all;

	if (!more(message))
		return; /* none at all, as before TLS 1.2 */
	all = inner(message, 2);
	while (more(&all)) {
		uint32_t type = number(&all, 2);
		struct part one = inner(&all, 2);

		if (*all.fault != SW_HELLO_WHOLE)
			break;
		add(hello, list, (uint16_t)type);
		read_extension(hello, type, one);
	}
	if (message->left && *message->fault == SW_HELLO_WHOLE)
		*message->fault = SW_HELLO_BAD;
}

/* ---- hellos ---- */

/*
 * The message at `at` of the handshake. The fault is set when its head is not all there: cut when the
 * bytes may go on, else bad, as nothing may stand between the records of one message.
 */
static struct part message_at(const uint8_t *handshake, const struct joined *joined, size_t at,
			      uint8_t *type, enum sw_hello *fault)
{
	enum sw_hello ended = joined->open ? SW_HELLO_CUT : SW_HELLO_BAD;
	struct part part = {handshake + at, 0, 0, fault};

	if (joined->n - at < MESSAGE_HEAD) {
		*fault = ended;
		return part;
	}
	*type = handshake[at];
	part.left = (size_t)handshake[at + 1] << 16 | (size_t)handshake[at + 2] << 8 |
		    handshake[at + 3];
	part.at += MESSAGE_HEAD;
	part.here = joined->n - at - MESSAGE_HEAD;
	if (part.here > part.left)
		part.here = part.left;
	return part;
}

/* Of a message that was cut by a record of another type no more will come. */
static enum sw_hello settled(enum sw_hello fault, const struct joined *joined)
{
	return fault == SW_HELLO_CUT && !joined->open ? SW_HELLO_BAD : fault;
}

static void read_client_hello(struct sw_client_hello *hello, struct part *message)
{
	hello->legacy_version = (uint16_t)number(message, 2);
	take(message, 32); /* random */
	skip(message, 1);  /* session */
	read_list(hello, inner(message, 2),
		  (struct list){hello->ciphers, &hello->n_ciphers, SW_HELLO_CIPHERS_MAX});
	skip(message, 1); /* compression */
	read_extensions(hello, message);
}

enum sw_hello sw_client_hello_read(const uint8_t *bytes, size_t n, struct sw_client_hello *hello)
{
	uint8_t handshake[SW_HELLO_BYTES_MAX], type = 0;
	struct joined joined = join(bytes, n, handshake, sizeof(handshake));
	enum sw_hello fault = SW_HELLO_WHOLE;
	struct part message;

	memset(hello, 0, sizeof(*hello));
	message = message_at(handshake, &joined, 0, &type, &fault);
	if (fault != SW_HELLO_WHOLE)
		return fault;
	if (type != CLIENT_HELLO)
		return SW_HELLO_BAD;
	read_client_hello(hello, &message);
	return settled(fault, &joined);
}

/* SHA-256 of "HelloRetryRequest" stands where the random would be, RFC 8446, 4.1.3. */
static bool is_retry(const uint8_t *random)
{
	static const uint8_t retry[32] = {
		0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
		0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
		0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
	};

	return !memcmp(random, retry, sizeof(retry));
}

static void read_server_extensions(struct sw_server_hello *hello, struct part *message)
{
	struct part all;

	if (!more(message))
		return;
	all = inner(message, 2);
	while (more(&all)) {
		uint32_t type = number(&all, 2);
		struct part one = inner(&all, 2);

		if (type == EXT_VERSIONS && more(&one)) {
			uint16_t version = (uint16_t)number(&one, 2);

			if (*one.fault == SW_HELLO_WHOLE)
				hello->version = version;
		} else {
			has(&one, one.left);
		}
	}
}

static void read_server_hello(struct sw_server_hello *hello, struct part *message)
{
	uint16_t version = (uint16_t)number(message, 2), cipher;
	const uint8_t *random = take(message, 32);

	skip(message, 1); /* session */
	cipher = (uint16_t)number(message, 2);
	number(message, 1); /* compression */
	if (!random || *message->fault != SW_HELLO_WHOLE)
		return;
	hello->has_hello = true;
	hello->retry = is_retry(random);
	hello->version = version;
	hello->cipher = cipher;
	read_server_extensions(hello, message);
}

/* The certificate, if one is the next message at `at`. */
static enum sw_hello find_certificate(struct sw_server_hello *hello, const uint8_t *handshake,
				      const struct joined *joined, size_t at)
{
	enum sw_hello fault = SW_HELLO_WHOLE;
	struct part message, list, leaf;
	uint8_t type = 0;

	/* The ServerHello says that it is longer than what is there. */
	if (at > joined->n)
		return settled(SW_HELLO_CUT, joined);
	/* A resumed session goes on with a record of another type. */
	if (at == joined->n && !joined->open)
		return SW_HELLO_WHOLE;
	message = message_at(handshake, joined, at, &type, &fault);
	if (fault != SW_HELLO_WHOLE || type != CERTIFICATE)
		return fault;
	list = inner(&message, 3);
	if (!more(&list))
		return settled(fault, joined);
	leaf = inner(&list, 3);
	if (fault != SW_HELLO_WHOLE)
		return settled(fault, joined);
	hello->certificate_at = (size_t)(leaf.at - handshake);
	hello->certificate_length = leaf.left;
	hello->certificate_whole = leaf.here == leaf.left;
	return hello->certificate_whole ? SW_HELLO_WHOLE : settled(SW_HELLO_CUT, joined);
}

enum sw_hello sw_server_hello_read(const uint8_t *bytes, size_t n, struct sw_server_hello *hello)
{
	uint8_t handshake[SW_HELLO_BYTES_MAX], type = 0;
	struct joined joined = join(bytes, n, handshake, sizeof(handshake));
	enum sw_hello fault = SW_HELLO_WHOLE;
	struct part message;
	size_t length;

	memset(hello, 0, sizeof(*hello));
	message = message_at(handshake, &joined, 0, &type, &fault);
	if (fault != SW_HELLO_WHOLE)
		return fault;
	if (type != SERVER_HELLO)
		return SW_HELLO_BAD;
	length = message.left;
	read_server_hello(hello, &message);
	fault = settled(fault, &joined);
	if (fault != SW_HELLO_WHOLE || hello->retry || hello->version > 0x0303)
		return fault;
	return find_certificate(hello, handshake, &joined, MESSAGE_HEAD + length);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "bpf/abi.h"
#include "tests/prog/dialogue.h"
#include "tests/unit/gate_hello.h"

#define STEPS 48
#define STREAM 24000

/* What the two say in turn, before it is cut. */
struct talk {
	uint64_t random;
	size_t n_steps;
	struct step {
		bool server;
		size_t at, n; /* in the speaker's stream */
	} steps[STEPS];
	size_t n[2];
	uint8_t stream[2][STREAM];
};

static uint32_t below(struct talk *talk, uint32_t limit)
{
	uint64_t x = talk->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((x ^ x >> 31) >> 32) % limit;
}

static bool chance(struct talk *talk, uint32_t percent)
{
	return below(talk, 100) < percent;
}

#define PICK(talk, array) ((array)[below(talk, sizeof(array) / sizeof((array)[0]))])

static void say(struct talk *talk, bool server, const void *bytes, size_t n)
{
	struct step *step = &talk->steps[talk->n_steps];

	if (talk->n_steps == STEPS || n > STREAM - talk->n[server] || !n)
		return;
	*step = (struct step){server, talk->n[server], n};
	memcpy(talk->stream[server] + talk->n[server], bytes, n);
	talk->n[server] += n;
	talk->n_steps++;
}

static void say_text(struct talk *talk, bool server, const char *text)
{
	say(talk, server, text, strlen(text));
}

/* ---- the grammar ---- */

static void say_proxy(struct talk *talk)
{
	static const char *const texts[] = {
		"PROXY UNKNOWN\r\n",
		"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n",
		"PROXY TCP6 ::1 ::1 1 465\r\n",
		"PROXY UNKNOWN\n",
		"PROXYX\r\n",
	};
	uint8_t header[16 + 64] = "\r\n\r\n\0\r\nQUIT\n\x21\x11";

	if (chance(talk, 50)) {
		say_text(talk, false, PICK(talk, texts));
		return;
	}
	header[15] = (uint8_t)below(talk, 64);
	say(talk, false, header, 16u + header[15]);
}

static const char *line_end(struct talk *talk)
{
	static const char *const ends[] = {"\n", "\r", "\r\r\n", "\n\r", ""};

	return chance(talk, 94) ? "\r\n" : PICK(talk, ends);
}

static const char *argument(struct talk *talk, const char *verb)
{
	static const char *const common[] = {" client.example", " ", " x y", "\tAUTH PLAIN x",
					     " FROM:<a@example>"};
	static const char *const mechanisms[] = {
		" PLAIN AGEAYg==", " login",      " CRAM-MD5 x",  " DIGEST-MD5",
		"\tSCRAM-SHA-256", " XOAUTH2 x",  " OAUTHBEARER", " NTLM",
		"  GSSAPI",        " EXTERNAL =", " X-Y_1 x"};

	if (!strcmp(verb, "AUTH"))
		return PICK(talk, mechanisms);
	if (chance(talk, 4))
		return chance(talk, 50) ? ":" : "X";
	return chance(talk, 50) ? PICK(talk, common) : "";
}

/* Writes a command in any case, with blanks and arguments as they come. */
static size_t command(struct talk *talk, char *to, size_t size, const char *verb)
{
	static const char *const blanks[] = {" ", "\t", "  \t"};
	const char *before = chance(talk, 8) ? PICK(talk, blanks) : "";
	const char *behind = argument(talk, verb);
	int way = chance(talk, 70) ? 0 : 1 + (int)below(talk, 2);
	size_t n;

	n = (size_t)snprintf(to, size, "%s%s%s%s", before, verb, behind, line_end(talk));
	for (size_t i = strlen(before); i < strlen(before) + strlen(verb); i++)
		to[i] |= (char)(way == 1 || (way == 2 && i % 2) ? 0x20 : 0);
	return n;
}

static void say_reply(struct talk *talk, const char *verb)
{
	static const char *const ehlo[] = {
		"250-mx\r\n250-SIZE 1\r\n250 STARTTLS\r\n",
		"250-mx\r\n250-starttls\r\n250 HELP\r\n",
		"250-mx\r\n250 AUTH PLAIN\r\n",
		"250 mx\r\n",
		"250-mx\r\n250-XXXXXXXA\r\n250 8BITMIME\r\n",
		"502 what\r\n",
	};
	static const char *const others[] = {"250 ok\r\n", "250-a\r\n250 b\r\n", "502 5.5.1 no\r\n",
					     "421 bye\r\n"};

	if (!strcmp(verb, "EHLO"))
		say_text(talk, true, PICK(talk, ehlo));
	else
		say_text(talk, true, chance(talk, 85) ? others[0] : PICK(talk, others));
}

static void say_commands(struct talk *talk)
{
	static const char *const verbs[] = {"EHLO", "EHLO", "EHLO", "HELO", "LHLO",
					    "NOOP", "RSET", "HELP", "QUIT"};
	char text[200];

	for (uint32_t n = below(talk, 4); n; n--) {
		const char *verb = PICK(talk, verbs);

		say(talk, false, text, command(talk, text, sizeof(text), verb));
		if (chance(talk, 95))
			say_reply(talk, verb);
	}
}

static void say_forbidden(struct talk *talk)
{
	static const char *const verbs[] = {
		"AUTH", "AUTH", "AUTH", "AUTH", "MAIL", "RCPT", "DATA",    "BDAT",     "BURL",
		"VRFY", "EXPN", "ETRN", "ATRN", "TURN", "SEND", "SOML",    "SAML",     "PROXY",
		"A",    "HEL",  "",     "1",    "\x01", "\x80", "XCLIENT", "XFORWARD", "EHLOX"};
	char text[200];

	say(talk, false, text, command(talk, text, sizeof(text), PICK(talk, verbs)));
	say_text(talk, true, "500 what\r\n");
}

static void say_client_hello(struct talk *talk)
{
	static const uint16_t records[] = {0, 0, 0x0301, 0x0303, 0x0302, 0x0300};
	static const uint16_t legacies[] = {0x0303, 0x0303, 0x0301, 0x0302, 0x0304};
	static const char *const bodies[] = {"\r\nAUTH PLAIN x\r\n", "\nMAIL FROM:<>\r\n",
					     "\r\n\r\n"};
	struct hello_spec spec = {.record = PICK(talk, records), .legacy = PICK(talk, legacies)};
	struct hello_bytes bytes = {.n = 0};

	if (chance(talk, 70))
		spec.versions[0] = 0x0304;
	if (chance(talk, 60))
		spec.sni = "mx.example";
	if (chance(talk, 25))
		spec.size = below(talk, chance(talk, 10) ? 9000 : 2200);
	/* Each record of a byte costs five more. */
	if (chance(talk, 15))
		spec.per_record = 1 + below(talk, chance(talk, 30) && spec.size < 2500 ? 8 : 400) +
				  spec.size / 2500;
	if (chance(talk, 3))
		spec.body = PICK(talk, bodies);
	hello_client(&bytes, &spec);
	say(talk, false, bytes.data, bytes.n);
}

static void say_server_hello(struct talk *talk)
{
	static const uint16_t legacies[] = {0x0303, 0x0303, 0x0303, 0x0302, 0x0301, 0x0300};
	static const char *const others[] = {"220 mx ESMTP\r\n", "500 what\r\n", "\x17\3\3\1\1x",
					     "\x14\3\3\1\1", "\x16\3\1\1\1\x0b"};
	struct hello_spec spec = {.legacy = PICK(talk, legacies)};
	struct hello_bytes bytes = {.n = 0};

	if (chance(talk, 8)) {
		say_text(talk, true, PICK(talk, others));
	} else if (chance(talk, 5)) {
		say(talk, true, "\x15\3\3\0\2\2\x28", 7);
	} else {
		if (chance(talk, 60))
			spec.versions[0] = chance(talk, 90) ? 0x0304 : 0x0303;
		if (chance(talk, 20))
			spec.size = below(talk, chance(talk, 30) ? 5000 : 600);
		if (chance(talk, 15))
			spec.per_record = 1 + below(talk, 100) + spec.size / 1000;
		hello_server(&bytes, &spec);
		/* A Certificate, as much as matters. */
		hello_add(&bytes,
			  "\x16\3\3\0\x14\x0b\0\0\x10\0\0\x0d\0\0\x0a"
			  "0123456789",
			  25);
		say(talk, true, bytes.data, bytes.n);
	}
}

static void say_tls(struct talk *talk)
{
	static const char *const alert = "\x15\3\1\0\2\2\x28", *const cipher = "\x14\3\3\0\1\1";

	say_client_hello(talk);
	if (chance(talk, 5))
		say(talk, false, alert, 7);
	if (chance(talk, 5))
		say(talk, false, cipher, 6);
	if (chance(talk, 4))
		say_text(talk, false, "\x17\3\3\1\1abc");
	say_server_hello(talk);
	say_text(talk, false, "\x17\3\3\1\1abc");
	say_text(talk, true, "\x17\3\3\1\1def");
}

static void say_starttls(struct talk *talk)
{
	static const char *const answers[] = {
		"220-go\r\n220 on\r\n",
		"220\r\n",
		"454 no\r\n",
		"454-no\r\n454 no\r\n",
		"220-go\r\n250 on\r\n",
		"454-a\r\n220 b\r\n",
		"go on\r\n",
		"22 go\r\n",
		"220go\r\n",
		"220 go\r\n250 ok\r\n",
		"220 go\r\n220 go\r\n",
		"920 x\r\n",
	};
	char text[200];
	const char *answer = chance(talk, 70) ? "220 go ahead\r\n" : PICK(talk, answers);

	if (chance(talk, 85))
		say_text(talk, false, "STARTTLS\r\n");
	else
		say(talk, false, text, command(talk, text, sizeof(text), "STARTTLS"));
	if (chance(talk, 4))
		say_text(talk, false, chance(talk, 50) ? "NOOP\r\n" : "MAIL FROM:<>\r\n");
	if (chance(talk, 97))
		say_text(talk, true, answer);
	if (chance(talk, 3))
		say_text(talk, true, "250 injected\r\n");
	if (chance(talk, 5))
		say_text(talk, false, chance(talk, 50) ? "NOOP\r\n" : "AUTH PLAIN x\r\n");
	say_tls(talk);
}

/* A line longer than a client or server may say in clear. */
static void say_long(struct talk *talk)
{
	static uint8_t bytes[17000];
	bool server = chance(talk, 50);
	size_t n = server ? sizeof(bytes) : 1030;

	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, server ? "220-" : "NOOP ", server ? 4 : 5);
	say(talk, server, bytes, n);
}

static void grow(struct talk *talk, const struct gs_head *begin)
{
	if (chance(talk, begin->rule_flags & SW_RULE_PROXY ? 80 : 2))
		say_proxy(talk);
	if ((begin->port == 465 || begin->rule_flags & SW_RULE_IMPLICIT) && chance(talk, 85)) {
		say_tls(talk);
		return;
	}
	if (chance(talk, 97))
		say_text(talk, true,
			 chance(talk, 80) ? "220 mx ESMTP\r\n" : "220-mx\r\n220 mx\r\n");
	if (chance(talk, 8)) {
		say_tls(talk);
		return;
	}
	if (!below(talk, 200))
		say_long(talk);
	say_commands(talk);
	if (chance(talk, 15))
		say_forbidden(talk);
	else
		say_starttls(talk);
	if (chance(talk, 5))
		say_forbidden(talk);
}

/* A few bytes changed, a step said twice, one left unsaid, two in the other order. */
static void mutate(struct talk *talk)
{
	for (uint32_t n = 1 + below(talk, 2); n && talk->n_steps; n--) {
		uint32_t i = below(talk, (uint32_t)talk->n_steps);
		struct step *step = &talk->steps[i], copy = *step;
		uint8_t *bytes = talk->stream[copy.server] + copy.at;

		switch (below(talk, 4)) {
		case 0:
			bytes[below(talk, (uint32_t)copy.n)] ^= (uint8_t)(1u << below(talk, 8));
			break;
		case 1:
			bytes[below(talk, (uint32_t)copy.n)] = (uint8_t)below(talk, 256);
			break;
		case 2:
			say(talk, copy.server, bytes, copy.n);
			break;
		default:
			/* What follows moves up, so that the streams have no gap. */
			memmove(bytes, bytes + copy.n, STREAM - copy.at - copy.n);
			talk->n[copy.server] -= copy.n;
			for (size_t k = i + 1; k < talk->n_steps; k++)
				if (talk->steps[k].server == copy.server)
					talk->steps[k].at -= copy.n;
			memmove(step, step + 1, (talk->n_steps - i - 1) * sizeof(*step));
			talk->n_steps--;
			break;
		}
	}
}

/* ---- segments ---- */

struct cutter {
	struct dialogue *dialogue;
	struct talk *talk;
	uint32_t first[2]; /* sequence number of each stream's first byte */
	uint32_t most;     /* bytes of a segment */
	uint32_t mischief; /* percent */
};

static void put(struct cutter *cutter, bool server, size_t at, size_t n, uint8_t flags)
{
	struct dialogue *dialogue = cutter->dialogue;
	struct dialogue_segment *segment = &dialogue->segments[dialogue->n_segments];

	if (n > DIALOGUE_SEGMENT_MAX)
		n = DIALOGUE_SEGMENT_MAX;
	if (dialogue->n_segments == DIALOGUE_SEGMENTS || n > DIALOGUE_POOL - dialogue->used)
		return;
	segment->head = (struct gs_head){
		.what = server ? GS_SERVER : GS_CLIENT,
		.flags = flags,
		.length = (uint16_t)n,
		.seq = cutter->first[server] + (uint32_t)at - !!(flags & GS_SYN),
	};
	segment->at = (uint32_t)dialogue->used;
	if (n)
		memcpy(dialogue->pool + dialogue->used, cutter->talk->stream[server] + at, n);
	dialogue->used += n;
	dialogue->n_segments++;
}

static void alter_last(struct cutter *cutter)
{
	struct dialogue *dialogue = cutter->dialogue;
	const struct dialogue_segment *last = &dialogue->segments[dialogue->n_segments - 1];

	if (dialogue->n_segments && last->head.length)
		dialogue->pool[last->at + below(cutter->talk, last->head.length)] ^= 0x20;
}

/* What was sent before, or what comes later, or both; `at` is what would be sent next. */
static void make_mischief(struct cutter *cutter, bool server, size_t at)
{
	struct talk *talk = cutter->talk;
	size_t from = at ? below(talk, (uint32_t)at) : 0, n = talk->n[server] - at;

	switch (below(talk, 8)) {
	case 0:
	case 1:
		put(cutter, server, from, 1 + below(talk, (uint32_t)(at - from) + 1), 0);
		break;
	case 2:
		if (at)
			put(cutter, server, at - 1, 1, 0);
		break;
	case 3:
		put(cutter, server, from, at - from + (n > 3 ? below(talk, 3) : 0), 0);
		break;
	case 4:
		if (n > 1) {
			from = at + 1 + below(talk, (uint32_t)n - 1);
			put(cutter, server, from,
			    1 + below(talk, (uint32_t)(talk->n[server] - from)), 0);
		}
		break;
	case 5:
		put(cutter, server, from, 0, chance(talk, 20) ? GS_SYN : 0);
		break;
	case 6:
		put(cutter, server, from, at - from, 0);
		if (chance(talk, 20))
			alter_last(cutter);
		break;
	default:
		if (chance(talk, 5))
			put(cutter, server, at, n ? 1 : 0,
			    chance(talk, 50) ? GS_URGENT : GS_SHARED);
		break;
	}
}

static void cut(struct cutter *cutter)
{
	struct talk *talk = cutter->talk;

	for (size_t i = 0; i < talk->n_steps; i++) {
		const struct step *step = &talk->steps[i];

		for (size_t at = step->at; at < step->at + step->n;) {
			size_t left = step->at + step->n - at;
			size_t n = cutter->most > 1 ? 1 + below(talk, cutter->most) : cutter->most;

			if (!n || n > left)
				n = left;
			if (n > DIALOGUE_SEGMENT_MAX)
				n = DIALOGUE_SEGMENT_MAX;
			if (chance(talk, cutter->mischief))
				make_mischief(cutter, step->server, at);
			put(cutter, step->server, at, n, 0);
			at += n;
		}
	}
}

static void reorder(struct dialogue *dialogue, struct talk *talk)
{
	for (uint32_t n = below(talk, 3); n && dialogue->n_segments > 4; n--) {
		size_t i = 2 + below(talk, (uint32_t)dialogue->n_segments - 3);
		struct dialogue_segment first = dialogue->segments[i];

		dialogue->segments[i] = dialogue->segments[i + 1];
		dialogue->segments[i + 1] = first;
	}
}

static uint32_t first_number(struct talk *talk)
{
	return chance(talk, 50) ? below(talk, UINT32_MAX) : 0u - below(talk, 300);
}

static void begin(struct cutter *cutter)
{
	static const uint32_t most[] = {0, 0, 0, 1, 3, 20, 300, 1400};
	struct talk *talk = cutter->talk;

	cutter->most = PICK(talk, most);
	/* One byte at a time must come to an end. */
	if (cutter->most && (talk->n[0] + talk->n[1]) / cutter->most > 300)
		cutter->most = 300;
	cutter->mischief =
		chance(talk, 50) ? 0 : below(talk, cutter->most && cutter->most < 20 ? 10 : 40);
	for (int server = 0; server < 2; server++) {
		cutter->first[server] = first_number(talk);
		if (!chance(talk, 99))
			continue;
		put(cutter, server, 0,
		    chance(talk, 5) ? below(talk, (uint32_t)talk->n[server] + 1) : 0, GS_SYN);
	}
}

static void choose(struct talk *talk, struct gs_head *to)
{
	static const uint16_t ports[] = {587, 587, 587, 2525, 465};
	static const uint8_t flags[] = {0,
					0,
					0,
					0,
					SW_RULE_IMPLICIT,
					SW_RULE_STARTTLS,
					SW_RULE_PROXY,
					SW_RULE_IMPLICIT | SW_RULE_PROXY};
	static const uint16_t versions[] = {0, 0, 0, 0x0301, 0x0302, 0x0303, 0x0304};

	*to = (struct gs_head){
		.what = GS_BEGIN,
		.port = PICK(talk, ports),
		.tls_version = PICK(talk, versions),
		.action = chance(talk, 95) ? SW_ACTION_TLS : SW_ACTION_AUDIT,
		.rule_flags = (uint8_t)(PICK(talk, flags) | (chance(talk, 8) ? SW_RULE_AUDIT : 0)),
	};
}

void dialogue_make(struct dialogue *dialogue, uint64_t seed)
{
	static struct talk talk;
	struct cutter cutter = {.dialogue = dialogue, .talk = &talk};

	talk.random = seed * 0xd1342543de82ef95ull + 1;
	talk.n_steps = talk.n[0] = talk.n[1] = 0;
	dialogue->n_segments = dialogue->used = 0;
	choose(&talk, &dialogue->begin);
	grow(&talk, &dialogue->begin);
	if (chance(&talk, 30))
		mutate(&talk);
	begin(&cutter);
	cut(&cutter);
	if (chance(&talk, 15))
		reorder(dialogue, &talk);
}

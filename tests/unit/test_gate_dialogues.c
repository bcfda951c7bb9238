/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/gate.h: whole dialogues, attacks on STARTTLS among them, the same however they are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gate_world.h"

static struct gw_dialogue dialogue;

#define GREETING "S220 mx.example ESMTP\r\n"
#define EHLO "CEHLO c.example\r\n"
#define OFFERED "S250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
#define NOT_OFFERED "S250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
#define STARTTLS "CSTARTTLS\r\n"
#define GO "S220 2.0.0 go ahead\r\n"
#define START GREETING, EHLO, OFFERED

struct wanted {
	const char *name;
	uint8_t flags;
	uint16_t port;
	const char *steps[12];
	uint8_t reason;
	char from;   /* C, S, or 0: no violation */
	uint8_t tls; /* how it came to TLS */
};

#define CLEARTEXT SW_REASON_CLEARTEXT_COMMAND
#define STRIPPED SW_REASON_STARTTLS_STRIPPED
#define INJECTION SW_REASON_STARTTLS_INJECTION
#define MALFORMED SW_REASON_MALFORMED
#define NOT_TLS SW_REASON_NOT_TLS
#define BY_STARTTLS SW_REASON_NONE, 0, SW_TLS_STARTTLS
#define IMPLICIT SW_REASON_NONE, 0, SW_TLS_IMPLICIT
#define IN_CLEAR SW_REASON_NONE, 0, SW_TLS_NONE

/* The last step is the one that is refused. */
static const struct wanted dialogues[] = {
	{"STARTTLS", 0, 587, {START, STARTTLS, GO, "H", "A", "T", "t"}, BY_STARTTLS},
	{"STARTTLS without EHLO", 0, 587, {GREETING, STARTTLS, GO, "H", "A", "T"}, BY_STARTTLS},
	{"STARTTLS not offered but granted",
	 0,
	 587,
	 {GREETING, EHLO, NOT_OFFERED, STARTTLS, GO, "H", "A", "T"},
	 BY_STARTTLS},
	{"pipelined EHLO and STARTTLS",
	 0,
	 587,
	 {GREETING, "CEHLO c\r\nSTARTTLS\r\n", OFFERED, GO, "H", "A", "T"},
	 BY_STARTTLS},
	{"pipelined, answered at once",
	 0,
	 587,
	 {GREETING, "CEHLO c\r\nSTARTTLS\r\n", "S250-mx\r\n250 STARTTLS\r\n220 go\r\n", "H", "A",
	  "T"},
	 BY_STARTTLS},
	{"HELO, NOOP, RSET, HELP",
	 0,
	 2525,
	 {GREETING, "CHELO c\r\n", "S250 mx\r\n", "CNOOP x\r\nRSET\r\n", "S250 ok\r\n250 ok\r\n",
	  "CHELP starttls\r\n", "S214-a\r\n214 b\r\n", STARTTLS, GO, "H", "A"},
	 BY_STARTTLS},
	{"blanks before STARTTLS",
	 0,
	 587,
	 {START, "C \tstarttls \r\n", GO, "H", "A", "T"},
	 BY_STARTTLS},
	{"answer in several lines",
	 0,
	 587,
	 {START, STARTTLS, "S220-go\r\n220-on\r\n220 now\r\n", "H", "A", "T"},
	 BY_STARTTLS},
	{"answer without text", 0, 587, {START, STARTTLS, "S220\r\n", "H", "A", "T"}, BY_STARTTLS},
	{"answer with a blank alone",
	 0,
	 587,
	 {START, STARTTLS, "S220 \r\n", "H", "A", "T"},
	 BY_STARTTLS},
	{"implicit on 587", 0, 587, {"H", "A", "T"}, IMPLICIT},
	{"implicit behind the greeting", 0, 587, {GREETING, "H", "A", "T"}, IMPLICIT},
	{"implicit on 465", 0, 465, {"H", "A", "T", "t"}, IMPLICIT},
	{"implicit asked for", SW_RULE_IMPLICIT, 587, {"H", "A", "T"}, IMPLICIT},
	{"STARTTLS asked for on 465",
	 SW_RULE_STARTTLS,
	 465,
	 {START, STARTTLS, GO, "H", "A"},
	 BY_STARTTLS},
	{"STARTTLS asked for, implicit", SW_RULE_STARTTLS, 587, {GREETING, "H"}, NOT_TLS, 'C', 0},
	{"refused, then QUIT",
	 0,
	 587,
	 {START, STARTTLS, "S454 4.7.0 no\r\n", "CQUIT\r\n", "S221 bye\r\n"},
	 IN_CLEAR},
	{"refused, then again",
	 0,
	 587,
	 {START, STARTTLS, "S454 no\r\n", STARTTLS, GO, "H", "A", "T"},
	 BY_STARTTLS},
	{"refused in several lines",
	 0,
	 587,
	 {START, STARTTLS, "S454-no\r\n454 no\r\n", "CNOOP\r\n", "S250 ok\r\n"},
	 IN_CLEAR},
	{"501 and 502 are refusals",
	 0,
	 587,
	 {START, STARTTLS, "S501 no\r\n", STARTTLS, "S502 no\r\n", "CQUIT\r\n"},
	 IN_CLEAR},
	{"refused, then MAIL",
	 0,
	 587,
	 {START, STARTTLS, "S454 no\r\n", "CMAIL FROM:<>\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"refused, then a hello", 0, 587, {START, STARTTLS, "S454 no\r\n", "H"}, 0xff, 'C', 0},
	{"AUTH", 0, 587, {START, "CAUTH PLAIN AGEAYg==\r\n"}, CLEARTEXT, 'C', 0},
	{"MAIL behind EHLO in one go",
	 0,
	 587,
	 {GREETING, "CEHLO c\r\nMAIL FROM:<>\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"MAIL behind a bare CR", 0, 587, {GREETING, "CNOOP\rMAIL FROM:<>\r\n"}, CLEARTEXT, 'C', 0},
	{"MAIL behind a bare LF", 0, 587, {GREETING, "CNOOP\nMAIL FROM:<>\r\n"}, CLEARTEXT, 'C', 0},
	{"empty line", 0, 587, {GREETING, "CNOOP\r\n\r\n"}, CLEARTEXT, 'C', 0},
	{"CR CR LF", 0, 587, {GREETING, "CNOOP\r\r\n"}, CLEARTEXT, 'C', 0},
	{"LF CR", 0, 587, {GREETING, "CNOOP\n\rNOOP\r\n"}, CLEARTEXT, 'C', 0},
	{"stripped", 0, 587, {GREETING, EHLO, NOT_OFFERED, "CMAIL FROM:<>\r\n"}, STRIPPED, 'C', 0},
	{"stripped, AUTH",
	 0,
	 587,
	 {GREETING, EHLO, NOT_OFFERED, "CAUTH LOGIN\r\n"},
	 STRIPPED,
	 'C',
	 0},
	{"stripped by another name",
	 0,
	 587,
	 {GREETING, EHLO, "S250-mx\r\n250-XXXXXXXA\r\n250 XXXXXXXX\r\n", "CMAIL FROM:<>\r\n"},
	 STRIPPED,
	 'C',
	 0},
	{"offered like STARTTLSX",
	 0,
	 587,
	 {GREETING, EHLO, "S250-mx\r\n250 STARTTLSX\r\n", "CMAIL FROM:<>\r\n"},
	 STRIPPED,
	 'C',
	 0},
	{"only the host is named so",
	 0,
	 587,
	 {GREETING, EHLO, "S250 STARTTLS\r\n", "CMAIL FROM:<>\r\n"},
	 0xff,
	 'C',
	 0},
	{"offered in lower case",
	 0,
	 587,
	 {GREETING, EHLO, "S250-mx\r\n250-starttls\r\n250 x\r\n", "CMAIL FROM:<>\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"EHLO refused, HELO",
	 0,
	 587,
	 {GREETING, EHLO, "S502 no\r\n", "CHELO c\r\n", "S250 mx\r\n", "CMAIL FROM:<>\r\n"},
	 0xff,
	 'C',
	 0},
	{"before the answer to EHLO",
	 0,
	 587,
	 {GREETING, EHLO, "CMAIL FROM:<>\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"offered the second time",
	 0,
	 587,
	 {GREETING, EHLO, NOT_OFFERED, EHLO, OFFERED, "CMAIL FROM:<>\r\n"},
	 CLEARTEXT,
	 'C',
	 0},

	{"bare LF is no STARTTLS", 0, 587, {START, "CSTARTTLS\n", GO, "H"}, 0xff, 0, 0},
	{"bare CR is no STARTTLS", 0, 587, {START, "CSTARTTLS\r", GO, "H"}, 0xff, 0, 0},
	{"STARTTLS behind a bare LF",
	 0,
	 587,
	 {GREETING, "CNOOP\nSTARTTLS\r\n", "S250 ok\r\n", GO, "H"},
	 0xff,
	 0,
	 0},
	{"STARTTLS behind a bare CR",
	 0,
	 587,
	 {GREETING, "CNOOP\rSTARTTLS\r\n", "S250 ok\r\n", GO, "H"},
	 0xff,
	 0,
	 0},
	{"STARTTLS twice", 0, 587, {START, "CSTARTTLS\r\nSTARTTLS\r\n"}, INJECTION, 'C', 0},
	{"hello without waiting", 0, 587, {START, STARTTLS, "H"}, INJECTION, 'C', 0},
	{"command behind STARTTLS, one segment",
	 0,
	 587,
	 {START, "CSTARTTLS\r\nEHLO x\r\n"},
	 INJECTION,
	 'C',
	 0},
	{"command behind STARTTLS, later",
	 0,
	 587,
	 {START, STARTTLS, "CNOOP\r\n"},
	 INJECTION,
	 'C',
	 0},
	{"command behind the 220", 0, 587, {START, STARTTLS, GO, "CNOOP\r\n"}, NOT_TLS, 'C', 0},
	{"MAIL behind the 220",
	 0,
	 587,
	 {START, STARTTLS, GO, "CMAIL FROM:<>\r\n"},
	 NOT_TLS,
	 'C',
	 0},

	{"reply behind the 220, one segment",
	 0,
	 587,
	 {START, STARTTLS, "S220 go\r\n250 OK\r\n"},
	 INJECTION,
	 'S',
	 0},
	{"reply behind the 220, later",
	 0,
	 587,
	 {START, STARTTLS, GO, "S250 OK\r\n"},
	 INJECTION,
	 'S',
	 0},
	{"half a reply behind the 220", 0, 587, {START, STARTTLS, GO, "S4"}, INJECTION, 'S', 0},
	{"refusal behind the 220",
	 0,
	 587,
	 {START, STARTTLS, "S220 go\r\n454 no\r\n"},
	 INJECTION,
	 'S',
	 0},
	{"hello, then a reply", 0, 587, {START, STARTTLS, GO, "H", "S250 OK\r\n"}, NOT_TLS, 'S', 0},
	{"220 before asking", 0, 587, {START, "S220 go\r\n"}, INJECTION, 'S', 0},
	{"two greetings", 0, 587, {GREETING, "S220 again\r\n"}, INJECTION, 'S', 0},
	{"reply to nothing",
	 0,
	 587,
	 {GREETING, EHLO, "S250 mx\r\n250 again\r\n"},
	 INJECTION,
	 'S',
	 0},
	{"354 to nothing", 0, 587, {START, "S354 go\r\n"}, INJECTION, 'S', 0},
	{"421 at any time", 0, 587, {START, "S421 closing\r\n"}, IN_CLEAR},
	{"codes differ", 0, 587, {START, STARTTLS, "S220-go\r\n250 go\r\n"}, MALFORMED, 'S', 0},
	{"codes differ, 220 last",
	 0,
	 587,
	 {START, STARTTLS, "S454-go\r\n220 go\r\n"},
	 MALFORMED,
	 'S',
	 0},
	{"no code", 0, 587, {START, STARTTLS, "Sgo ahead\r\n"}, MALFORMED, 'S', 0},
	{"two digits", 0, 587, {START, STARTTLS, "S22 go\r\n"}, MALFORMED, 'S', 0},
	{"four digits", 0, 587, {START, STARTTLS, "S2200 go\r\n"}, MALFORMED, 'S', 0},
	{"blank before the code", 0, 587, {START, STARTTLS, "S 220 go\r\n"}, MALFORMED, 'S', 0},
	{"empty answer", 0, 587, {START, STARTTLS, "S\r\n"}, MALFORMED, 'S', 0},
	{"no blank", 0, 587, {START, STARTTLS, "S220go\r\n"}, MALFORMED, 'S', 0},
	{"code 920", 0, 587, {START, STARTTLS, "S920 go\r\n"}, MALFORMED, 'S', 0},
	{"text instead of a ServerHello", 0, 465, {"H", "S220 mx ESMTP\r\n"}, NOT_TLS, 'S', 0},
	{"alert instead of a ServerHello", 0, 465, {"H", "l"}, IMPLICIT},
	{"data instead of a ServerHello", 0, 465, {"H", "t"}, NOT_TLS, 'S', 0},
	{"client alert before the answer", 0, 465, {"H", "L", "A"}, IMPLICIT},
	{"client data before the answer", 0, 465, {"H", "T"}, NOT_TLS, 'C', 0},
	{"alert first", 0, 465, {"L"}, NOT_TLS, 'C', 0},
	{"data first", 0, 465, {"T"}, NOT_TLS, 'C', 0},
	{"EHLO on 465", 0, 465, {"CEHLO x\r\n"}, NOT_TLS, 'C', 0},

	{"PROXY unasked", 0, 587, {"CPROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n"}, CLEARTEXT, 'C', 0},
	{"PROXY",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", START, STARTTLS, GO, "H", "A"},
	 BY_STARTTLS},
	{"PROXY and EHLO at once",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY UNKNOWN\r\nEHLO x\r\n", GREETING},
	 IN_CLEAR},
	{"PROXY before implicit TLS",
	 SW_RULE_PROXY,
	 465,
	 {"CPROXY TCP6 ::1 ::1 1 465\r\n", "H", "A"},
	 IMPLICIT},
	{"PROXY and AUTH",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY UNKNOWN\r\nAUTH PLAIN x\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"PROXY and EHLO on 465",
	 SW_RULE_PROXY,
	 465,
	 {"CPROXY UNKNOWN\r\nEHLO x\r\n"},
	 NOT_TLS,
	 'C',
	 0},
	{"PROXY twice",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"},
	 CLEARTEXT,
	 'C',
	 0},
	{"PROXY after EHLO", SW_RULE_PROXY, 587, {EHLO, "CPROXY UNKNOWN\r\n"}, CLEARTEXT, 'C', 0},
	{"PROXY that ends in a bare LF",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY UNKNOWN\nAUTH PLAIN x\r\n"},
	 0xff,
	 'C',
	 0},
	{"PROXY that ends in a bare CR",
	 SW_RULE_PROXY,
	 587,
	 {"CPROXY UNKNOWN\rAUTH PLAIN x\r\n"},
	 0xff,
	 'C',
	 0},
	{"PROXY of no kind", SW_RULE_PROXY, 587, {"CPROXYX\r\n"}, 0xff, 'C', 0},
};

static void check(const struct wanted *wanted)
{
	size_t last;
	struct gw_result result;

	gw_begin(&dialogue, wanted->port, wanted->flags);
	gw_texts(&dialogue, wanted->steps);
	result = gw_play(&dialogue, GW_WHOLE);
	last = dialogue.n_steps - 1;
	if (wanted->reason == 0xff) {
		/* It has more than one good name, but does not come to its end. */
		if (!result.reason)
			fail_msg("%s passes", wanted->name);
	} else {
		gw_expect(wanted->name, "reason", result.reason, wanted->reason);
		gw_expect(wanted->name, "step", (long)result.step,
			  (long)(wanted->reason ? last : last + 1));
	}
	if (wanted->from)
		gw_expect(wanted->name, "from_server", result.from_server, wanted->from == 'S');
	if (!result.reason)
		gw_expect(wanted->name, "tls", result.gate->tls, wanted->tls);
	gw_check_cuts(&dialogue, wanted->name);
}

static void all_dialogues(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		check(&dialogues[i]);
}

/* ---- PROXY protocol, version 2 ---- */

static size_t proxy2(uint8_t *to, uint8_t command, uint8_t family, uint16_t length)
{
	memcpy(to, "\r\n\r\n\0\r\nQUIT\n", 12);
	to[12] = command;
	to[13] = family;
	to[14] = (uint8_t)(length >> 8);
	to[15] = (uint8_t)length;
	/* Addresses may hold anything, line ends too. */
	for (size_t i = 0; i < length; i++)
		to[16 + i] = (uint8_t)("\r\nAUTH"[i % 6]);
	return 16u + length;
}

static uint8_t play_proxy2(uint8_t flags, uint16_t port, size_t n, const uint8_t *header,
			   const char *const *rest)
{
	uint8_t reason;

	gw_begin(&dialogue, port, flags);
	gw_add(&dialogue, false, header, n);
	gw_texts(&dialogue, rest);
	reason = gw_play(&dialogue, GW_WHOLE).reason;
	gw_check_cuts(&dialogue, "PROXY 2");
	return reason;
}

static void proxy_version_2(void **data)
{
	static const char *const session[] = {START, STARTTLS, GO, "H", "A", NULL};
	static const char *const clear[] = {GREETING, "CMAIL FROM:<>\r\n", NULL};
	static const char *const implicit[] = {"H", "A", NULL};
	uint8_t header[600];
	size_t n;

	(void)data;
	n = proxy2(header, 0x21, 0x11, 12);
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, session), 0);
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, clear), CLEARTEXT);
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 465, n, header, implicit), 0);
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 465, n, header, session), NOT_TLS);
	assert_int_equal(play_proxy2(0, 587, n, header, session), CLEARTEXT);
	n = proxy2(header, 0x20, 0, 0); /* LOCAL */
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, session), 0);
	n = proxy2(header, 0x21, 0x21, 36 + 200); /* with further fields */
	assert_int_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, session), 0);
	for (int at = 0; at < 12; at++) {
		n = proxy2(header, 0x21, 0x11, 12);
		header[at] ^= 0x55;
		assert_int_not_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, session), 0);
	}
	n = proxy2(header, 0x31, 0x11, 12); /* another version */
	assert_int_not_equal(play_proxy2(SW_RULE_PROXY, 587, n, header, session), 0);
}

/* ---- how much in clear ---- */

/* Commands of `n` bytes in all. */
static void add_clear(size_t n)
{
	uint8_t bytes[2000];

	memset(bytes, 'x', n);
	memcpy(bytes, "NOOP ", 5);
	memcpy(bytes + n - 2, "\r\n", 2);
	gw_add(&dialogue, false, bytes, n);
}

static void at_most_1024_in_clear(void **data)
{
	(void)data;
	for (int over = 0; over < 2; over++) {
		size_t n = 1024 - strlen("STARTTLS\r\n") + (size_t)over;

		gw_begin(&dialogue, 587, 0);
		add_clear(n);
		gw_texts(&dialogue, (const char *const[]){GREETING, "S250 ok\r\n", STARTTLS, GO,
							  "H", "A", "T", NULL});
		assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason,
				 over ? SW_REASON_TOO_LONG : SW_REASON_NONE);
		gw_check_cuts(&dialogue, "1024");
	}
	for (int over = 0; over < 2; over++) {
		gw_begin(&dialogue, 587, 0);
		add_clear(1024 + (size_t)over);
		assert_int_equal(gw_play(&dialogue, GW_WHOLE).reason,
				 over ? SW_REASON_TOO_LONG : SW_REASON_NONE);
		gw_check_cuts(&dialogue, "1024 alone");
	}
}

/* ---- what a violation is called ---- */

#define SECRET "zQ7jW9xKvB"

static const struct named {
	const char *text;
	uint8_t verb, length, mechanism;
} named[] = {
	{"AUTH PLAIN " SECRET "\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_PLAIN},
	{"auth login\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_LOGIN},
	{"Auth  \tCRAM-MD5 " SECRET, SW_VERB_AUTH, 4, SW_MECHANISM_CRAM_MD5},
	{"AUTH DIGEST-MD5\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_DIGEST_MD5},
	{"AUTH SCRAM-SHA-256 " SECRET, SW_VERB_AUTH, 4, SW_MECHANISM_SCRAM},
	{"AUTH XOAUTH2 " SECRET, SW_VERB_AUTH, 4, SW_MECHANISM_XOAUTH2},
	{"AUTH OAUTHBEARER " SECRET, SW_VERB_AUTH, 4, SW_MECHANISM_OAUTHBEARER},
	{"AUTH NTLM\n", SW_VERB_AUTH, 4, SW_MECHANISM_NTLM},
	{"AUTH GSSAPI " SECRET, SW_VERB_AUTH, 4, SW_MECHANISM_GSSAPI},
	{"AUTH EXTERNAL =\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_EXTERNAL},
	{"AUTH " SECRET "\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_NONE},
	{"AUTH\r\n", SW_VERB_AUTH, 4, SW_MECHANISM_NONE},
	{"MAIL FROM:<" SECRET "@example>\r\n", SW_VERB_MAIL, 4, SW_MECHANISM_NONE},
	{"MAIL PLAIN " SECRET "\r\n", SW_VERB_MAIL, 4, SW_MECHANISM_NONE},
	{SECRET "\r\n", SW_VERB_NONE, 0, SW_MECHANISM_NONE},
	{"AUTHPLAIN " SECRET "\r\n", SW_VERB_NONE, 0, SW_MECHANISM_NONE},
};

/* Each is named in whole, and cut anywhere its argument is in no member of the state. */
static void names(void **data)
{
	(void)data;
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		struct gw_result result;
		size_t began;

		gw_begin(&dialogue, 587, 0);
		gw_texts(&dialogue, (const char *const[]){START, NULL});
		began = gw_length(&dialogue);
		gw_add(&dialogue, false, named[i].text, strlen(named[i].text));
		result = gw_play(&dialogue, GW_WHOLE);
		gw_expect(named[i].text, "verb", result.gate->verb, named[i].verb);
		gw_expect(named[i].text, "mechanism", result.gate->mechanism, named[i].mechanism);
		if (named[i].verb)
			gw_expect(named[i].text, "letters", result.gate->verb_length,
				  named[i].length);
		gw_check_secret(result.gate, SECRET, named[i].text);
		for (size_t cut = began; cut < gw_length(&dialogue); cut++) {
			result = gw_play(&dialogue, cut);
			gw_check_secret(result.gate, SECRET, named[i].text);
		}
		result = gw_play(&dialogue, GW_BYTES);
		gw_check_secret(result.gate, SECRET, named[i].text);
	}
}

/* At every position of the cut: as many letters as the segment with the first refused one had. */
static void letters_seen(void **data)
{
	static const char *const text = "AUTH PLAIN " SECRET "\r\n";

	(void)data;
	for (size_t cut = 1; cut < strlen(text); cut++) {
		struct gw_result result;

		gw_begin(&dialogue, 587, 0);
		gw_add(&dialogue, false, text, cut);
		gw_add(&dialogue, false, text + cut, strlen(text) - cut);
		result = gw_play(&dialogue, GW_WHOLE);
		assert_int_equal(result.step, 0);
		gw_expect(text, "letters", result.gate->verb_length, cut < 4 ? (long)cut : 4);
		gw_expect(text, "verb", result.gate->verb, SW_VERB_AUTH);
		gw_expect(text, "mechanism", result.gate->mechanism,
			  cut >= strlen("AUTH PLAIN") ? SW_MECHANISM_PLAIN : SW_MECHANISM_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_dialogues),         cmocka_unit_test(proxy_version_2),
		cmocka_unit_test(at_most_1024_in_clear), cmocka_unit_test(names),
		cmocka_unit_test(letters_seen),
	};

	return cmocka_run_group_tests_name("gate dialogues", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/gate.h: every state and every class of input, and the dialogues of an SMTP session before TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gate_world.h"

static struct gw_dialogue dialogue;

#define GREETING "S220 mx.example ESMTP\r\n"
#define OFFERED "S250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
#define NOT_OFFERED "S250-mx.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n"
#define GO "S220 2.0.0 go ahead\r\n"
#define START GREETING, "CEHLO c.example\r\n", OFFERED
#define ASKED START, "CSTARTTLS\r\n"

/* ---- every state, every class of input ---- */

struct state {
	const char *name;
	uint16_t port;
	uint8_t flags;
	const char *steps[10]; /* that lead to it */
	uint8_t phase;
	const char *row; /* what becomes of each input, in their order */
};

struct input {
	const char *name, *steps[2];
};

static const struct input inputs[] = {
	{"permitted verb", {"CNOOP\r\n"}},
	{"its beginning", {"CRSE"}},
	{"STARTTLS", {"CSTARTTLS\r\n"}},
	{"forbidden verb", {"CMAIL FROM:<>\r\n"}},
	{"unknown verb", {"Cxyzzy\r\n"}},
	{"CRLF", {"C\r\n"}},
	{"CR", {"C\r"}},
	{"LF", {"C\n"}},
	{"blank", {"C "}},
	{"digit", {"C1"}},
	{"NUL", {"0"}},
	{"high byte", {"C\x80"}},
	{"PROXY 1", {"CPROXY UNKNOWN\r\n"}},
	{"PROXY 2", {"C\r\n\r\n"}},
	{"ClientHello", {"H"}},
	{"alert", {"L"}},
	{"application data", {"T"}},
};

/*
 * . passes, or the reason: c cleartext_command, s starttls_stripped, n not_tls, i starttls_injection,
 * ! as before. Bytes that are neither text nor a hello where one may stand: ? c or n, z s or n.
 */
static const struct state states[] = {
	/*                                                    verb      lines    bytes     tls */
	{"start",
	 587,
	 0,
	 {GREETING},
	 SW_GATE_START,
	 "...cc"
	 "ccc.?nn"
	 "cc"
	 ".nn"},
	{"start without greeting",
	 587,
	 0,
	 {NULL},
	 SW_GATE_START,
	 "...cc"
	 "ccc.?nn"
	 "cc"
	 ".nn"},
	{"start, starttls only",
	 587,
	 SW_RULE_STARTTLS,
	 {GREETING},
	 SW_GATE_START,
	 "...cc"
	 "ccc.?nn"
	 "cc"
	 "nnn"},
	{"start, implicit",
	 465,
	 0,
	 {NULL},
	 SW_GATE_START,
	 "nnnnn"
	 "nnnnnnn"
	 "nn"
	 ".nn"},
	{"start, implicit asked for",
	 2525,
	 SW_RULE_IMPLICIT,
	 {NULL},
	 SW_GATE_START,
	 "nnnnn"
	 "nnnnnnn"
	 "nn"
	 ".nn"},
	{"start, proxy",
	 587,
	 SW_RULE_PROXY,
	 {NULL},
	 SW_GATE_START,
	 "...cc"
	 "..c.?nn"
	 ".."
	 ".nn"},
	{"line",
	 587,
	 0,
	 {START},
	 SW_GATE_LINE,
	 "...cc"
	 "ccc.???"
	 "cc"
	 "???"},
	{"line, not offered",
	 587,
	 0,
	 {GREETING, "CEHLO c\r\n", NOT_OFFERED},
	 SW_GATE_LINE,
	 "...ss"
	 "sss.zzz"
	 "ss"
	 "zzz"},
	{"blank before a verb",
	 587,
	 0,
	 {GREETING, "C \t"},
	 SW_GATE_LINE,
	 "...cc"
	 "ccc.???"
	 "cc"
	 "???"},
	{"verb",
	 587,
	 0,
	 {GREETING, "CEHL"},
	 SW_GATE_VERB,
	 "ccccc"
	 "ccccccc"
	 "cc"
	 "???"},
	{"whole verb",
	 587,
	 0,
	 {GREETING, "CEHLO"},
	 SW_GATE_VERB,
	 "ccccc"
	 "....ccc"
	 "cc"
	 "???"},
	{"argument",
	 587,
	 0,
	 {GREETING, "CEHLO x"},
	 SW_GATE_ARGUMENT,
	 "....."
	 "......."
	 ".c"
	 "?.."},
	{"CR",
	 587,
	 0,
	 {GREETING, "CEHLO x\r"},
	 SW_GATE_CR,
	 "...cc"
	 "cc..c??"
	 "cc"
	 "???"},
	{"asked",
	 587,
	 0,
	 {ASKED},
	 SW_GATE_ASKED,
	 "iiiii"
	 "iiiiiii"
	 "ii"
	 "iii"},
	{"refused",
	 587,
	 0,
	 {ASKED, "S454 not now\r\n"},
	 SW_GATE_ASKED,
	 "...cc"
	 "ccc.???"
	 "cc"
	 "???"},
	{"granted",
	 587,
	 0,
	 {ASKED, GO},
	 SW_GATE_ASKED,
	 "nnnnn"
	 "nnnnnnn"
	 "nn"
	 ".nn"},
	{"hello",
	 587,
	 0,
	 {GREETING, "C\x16\3\1\1\1"},
	 SW_GATE_HELLO,
	 "nnnnn"
	 "nnnnnnn"
	 "nn"
	 "nnn"},
	{"hello done",
	 465,
	 0,
	 {"H"},
	 SW_GATE_HELLO_DONE,
	 "nnnnn"
	 "nnnnnnn"
	 "nn"
	 "n.n"},
	{"TLS",
	 465,
	 0,
	 {"H", "A", "L"},
	 SW_GATE_TLS,
	 "....."
	 "......."
	 ".."
	 "..."},
	{"condemned",
	 587,
	 0,
	 {GREETING, "CDATA\r\n"},
	 SW_GATE_CONDEMNED,
	 "!!!!!"
	 "!!!!!!!"
	 "!!"
	 "!!!"},
};

static bool reason_fits(char letter, uint8_t reason)
{
	switch (letter) {
	case '.':
		return reason == SW_REASON_NONE;
	case 'c':
		return reason == SW_REASON_CLEARTEXT_COMMAND;
	case 's':
		return reason == SW_REASON_STARTTLS_STRIPPED;
	case 'n':
		return reason == SW_REASON_NOT_TLS;
	case 'i':
		return reason == SW_REASON_STARTTLS_INJECTION;
	case 'z':
		return reason == SW_REASON_STARTTLS_STRIPPED || reason == SW_REASON_NOT_TLS;
	case '?':
		return reason == SW_REASON_CLEARTEXT_COMMAND || reason == SW_REASON_NOT_TLS;
	default:
		return false;
	}
}

/* The state, reached without a violation, and the input. */
static void build(const struct state *state, const struct input *input)
{
	gw_begin(&dialogue, state->port, state->flags);
	gw_texts(&dialogue, state->steps);
	gw_texts(&dialogue, input->steps);
}

static void check_input(const struct state *state, const struct input *input, char letter)
{
	struct gw_result result;
	char name[100];

	snprintf(name, sizeof(name), "%s, %s", state->name, input->name);
	build(state, input);
	result = gw_play(&dialogue, GW_WHOLE);
	if (letter == '!') {
		gw_expect(name, "reason", result.reason, SW_REASON_CLEARTEXT_COMMAND);
		gw_expect(name, "step", (long)result.step, (long)dialogue.n_steps - 2);
		return;
	}
	if (!reason_fits(letter, result.reason))
		fail_msg("%s: reason is %d, not %c", name, result.reason, letter);
	gw_expect(name, "from_server", result.from_server, false);
	gw_expect(name, "step", (long)result.step, (long)dialogue.n_steps - (letter != '.'));
	if (letter != '.')
		gw_expect(name, "phase", result.gate->phase, SW_GATE_CONDEMNED);
	gw_check_cuts(&dialogue, name);
}

/* Only recorded, the same is found, once. */
static void check_recorded(const struct state *state, const struct input *input)
{
	struct gw_result result;
	uint8_t reason;

	build(state, input);
	result = gw_play(&dialogue, GW_WHOLE);
	reason = result.reason;
	dialogue.flags |= SW_RULE_AUDIT;
	gw_texts(&dialogue, (const char *const[]){"CDATA\r\n", "S500 what\r\n", NULL});
	result = gw_play(&dialogue, GW_WHOLE);
	if (!reason)
		return;
	gw_expect(state->name, "recorded reason", result.reason, reason);
	gw_expect(input->name, "recorded phase", result.gate->phase, SW_GATE_OVER);
	gw_expect(input->name, "state", sw_gate_state(result.gate), SW_FLOW_RECORDED);
}

static void every_state_and_input(void **data)
{
	static const struct input none = {"", {NULL}};

	(void)data;
	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		build(&states[i], &none);
		gw_expect(states[i].name, "phase", gw_play(&dialogue, GW_WHOLE).gate->phase,
			  states[i].phase);
		for (size_t k = 0; k < sizeof(inputs) / sizeof(inputs[0]); k++) {
			assert_true(states[i].row[k]);
			check_input(&states[i], &inputs[k], states[i].row[k]);
			check_recorded(&states[i], &inputs[k]);
		}
	}
}

/* ---- commands ---- */

static const char *const permitted[] = {"EHLO", "HELO", "LHLO", "NOOP",
					"RSET", "QUIT", "HELP", "STARTTLS"};

static const struct {
	const char *text;
	uint8_t verb;
} forbidden[] = {
	{"AUTH", SW_VERB_AUTH},         {"MAIL", SW_VERB_MAIL},   {"RCPT", SW_VERB_RCPT},
	{"DATA", SW_VERB_DATA},         {"BDAT", SW_VERB_BDAT},   {"BURL", SW_VERB_BURL},
	{"VRFY", SW_VERB_VRFY},         {"EXPN", SW_VERB_EXPN},   {"ETRN", SW_VERB_ETRN},
	{"ATRN", SW_VERB_ATRN},         {"TURN", SW_VERB_TURN},   {"SEND", SW_VERB_SEND},
	{"SOML", SW_VERB_SOML},         {"SAML", SW_VERB_SAML},   {"XCLIENT", SW_VERB_XCLIENT},
	{"XFORWARD", SW_VERB_XFORWARD}, {"PROXY", SW_VERB_PROXY},
};

/* How a command is written: 0 upper, 1 lower, 2 mixed case. */
static void write_verb(char *to, const char *verb, int way)
{
	size_t i = 0;

	for (; verb[i]; i++)
		to[i] = (char)(way == 1 || (way == 2 && i % 2) ? verb[i] | 0x20 : verb[i]);
	to[i] = 0;
}

/* A session that says `blanks`, the verb and `rest`, then what the server says to it. */
static struct gw_result say(const char *blanks, const char *verb, const char *rest)
{
	char text[200];

	gw_begin(&dialogue, 587, 0);
	snprintf(text, sizeof(text), "C%s%s%s", blanks, verb, rest);
	gw_texts(&dialogue, (const char *const[]){START, text, NULL});
	return gw_play(&dialogue, GW_WHOLE);
}

static const char *const blanks[] = {"", " ", "\t", "  \t "};

static void permitted_verbs(void **data)
{
	static const char *const rests[] = {
		"\r\n",         "\n", "\r", " \r\n", "\tx\n", " a b c\r\n", " AUTH PLAIN x\r\n",
		" \x80\xff\r\n"};
	char verb[20];

	(void)data;
	for (size_t i = 0; i < sizeof(permitted) / sizeof(permitted[0]); i++)
		for (int way = 0; way < 3; way++)
			for (size_t b = 0; b < sizeof(blanks) / sizeof(blanks[0]); b++)
				for (size_t r = 0; r < sizeof(rests) / sizeof(rests[0]); r++) {
					write_verb(verb, permitted[i], way);
					gw_expect(verb, "reason",
						  say(blanks[b], verb, rests[r]).reason, 0);
				}
}

static void forbidden_verbs(void **data)
{
	static const char *const rests[] = {"\r\n", "\n",         "\r",         " zQ7jW9xKv\r\n",
					    "",     ":zQ7jW9xKv", "\tzQ7jW9xKv"};
	char verb[20];

	(void)data;
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++)
		for (int way = 0; way < 3; way++)
			for (size_t b = 0; b < sizeof(blanks) / sizeof(blanks[0]); b++)
				for (size_t r = 0; r < sizeof(rests) / sizeof(rests[0]); r++) {
					struct gw_result result;

					write_verb(verb, forbidden[i].text, way);
					result = say(blanks[b], verb, rests[r]);
					gw_expect(verb, "reason", result.reason,
						  SW_REASON_CLEARTEXT_COMMAND);
					gw_expect(verb, "verb", result.gate->verb,
						  forbidden[i].verb);
					gw_expect(verb, "verb_length", result.gate->verb_length,
						  (long)strlen(verb));
					gw_check_secret(result.gate, "zQ7jW9xKv", verb);
				}
}

/* A verb is exact, never a prefix; what stands there instead is not told. */
static void not_quite_a_verb(void **data)
{
	static const char *const texts[] = {
		"EHLOX\r\n",
		"STARTTLSX\r\n",
		"HEL\r\n",
		"NOO\r\n",
		"EHLO-x\r\n",
		"EHLO:x\r\n",
		"STARTTL\r\n",
		"STARTTLS:\r\n",
		"Q\r\n",
		"E H L O\r\n",
		"AUTHX\r\n",
		"XYZ\r\n",
		"GET / HTTP/1.0\r\n",
		"\r\n",
		"\n",
		"\r",
		" \r\n",
		"EHLO\vx\r\n",
		"\fEHLO x\r\n",
		"\vNOOP\r\n",
		"EHLO\xa0\r\n",
		"EHLO\x1f\r\n",
		"\xc5HLO x\r\n",
		"secret\r\n",
	};

	(void)data;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct gw_result result = say("", texts[i], "");

		if (!result.reason)
			fail_msg("%s passes", texts[i]);
		gw_expect(texts[i], "step", (long)result.step, 3);
		if (result.gate->verb && result.gate->verb < SW_VERB_EHLO)
			fail_msg("%s is called a forbidden verb, %d", texts[i], result.gate->verb);
		gw_expect(texts[i], "mechanism", result.gate->mechanism, 0);
		gw_check_cuts(&dialogue, texts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_and_input),
		cmocka_unit_test(permitted_verbs),
		cmocka_unit_test(forbidden_verbs),
		cmocka_unit_test(not_quite_a_verb),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}

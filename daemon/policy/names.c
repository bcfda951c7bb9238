/* SPDX-License-Identifier: GPL-2.0-or-later */
/* names.c - the fixed lists as words. Monitoring and scripts match on the names: they never change. */
#include <assert.h>
#include <string.h>

#include "bpf/abi.h"
#include "daemon/policy/compile.h"
#include "daemon/policy/policy.h"

static const char *const verdict_names[] = {
	[SW_VERDICT_ALLOW] = "allow", [SW_VERDICT_REJECT] = "reject",
	[SW_VERDICT_DROP] = "drop",   [SW_VERDICT_REDIRECT] = "redirect",
	[SW_VERDICT_AUDIT] = "audit", [SW_VERDICT_RESET] = "reset",
};
static_assert(sw_count(verdict_names) == SW_VERDICT_MAX, "a name for each verdict");

static const struct {
	const char *name;
	const char *words;
} reasons[] = {
	[SW_REASON_NONE] = {"none", "Nothing was refused."},
	[SW_REASON_NOT_PERMITTED] = {"not_permitted", "The policy does not permit it."},
	[SW_REASON_UNIDENTIFIED] =
		{"unidentified", "The rule depends on something about the caller that could not be "
				 "found out."},
	[SW_REASON_UNATTRIBUTED] =
		{"unattributed", "The packet belongs to no connection that is known to have been "
				 "let through."},
	[SW_REASON_MALFORMED] =
		{"malformed",
		 "What was sent could not be read: packet headers, urgent data, a PROXY "
		 "header, or the server's answer to STARTTLS."},
	[SW_REASON_TABLE_FULL] = {"table_full", "There was no memory to remember the connection."},
	[SW_REASON_NO_TARGET] = {"no_target", "The redirect has no target of this address family."},
	[SW_REASON_EXISTING] = {"existing", "The connection is older than the policy."},
	[SW_REASON_CLEARTEXT_COMMAND] = {"cleartext_command",
					 "A mail command was sent before TLS began."},
	[SW_REASON_STARTTLS_INJECTION] = {"starttls_injection",
					  "Plain bytes were put between STARTTLS and TLS, or the "
					  "server answered what it was not asked."},
	[SW_REASON_STARTTLS_STRIPPED] =
		{"starttls_stripped", "The server did not offer STARTTLS, and a mail command was "
				      "sent without TLS."},
	[SW_REASON_NOT_TLS] = {"not_tls", "Something else than TLS was sent where TLS was due."},
	[SW_REASON_TLS_TOO_OLD] = {"tls_too_old", "The server chose a TLS version older than the "
						  "rule asks for."},
	[SW_REASON_RESEND_MISMATCH] = {"resend_mismatch",
				       "Bytes sent again differ from those that were inspected."},
	[SW_REASON_TOO_LONG] = {"too_long", "More was sent before TLS than is let through."},
	[SW_REASON_SHARED_PAGES] = {"shared_pages",
				    "Bytes before TLS were sent from memory that the program could "
				    "still change (sendfile, splice, MSG_ZEROCOPY)."},
	[SW_REASON_SMTP_ELSEWHERE] = {"smtp_elsewhere",
				      "SMTP was spoken on a port that no rule names."},
};
static_assert(sw_count(reasons) == SW_REASON_MAX, "a name for each reason");

static const char *const verb_names[] = {
	[SW_VERB_NONE] = NULL,         [SW_VERB_AUTH] = "AUTH",         [SW_VERB_MAIL] = "MAIL",
	[SW_VERB_RCPT] = "RCPT",       [SW_VERB_DATA] = "DATA",         [SW_VERB_BDAT] = "BDAT",
	[SW_VERB_BURL] = "BURL",       [SW_VERB_VRFY] = "VRFY",         [SW_VERB_EXPN] = "EXPN",
	[SW_VERB_ETRN] = "ETRN",       [SW_VERB_ATRN] = "ATRN",         [SW_VERB_TURN] = "TURN",
	[SW_VERB_SEND] = "SEND",       [SW_VERB_SOML] = "SOML",         [SW_VERB_SAML] = "SAML",
	[SW_VERB_XCLIENT] = "XCLIENT", [SW_VERB_XFORWARD] = "XFORWARD", [SW_VERB_PROXY] = "PROXY",
	[SW_VERB_EHLO] = "EHLO",       [SW_VERB_HELO] = "HELO",         [SW_VERB_LHLO] = "LHLO",
	[SW_VERB_NOOP] = "NOOP",       [SW_VERB_RSET] = "RSET",         [SW_VERB_QUIT] = "QUIT",
	[SW_VERB_HELP] = "HELP",       [SW_VERB_STARTTLS] = "STARTTLS",
};
static_assert(sw_count(verb_names) == SW_VERB_MAX, "a name for each verb");

static const char *const mechanism_names[] = {
	[SW_MECHANISM_NONE] = NULL,
	[SW_MECHANISM_PLAIN] = "PLAIN",
	[SW_MECHANISM_LOGIN] = "LOGIN",
	[SW_MECHANISM_CRAM_MD5] = "CRAM-MD5",
	[SW_MECHANISM_DIGEST_MD5] = "DIGEST-MD5",
	[SW_MECHANISM_SCRAM] = "SCRAM",
	[SW_MECHANISM_XOAUTH2] = "XOAUTH2",
	[SW_MECHANISM_OAUTHBEARER] = "OAUTHBEARER",
	[SW_MECHANISM_NTLM] = "NTLM",
	[SW_MECHANISM_GSSAPI] = "GSSAPI",
	[SW_MECHANISM_EXTERNAL] = "EXTERNAL",
};
static_assert(sw_count(mechanism_names) == SW_MECHANISM_MAX, "a name for each mechanism");

static const char *const tls_names[] = {
	[SW_TLS_NONE] = "none",
	[SW_TLS_STARTTLS] = "starttls",
	[SW_TLS_IMPLICIT] = "implicit",
};
static_assert(sw_count(tls_names) == SW_TLS_MAX, "a name for each way to TLS");

static const char *const flow_words[] = {
	[SW_FLOW_OPEN] = "open",
	[SW_FLOW_START] = "nothing sent yet",
	[SW_FLOW_CLEAR] = "waiting for STARTTLS",
	[SW_FLOW_ASKED] = "STARTTLS sent, waiting for the answer",
	[SW_FLOW_HELLO] = "waiting for a ClientHello",
	[SW_FLOW_HELLO_SENT] = "ClientHello sent, waiting for the server's",
	[SW_FLOW_TLS] = "TLS",
	[SW_FLOW_CONDEMNED] = "ended by the gate",
	[SW_FLOW_RECORDED] = "recorded: not as TLS is required",
	[SW_FLOW_UNREAD] = "not looked at",
};
static_assert(sw_count(flow_words) == SW_FLOW_STATE_MAX, "words for each state");

static const char *const scope_names[] = {
	[SW_SCOPE_HOST] = "host",
	[SW_SCOPE_EDGE] = "edge",
	[SW_SCOPE_SERVE] = "serve",
};
static_assert(sw_count(scope_names) == SW_SCOPE_MAX, "a name for each scope");

const char *sw_verdict_name(unsigned int verdict)
{
	return verdict < sw_count(verdict_names) ? verdict_names[verdict] : "?";
}

const char *sw_reason_name(unsigned int reason)
{
	return reason < sw_count(reasons) ? reasons[reason].name : "?";
}

const char *sw_reason_words(unsigned int reason)
{
	return reason < sw_count(reasons) ? reasons[reason].words : "?";
}

const char *sw_scope_name(unsigned int scope)
{
	return scope < sw_count(scope_names) ? scope_names[scope] : "?";
}

const char *sw_verb_name(unsigned int verb)
{
	return verb < sw_count(verb_names) ? verb_names[verb] : NULL;
}

const char *sw_mechanism_name(unsigned int mechanism)
{
	return mechanism < sw_count(mechanism_names) ? mechanism_names[mechanism] : NULL;
}

bool sw_command_name(unsigned int verb, unsigned int length, unsigned int mechanism,
		     char to[static SW_COMMAND_SIZE])
{
	const char *name = sw_verb_name(verb), *method = sw_mechanism_name(mechanism);

	to[0] = '\0';
	if (!name || !length)
		return false;
	if (length < strlen(name)) {
		snprintf(to, SW_COMMAND_SIZE, "%.*s", (int)length, name);
		return true;
	}
	snprintf(to, SW_COMMAND_SIZE, "%.15s%s%.15s", name, method ? " " : "",
		 method ? method : "");
	return false;
}

const char *sw_tls_name(unsigned int tls)
{
	return tls < sw_count(tls_names) ? tls_names[tls] : "?";
}

const char *sw_tls_version_name(unsigned int version)
{
	static const char *const names[] = {"1.0", "1.1", "1.2", "1.3"};

	return version - 0x0301u < sw_count(names) ? names[version - 0x0301u] : NULL;
}

const char *sw_flow_words(unsigned int state)
{
	return state < sw_count(flow_words) ? flow_words[state] : "?";
}

static bool is_slice(const char *part, size_t length)
{
	static const char end[] = ".slice";
	const size_t n = sizeof(end) - 1;

	return length >= n && memcmp(part + length - n, end, n) == 0;
}

/* A component too long for `unit` is longer than any file name: no unit. */
void sw_unit_of_cgroup(const char *cgroup, char unit[static 256])
{
	unit[0] = '\0';
	for (const char *part = cgroup; *part;) {
		part += strspn(part, "/");
		size_t length = strcspn(part, "/");

		if (length && !is_slice(part, length)) {
			if (length < 256) {
				memcpy(unit, part, length);
				unit[length] = '\0';
			}
			return;
		}
		part += length;
	}
}

bool sw_cgroup_key(const char *path, struct sw_cgroup_key *key)
{
	size_t length = 1;

	memset(key, 0, sizeof(*key));
	key->path[0] = '/';
	key->bits = 8;
	for (;;) {
		path += strspn(path, "/");
		size_t n = strcspn(path, "/");

		if (!n || length + n + 1 >= SW_NAME_MAX)
			return !n;
		memcpy(key->path + length, path, n);
		length += n;
		key->path[length++] = '/';
		key->bits = (uint32_t)(8 * length);
		path += n;
	}
}

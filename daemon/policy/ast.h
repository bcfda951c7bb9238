/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ast.h - a parsed policy. parse.c makes it, check.c resolves it in place (the members marked
 * "check:"), print.c and compile.c read it. All memory belongs to the policy's arena.
 */
#ifndef SW_AST_H
#define SW_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy/diag.h"

struct sw_arena;

/* Comments travel with what they stand before or behind, so that `fmt` keeps them. */
struct sw_comments {
	const char *before; /* whole lines, without the '#', joined by '\n'; a line "\f" is an empty
			       line between or behind comments; NULL: none */
	const char *behind; /* on the same line; NULL: none */
	bool blank_before;  /* an empty line stood before: kept as one */
};

enum sw_scope { SW_SCOPE_HOST = 0, SW_SCOPE_EDGE, SW_SCOPE_SERVE, SW_SCOPE_MAX };

enum sw_mode { SW_MODE_INHERIT = 0, SW_MODE_ENFORCE, SW_MODE_AUDIT };

enum sw_selector_kind {
	SW_SELECT_EXE = 0,
	SW_SELECT_USER,
	SW_SELECT_GROUP,
	SW_SELECT_UNIT,
	SW_SELECT_CGROUP,
	SW_SELECT_MAX
};

struct sw_selector {
	struct sw_selector *next;
	struct sw_pos pos;
	enum sw_selector_kind kind;
	const char *text;
	uint32_t id; /* check: uid or gid */
};

/* `who NAME = selector selector ...`, or the same selectors written in a rule (name NULL). */
struct sw_who {
	struct sw_who *next;
	struct sw_pos pos;
	struct sw_comments comments;
	const char *name;
	struct sw_selector *selectors; /* AND */
	bool broken;                   /* it was not understood; an error says so */
	bool used;                     /* check */
};

/* v4-mapped when IPv4; then bits is 96 to 128. Bits behind the prefix are zero. */
struct sw_prefix {
	uint8_t addr[16];
	uint8_t bits;
};

enum sw_net_item_kind { SW_NET_PREFIX, SW_NET_FILE, SW_NET_NAME };

struct sw_net_item {
	struct sw_net_item *next;
	struct sw_pos pos;
	struct sw_comments comments;
	enum sw_net_item_kind kind;
	struct sw_prefix prefix; /* SW_NET_PREFIX */
	const char *text;        /* file name as written, or name of another net */
};

/* `net NAME = { ... }`, or prefixes written in a rule (name NULL). */
struct sw_net {
	struct sw_net *next;
	struct sw_pos pos;
	struct sw_comments comments;
	const char *name;
	struct sw_net_item *items;
	const char *tail;           /* comments before the closing brace */
	bool broken;                /* as in struct sw_who */
	bool used;                  /* check */
	struct sw_prefix *prefixes; /* check: all items flattened, sorted, no doubles */
	size_t n_prefixes;
};

enum sw_party_kind { SW_PARTY_WHO, SW_PARTY_NET, SW_PARTY_LOCAL };

/* One element of a `from` or `to` list; a list is OR. */
struct sw_party {
	struct sw_party *next;
	struct sw_pos pos;
	enum sw_party_kind kind;
	const char *name;   /* as written, NULL when written in place */
	struct sw_who *who; /* check: SW_PARTY_WHO */
	struct sw_net *net; /* check: SW_PARTY_NET */
};

enum sw_rule_action {
	SW_RULE_ALLOW = 0,
	SW_RULE_REJECT,
	SW_RULE_DROP,
	SW_RULE_REDIRECT,
	SW_RULE_REQUIRE_TLS,
	SW_RULE_AUDIT_ONLY, /* the action `audit` */
	SW_RULE_ACTION_MAX
};

enum sw_tls_way { SW_WAY_ANY = 0, SW_WAY_IMPLICIT, SW_WAY_STARTTLS };

struct sw_target {
	bool given;
	uint8_t addr[16]; /* v4-mapped when IPv4 */
	uint16_t port;
};

struct sw_rule_node {
	struct sw_rule_node *next;
	struct sw_pos pos;
	struct sw_comments comments;
	enum sw_rule_action action;
	const char *text; /* `reject "text"`, NULL: none */
	bool answer;      /* `reject "text" answer`: said to the client in SMTP */
	struct sw_pos answer_pos;
	struct sw_target targets[2]; /* redirect: [0] IPv4, [1] IPv6; at least one is given */
	enum sw_tls_way tls_way;
	uint16_t tls_version; /* 0x0301 to 0x0304; 0: any */
	bool tls_proxy;       /* `proxy`: a PROXY protocol header may come first */
	struct sw_party *from, *to;
	uint32_t number;   /* check: from 1, in the order of the file */
	enum sw_mode mode; /* check: what holds here, never INHERIT */
};

struct sw_port {
	struct sw_port *next;
	struct sw_pos pos;
	uint16_t port;
};

struct sw_port_block {
	struct sw_port_block *next;
	struct sw_pos pos;
	struct sw_comments comments;
	struct sw_port *ports;
	enum sw_mode mode;
	struct sw_comments mode_comments;
	struct sw_rule_node *rules;
	const char *tail; /* comments before the closing brace */
	bool broken;      /* some of its rules were not understood */
};

struct sw_interface_node {
	struct sw_interface_node *next;
	struct sw_pos pos;
	const char *pattern;
};

#define SW_KEEP_DEFAULT 600 /* seconds */

struct sw_scope_block {
	struct sw_scope_block *next;
	struct sw_pos pos;
	struct sw_comments comments;
	enum sw_scope scope;
	struct sw_interface_node *interfaces; /* edge only */
	bool existing_given;   /* edge only: `existing keep TIME` or `existing refuse` */
	uint32_t keep_seconds; /* 0: refuse; what holds when it is not given: SW_KEEP_DEFAULT */
	struct sw_pos existing_pos;
	struct sw_comments existing_comments;
	enum sw_mode mode;
	struct sw_comments mode_comments;
	struct sw_port_block *blocks;
	const char *tail;
};

/* The order of `who`, `net` and blocks in the file is kept by `order`. */
struct sw_item {
	struct sw_item *next;
	enum { SW_ITEM_MODE, SW_ITEM_WHO, SW_ITEM_NET, SW_ITEM_SCOPE } kind;
	struct sw_pos pos;           /* SW_ITEM_MODE only */
	struct sw_comments comments; /* SW_ITEM_MODE only */
	union {
		enum sw_mode mode;
		struct sw_who *who;
		struct sw_net *net;
		struct sw_scope_block *scope;
	};
};

struct sw_policy_ast {
	struct sw_arena *arena;
	const char *source_text; /* what was parsed, not owned */
	size_t source_length;
	uint16_t source; /* its index among the sources of the diagnostics */
	struct sw_item *items;
	const char *tail;
	enum sw_mode mode;   /* of the file; SW_MODE_INHERIT: not said (an error of check) */
	bool mode_seen;      /* a mode was said, right or wrong, or nothing could be read */
	struct sw_who *whos; /* named ones, linked by next */
	struct sw_net *nets; /* named ones */
	struct sw_scope_block *scopes;
	uint32_t n_rules;   /* check */
	uint8_t sha256[32]; /* check: of the text, every list file and every id found by a name */
};

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - what the files of the checker share. The check goes through the policy once, in the
 * order of the file, since names stand before their use; the warnings about how rules hide each
 * other come behind it, when no error is left.
 */
#ifndef SW_CHECK_H
#define SW_CHECK_H

#include "daemon/policy/arena.h"
#include "daemon/policy/ast.h"
#include "daemon/policy/diag.h"
#include "daemon/policy/digest.h"
#include "daemon/policy/policy.h"

/* A name that is defined somewhere in the file. */
struct sw_name {
	struct sw_name *next; /* in its bucket */
	const char *text;
	struct sw_pos pos;
	struct sw_who *who; /* one of the two */
	struct sw_net *net;
	bool defined; /* the check has come past it */
};

/* Where a port was first given rules. */
struct sw_port_seen {
	uint32_t block; /* number of the scope block that may not name it again; 0: not seen */
	struct sw_pos pos;
};

struct sw_checker {
	struct sw_policy_ast *policy;
	const struct sw_world *world;
	struct sw_diags *diags;
	struct sw_arena *arena; /* of the policy */
	struct sw_name **buckets;
	size_t n_buckets, n_names;
	struct sw_digest *digest;
	size_t held; /* prefixes in all nets, doubles between nets included */
	struct sw_port_seen *ports[SW_SCOPE_MAX]; /* 65536 each, NULL until used */
};

/* check_names.c */
void sw_check_collect(struct sw_checker *checker);
void sw_check_who(struct sw_checker *checker, struct sw_who *who);
void sw_check_define(struct sw_checker *checker, const char *text, const void *object);
struct sw_name *sw_check_find(struct sw_checker *checker, const char *text);
/* Resolves a name that is used here; NULL after an error. `wanted` says of what kind. */
struct sw_name *sw_check_use(struct sw_checker *checker, const char *text, struct sw_pos pos,
			     bool wants_net);

/* check_lists.c */
void sw_check_net(struct sw_checker *checker, struct sw_net *net);
void sw_check_lists_total(struct sw_checker *checker);

/* check_rules.c */
void sw_check_scope(struct sw_checker *checker, struct sw_scope_block *scope, uint32_t number);
void sw_check_interfaces(struct sw_checker *checker);

/* check_warn.c */
void sw_warn_exe(struct sw_checker *checker, const struct sw_who *who);
void sw_warn_unit(struct sw_checker *checker, const struct sw_selector *selector);
void sw_warn_unused(struct sw_checker *checker);
void sw_warn_hidden(struct sw_checker *checker);
void sw_warn_interfaces(struct sw_checker *checker);
void sw_warn_no_mail(struct sw_checker *checker);
void sw_warn_answer(struct sw_checker *checker, const struct sw_port_block *block,
		    const struct sw_rule_node *rule);
void sw_warn_tls(struct sw_checker *checker, const struct sw_port_block *block,
		 const struct sw_rule_node *rule);
/* In serve blocks. */
void sw_warn_public(struct sw_checker *checker, const struct sw_port_block *block,
		    const struct sw_rule_node *rule);

#endif

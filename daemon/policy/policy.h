/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.h - the policy library from outside: text in, checked policy, canonical text, image and
 * verdicts out. Pure but for what struct sw_world hands in; the command, the daemon, the tests and
 * the fuzzers all use this door.
 */
#ifndef SW_POLICY_H
#define SW_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "daemon/policy/ast.h"
#include "daemon/policy/diag.h"

/* Limits, told in the diagnostics that they cause. */
#define SW_POLICY_BYTES_MAX (16u << 20) /* of policy text */
#define SW_ANSWER_EDGE_MAX 190          /* characters of `reject "..." answer` in an edge block */
#define SW_LIST_PREFIXES_MAX (1u << 20) /* of all lists together, after removing doubles */

/* The machine that a policy is checked against. Every member may be NULL: then nothing is said
   about that part and ids of users stay unresolved (an error only for numeric-less names). */
struct sw_world {
	void *data;
	/* 0 and *id; -ENOENT: no such user or group. */
	int (*user)(void *data, const char *name, uint32_t *id);
	int (*group)(void *data, const char *name, uint32_t *id);
	/* Whole contents of a list file named in the policy; *text is malloc'ed. -errno on failure.
	   `name` is as written: relative to the policy's folder. */
	int (*read_file)(void *data, const char *name, char **text, size_t *length);
	/* Warnings: does the program exist (-ENOENT), is it a file that can be run (-EACCES), is its
	   path that of a symbolic link or behind one (-ELOOP, *where is the path the kernel sees), can
	   others than root write it or a folder above it (-EPERM, *where is what they can write)?
	   *where is valid until the next call. */
	int (*program)(void *data, const char *path, const char **where);
	/* Does systemd know the unit? -ENOENT: no. */
	int (*unit)(void *data, const char *name);
	/* Is there an interface of this name now? -ENOENT: no. */
	int (*interface)(void *data, const char *name);
	/* Progress of a long list: bytes done of total. Called now and then, may be NULL. */
	void (*progress)(void *data, const char *what, size_t done, size_t total);
	/* Only the sum is wanted (sha256 of the policy): list files count into it, piece by piece, and are not looked
	   into, so the rest of the check says nothing, and the policy must not be compiled. NULL: the check is a
	   whole one. 0 or -errno. */
	int (*sum_file)(void *data, const char *name,
			void (*piece)(void *to, const char *text, size_t length), void *to);
};

/* The world of this machine (system.c). `dir_fd` (borrowed) is the folder that list files are
   relative to. */
struct sw_system {
	int dir_fd;
	bool show_progress; /* draw a bar on standard error */
	bool drawn;         /* one stands there now */
	char where[4096];
};
void sw_system_world(struct sw_system *system, struct sw_world *world);

/* The same, to learn the sum alone. */
void sw_system_world_of_sum(struct sw_system *system, struct sw_world *world);

/* Reads a whole policy file, or refuses with one diagnostic: directory, NUL bytes, too large.
   NULL after an error. The text (malloc'ed, NUL-terminated) must outlive `diags`. */
char *sw_policy_read(int fd, const char *name, struct sw_diags *diags, size_t *length);

/*
 * Parses. Always returns a policy (free with sw_policy_free), whole or not: the errors are in
 * `diags`. `text` must outlive it.
 */
struct sw_policy_ast *sw_policy_parse(const char *name, const char *text, size_t length,
				      struct sw_diags *diags);
void sw_policy_free(struct sw_policy_ast *policy);

/* Resolves names, loads lists, numbers rules, warns. May be called after errors of the parser as
   well: then it reports what else is wrong, and the policy must not be compiled. 0, or -EINVAL when
   there is any error. */
int sw_policy_check(struct sw_policy_ast *policy, const struct sw_world *world,
		    struct sw_diags *diags);

/* Canonical text. check(print(x)) = x and print(parse(print(x))) = print(x). */
void sw_policy_print(const struct sw_policy_ast *policy, FILE *to);

/* Canonical text of one rule on one line, without comments. Returns its length as snprintf does. */
size_t sw_rule_print(const struct sw_rule_node *rule, char *to, size_t size);

/* Names of the fixed lists (abi.h): "not_permitted". NULL-safe both ways: unknown -> "?" or -1. */
const char *sw_verdict_name(unsigned int verdict);
const char *sw_reason_name(unsigned int reason);
const char *sw_reason_words(unsigned int reason); /* a sentence for people */
const char *sw_scope_name(unsigned int scope);
const char *sw_verb_name(unsigned int verb);           /* "AUTH"; NULL: none */
const char *sw_mechanism_name(unsigned int mechanism); /* "CRAM-MD5"; NULL: none */

/* Room for the longest verb and mechanism. */
#define SW_COMMAND_SIZE 32

/* "AUTH PLAIN"; of a command that was refused before its name had ended no more than the letters that
   were seen: "A". Empty: not known. True: it was cut. */
bool sw_command_name(unsigned int verb, unsigned int length, unsigned int mechanism,
		     char to[static SW_COMMAND_SIZE]);
const char *sw_tls_name(unsigned int tls);     /* "none", "starttls", "implicit" */
const char *sw_flow_words(unsigned int state); /* "waiting for STARTTLS" */

/* "1.2" of 0x0303; NULL: not one of TLS 1.0 to 1.3. */
const char *sw_tls_version_name(unsigned int version);

/* The unit of a cgroup path relative to the guarded cgroup: the topmost component that does not end
   in ".slice". Writes "" when there is none. The kernel side computes the same. */
void sw_unit_of_cgroup(const char *cgroup, char unit[static 256]);

/* ---- image: the compiled policy ---- */

struct sw_image;

/* Compiles a checked policy. NULL after adding errors (too many rows, too many classes). */
struct sw_image *sw_policy_compile(const struct sw_policy_ast *policy, struct sw_diags *diags);
void sw_image_free(struct sw_image *image);

/* ---- eval: what would happen ---- */

struct sw_query {
	enum sw_scope scope;
	uint16_t port;
	bool has_user, has_group;
	const char *exe;        /* NULL: a program that no rule names */
	uint32_t user, group;   /* absent: ones that no rule names */
	const uint32_t *groups; /* supplementary */
	size_t n_groups;
	const char *unit;   /* NULL: from cgroup, else one that no rule names */
	const char *cgroup; /* NULL: one that no rule names */
	bool has_to;
	uint8_t to[16]; /* absent: an address that no rule names */
	bool to_is_local;
	/* Scope edge. */
	bool has_from;
	uint8_t from[16];      /* absent: an address that no rule names */
	const char *interface; /* NULL: one that some edge block names: the first */
};

struct sw_answer {
	bool guarded;                 /* false: no rule names this port, nothing below counts */
	unsigned int verdict, reason; /* enum sw_verdict, enum sw_reason */
	uint32_t rule;                /* number from 1, 0: none */
	uint32_t line;
	bool audit;                   /* only recorded: `mode audit` */
	const char *rule_text, *text; /* canonical rule, reject sentence; owned by the image */
	uint8_t new_to[16];
	uint16_t new_port; /* redirect */
	/* What the gate is told; set when the first bytes are looked at: `require tls`, `audit`. */
	bool gate;
	bool tls;             /* TLS is required (and enforced unless `audit`) */
	uint8_t gate_action;  /* enum sw_action */
	uint8_t gate_flags;   /* SW_RULE_* of abi.h; the way of TLS is set where the port has one */
	uint16_t tls_version; /* oldest that may be negotiated, 0: any */
	bool answer;          /* refused with a 554 greeting */
};

/* What a refusal that answers says before its text: RFC 5321, 3.1 and RFC 3463. */
#define SW_ANSWER_CODE "554 5.7.1"

/* Can this stand in an edge block: the name of an interface, or one that ends in "*"? */
#define SW_INTERFACE_MAX 15 /* IFNAMSIZ less its NUL */
bool sw_interface_is_pattern(const char *text);

/* Does the name of an interface fit a pattern of an edge block ("tap*")? */
bool sw_interface_matches(const char *pattern, const char *name);

void sw_image_eval(const struct sw_image *image, const struct sw_query *query,
		   struct sw_answer *answer);

/* How TLS is to begin: "implicit", "starttls", "any"; NULL: it is not required. */
const char *sw_answer_way(const struct sw_answer *answer);
bool sw_answer_proxy(const struct sw_answer *answer); /* a PROXY header may come before it */

#endif

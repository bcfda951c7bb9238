/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * verdict.h - what the rule that match.h found says about a connection. Pure, like match.h, which
 * includes it.
 */
#ifndef SW_VERDICT_H
#define SW_VERDICT_H

#include "bpf/abi.h"

#define SW_MATCH_INLINE static inline __attribute__((always_inline, unused))

struct sw_decision {
	__u8 verdict; /* enum sw_verdict */
	__u8 reason;  /* enum sw_reason */
	__u8 refuse;  /* connect() fails with EACCES */
	__u8 ipv4; /* with a port: the target is target4 and port4 of the rule, else target6, port6 */
	__u16 port; /* redirect, reject that answers: where to, host order; 0: the destination stays */
	__u16 reserved;
};

SW_MATCH_INLINE void sw_decide_refuse(struct sw_decision *decision, __u8 verdict, __u8 reason)
{
	decision->verdict = verdict;
	decision->reason = reason;
	decision->refuse = 1;
}

/* Where a rule sends connections of this family; 0: nowhere. */
SW_MATCH_INLINE __u16 sw_decide_port(const struct sw_rule *rule, const struct sw_decision *decision)
{
	return decision->ipv4 ? rule->port4 : rule->port6;
}

/* With an answer the connection is made, but to the daemon, who says why it is refused. Where the
   daemon does not listen it is refused as without one. */
SW_MATCH_INLINE void sw_decide_reject(const struct sw_rule *rule, struct sw_decision *decision)
{
	sw_decide_refuse(decision, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED);
	if (rule->action != SW_ACTION_REJECT || !(rule->flags & SW_RULE_ANSWER))
		return;
	decision->port = sw_decide_port(rule, decision);
	decision->refuse = !decision->port;
}

/* What enforcing would do; `rule` is never NULL here. */
SW_MATCH_INLINE void sw_decide_enforce(const struct sw_rule *rule, int certain,
				       struct sw_decision *decision)
{
	__u8 action = rule->action;

	if (!certain) {
		sw_decide_refuse(decision, SW_VERDICT_REJECT, SW_REASON_UNIDENTIFIED);
	} else if (action == SW_ACTION_ALLOW || action == SW_ACTION_TLS) {
		decision->verdict = SW_VERDICT_ALLOW;
	} else if (action == SW_ACTION_AUDIT) {
		decision->verdict = SW_VERDICT_AUDIT;
	} else if (action == SW_ACTION_REDIRECT) {
		decision->port = sw_decide_port(rule, decision);
		if (decision->port)
			decision->verdict = SW_VERDICT_REDIRECT;
		else
			sw_decide_refuse(decision, SW_VERDICT_REJECT, SW_REASON_NO_TARGET);
	} else if (action == SW_ACTION_DROP) {
		sw_decide_refuse(decision, SW_VERDICT_DROP, SW_REASON_NOT_PERMITTED);
	} else {
		/* Also an action that this program does not know: refused. */
		sw_decide_reject(rule, decision);
	}
}

/*
 * `rule` is NULL when no row matched. The checker sees to it that each port's list ends in a rule
 * for everybody, so that happens only when a map lost an entry: refused, nothing permits it.
 * `ipv4`: the destination is IPv4 or v4-mapped.
 *
 * Under `mode audit` nothing is refused and no destination is changed: what would be refused or
 * redirected has verdict audit, with the reason when it would be refused; allow stays allow.
 */
SW_MATCH_INLINE void sw_decide(const struct sw_rule *rule, int certain, int ipv4,
			       struct sw_decision *decision)
{
	decision->verdict = SW_VERDICT_REJECT;
	decision->reason = SW_REASON_NONE;
	decision->refuse = 0;
	decision->ipv4 = !!ipv4;
	decision->port = 0;
	decision->reserved = 0;
	if (!rule) {
		sw_decide_refuse(decision, SW_VERDICT_REJECT, SW_REASON_NOT_PERMITTED);
		return;
	}
	sw_decide_enforce(rule, certain, decision);
	if (rule->flags & SW_RULE_AUDIT && decision->verdict != SW_VERDICT_ALLOW) {
		decision->verdict = SW_VERDICT_AUDIT;
		decision->refuse = 0;
		decision->port = 0;
	}
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "daemon/policy/policy.h"

static const uint8_t loopback4[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
static const uint8_t loopback6[16] = {[15] = 1};
#include "daemon/slots.h"

static void forget(struct sw_slot *slot)
{
	sw_image_free(slot->image);
	free(slot->rules);
	*slot = (struct sw_slot){};
}

/* Reads a slot back from the kernel, so that memory and kernel cannot differ. */
static int read_slot(struct sw_slots *slots, unsigned int index, struct sw_fault *fault)
{
	const struct sw_policy *policy = &sw_kernel_head(slots->kernel)->slot[index];
	struct sw_slot *slot = &slots->slot[index];
	int error;

	forget(slot);
	if (!policy->generation)
		return 0;
	slot->n_rules = policy->n_rules < SW_RULES_MAX ? policy->n_rules : SW_RULES_MAX;
	slot->rules = calloc(slot->n_rules + 1u, sizeof(*slot->rules));
	if (!slot->rules)
		return sw_fault(fault, SW_EXIT_KERNEL, "out of memory");
	error = sw_kernel_policy_info(slots->kernel, index, &slot->info);
	for (uint32_t i = 0; i < slot->n_rules && !error; i++)
		error = sw_kernel_rule_info(slots->kernel, index, i, &slot->rules[i]);
	if (error)
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot read the policy's particulars: %s",
				strerror(-error));
	slot->generation = policy->generation;
	return 0;
}

int sw_slots_open(struct sw_slots *slots, struct sw_kernel *kernel, struct sw_fault *fault)
{
	slots->kernel = kernel;
	for (unsigned int i = 0; i < 2; i++)
		if (read_slot(slots, i, fault) < 0)
			return -1;
	return 0;
}

void sw_slots_close(struct sw_slots *slots)
{
	forget(&slots->slot[0]);
	forget(&slots->slot[1]);
}

static struct sw_slot *if_filled(struct sw_slot *slot)
{
	return slot->generation ? slot : NULL;
}

struct sw_slot *sw_slots_active(struct sw_slots *slots)
{
	return if_filled(&slots->slot[sw_kernel_active(slots->kernel)]);
}

struct sw_slot *sw_slots_other(struct sw_slots *slots)
{
	return if_filled(&slots->slot[!sw_kernel_active(slots->kernel)]);
}

const struct sw_rule_info *sw_slots_rule(const struct sw_slots *slots, uint64_t generation,
					 uint32_t rule)
{
	for (int i = 0; i < 2; i++)
		if (generation && slots->slot[i].generation == generation &&
		    rule < slots->slot[i].n_rules)
			return &slots->slot[i].rules[rule];
	return NULL;
}

bool sw_slots_is_active(struct sw_slots *slots, const uint8_t sha256[static 32], const char *path)
{
	const struct sw_slot *active = sw_slots_active(slots);

	return active && strcmp(active->info.path, path) == 0 &&
	       memcmp(active->info.sha256, sha256, sizeof(active->info.sha256)) == 0;
}

void sw_slots_remember(struct sw_slots *slots, struct sw_image *image)
{
	struct sw_slot *active = sw_slots_active(slots);

	sw_image_free(active->image);
	active->image = image;
}

/* ---- answers ---- */

static bool answers_here(const struct sw_rule *rule, const struct sw_rule_info *info)
{
	return rule->flags & SW_RULE_ANSWER && info->scope == SW_SCOPE_HOST;
}

/* Before the image is put into this slot. */
static void fill_answers(struct sw_slots *slots, unsigned int slot, struct sw_image *image)
{
	if (!slots->answers)
		return;
	sw_answers_release(slots->answers, slot);
	for (uint32_t i = 0; i < image->policy.n_rules && i < SW_RULES_MAX; i++) {
		struct sw_rule *rule = &image->policy.rules[i];
		struct sw_answer_ports ports = {};

		if (!answers_here(rule, &image->info[i]))
			continue;
		/* No port: refused in the kernel, as without `answer`. */
		sw_answers_listen(slots->answers, slot, image->info[i].text, &ports);
		memcpy(rule->target4, loopback4, sizeof(rule->target4));
		memcpy(rule->target6, loopback6, sizeof(rule->target6));
		rule->port4 = ports.ipv4;
		rule->port6 = ports.ipv6;
	}
}

void sw_slots_resume_answers(struct sw_slots *slots)
{
	for (unsigned int slot = 0; slot < 2; slot++) {
		const struct sw_slot *one = &slots->slot[slot];
		const struct sw_policy *policy = &sw_kernel_head(slots->kernel)->slot[slot];

		for (uint32_t i = 0; i < one->n_rules; i++) {
			const struct sw_rule *rule = &policy->rules[i];
			struct sw_answer_ports ports = {rule->port4, rule->port6};

			if (!answers_here(rule, &one->rules[i]))
				continue;
			sw_answers_listen(slots->answers, slot, one->rules[i].text, &ports);
			sw_kernel_set_answer_ports(slots->kernel, slot, i, ports.ipv4, ports.ipv6);
		}
	}
}

unsigned int sw_slots_unanswered(const struct sw_slots *slots)
{
	unsigned int active = sw_kernel_active(slots->kernel), n = 0;
	const struct sw_slot *slot = &slots->slot[active];
	const struct sw_policy *policy = sw_kernel_policy(slots->kernel);

	for (uint32_t i = 0; i < slot->n_rules; i++)
		n += answers_here(&policy->rules[i], &slot->rules[i]) && !policy->rules[i].port4 &&
		     !policy->rules[i].port6;
	return n;
}

/* ---- putting in force ---- */

static int prepare_edges(struct sw_slots *slots, unsigned int slot, const struct sw_policy *policy,
			 struct sw_fault *fault)
{
	if (!slots->edges)
		return 0;
	if (sw_edges_ready(slots->edges, policy, fault) < 0)
		return -1;
	return sw_edges_prepare(slots->edges, slot, policy, fault);
}

static void settle_edges(struct sw_slots *slots)
{
	if (slots->edges)
		sw_edges_settle(slots->edges);
}

static int fill_and_switch(struct sw_slots *slots, const struct sw_image *image, const char *path,
			   uint64_t confirm_ns, struct sw_fault *fault)
{
	struct sw_kernel *kernel = slots->kernel;
	unsigned int target = !sw_kernel_active(kernel);

	if (sw_kernel_fill(kernel, image, path, fault) < 0 || read_slot(slots, target, fault) < 0)
		return -1;
	/* The time stands before the switch: should we end in between, the next start goes back. */
	sw_kernel_set_confirm(kernel, confirm_ns);
	if (sw_kernel_switch(kernel, fault) < 0) {
		sw_kernel_set_confirm(kernel, 0);
		return -1;
	}
	return 0;
}

int sw_slots_apply(struct sw_slots *slots, struct sw_image *image, const char *path,
		   uint64_t confirm_ns, struct sw_fault *fault)
{
	unsigned int target = !sw_kernel_active(slots->kernel);

	/* Before the slot is touched: as long as this fails the policy to go back to is still there. */
	if (prepare_edges(slots, target, &image->policy, fault) < 0) {
		sw_image_free(image);
		return -1;
	}
	fill_answers(slots, target, image);
	if (fill_and_switch(slots, image, path, confirm_ns, fault) < 0) {
		/* What lies in the other slot now is neither the old nor the new policy. */
		forget(&slots->slot[target]);
		settle_edges(slots);
		sw_image_free(image);
		return -1;
	}
	slots->slot[target].image = image;
	settle_edges(slots);
	return 0;
}

int sw_slots_rollback(struct sw_slots *slots, struct sw_fault *fault)
{
	const struct sw_policy *policy;
	unsigned int target;

	if (!sw_slots_other(slots))
		return sw_fault(fault, SW_EXIT_NO, "there is no policy before this one");
	target = !sw_kernel_active(slots->kernel);
	policy = &sw_kernel_head(slots->kernel)->slot[target];
	/* An interface that cannot be guarded as it was is no reason to keep what is not wanted. */
	if (slots->edges && (sw_edges_ready(slots->edges, policy, fault) < 0 ||
			     sw_edges_prepare(slots->edges, target, policy, NULL) < 0))
		return -1;
	if (sw_kernel_switch(slots->kernel, fault) < 0) {
		settle_edges(slots);
		return -1;
	}
	settle_edges(slots);
	sw_kernel_set_confirm(slots->kernel, 0);
	return 0;
}

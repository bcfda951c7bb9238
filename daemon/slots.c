/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "daemon/policy/policy.h"
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

bool sw_slots_is_active(struct sw_slots *slots, const struct sw_image *image, const char *path)
{
	const struct sw_slot *active = sw_slots_active(slots);

	return active && strcmp(active->info.path, path) == 0 &&
	       memcmp(active->info.sha256, image->sha256, sizeof(image->sha256)) == 0;
}

void sw_slots_remember(struct sw_slots *slots, struct sw_image *image)
{
	struct sw_slot *active = sw_slots_active(slots);

	sw_image_free(active->image);
	active->image = image;
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

	if (fill_and_switch(slots, image, path, confirm_ns, fault) < 0) {
		/* What lies in the other slot now is neither the old nor the new policy. */
		forget(&slots->slot[target]);
		sw_image_free(image);
		return -1;
	}
	slots->slot[target].image = image;
	return 0;
}

int sw_slots_rollback(struct sw_slots *slots, struct sw_fault *fault)
{
	if (!sw_slots_other(slots))
		return sw_fault(fault, SW_EXIT_NO, "there is no policy before this one");
	if (sw_kernel_switch(slots->kernel, fault) < 0)
		return -1;
	sw_kernel_set_confirm(slots->kernel, 0);
	return 0;
}

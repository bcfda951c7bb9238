/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * samples.h - the ring buffer `samples`: putting the first bytes of a connection in, and overwriting
 * what was read from it.
 */
#ifndef SW_SAMPLES_H
#define SW_SAMPLES_H

#include "bpf/emit.h"
#include "bpf/kernel.h"
#include "bpf/maps_host.h"

SW_INLINE void sw_sample_count(long error)
{
	sw_tally(error ? SW_COUNT_SAMPLES_LOST : SW_COUNT_SAMPLES);
}

/*
 * The ClientHello alone: what was said in clear before it is nobody's business. Records are whole numbers
 * of eight bytes, so that nothing old stays between two; the few bytes that fill one up are the hello's
 * neighbours in `seen`, which are zero.
 */
SW_INLINE void sw_sample_client(struct sw_gate *gate, __u64 cookie)
{
	__u64 at = gate->hello_at, n = gate->read - at, size;
	struct bpf_dynptr record;
	long error;

	gate->sample.version = SW_ABI_VERSION;
	gate->sample.length = n;
	gate->sample.whole = 1;
	gate->sample.cookie = cookie;
	size = (n + 7) & ~7ull;
	SW_OPAQUE(size);
	SW_OPAQUE(at);
	/* `seen` is followed by enough of the same map value for the sum of both limits. */
	if (at > SW_GATE_CLEAR_MAX || size > SW_GATE_MAX)
		return;
	error = bpf_ringbuf_reserve_dynptr(&samples, sizeof(gate->sample) + size, 0, &record);
	if (!error) {
		bpf_dynptr_write(&record, 0, &gate->sample, sizeof(gate->sample), 0);
		bpf_dynptr_write(&record, sizeof(gate->sample), &gate->seen[at], size, 0);
		bpf_ringbuf_submit_dynptr(&record, 0);
	} else {
		bpf_ringbuf_discard_dynptr(&record, 0); /* the verifier asks for one of the two */
	}
	sw_sample_count(error);
}

/* From the ServerHello on, as far as it came before the client said anything more. */
SW_INLINE void sw_sample_server(struct sw_gate *gate, __u64 cookie)
{
	__u64 n = gate->n_served, size;

	if (n > SW_GATE_SERVED_MAX)
		n = SW_GATE_SERVED_MAX;
	gate->server_sample.version = SW_ABI_VERSION;
	gate->server_sample.length = n;
	gate->server_sample.from_server = 1;
	gate->server_sample.whole = n < SW_GATE_SERVED_MAX;
	gate->server_sample.cookie = cookie;
	size = (n + 7) & ~7ull;
	SW_OPAQUE(size);
	if (size <= SW_GATE_SERVED_MAX)
		sw_sample_count(bpf_ringbuf_output(&samples, &gate->server_sample,
						   sizeof(gate->server_sample) + size, 0));
}

/* ---- wiping ---- */

#define SW_WIPE_RECORD 4096 /* its header of eight bytes included */

static long sw_wipe_step(__u32 index, void *context)
{
	volatile __u64 *record = bpf_ringbuf_reserve(&samples, SW_WIPE_RECORD - 8, 0);

	(void)index;
	(void)context;
	if (!record)
		return 1;
	for (int i = 0; i < SW_WIPE_RECORD / 8 - 1; i++)
		record[i] = 0;
	/* Nobody is to be woken for it. */
	bpf_ringbuf_discard((void *)record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Overwrites what is free of the ring, up to where the reader stands. */
SW_INLINE void sw_wipe_samples(void)
{
	bpf_loop(SW_SAMPLES_SIZE / SW_WIPE_RECORD, sw_wipe_step, 0, 0);
}

#endif

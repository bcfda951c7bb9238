/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * gate_start.h - part of gate.h: what is known of a connection before the first byte, for an includer that does not
 * want to keep a whole gate until then.
 */
#ifndef SW_GATE_START_H
#define SW_GATE_START_H

/* Each direction writes what is its own. */
struct sw_gate_start {
	__u16 tls_version; /* these three as in struct sw_gate */
	__u8 flags;
	__u8 enforced;
	__u8 synced; /* of the client, as in struct sw_gate */
	__u8 server_synced;
	__u16 reserved;
	__u32 client; /* sequence number of the first byte of each, where synced */
	__u32 server;
};

/* As sw_gate_begin(). */
SW_GATE_INLINE void sw_gate_start(struct sw_gate_start *start, __u8 action, __u8 flags, __u16 port,
				  __u16 tls_version)
{
	start->flags = sw_gate_way(action, flags, port);
	start->enforced = action == SW_ACTION_TLS && !(flags & SW_RULE_AUDIT);
	start->tls_version = tls_version;
	start->synced = start->server_synced = 0;
	start->client = start->server = 0;
}

/*
 * A connection that a client made to this machine, met when its handshake is over: the numbers of the first byte
 * that each side has to send. From now on the client's packets are what anybody may have sent, whether TCP takes
 * them or not: a SYN among them says nothing. Bytes that TCP throws away are read all the same, which does no
 * harm: what is sent again under their numbers must be the same bytes.
 */
SW_GATE_INLINE void sw_gate_start_met(struct sw_gate_start *start, __u32 client_next,
				      __u32 server_next)
{
	start->client = client_next;
	start->server = server_next;
	start->synced = SW_GATE_MET;
	start->server_synced = 1;
}

/* A SYN of the client; of the server: see sw_gate_is_answer(). */
SW_GATE_INLINE void sw_gate_start_client(struct sw_gate_start *start, __u32 seq)
{
	if (start->synced == SW_GATE_MET)
		return;
	start->client = seq + 1;
	SW_GATE_WRITE(start->synced, 1);
}

SW_GATE_INLINE void sw_gate_start_server(struct sw_gate_start *start, __u32 seq, __u32 ack,
					 int acks)
{
	if (start->server_synced ||
	    (acks && (!SW_GATE_READ(start->synced) || ack != SW_GATE_READ(start->client))))
		return;
	start->server = seq + 1;
	start->server_synced = 1;
}

/* A gate that is zero but for what the other half has set, each half for itself: the client's and the server's may
   be at it at the same time. */
SW_GATE_INLINE void sw_gate_open_client(struct sw_gate *gate, const struct sw_gate_start *start)
{
	gate->tls_version = start->tls_version;
	gate->enforced = start->enforced;
	gate->flags = start->flags;
	gate->hard = 1;
	gate->start = start->client;
	SW_GATE_WRITE(gate->synced, start->synced);
}

SW_GATE_INLINE void sw_gate_open_server(struct sw_gate *gate, const struct sw_gate_start *start)
{
	gate->tls_version = start->tls_version;
	gate->enforced = start->enforced;
	gate->server_next = start->server;
	gate->server_synced = start->server_synced;
	if (!start->synced)
		return;
	/* What a SYN of the server is held against; the client's half will find the same. */
	gate->start = start->client;
	SW_GATE_WRITE(gate->synced, start->synced);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections through the edge. */
#include <string.h>

#include "tests/prog/edge_talk.h"
#include "tests/prog/talk.h"
#include <netinet/tcp.h>

#define FLOWS_MAX 8192

static struct ex_segment client_segment(const struct et *et, uint8_t flags)
{
	return (struct ex_segment){
		.from = et->from,
		.to = et->to,
		.src_port = et->src_port,
		.dst_port = et->port ? et->port : ET_PORT,
		.seq = et->client,
		.ack = et->server,
		.flags = flags,
	};
}

static struct ex_segment server_segment(const struct et *et, uint8_t flags)
{
	return (struct ex_segment){
		.from = et->to ? et->to : "198.51.100.1",
		.to = et->from ? et->from : "192.0.2.1",
		.src_port = et->port ? et->port : ET_PORT,
		.dst_port = et->src_port ? et->src_port : 40000,
		.seq = et->server,
		.ack = et->client,
		.flags = flags,
	};
}

uint32_t et_syn(struct et *et)
{
	struct ex_segment segment = client_segment(et, TH_SYN);

	segment.ack = 0;
	et->start = et->client++;
	return ex_send(segment, NULL);
}

uint32_t et_syn_answer(struct et *et)
{
	struct ex_segment segment = server_segment(et, TH_SYN | TH_ACK);

	et->server++;
	return ex_serve(segment, NULL);
}

uint32_t et_send_at(const struct et *et, int32_t ahead, uint8_t flags, const void *bytes, size_t n)
{
	struct ex_segment segment = client_segment(et, flags);

	segment.seq += (uint32_t)ahead;
	segment.payload = bytes;
	segment.n = n;
	return ex_send(segment, NULL);
}

uint32_t et_serve_at(const struct et *et, int32_t ahead, uint8_t flags, const void *bytes, size_t n)
{
	struct ex_segment segment = server_segment(et, flags);

	segment.seq += (uint32_t)ahead;
	segment.payload = bytes;
	segment.n = n;
	return ex_serve(segment, NULL);
}

struct et et_open(struct et et)
{
	assert_int_equal(et_syn(&et), XDP_PASS);
	assert_int_equal(et_syn_answer(&et), ET_PASS);
	assert_int_equal(et_send_at(&et, 0, TH_ACK, NULL, 0), XDP_PASS);
	return et;
}

uint32_t et_send(struct et *et, const void *bytes, size_t n)
{
	uint32_t got = et_send_at(et, 0, TH_ACK | TH_PUSH, bytes, n);

	if (got == XDP_PASS)
		et->client += (uint32_t)n;
	return got;
}

uint32_t et_serve(struct et *et, const void *bytes, size_t n)
{
	uint32_t got = et_serve_at(et, 0, TH_ACK | TH_PUSH, bytes, n);

	if (got == ET_PASS)
		et->server += (uint32_t)n;
	return got;
}

void et_say(struct et *et, const char *line)
{
	assert_int_equal(et_send(et, line, strlen(line)), XDP_PASS);
}

void et_reply(struct et *et, const char *line)
{
	assert_int_equal(et_serve(et, line, strlen(line)), ET_PASS);
}

void et_greet(struct et *et)
{
	et_reply(et, "220 mail.example.net\r\n");
	et_say(et, "EHLO client.example.net\r\n");
	et_reply(et, "250-mail.example.net\r\n250 STARTTLS\r\n");
}

void et_hellos(struct et *et, uint16_t version)
{
	struct fx_bytes hello = fx_client_hello(), answer = fx_server_hello(version);

	assert_int_equal(et_send(et, hello.data, hello.n), XDP_PASS);
	assert_int_equal(et_serve(et, answer.data, answer.n), ET_PASS);
	assert_int_equal(et_send(et, FX_FINISHED), XDP_PASS);
}

void et_come_to_tls(struct et *et)
{
	et_greet(et);
	et_say(et, "STARTTLS\r\n");
	et_reply(et, "220 go ahead\r\n");
	et_hellos(et, 0x0304);
}

struct sw_edge_flow et_flow(const struct et *et)
{
	static struct sw_edge_flow flows[FLOWS_MAX];
	size_t n = ex_flows(flows, FLOWS_MAX);
	uint8_t from[16], to[16];

	ex_mapped(et->from ? et->from : "192.0.2.1", from);
	ex_mapped(et->to ? et->to : "198.51.100.1", to);
	for (size_t i = 0; i < n && i < FLOWS_MAX; i++)
		if (!memcmp(flows[i].src, from, 16) && !memcmp(flows[i].dst, to, 16) &&
		    flows[i].src_port == (et->src_port ? et->src_port : 40000) &&
		    flows[i].dst_port == (et->port ? et->port : ET_PORT))
			return flows[i];
	fail_msg("no entry");
	return flows[0];
}

void et_expect_state(const struct et *et, int state)
{
	assert_int_equal(et_flow(et).state, state);
}

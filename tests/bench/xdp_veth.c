/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xdp_veth - what refusing a SYN costs on a veth pair: the edge, other XDP programs, and the packet filters that
 * it stands in for.
 *
 *   xdp_veth [--full]
 *
 * Each contestant has a router of its own: a network namespace with a veth to the sender and a way on. The sender
 * makes frames by BPF_F_TEST_XDP_LIVE_FRAMES, as xdp-trafficgen does, each from another port, and puts them into
 * its end of the veth; they are received within the same system call, on the same CPU. What making a frame costs
 * that goes nowhere is measured beside each run and taken off. Before anything is measured, each contestant has to
 * have refused every packet, by its own counters.
 *
 * The namespaces have no name: they end with this process, however it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/base.h"
#include "tests/bench/pair.h"
#include "tests/bench/xdp_bench.h"
#include "tests/bench/xdp_packet.h"
#include "tests/bench/xdp_programs.skel.h"

#define NEAR "192.0.2.1"
#define FAR "198.51.100.1"
#define CHECKED 10000 /* packets */

enum { DROPS, ANSWERS }; /* slots of the policy */

static struct sw_xdp_programs *programs;
static int home = -1; /* network namespace */
static uint32_t packets = 200000;
static int rounds = 11;

/* A way to refuse. Either a program at XDP, or a command that sets up something else. */
struct contestant {
	const char *name;
	int program;               /* -1: none; then one that lets everything pass is there */
	uint32_t mode;             /* XDP_FLAGS_* */
	unsigned int policy;       /* slot that is in force meanwhile */
	const char *setup, *count; /* commands; `count` prints "packets N" of what was refused */
	bool answers;
	int netns;
	uint32_t interface; /* the sender's end */
	char interface_name[IF_NAMESIZE];
};

/* ---- network namespaces ---- */

static void enter(int netns)
{
	if (setns(netns, CLONE_NEWNET))
		ex_fail("setns");
}

static int own_netns(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		ex_fail("netns");
	return fd;
}

/* So that the interface takes frames without an XDP program of its driver's kind. */
static void receive_in_turns(const char *name)
{
	struct ethtool_value on = {.cmd = ETHTOOL_SGRO, .data = 1};
	struct ifreq request = {.ifr_data = (void *)&on};
	int fd sw_autoclose = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		ex_fail("GRO");
}

/* What EX_INTERFACE is to the policy, the router's interface is as well. */
static void guard(const char *name)
{
	uint32_t index = EX_INTERFACE, other = if_nametoindex(name);
	struct sw_interface interface;

	if (bpf_map_lookup_elem(ex_map("interfaces"), &index, &interface) ||
	    bpf_map_update_elem(ex_map("interfaces"), &other, &interface, BPF_ANY))
		ex_fail("interfaces");
}

static void make_router(struct contestant *c, const char *name)
{
	xb_command("ip link set lo up");
	xb_command("ip link set %s address 02:00:00:00:00:02 up", name);
	xb_command("ip addr add 192.0.2.254/24 dev %s", name);
	xb_command("ip neigh add " NEAR " lladdr 02:00:00:00:00:01 dev %s nud permanent", name);
	xb_command("ip link add out type veth peer name out-far");
	xb_command("ip link set out up");
	xb_command("ip link set out-far up");
	xb_command("ip addr add 198.51.100.254/24 dev out");
	xb_command("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.icmp_ratelimit=0");
	/* Of the whole machine in older kernels, and then not ours to change. */
	xb_command("sysctl -qew net.ipv4.icmp_msgs_per_sec=1000000000 "
		   "net.ipv4.icmp_msgs_burst=1000000000 || :");
	if (c->setup)
		xb_command("%s", c->setup);
}

/* A network namespace in which nobody says anything by himself. */
static int new_netns(void)
{
	if (unshare(CLONE_NEWNET))
		ex_fail("unshare");
	xb_command("sysctl -qew net.ipv6.conf.all.disable_ipv6=1 "
		   "net.ipv6.conf.default.disable_ipv6=1");
	return own_netns();
}

/* Leaves this process at home. */
static void set_up(struct contestant *c, int number)
{
	char far[IF_NAMESIZE];
	int program = c->program >= 0 ? c->program : bpf_program__fd(programs->progs.empty);

	c->netns = new_netns();
	enter(home);
	snprintf(c->interface_name, sizeof(c->interface_name), "near%d", number);
	snprintf(far, sizeof(far), "far");
	xb_command("ip link add %s type veth peer name %s netns /proc/%d/fd/%d", c->interface_name,
		   far, getpid(), c->netns);
	xb_command("ip link set %s address 02:00:00:00:00:01 up", c->interface_name);
	xb_attach(c->interface_name, bpf_program__fd(programs->progs.sink), XDP_FLAGS_DRV_MODE);
	c->interface = if_nametoindex(c->interface_name);
	enter(c->netns);
	make_router(c, far);
	if (c->mode == XDP_FLAGS_SKB_MODE)
		receive_in_turns(far);
	xb_attach(far, program, c->mode);
	guard(far);
	enter(home);
}

/* ---- runs ---- */

static uint64_t send_frames(uint32_t interface, uint32_t n)
{
	static uint8_t frame[XDP_PACKET];
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = sizeof(frame),
		    .repeat = (int)n, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	uint64_t before = pair_now();

	programs->bss->send_to = interface;
	programs->bss->send_drop = !interface;
	if (bpf_prog_test_run_opts(bpf_program__fd(programs->progs.send), &options))
		ex_fail("send");
	return pair_now() - before;
}

/* ns a packet, without what making it costs. */
static double cost(void *data)
{
	const struct contestant *c = data;
	uint64_t floor = send_frames(0, packets);

	xb_turn(c->policy);
	return ((double)send_frames(c->interface, packets) - (double)floor) / packets;
}

static double cost_of_none(void *data)
{
	(void)data;
	return (double)send_frames(0, packets) / packets;
}

/* ---- did it refuse? ---- */

static uint64_t runs_of(int program)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(program, &info, &size))
		ex_fail("program");
	return info.run_cnt;
}

/* The number behind "packets" in what the command prints, or its first number. */
static uint64_t told_by(const char *command)
{
	FILE *pipe = popen(command, "r");
	char text[4096];
	const char *at;
	size_t n;

	if (!pipe)
		ex_fail(command);
	n = fread(text, 1, sizeof(text) - 1, pipe);
	text[n] = '\0';
	pclose(pipe);
	at = strstr(text, "packets ");
	at = at ? at + strlen("packets ") : text + strcspn(text, "0123456789");
	return strtoull(at, NULL, 10);
}

static uint64_t refused_by(const struct contestant *c)
{
	uint64_t n;

	if (!c->count)
		return c->program == xb_edge() ? ex_counter(SW_COUNT_EDGE_REFUSED)
					       : runs_of(c->program);
	enter(c->netns);
	n = told_by(c->count);
	enter(home);
	return n;
}

static void check(const struct contestant *c)
{
	int sink = bpf_program__fd(programs->progs.sink), statistics sw_autoclose = -1;
	uint64_t refused, answered;

	statistics = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (statistics < 0)
		ex_fail("run statistics");
	xb_turn(c->policy);
	refused = refused_by(c);
	answered = runs_of(sink);
	send_frames(c->interface, CHECKED);
	refused = refused_by(c) - refused;
	answered = runs_of(sink) - answered;
	if (refused == CHECKED && answered == (c->answers ? CHECKED : 0))
		return;
	fprintf(stderr, "%s: of %d packets %llu refused, %llu answered\n", c->name, CHECKED,
		(unsigned long long)refused, (unsigned long long)answered);
	exit(1);
}

/* ---- rows ---- */

static void add_sides(struct pair_row *row, struct contestant *contestants, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		row->sides[i] = (struct pair_side){contestants[i].name, cost, &contestants[i]};
		check(&contestants[i]);
	}
	row->n_sides = n;
}

static void compare(struct pair_row *row, struct contestant *contestants, size_t n)
{
	double floors[5];
	char note[200];

	add_sides(row, contestants, n);
	for (size_t i = 0; i < sw_count(floors); i++)
		floors[i] = cost_of_none(NULL);
	snprintf(note, sizeof(note),
		 "Without the %.0f ns that making a frame costs. Packet filters are behind "
		 "an empty XDP program, by which the veth takes frames.",
		 pair_quantile(floors, sw_count(floors), 0.5));
	row->table = "xdp-veth";
	row->unit = "ns";
	row->note = note;
	pair_run(row, rounds);
}

#define NFT(chain, statement) "nft 'table ip t { chain c { " chain "; " statement " }; }'"
#define NFT_COUNT "nft list ruleset"

enum { MINIMAL, EDGE, NETDEV, RAW, CONNTRACK, IPTABLES, FILTER, DROPPERS };

static void dropped(const struct bpf_object *filter)
{
	struct contestant all[DROPPERS] = {
		[MINIMAL] = {"minimal XDP program", bpf_program__fd(programs->progs.minimal),
			     XDP_FLAGS_DRV_MODE},
		[EDGE] = {"smtpwall", xb_edge(), XDP_FLAGS_DRV_MODE, DROPS},
		[NETDEV] =
			{"nft netdev ingress", -1, XDP_FLAGS_DRV_MODE,
			 .setup = "nft 'table netdev t { chain c { type filter hook ingress device "
				  "far priority 0; tcp dport 25 counter drop; }; }'",
			 .count = NFT_COUNT},
		[RAW] = {"nft prerouting raw", -1, XDP_FLAGS_DRV_MODE,
			 .setup = NFT("type filter hook prerouting priority raw",
				      "tcp dport 25 counter drop;"),
			 .count = NFT_COUNT},
		[CONNTRACK] = {"nft forward, conntrack", -1, XDP_FLAGS_DRV_MODE,
			       .setup = NFT("type filter hook forward priority filter",
					    "ct state established,related accept; "
					    "tcp dport 25 counter drop;"),
			       .count = NFT_COUNT},
		[IPTABLES] = {"iptables raw PREROUTING", -1, XDP_FLAGS_DRV_MODE,
			      .setup = "iptables -t raw -A PREROUTING -p tcp --dport 25 -j DROP",
			      .count = "iptables -t raw -L PREROUTING -nvx | tail -n 1"},
		[FILTER] = {"xdp-filter", filter ? xb_filter_program(filter) : -1,
			    XDP_FLAGS_DRV_MODE},
	};
	struct pair_row row = {
		.row = "refused SYN, dropped",
		.n_aims = 3,
		.aims = {{EDGE, MINIMAL, PAIR_RATIO, false, 1.3, "1.2"},
			 {EDGE, RAW, PAIR_FASTER, true, 6, "7.8"},
			 {EDGE, CONNTRACK, PAIR_FASTER, true, 15, "22"}},
	};
	size_t n = filter ? DROPPERS : FILTER;

	for (size_t i = 0; i < n; i++)
		set_up(&all[i], (int)i);
	compare(&row, all, n);
}

enum { FLOOR, FLOOR_GENERIC, NATIVE, GENERIC, RESET, DEFAULT, ANSWERERS };

static void answered(void)
{
	struct contestant all[ANSWERERS] = {
		[FLOOR] = {"minimal XDP program with RST, native",
			   bpf_program__fd(programs->progs.minimal_reset), XDP_FLAGS_DRV_MODE,
			   .answers = true},
		[FLOOR_GENERIC] = {"minimal XDP program with RST, generic",
				   bpf_program__fd(programs->progs.minimal_reset),
				   XDP_FLAGS_SKB_MODE, .answers = true},
		[GENERIC] = {"smtpwall, RST, generic XDP as on any veth", xb_edge(),
			     XDP_FLAGS_SKB_MODE, ANSWERS, .answers = true},
		[NATIVE] = {"smtpwall, RST, native XDP", xb_edge(), XDP_FLAGS_DRV_MODE, ANSWERS,
			    .answers = true},
		[RESET] = {"nft reject with tcp reset", -1, XDP_FLAGS_DRV_MODE,
			   .setup = NFT("type filter hook forward priority filter",
					"tcp dport 25 counter reject with tcp reset;"),
			   .count = NFT_COUNT, .answers = true},
		[DEFAULT] = {"nft reject", -1, XDP_FLAGS_DRV_MODE,
			     .setup = NFT("type filter hook forward priority filter",
					  "tcp dport 25 counter reject;"),
			     .count = NFT_COUNT, .answers = true},
	};
	struct pair_row row = {
		.row = "refused SYN, answered",
		.n_aims = 2,
		.aims = {{NATIVE, RESET, PAIR_FASTER, true, 10, "16"},
			 {GENERIC, RESET, PAIR_FASTER, true, 10, "16"}},
	};

	for (size_t i = 0; i < sw_count(all); i++)
		set_up(&all[i], DROPPERS + (int)i);
	compare(&row, all, sw_count(all));
}

/* ---- the packet and the policies ---- */

static void make_packet(void)
{
	uint8_t *bytes = (uint8_t *)&programs->bss->send_packet;
	struct ex_frame frame;

	ex_segment(&frame, (struct ex_segment){.from = NEAR, .to = FAR, .flags = TH_SYN});
	memcpy(bytes, frame.bytes, XDP_PACKET);
	memcpy(bytes, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01", 12);
	programs->bss->send_sum = (uint16_t) ~(bytes[XDP_SUM_AT] << 8 | bytes[XDP_SUM_AT + 1]) +
				  (uint16_t) ~(bytes[XDP_PORT_AT] << 8 | bytes[XDP_PORT_AT + 1]);
}

static void make_policies(void)
{
	ex_begin(ANSWERS);
	ex_row(ex_rule(SW_ACTION_REJECT, 0), (struct ex_row){.port = 25});
	ex_apply();
	ex_begin(DROPS);
	ex_row(ex_rule(SW_ACTION_ALLOW, 0), (struct ex_row){.port = 25, .from = "203.0.113.0/24"});
	ex_row(ex_rule(SW_ACTION_DROP, 0), (struct ex_row){.port = 25});
	ex_apply();
}

/* Frames are received where they are sent. */
static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		ex_fail("CPU");
}

int main(int argc, char **argv)
{
	struct bpf_object *filter;

	if (argc > 1 && !strcmp(argv[1], "--full"))
		rounds = 51;
	if (!ex_usable())
		return 0;
	stay_on_one_cpu();
	ex_up(NULL);
	home = new_netns();
	programs = xb_programs();
	filter = xb_filter();
	make_packet();
	make_policies();
	dropped(filter);
	answered();
	bpf_object__close(filter);
	ex_down(NULL);
	return 0;
}

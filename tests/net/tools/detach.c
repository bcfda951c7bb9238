/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * detach.c - what somebody with CAP_SYS_ADMIN can do to pinned links, and what the controls of the
 * scenarios do.
 *
 *     detach PIN ...       takes the links off their cgroup; the pins stay
 *     detach -r PIN ...    replaces their programs by one that lets everything through
 */
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int open_link(const char *pin)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.pathname = (uint64_t)(uintptr_t)pin;
	return bpf(BPF_OBJ_GET, &attr);
}

static int detach(int link)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_detach.link_fd = (uint32_t)link;
	return bpf(BPF_LINK_DETACH, &attr);
}

static int attach_type(int link, uint32_t *type)
{
	struct bpf_link_info info = {0};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)link;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attr) < 0)
		return -1;
	*type = info.cgroup.attach_type;
	return 0;
}

static uint32_t program_type(uint32_t type)
{
	switch (type) {
	case BPF_CGROUP_INET_EGRESS:
	case BPF_CGROUP_INET_INGRESS:
		return BPF_PROG_TYPE_CGROUP_SKB;
	case BPF_CGROUP_SOCK_OPS:
		return BPF_PROG_TYPE_SOCK_OPS;
	default:
		return BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
	}
}

/* r0 = 1; exit: to every cgroup hook that means "go on". */
static int load_pass(uint32_t type)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = program_type(type);
	attr.expected_attach_type = type;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(code[0]);
	attr.license = (uint64_t)(uintptr_t) "GPL";
	return bpf(BPF_PROG_LOAD, &attr);
}

static int replace(int link)
{
	union bpf_attr attr;
	uint32_t type;

	if (attach_type(link, &type) < 0)
		return -1;
	int program = load_pass(type);
	if (program < 0)
		return -1;
	memset(&attr, 0, sizeof(attr));
	attr.link_update.link_fd = (uint32_t)link;
	attr.link_update.new_prog_fd = (uint32_t)program;
	int result = bpf(BPF_LINK_UPDATE, &attr);
	close(program);
	return result;
}

int main(int argc, char **argv)
{
	int replacing = argc > 1 && strcmp(argv[1], "-r") == 0;

	for (int i = 1 + replacing; i < argc; i++) {
		int link = open_link(argv[i]);
		if (link < 0 || (replacing ? replace(link) : detach(link)) < 0) {
			perror(argv[i]);
			return 1;
		}
		close(link);
	}
	return argc > 1 + replacing ? 0 : 2;
}

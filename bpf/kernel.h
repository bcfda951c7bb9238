/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * kernel.h - what the programs need to know of the kernel: fixed-width types, the stable contexts of
 * <linux/bpf.h>, and the few members of kernel structs that we read.
 *
 * The structs below hold only those members. Their real offsets are filled in at load time from the
 * running kernel's BTF (CO-RE), so order and gaps here mean nothing. A struct whose member was
 * renamed has a second version with a ___suffix, which libbpf takes off before it looks for it.
 */
#ifndef SW_KERNEL_H
#define SW_KERNEL_H

/* The target bpf has no <asm/types.h>, so <linux/types.h> is replaced by what it would give. */
#define _LINUX_TYPES_H
typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __le16, __be16, __sum16;
typedef __u32 __le32, __be32, __wsum;
typedef __u64 __le64, __be64;
#define __aligned_u64 __u64 __attribute__((aligned(8)))

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/abi.h"

#define SW_INLINE static __always_inline __attribute__((unused))

/* The verifier must see the mask that bounds an index; the compiler would drop it where it can tell
   the range by itself. */
#define SW_OPAQUE(value) asm volatile("" : "+r"(value))

/* Nothing is moved across it by the compiler. */
#define SW_BARRIER() asm volatile("" : : : "memory")

#define SW_READ_ONCE(value) (*(const volatile __typeof__(value) *)&(value))
#define SW_WRITE_ONCE(to, value) (*(volatile __typeof__(to) *)&(to) = (value))

/* <asm-generic/errno-base.h>, <linux/socket.h>, <linux/net.h>, <net/tcp_states.h>, <linux/sched.h>,
   <linux/skbuff.h>: values of the kernel's interface to programs, or of its BTF-less macros. */
#define SW_EACCES 13
#define SW_AF_INET 2
#define SW_SOCK_STREAM 1
#define SW_SOCK_RAW 3
#define SW_IPPROTO_TCP 6
#define SW_IPPROTO_MPTCP 262
#define SW_TCP_SYN_SENT 2
#define SW_TCP_SYN_RECV 3
#define SW_TCP_FIN_WAIT1 4
#define SW_TCP_FIN_WAIT2 5
#define SW_TCP_TIME_WAIT 6
#define SW_TCP_CLOSE 7
#define SW_TCP_LAST_ACK 9
#define SW_TCP_LISTEN 10
#define SW_TCP_CLOSING 11
#define SW_PF_KTHREAD 0x00200000
#define SW_SHARED_FRAG 2 /* SKBFL_SHARED_FRAG: pages that somebody else may write to */

/* How the cores parse.h and gate.h have their bytes, and a loop. */
#ifndef SW_PARSE_LOAD /* XDP has other ones */
#define SW_PARSE_LOAD(from, offset, to, size) bpf_skb_load_bytes(from, offset, to, size)
#define SW_GATE_LOAD(from, offset, to, size) bpf_skb_load_bytes(from, offset, to, size)
#endif
#define SW_GATE_LOOP(count, step, context) bpf_loop(count, step, context, 0)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node *next, **pprev;
};

struct inode {
	kuid_t i_uid;
	unsigned long i_ino;
};

struct dentry {
	struct hlist_bl_node d_hash; /* pprev is NULL: unlinked */
	struct dentry *d_parent;     /* itself at the root */
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent; /* itself at the root of the namespace */
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt; /* what struct path points to */
	struct mnt_namespace *mnt_ns;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct mm_struct {
	struct file *exe_file;
};

struct group_info {
	int ngroups;
	kgid_t gid[0];
};

struct cred {
	kuid_t euid;
	kgid_t egid;
	struct group_info *group_info;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup {
	int level; /* 0 at the root; ancestors[level] is the cgroup itself */
	struct kernfs_node *kn;
	struct cgroup *ancestors[0];
};

struct css_set {
	struct cgroup *dfl_cgrp; /* in the cgroup2 tree */
};

struct fs_struct {
	struct path root;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct task_struct;

struct pid_namespace {
	struct task_struct *child_reaper; /* pid 1 of the namespace */
};

struct upid {
	struct pid_namespace *ns;
};

struct pid {
	struct upid numbers[1]; /* [0]: in the initial namespace */
};

struct task_struct {
	unsigned int flags;
	int tgid;
	char comm[SW_COMM_MAX];
	struct mm_struct *mm;
	struct pid *thread_pid;
	const struct cred *cred;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
};

struct net_device {
	unsigned long priv_flags : 32;
};

struct sk_buff {
	struct net_device *dev;
	unsigned char *head;
	unsigned int end; /* offset from head, on machines of 64 bits */
};

struct skb_shared_info {
	__u8 flags;
};

enum netdev_priv_flags {
	IFF_L3MDEV_MASTER = 1 << 18,
};

struct socket;

struct socket_alloc {
	struct inode vfs_inode; /* of the socket that is the first member */
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock_common {
	unsigned long skc_flags; /* enum sock_flags */
	__be16 skc_dport;
};

enum sock_flags {
	SOCK_DONE = 1, /* the peer's FIN has come */
};

typedef struct {
	int owned; /* a task holds the lock */
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	struct socket *sk_socket;
	kuid_t sk_uid;
	__u8 sk_kern_sock : 1;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_connection_sock {
	void *icsk_ulp_data;
};

struct tcp_sock {
	_Bool is_mptcp;
	__u8 bpf_sock_ops_cb_flags;
};

struct mptcp_subflow_context {
	__u32 request_join : 1; /* an additional subflow of a connection that we made */
	__u32 mp_join : 1;      /* of one that a client made to us */
	struct sock *conn;      /* that connection */
};

struct mptcp_sock {
	struct sock *first; /* its first subflow */
};

#pragma clang attribute pop

#endif

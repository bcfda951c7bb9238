/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * identity.h - who is calling: user, groups and executable, read from the kernel's own structs while
 * the caller waits in connect(), so that nothing can change in between. The cgroup: cgroup.h.
 *
 * Addresses of kernel objects are kept as plain numbers and read with bpf_probe_read_kernel(), which
 * answers zeros for what is not there. Programs run under RCU, so dentries, mounts, names and
 * credentials that were reachable are not freed meanwhile.
 */
#ifndef SW_IDENTITY_H
#define SW_IDENTITY_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"

#define SW_WALK_MAX 160 /* steps of a path walk: names and mounts together */

/* Kernel objects behind a caller. */
struct sw_who {
	struct file *file; /* of the executable; NULL: a worker, or unknown */
	struct cgroup *cgroup;
	struct group_info *groups; /* NULL: unknown */
};

/* The verifier does no arithmetic on a pointer to a socket; what a helper copied is a number. */
SW_INLINE __u64 sw_address(const void *pointer)
{
	const void *copy = pointer;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &copy);
	return address;
}

SW_INLINE void sw_caller_clear(struct sw_sock *st)
{
	__builtin_memset(&st->flow.caller, 0, sizeof(st->flow.caller));
	st->have = 0;
	st->unit_at = 0;
	st->unit_length = 0;
}

/*
 * A kernel thread acts for somebody, or a packet is sent by whoever happens to run: the socket tells
 * its owner and its cgroup, nothing else is known. The inode is asked first: MPTCP copies the
 * owner there when a worker opens an additional subflow.
 */
SW_INLINE void sw_identify_owner(struct sw_sock *st, const void *pointer, struct sw_who *who)
{
	struct sock *sk = (struct sock *)(unsigned long)sw_address(pointer);
	struct cgroup *cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	struct sw_caller *caller = &st->flow.caller;

	caller->flags = SW_CALLER_WORKER;
	caller->uid = socket ? BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_uid.val)
			     : BPF_CORE_READ(sk, sk_uid.val);
	caller->gid = ~0u;
	caller->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	who->file = 0;
	who->groups = 0;
	who->cgroup = cgroup;
}

/*
 * The task that runs now, without names. 0, or -1 when it is a kernel thread, which acts for somebody
 * else. Threads of io_uring share the process's memory and credentials, so they count as the process.
 */
SW_INLINE int sw_identify_task(struct sw_caller *caller, struct sw_who *who)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	struct file *file = mm ? mm->exe_file : 0;
	const struct cred *cred = task->cred;
	struct cgroup *cgroup;

	bpf_probe_read_kernel(caller->comm, sizeof(caller->comm), &task->comm);
	caller->pid = task->tgid;
	if (task->flags & SW_PF_KTHREAD || !file || !cred)
		return -1;
	caller->uid = cred->euid.val;
	caller->gid = cred->egid.val;
	who->file = file;
	who->groups = BPF_CORE_READ(cred, group_info);
	cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	who->cgroup = cgroup;
	caller->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	caller->exe_inode = BPF_CORE_READ(file, f_inode, i_ino);
	return 0;
}

/* The cheap part: everything but names. */
SW_INLINE void sw_identify(struct sw_sock *st, const void *sk, struct sw_who *who)
{
	sw_caller_clear(st);
	if (sw_identify_task(&st->flow.caller, who))
		sw_identify_owner(st, sk, who);
}

/* ---- executable ---- */

/* A context on the stack may only hold what a loop does not change. */
struct sw_walk {
	struct sw_sock *st;
};

/* Puts "/name" before what is there. 0, or 1 when there is no room. */
SW_INLINE int sw_walk_name(struct sw_sock *st, struct dentry *dentry)
{
	struct qstr name = {};
	__u64 length, start;

	name.len = BPF_CORE_READ(dentry, d_name.len);
	name.name = BPF_CORE_READ(dentry, d_name.name);
	length = name.len;
	start = st->offset;
	if (length >= SW_NAME_MAX || length + 1 > start) {
		st->flow.caller.flags |= SW_CALLER_EXE_LONG;
		return 1;
	}
	start -= length + 1;
	SW_OPAQUE(start);
	start &= SW_NAME_MAX - 1;
	SW_OPAQUE(length);
	length &= SW_NAME_MAX - 1;
	st->path[start] = '/';
	bpf_probe_read_kernel(&st->path[start + 1], length, name.name);
	st->offset = start;
	return 0;
}

/* The root of a filesystem has this name; what is in memory only has another. */
SW_INLINE int sw_is_slash(struct dentry *dentry)
{
	const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
	char first = 0;

	bpf_probe_read_kernel(&first, sizeof(first), name);
	return first == '/';
}

static long sw_walk_step(__u32 index, struct sw_walk *walk)
{
	struct sw_sock *st = walk->st;
	struct dentry *dentry = (struct dentry *)(unsigned long)st->dentry, *parent;
	struct mount *mount = (struct mount *)(unsigned long)st->mount, *above;

	(void)index;
	if (st->dentry == st->root) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (!above || above == mount) {
			st->done = 1;
			return 1;
		}
		st->dentry = (unsigned long)BPF_CORE_READ(mount, mnt_mountpoint);
		st->mount = (unsigned long)above;
		st->root = (unsigned long)BPF_CORE_READ(above, mnt.mnt_root);
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == dentry) {
		/* In memory only, on a filesystem that is not the host's root, or moved out of a bind
		   mount. Its name leads nowhere here, so it matches nothing. */
		if (!sw_is_slash(dentry))
			sw_walk_name(st, dentry);
		st->flow.caller.flags |= SW_CALLER_EXE_FOREIGN;
		st->done = 1;
		return 1;
	}
	if (sw_walk_name(st, dentry))
		return 1;
	st->dentry = (unsigned long)parent;
	return 0;
}

/* Pid 1: in its mount namespace and below its root the names of a policy have their meaning. */
SW_INLINE struct task_struct *sw_host_task(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return BPF_CORE_READ(task, thread_pid, numbers[0].ns, child_reaper);
}

/*
 * Where the walk to the file's name begins.
 *
 * What counts is the mount that the file was started from, not the namespace of the process: a
 * process in the host's namespace could start a file of somebody's private namespace by way of
 * /proc/PID/root and borrow its name.
 *
 * Mounts of another namespace prove nothing, as anybody can make one and mount what he likes there.
 * But the file's place on its own filesystem is the same from everywhere. So such a file is named by
 * the way up from it without any mount, and only if that way ends at the host's root directory: the
 * mail server that a service with PrivateTmp= starts keeps its name, a file that was bound over the
 * mail server's path has the name of where it really lies, and a container's has none.
 */
SW_INLINE void sw_walk_begin(struct sw_sock *st, struct file *file)
{
	struct vfsmount *vfsmount = BPF_CORE_READ(file, f_path.mnt);
	struct task_struct *host = sw_host_task();
	struct mount *mount;

	mount = (struct mount *)((char *)vfsmount - bpf_core_field_offset(struct mount, mnt));
	st->dentry = (unsigned long)BPF_CORE_READ(file, f_path.dentry);
	if (BPF_CORE_READ(mount, mnt_ns) == BPF_CORE_READ(host, nsproxy, mnt_ns)) {
		st->mount = (unsigned long)mount;
		st->root = (unsigned long)BPF_CORE_READ(vfsmount, mnt_root);
	} else {
		st->mount = 0;
		st->root = (unsigned long)BPF_CORE_READ(host, fs, root.dentry);
	}
	st->offset = SW_NAME_MAX - 1;
	st->done = 0;
}

/* Full path of the executable, in caller.exe. */
SW_INLINE void sw_identify_exe(struct sw_sock *st, const struct sw_who *who)
{
	struct sw_walk walk = {.st = st};
	struct file *file = who->file;
	struct dentry *dentry;
	__u64 start;

	if (st->have & SW_HAVE_EXE || !file)
		return;
	st->have |= SW_HAVE_EXE;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	if (!BPF_CORE_READ(dentry, d_hash.pprev) && BPF_CORE_READ(dentry, d_parent) != dentry)
		st->flow.caller.flags |= SW_CALLER_EXE_DELETED;

	/* The second half stays zero: it is what follows a name that is shorter than the key. */
	__builtin_memset(st->path, 0, sizeof(st->path));
	sw_walk_begin(st, file);
	bpf_loop(SW_WALK_MAX, sw_walk_step, &walk, 0);
	if (!st->done)
		st->flow.caller.flags |= SW_CALLER_EXE_LONG;
	start = st->offset;
	SW_OPAQUE(start);
	start &= SW_NAME_MAX - 1;
	bpf_probe_read_kernel(st->flow.caller.exe, sizeof(st->flow.caller.exe), &st->path[start]);
}

#endif

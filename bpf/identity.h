/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * identity.h - who is calling: user, groups and executable, read from the kernel's own structs while
 * the caller waits in connect(), so that nothing can change in between. The cgroup: cgroup.h.
 *
 * Where the verifier knows what a pointer leads to members are read in place. Elsewhere addresses of kernel
 * objects are plain numbers, read with bpf_probe_read_kernel(), which costs ten times as much. Both answer zeros
 * for what is not there. Programs run under RCU, so dentries, mounts, names and
 * credentials that were reachable are not freed meanwhile.
 */
#ifndef SW_IDENTITY_H
#define SW_IDENTITY_H

#include "bpf/kernel.h"
#include "bpf/maps_host.h"
#include "bpf/scratch.h"

#define SW_WALK_MAX 160 /* steps of a path walk: names and mounts together */
#define SW_WALK_PLAIN 8 /* of these, how many are made in place */

/* The verifier does no arithmetic on a pointer to a socket; what a helper copied is a number. */
SW_INLINE __u64 sw_address(const void *pointer)
{
	const void *copy = pointer;
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &copy);
	return address;
}

/* The same by way of memory, for what is no pointer to a socket. */
SW_INLINE __u64 sw_number(struct sw_scratch *scratch, const void *pointer)
{
	SW_WRITE_ONCE(scratch->mount, (unsigned long)pointer);
	return SW_READ_ONCE(scratch->mount);
}

/*
 * A kernel thread acts for somebody, or a packet is sent by whoever happens to run: the socket tells
 * its owner and its cgroup, nothing else is known. The inode is asked first: MPTCP copies the
 * owner there when a worker opens an additional subflow.
 */
SW_INLINE void sw_identify_owner(struct sw_scratch *scratch, const void *pointer)
{
	struct sock *sk = (struct sock *)(unsigned long)sw_address(pointer);
	struct cgroup *cgroup = BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	struct sw_caller *caller = &scratch->caller;

	caller->flags = SW_CALLER_WORKER;
	caller->uid = socket ? BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_uid.val)
			     : BPF_CORE_READ(sk, sk_uid.val);
	caller->gid = ~0u;
	caller->cgroup_id = BPF_CORE_READ(cgroup, kn, id);
	scratch->file_at = scratch->groups_at = 0;
	scratch->cgroup_at = (unsigned long)cgroup;
}

/* Of a connection that a client made: nobody but the owner of the server's socket is known. */
SW_INLINE void sw_identify_server(struct sw_scratch *scratch, const void *sk)
{
	sw_caller_clear(scratch);
	sw_identify_owner(scratch, sk);
	scratch->caller.flags = SW_CALLER_SERVER;
}

/*
 * The task that runs now, without names. 0, or -1 when it is a kernel thread, which acts for somebody
 * else. Threads of io_uring share the process's memory and credentials, so they count as the process.
 *
 * Not static: the verifier looks at it once by itself. For each pointer that it sees read from a task it searches
 * all types of the kernel by name, which takes as long as a thousand other instructions.
 */
__noinline int sw_identify_task(struct sw_scratch *scratch)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	struct file *file = mm ? mm->exe_file : 0;
	const struct cred *cred = task->cred;
	struct sw_caller *caller;
	struct cgroup *cgroup;

	if (!scratch)
		return -1;
	caller = &scratch->caller;
	bpf_probe_read_kernel(caller->comm, sizeof(caller->comm), &task->comm);
	caller->pid = task->tgid;
	if (task->flags & SW_PF_KTHREAD || !file || !cred)
		return -1;
	caller->uid = cred->euid.val;
	caller->gid = cred->egid.val;
	scratch->file_at = (unsigned long)file;
	scratch->groups_at = (unsigned long)cred->group_info;
	scratch->pid_at = (unsigned long)task->thread_pid;
	cgroup = task->cgroups->dfl_cgrp;
	scratch->cgroup_at = (unsigned long)cgroup;
	caller->cgroup_id = cgroup->kn->id;
	caller->exe_inode = file->f_inode->i_ino;
	return 0;
}

/* The cheap part: everything but names. */
SW_INLINE void sw_identify(struct sw_scratch *scratch, const void *sk)
{
	sw_caller_clear(scratch);
	if (sw_identify_task(scratch))
		sw_identify_owner(scratch, sk);
}

/* ---- executable ---- */

/* A context on the stack may only hold what a loop does not change. */
struct sw_walk {
	struct sw_scratch *scratch;
};

/* Puts "/name" before what is there. 0, or 1 when there is no room. */
SW_INLINE int sw_walk_put(struct sw_scratch *scratch, __u64 length, const void *name)
{
	__u64 start = scratch->offset;

	if (length >= SW_NAME_MAX || length + 1 > start) {
		scratch->caller.flags |= SW_CALLER_EXE_LONG;
		return 1;
	}
	start -= length + 1;
	SW_OPAQUE(start);
	start &= SW_NAME_MAX - 1;
	SW_OPAQUE(length);
	length &= SW_NAME_MAX - 1;
	scratch->path[start] = '/';
	bpf_probe_read_kernel(&scratch->path[start + 1], length, name);
	scratch->offset = start;
	return 0;
}

SW_INLINE int sw_walk_name(struct sw_scratch *scratch, struct dentry *dentry)
{
	return sw_walk_put(scratch, BPF_CORE_READ(dentry, d_name.len),
			   BPF_CORE_READ(dentry, d_name.name));
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
	struct sw_scratch *scratch = walk->scratch;
	struct dentry *dentry = (struct dentry *)(unsigned long)scratch->dentry, *parent;
	struct mount *mount = (struct mount *)(unsigned long)scratch->mount, *above;

	(void)index;
	if (scratch->dentry == scratch->root) {
		above = BPF_CORE_READ(mount, mnt_parent);
		if (!above || above == mount) {
			scratch->done = 1;
			return 1;
		}
		scratch->dentry = (unsigned long)BPF_CORE_READ(mount, mnt_mountpoint);
		scratch->mount = (unsigned long)above;
		scratch->root = (unsigned long)BPF_CORE_READ(above, mnt.mnt_root);
		return 0;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (!parent || parent == dentry) {
		/* In memory only, on a filesystem that is not the host's root, or moved out of a bind
		   mount. Its name leads nowhere here, so it matches nothing. */
		if (!sw_is_slash(dentry))
			sw_walk_name(scratch, dentry);
		scratch->caller.flags |= SW_CALLER_EXE_FOREIGN;
		scratch->done = 1;
		return 1;
	}
	if (sw_walk_name(scratch, dentry))
		return 1;
	scratch->dentry = (unsigned long)parent;
	return 0;
}

/* Pid 1: in its mount namespace and below its root the names of a policy have their meaning. */
SW_INLINE struct task_struct *sw_host_task(const struct sw_scratch *scratch)
{
	struct pid *pid = (struct pid *)(unsigned long)scratch->pid_at;

	return BPF_CORE_READ(pid, numbers[0].ns, child_reaper);
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
SW_INLINE void sw_walk_begin(struct sw_scratch *scratch, struct file *file)
{
	struct vfsmount *vfsmount = file->f_path.mnt;
	struct task_struct *host = sw_host_task(scratch);
	struct mount *mount;

	mount = (struct mount *)(sw_number(scratch, vfsmount) -
				 bpf_core_field_offset(struct mount, mnt));
	if (BPF_CORE_READ(mount, mnt_ns) == BPF_CORE_READ(host, nsproxy, mnt_ns)) {
		scratch->mount = (unsigned long)mount;
		scratch->root = (unsigned long)vfsmount->mnt_root;
	} else {
		scratch->mount = 0;
		scratch->root = (unsigned long)BPF_CORE_READ(host, fs, root.dentry);
	}
	scratch->offset = SW_NAME_MAX - 1;
	scratch->done = 0;
}

/* Names that stand below the root of the file's own mount, as far as they are few: nearly always all of them.
   sw_walk_step() goes on from there. */
SW_INLINE void sw_walk_plain(struct sw_scratch *scratch, struct dentry *dentry)
{
	for (int i = 0; i < SW_WALK_PLAIN; i++) {
		struct dentry *parent = dentry->d_parent;

		if ((unsigned long)dentry == scratch->root || parent == dentry)
			break;
		if (sw_walk_put(scratch, dentry->d_name.len, dentry->d_name.name)) {
			scratch->done = 1;
			break;
		}
		dentry = parent;
	}
	scratch->dentry = (unsigned long)dentry;
}

/* Full path of the executable, in caller.exe. Whoever has a file is the task that runs now. Not static, so that the
   verifier looks at it once by itself. */
__noinline int sw_identify_exe(struct sw_scratch *scratch)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sw_walk walk = {.scratch = scratch};
	struct mm_struct *mm = task->mm;
	struct file *file = mm ? mm->exe_file : 0;
	struct dentry *dentry;
	__u64 start;

	if (!scratch || scratch->have & SW_HAVE_EXE || !scratch->file_at || !file)
		return 0;
	scratch->have |= SW_HAVE_EXE;
	dentry = file->f_path.dentry;
	if (!dentry->d_hash.pprev && dentry->d_parent != dentry)
		scratch->caller.flags |= SW_CALLER_EXE_DELETED;

	sw_walk_begin(scratch, file);
	sw_walk_plain(scratch, dentry);
	if (!scratch->done)
		bpf_loop(SW_WALK_MAX, sw_walk_step, &walk, 0);
	if (!scratch->done)
		scratch->caller.flags |= SW_CALLER_EXE_LONG;
	start = scratch->offset;
	SW_OPAQUE(start);
	start &= SW_NAME_MAX - 1;
	bpf_probe_read_kernel(scratch->caller.exe, sizeof(scratch->caller.exe),
			      &scratch->path[start]);
	return 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* try_uring.c - connect() asked for through io_uring, by raw system calls. */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "try.h"

struct ring {
	int fd;
	struct io_uring_params params;
	char *sq, *cq;
	struct io_uring_sqe *sqes;
};

static int ring_open(struct ring *ring, unsigned int flags)
{
	struct io_uring_params *p = &ring->params;

	p->flags = flags;
	p->sq_thread_idle = 1000;
	ring->fd = (int)syscall(SYS_io_uring_setup, 4, p);
	if (ring->fd < 0)
		return TRY_SKIP;
	size_t sq_size = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	size_t cq_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	ring->sq = mmap(NULL, sq_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			IORING_OFF_SQ_RING);
	ring->cq = mmap(NULL, cq_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->sq == MAP_FAILED || ring->cq == MAP_FAILED || (void *)ring->sqes == MAP_FAILED)
		return -errno;
	return 0;
}

static uint32_t *sq_word(const struct ring *ring, uint32_t offset)
{
	return (uint32_t *)(void *)(ring->sq + offset);
}

static void ring_put(struct ring *ring, const struct io_uring_sqe *sqe)
{
	uint32_t *tail = sq_word(ring, ring->params.sq_off.tail);
	uint32_t mask = *sq_word(ring, ring->params.sq_off.ring_mask), slot = *tail & mask;

	ring->sqes[slot] = *sqe;
	sq_word(ring, ring->params.sq_off.array)[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
}

/* With a poller thread the kernel may already be at it; waking it never hurts. */
static int ring_wait(struct ring *ring)
{
	uint32_t *head = (uint32_t *)(void *)(ring->cq + ring->params.cq_off.head);
	uint32_t *tail = (uint32_t *)(void *)(ring->cq + ring->params.cq_off.tail);
	uint32_t mask = *(uint32_t *)(void *)(ring->cq + ring->params.cq_off.ring_mask);
	const struct io_uring_cqe *cqes = (const void *)(ring->cq + ring->params.cq_off.cqes);
	unsigned int flags = IORING_ENTER_GETEVENTS;

	if (ring->params.flags & IORING_SETUP_SQPOLL)
		flags |= IORING_ENTER_SQ_WAKEUP;
	while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, flags, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
	return cqes[*head & mask].res;
}

static int uring_connect(const struct target *target, unsigned int setup, uint8_t sqe_flags)
{
	struct ring ring = {0};
	int error = ring_open(&ring, setup), fd = tcp_socket(target, 0);

	if (error || fd < 0)
		return error ? error : fd;
	struct io_uring_sqe sqe = {.opcode = IORING_OP_CONNECT,
				   .flags = sqe_flags,
				   .fd = fd,
				   .addr = (uintptr_t)&target->addr,
				   .off = target->length};
	ring_put(&ring, &sqe);
	int result = ring_wait(&ring);
	return result == -EINPROGRESS ? -ETIMEDOUT : result;
}

static int way_uring(const struct target *target)
{
	return uring_connect(target, 0, 0);
}

/* A worker thread of the kernel makes the call. */
static int way_uring_async(const struct target *target)
{
	return uring_connect(target, 0, IOSQE_ASYNC);
}

/* The submission queue is polled by a kernel thread: the program makes no system call at all. */
static int way_uring_poll(const struct target *target)
{
	return uring_connect(target, IORING_SETUP_SQPOLL, 0);
}

/* Data in the SYN: no connect is asked for. */
static int way_uring_send(const struct target *target)
{
	struct iovec data = {(char *)"EHLO uring\r\n", 12};
	struct msghdr message = {.msg_name = (void *)&target->addr,
				 .msg_namelen = target->length,
				 .msg_iov = &data,
				 .msg_iovlen = 1};
	struct ring ring = {0};
	int error = ring_open(&ring, 0), fd = tcp_socket(target, 0);

	if (error || fd < 0)
		return error ? error : fd;
	struct io_uring_sqe sqe = {.opcode = IORING_OP_SENDMSG,
				   .flags = IOSQE_ASYNC,
				   .fd = fd,
				   .addr = (uintptr_t)&message,
				   .len = 1,
				   .msg_flags = MSG_FASTOPEN};
	ring_put(&ring, &sqe);
	int result = ring_wait(&ring);
	return result > 0 ? 0 : result == -EINPROGRESS ? -ETIMEDOUT : result;
}

const struct way uring_ways[] = {
	{"uring", way_uring, "IORING_OP_CONNECT"},
	{"uring-async", way_uring_async, "the same, made by a kernel worker"},
	{"uring-send", way_uring_send, "IORING_OP_SENDMSG with MSG_FASTOPEN, by a worker"},
	{"uring-poll", way_uring_poll, "the same, taken by the ring's polling thread"},
	{0},
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * talk.h - what the files of the program `talk` share: one dialogue with both of its ends, and the
 * ways in which its client hands bytes to the kernel.
 */
#ifndef SW_TEST_TALK_H
#define SW_TEST_TALK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define TALK_BYTES_MAX (4u << 20) /* of one step */

/* A growing row of bytes. */
struct bytes {
	uint8_t *data;
	size_t length, size;
};

void bytes_add(struct bytes *bytes, const void *data, size_t length);

/* How a dialogue ended. */
enum ending {
	GOING = 0,
	PASSED,      /* every step was done, and everything sent had arrived */
	REFUSED,     /* the client got an error, or the end of the connection */
	HELD,        /* the kernel sent it again and again, and it did not arrive */
	LOST,        /* the far side saw an end that the client did not see */
	UNCONNECTED, /* there was no connection */
	SKIPPED,     /* this kernel cannot send like that */
};

struct talk {
	struct sockaddr_storage to;
	socklen_t to_length;
	const char *control; /* of the program `answer` */
	bool mptcp, fast_open;
	char device[16];               /* bound to it; empty: none */
	unsigned int patience;         /* times that the kernel sends again before it is HELD */
	const struct sending *sending; /* the way in use */
	size_t split;                  /* its argument */

	int client, server;   /* -1: not there (yet) */
	int asking;           /* for the server's end; -1: not any more */
	uint64_t far_over_us; /* when the server's end saw the end; 0: not yet */
	uint16_t src_port;
	size_t sent, said;                   /* bytes handed over at the client, at the server */
	struct bytes arrived;                /* bytes that came to the server */
	size_t received;                     /* bytes that came to the client */
	uint32_t client_again, server_again; /* resends before this step */
	enum ending ending;
	int error; /* of REFUSED and UNCONNECTED */
};

/* Hands bytes to the kernel. 0; an error of the client's socket is kept in talk->ending. */
struct sending {
	const char *name;
	void (*send)(struct talk *talk, const uint8_t *data, size_t length);
	const char *does;
};

extern const struct sending sendings[];

/* Microseconds of a clock that only goes forward. */
uint64_t now_us(void);

/* The ends. */
void talk_open(struct talk *talk);
void talk_wait_arrived(struct talk *talk);
void talk_wait_received(struct talk *talk);
void talk_say(struct talk *talk, const uint8_t *data, size_t length);
uint32_t talk_sent_again(int fd);
void talk_hang_up(struct talk *talk);

/* Shared with the ways. */
void talk_end(struct talk *talk, enum ending ending, int error);
void talk_put(struct talk *talk, const uint8_t *data, size_t length, int flags);
void talk_put_and_wait(struct talk *talk, const uint8_t *data, size_t length, int flags);
void talk_pump(struct talk *talk, int milliseconds);
void talk_option(struct talk *talk, int level, int name, int value);

#endif

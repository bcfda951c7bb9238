/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * answer.h - what `reject "text" answer` of a host block sends a refused program to: sockets on loopback that greet
 * with "554 5.7.1 text" (RFC 5321, 3.1), let the client say QUIT, and close. One pair of sockets, of IPv4 and IPv6,
 * for each text. What a client sends is looked at letter by letter and kept nowhere.
 *
 * The ports lie in the rules of the kernel's slots. Nobody listens: the program's connect() fails, as without
 * `answer`.
 */
#ifndef SW_ANSWER_H
#define SW_ANSWER_H

#include <stdint.h>
#include <systemd/sd-event.h>

/* All clients together. Who comes when there are so many is greeted, and not waited for. */
#define SW_ANSWER_CLIENTS 64

struct sw_answers;

/* `loop` is borrowed. NULL: out of memory. */
struct sw_answers *sw_answers_new(sd_event *loop);
void sw_answers_close(struct sw_answers *answers);

struct sw_answer_ports {
	uint16_t ipv4, ipv6; /* 0: none */
};

/*
 * Listens for a text on behalf of a slot. *ports are tried first, as a policy that is in force already names them;
 * afterwards they are those in use: of a family in which there can be no socket, 0. 0 or -errno when there is
 * neither.
 */
int sw_answers_listen(struct sw_answers *answers, unsigned int slot, const char *text,
		      struct sw_answer_ports *ports);

/* The slot's policy is gone: what no other slot needs is closed. */
void sw_answers_release(struct sw_answers *answers, unsigned int slot);

unsigned int sw_answers_clients(const struct sw_answers *answers);

#endif

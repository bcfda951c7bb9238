/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store_world.h - a folder for a store, records that differ in every member, and a look at the file as
 * SQLite sees it.
 */
#ifndef STORE_WORLD_H
#define STORE_WORLD_H

#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

#include "bpf/vocabulary.h"
#include "daemon/audit/store.h"
#include "daemon/base.h"

#define SECOND 1000000000u
#define SPRING 1700000000000000000u /* when the records of the tests begin */

/* cmocka's setup and teardown of one test: *state is the folder's struct. */
struct store_world {
	char folder[64], path[96], log[128];
	char error[SW_STORE_ERROR_SIZE];
};

int store_world_new(void **state);
int store_world_free(void **state);

/* Numbers that are the same in each run. */
uint64_t store_random(uint64_t below);

/* A record whose members are random, and often those of others. Its id and time are the caller's. */
void store_record(struct sw_record *record, uint64_t id, uint64_t time_ns);

void store_equal(const struct sw_record *got, const struct sw_record *wanted);

struct sw_store *store_open(struct store_world *world, uint64_t bytes, uint64_t age_ns);
/* Adds records with ids [first, first + n), a second from one to the next, as one batch. */
int store_fill(struct store_world *world, struct sw_store *store, uint64_t first, uint64_t n);

/* The first column of the first row, of the file as another program sees it; fails the test when it
   cannot be told. */
int64_t store_ask(const struct store_world *world, const char *sql);
/* Fails when SQLite finds the file damaged. */
void store_check(const struct store_world *world);

/* How many fit; fails the test when it cannot be searched. */
uint64_t store_count(struct store_world *world, const struct sw_search *search);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is calling: users, groups, kernel workers, cgroups and units. Executables: test_executable.c. */
#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

static char self[SW_NAME_MAX]; /* this program */

/* ---- users and groups ---- */

static const uint32_t alice = 4001, bob = 4002;

static void effective_user(void **state)
{
	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_AUDIT, 0), (struct fx_row){.port = 25, .user = &alice});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	assert_return_code(seteuid(alice), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), 0);
	assert_return_code(seteuid(0), errno);
	assert_return_code(setresuid(alice, 0, 0), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
	assert_return_code(setresuid(0, 0, 0), errno);
	assert_int_equal(fx_events(), 3);
	assert_int_equal(fx_event(1)->caller.uid, alice);
	assert_int_equal(fx_event(2)->caller.uid, 0);
}

/* The C library would change every thread; the kernel changes one. */
static void user_of_a_thread(void **state)
{
	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 25, .user = &bob});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_return_code(syscall(SYS_setresuid, -1, bob, -1), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), 0);
	assert_return_code(syscall(SYS_setresuid, -1, 0, -1), errno);
	assert_int_equal(fx_try("127.0.0.1", 25), -EACCES);
}

static int try_child(void *data)
{
	(void)data;
	return -fx_try("127.0.0.1", 25);
}

static int with_groups(void *data)
{
	gid_t groups[SW_GROUPS_MAX + 1];
	const int *n = data;

	for (int i = 0; i < *n; i++)
		groups[i] = (gid_t)(5000 + i);
	if (setgroups((size_t)*n, groups))
		return 200;
	return try_child(NULL);
}

static int with_group(void *data)
{
	const gid_t *gid = data;

	if (setgroups(0, NULL) || setresgid(0, *gid, 0))
		return 200;
	return try_child(NULL);
}

static void allow_group(uint32_t gid)
{
	fx_reset(NULL);
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 25, .group = &gid});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
}

static void groups(void **state)
{
	int n = SW_GROUPS_MAX;
	gid_t gid = 5063;

	(void)state;
	allow_group(5063); /* the last of them */
	assert_int_equal(fx_child(with_groups, &n), 0);
	assert_int_equal(fx_child(with_group, &gid), 0);
	gid = 5062;
	assert_int_equal(fx_child(with_group, &gid), EACCES);
	assert_int_equal(fx_one_event()->caller.gid, 5062);
	n = 1;
	assert_int_equal(fx_child(with_groups, &n), EACCES);
}

/* More groups than are looked at: undecided, even if the effective one matches. */
static void too_many_groups(void **state)
{
	int n = SW_GROUPS_MAX + 1;

	(void)state;
	allow_group(5000);
	assert_int_equal(fx_child(with_groups, &n), EACCES);
	assert_int_equal(fx_one_event()->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(fx_event(0)->caller.flags, SW_CALLER_GROUPS_MANY);
	assert_int_equal(fx_counter(SW_COUNT_UNIDENTIFIED), 1);
}

/* ---- kernel workers ---- */

/* An additional MPTCP subflow is connected by a worker: the socket tells its owner and cgroup, the
   executable can't be known, so where a rule asks for it the subflow is refused. */
static void worker_for_a_subflow(void **state)
{
	int listener sw_autoclose = -1, client sw_autoclose = -1, server sw_autoclose = -1;
	struct fx_addr at = fx_addr("127.0.0.1", 5025);
	const struct sw_event *event;

	(void)state;
	if (system("ip mptcp limits set subflow 2 && ip mptcp endpoint add 127.0.0.2 subflow"))
		skip();
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 5025, .exe = self});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 5025});
	fx_apply();
	listener = fx_socket("127.0.0.1", SOCK_STREAM, 262 /* IPPROTO_MPTCP */);
	assert_return_code(bind(listener, (struct sockaddr *)&at.storage, at.length), errno);
	assert_return_code(listen(listener, 1), errno);
	fx_enter(0, "mta.service");
	assert_return_code(seteuid(alice), errno);
	client = fx_socket("127.0.0.1", SOCK_STREAM, 262);
	assert_int_equal(fx_connect(client, "127.0.0.1", 5025), 0);
	assert_return_code(seteuid(0), errno);
	server = accept(listener, NULL, NULL);
	assert_int_equal(send(client, "x", 1, 0), 1);
	assert_int_equal(send(server, "x", 1, 0), 1);
	assert_int_equal(fx_await_events(), 1);
	event = fx_event(0);
	assert_int_equal(event->kind, SW_EVENT_CONNECT);
	assert_int_equal(event->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(event->verdict, SW_VERDICT_REJECT);
	assert_int_equal(event->caller.flags, SW_CALLER_WORKER);
	assert_int_equal(event->caller.uid, alice);
	assert_string_equal(event->caller.cgroup, "/mta.service");
	assert_string_equal(event->caller.exe, "");
	assert_int_equal(fx_counter(SW_COUNT_ALLOWED), 1);
}

/* ---- cgroups and units ---- */

static int try_in(const char *cgroup)
{
	int result;

	fx_enter(0, cgroup);
	result = fx_try("127.0.0.1", 25);
	fx_enter(0, "");
	return result;
}

static void units(void **state)
{
	static const struct {
		const char *cgroup;
		int result;
	} cases[] = {
		{"mta.service", 0},
		{"system.slice/mta.service", 0},
		{"system.slice/mail.slice/mta.service", 0},
		{"system.slice/mta.service/worker", 0},
		{"system.slice", -EACCES},
		{"", -EACCES},
		{"mta.service2", -EACCES},
		{"user.slice/user@1000.service/app.slice/mta.service", -EACCES},
		{"user@1000.service/mta.service", -EACCES},
		{".slice/mta.service", 0},
		{"slice/mta.service", -EACCES},
	};

	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 25, .unit = "mta.service"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	for (size_t i = 0; i < sw_count(cases); i++) {
		print_message("# /%s\n", cases[i].cgroup);
		assert_int_equal(try_in(cases[i].cgroup), cases[i].result);
	}
}

static void cgroup_paths(void **state)
{
	static const struct {
		const char *rule, *cgroup;
		int result;
	} cases[] = {
		{"/a", "a", 0},
		{"/a", "a/b", 0},
		{"/a", "a/b/c", 0},
		{"/a", "ab", -EACCES},
		{"/a", "b/a", -EACCES},
		{"/a", "", -EACCES},
		{"/a/b", "a", -EACCES},
		{"/a/b", "a/b", 0},
		{"/a/b", "a/bc", -EACCES},
		{"", "", 0},
		{"", "a", 0},
		{"/a/b", "a/b/c/d", 0},
	};

	(void)state;
	for (size_t i = 0; i < sw_count(cases); i++) {
		fx_begin(1);
		fx_row(fx_rule(SW_ACTION_ALLOW, 0),
		       (struct fx_row){.port = 25, .cgroup = cases[i].rule});
		fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
		fx_apply();
		print_message("# %s/ and /%s\n", cases[i].rule, cases[i].cgroup);
		assert_int_equal(try_in(cases[i].cgroup), cases[i].result);
	}
}

/* Executable, cgroup and unit asked in one decision, in rules that need them in turn. */
static void all_dimensions(void **state)
{
	static const uint32_t root = 0;
	uint16_t rule;

	(void)state;
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25, .exe = "/none"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25, .cgroup = "/none"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25, .unit = "none"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25, .prefix = "192.0.2.0/24"});
	rule = fx_rule(SW_ACTION_ALLOW, 0);
	fx_row(rule, (struct fx_row){.port = 25,
				     .user = &root,
				     .group = &root,
				     .exe = self,
				     .unit = "mta.service",
				     .cgroup = "/system.slice",
				     .prefix = "127.0.0.0/8"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(try_in("system.slice/mta.service"), 0);
	assert_int_equal(try_in("system.slice/mtb.service"), -EACCES);
	assert_int_equal(fx_hits(1, rule), 1);
}

/* The path is too long to tell, the unit is not. */
static void cgroup_long(void **state)
{
	char path[600] = "mta.service/";
	size_t n = strlen(path);

	(void)state;
	memset(path + n, 'x', 240);
	strcpy(path + n + 240, "/y/z");
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 25, .unit = "mta.service"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(try_in(path), 0);
	fx_begin(0);
	fx_row(fx_rule(SW_ACTION_ALLOW, 0), (struct fx_row){.port = 25, .cgroup = "/mta.service"});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
	assert_int_equal(try_in(path), -EACCES);
	assert_int_equal(fx_one_event()->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(fx_event(0)->caller.flags, SW_CALLER_CGROUP_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(effective_user, fx_reset),
		cmocka_unit_test_setup(user_of_a_thread, fx_reset),
		cmocka_unit_test_setup(groups, fx_reset),
		cmocka_unit_test_setup(too_many_groups, fx_reset),
		cmocka_unit_test_setup(worker_for_a_subflow, fx_reset),
		cmocka_unit_test_setup(units, fx_reset),
		cmocka_unit_test_setup(cgroup_paths, fx_reset),
		cmocka_unit_test_setup(all_dimensions, fx_reset),
		cmocka_unit_test_setup(cgroup_long, fx_reset),
	};

	if (!fx_usable())
		return 0;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	fx_up(NULL);
	fx_listen(25);
	return cmocka_run_group_tests_name("identity", tests, NULL, fx_down);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links.h against the kernel: interfaces in network namespaces of the test's own. */
#include <errno.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/base.h"
#include "daemon/links.h"

#define LIMIT_MS 60000
#define SEEN_MAX 8192

/* What was called, in order. */
struct seen {
	bool gone;
	struct sw_link_info link;
};

static struct {
	struct seen calls[SEEN_MAX];
	size_t n;
	unsigned int overruns;
} seen;

static void on_changed(void *data, const struct sw_link_info *link)
{
	(void)data;
	if (seen.n < SEEN_MAX)
		seen.calls[seen.n++] = (struct seen){.link = *link};
}

static void on_gone(void *data, uint32_t index)
{
	(void)data;
	if (seen.n < SEEN_MAX)
		seen.calls[seen.n++] = (struct seen){.gone = true, .link.index = index};
}

static void on_overrun(void *data)
{
	(void)data;
	seen.overruns++;
}

static const struct sw_links_calls calls = {
	.changed = on_changed, .gone = on_gone, .overrun = on_overrun};

/* Runs ip(8) in this namespace. */
static void sw_printf(1, 2) ip(const char *format, ...)
{
	char command[512] = "ip ";
	va_list args;

	va_start(args, format);
	vsnprintf(command + 3, sizeof(command) - 3, format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void links_cleanup(struct sw_links **links)
{
	sw_links_close(*links);
}

#define autolinks sw_cleanup(links_cleanup)

static struct sw_links *opened(void)
{
	struct sw_links *links = NULL;
	struct sw_fault fault = {};

	seen.n = 0;
	seen.overruns = 0;
	if (sw_links_open(&calls, &links, &fault) < 0)
		fail_msg("%s", fault.text);
	return links;
}

static bool has_call(bool gone, uint32_t index, const char *name)
{
	for (size_t i = 0; i < seen.n; i++)
		if (seen.calls[i].gone == gone && seen.calls[i].link.index == index &&
		    (gone || strcmp(seen.calls[i].link.name, name) == 0))
			return true;
	return false;
}

/* Reads until the call has come. */
static void await_call(struct sw_links *links, bool gone, uint32_t index, const char *name)
{
	struct pollfd waiting = {.fd = sw_links_fd(links), .events = POLLIN};

	while (!has_call(gone, index, name)) {
		assert_int_equal(poll(&waiting, 1, LIMIT_MS), 1);
		sw_links_drain(links);
	}
}

static uint32_t index_of(const char *name)
{
	uint32_t index = if_nametoindex(name);

	assert_int_not_equal(index, 0);
	return index;
}

/* ---- tests ---- */

static const struct sw_link_info *in_list(const struct sw_link_info *list, size_t n,
					  const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i].name, name) == 0)
			return &list[i];
	fail_msg("%s is not in the list", name);
	return NULL;
}

static void test_list(void **state)
{
	sw_autofree struct sw_link_info *list = NULL;
	const struct sw_link_info *link;
	struct sw_fault fault = {};
	size_t n = 0;

	(void)state;
	ip("link add ve0 type veth peer name ve1");
	ip("link set ve0 up");
	ip("link add br0 type bridge");
	ip("tuntap add dev tun0 mode tun");
	ip("tuntap add dev tap0 mode tap");
	assert_int_equal(sw_links_list(&list, &n, &fault), 0);
	assert_int_equal(in_list(list, n, "lo")->type, ARPHRD_LOOPBACK);
	link = in_list(list, n, "ve0");
	assert_string_equal(link->kind, "veth");
	assert_int_equal(link->type, ARPHRD_ETHER);
	assert_int_equal(link->index, index_of("ve0"));
	assert_true(link->up);
	assert_false(in_list(list, n, "ve1")->up);
	assert_string_equal(in_list(list, n, "br0")->kind, "bridge");
	assert_int_equal(in_list(list, n, "tun0")->type, ARPHRD_NONE);
	assert_int_equal(in_list(list, n, "tap0")->type, ARPHRD_ETHER);
	ip("link del ve0");
	ip("link del br0");
	ip("link del tun0");
	ip("link del tap0");
}

static void test_comes_and_goes(void **state)
{
	autolinks struct sw_links *links = opened();
	uint32_t index;

	(void)state;
	ip("link add ve0 type veth peer name ve1");
	index = index_of("ve0");
	await_call(links, false, index, "ve0");
	await_call(links, false, index_of("ve1"), "ve1");
	ip("link set ve0 name tap7");
	await_call(links, false, index, "tap7");
	assert_false(has_call(true, index, NULL));
	ip("link del tap7");
	await_call(links, true, index, NULL);
	assert_int_equal(seen.overruns, 0);
}

/* In another namespace it is another interface; here it is gone. */
static void test_moves_away(void **state)
{
	autolinks struct sw_links *links = opened();
	int ready[2], go[2];
	uint32_t index;
	pid_t child;
	char byte = 0;

	(void)state;
	ip("link add ve0 type veth peer name ve1");
	index = index_of("ve0");
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (!child) {
		close(go[1]);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], &byte, 1) != 1)
			_exit(1);
		/* Until the other side closes. */
		_exit(read(go[0], &byte, 1) != 0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	ip("link set ve0 netns %d", (int)child);
	await_call(links, true, index, NULL);
	close(go[1]);
	close(go[0]);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

/* A bridge says of a port that leaves it what the kernel says of an interface that goes. */
static void test_bridge_port_stays(void **state)
{
	autolinks struct sw_links *links = NULL;
	uint32_t index;

	(void)state;
	ip("link add br0 type bridge");
	ip("link add ve0 type veth peer name ve1");
	index = index_of("ve0");
	ip("link set ve0 master br0");
	links = opened();
	ip("link set ve0 nomaster");
	ip("link set ve0 name ve9");
	await_call(links, false, index, "ve9");
	assert_false(has_call(true, index, NULL));
	ip("link del ve9");
	ip("link del br0");
}

/* More messages than there is room for: told once, and what comes later is told as ever. */
static void test_overrun(void **state)
{
	autolinks struct sw_links *links = opened();
	static const int little = 1;
	uint32_t index;

	(void)state;
	assert_int_equal(
		setsockopt(sw_links_fd(links), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
	for (int i = 0; i < 20; i++)
		ip("link add ve%da type veth peer name ve%db", i, i);
	sw_links_drain(links);
	assert_int_equal(seen.overruns, 1);
	ip("link set ve0a name again");
	index = index_of("again");
	sw_links_drain(links);
	assert_true(has_call(false, index, "again") || seen.overruns > 1);
	for (int i = 1; i < 20; i++)
		ip("link del ve%da", i);
	ip("link del again");
}

/* A thousand that come, each with its peer, are renamed and go: of each all three are told. */
static void test_a_thousand(void **state)
{
	autolinks struct sw_links *links = opened();
	unsigned int made = 0, gone = 0, renamed = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		FILE *batch = popen("ip -batch -", "w");

		assert_non_null(batch);
		for (int j = 0; j < 10; j++)
			fprintf(batch,
				"link add many%d type veth peer name end%d\n"
				"link set many%d name tap%d\nlink del tap%d\n",
				j, j, j, j, j);
		assert_int_equal(pclose(batch), 0);
		sw_links_drain(links);
	}
	assert_int_equal(seen.overruns, 0);
	for (size_t i = 0; i < seen.n; i++) {
		const struct seen *one = &seen.calls[i];

		gone += one->gone;
		renamed += !one->gone && strncmp(one->link.name, "tap", 3) == 0;
		made += !one->gone && strncmp(one->link.name, "many", 4) == 0;
	}
	assert_int_equal(gone, 2000);
	assert_true(made >= 1000);
	assert_true(renamed >= 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),       cmocka_unit_test(test_comes_and_goes),
		cmocka_unit_test(test_moves_away), cmocka_unit_test(test_bridge_port_stays),
		cmocka_unit_test(test_overrun),    cmocka_unit_test(test_a_thousand),
	};

	if (unshare(CLONE_NEWNET) < 0) {
		printf("1..0 # SKIP no network namespace of its own: %s\n", strerror(errno));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

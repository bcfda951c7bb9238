/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose executable calls: links, copies, upgrades, long paths, and names borrowed in namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base.h"
#include "tests/prog/fixture.h"

static char self[SW_NAME_MAX]; /* this program */
static char work[64];          /* folder of this test's files, on the root filesystem */

/* ---- files ---- */

static void path_in_work(char path[static 512], const char *name)
{
	snprintf(path, 512, "%s/%s", work, name);
}

static int make_work(void)
{
	struct stat root, tmp;
	int same = !stat("/", &root) && !stat("/tmp", &tmp) && root.st_dev == tmp.st_dev;

	snprintf(work, sizeof(work), "%s/smtpwall-test-XXXXXX", same ? "/tmp" : "/var");
	return !mkdtemp(work) || chmod(work, 0755);
}

static void copy_self(const char *to)
{
	int in sw_autoclose = open(self, O_RDONLY | O_CLOEXEC);
	int out sw_autoclose = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	char buffer[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(out, buffer, (size_t)n), n);
	assert_return_code(fchmod(out, 0755), errno);
}

/* ---- what a child does: prepare, then become a program that connects ---- */

struct run {
	const char *path;           /* executed */
	const char *argument;       /* "connect", "unlink" or "replace" */
	int (*prepare)(void *data); /* in the child; NULL: nothing */
	void *data;
	int fd; /* executed instead of path when it is not 0 */
};

static int become(void *data)
{
	const struct run *run = data;
	char *const argv[] = {(char *)"self", (char *)run->argument, (char *)run->path, NULL};
	char *const none[] = {NULL};

	if (run->prepare && run->prepare(run->data))
		return 200;
	if (run->fd)
		fexecve(run->fd, argv, none);
	else
		execve(run->path, argv, none);
	return 201;
}

/* errno of the connect that the program at `path` makes, 0: none. */
static int connect_as(const char *path)
{
	struct run run = {.path = path, .argument = "connect"};

	return fx_child(become, &run);
}

/* The program's other life: does what it is told to its own file, then connects. */
static int connect_main(const char *what, const char *path)
{
	char fresh[600];

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	if (!strcmp(what, "unlink") && unlink(path))
		return 202;
	if (!strcmp(what, "replace") && rename(fresh, path))
		return 203;
	return -fx_try("127.0.0.1", 25);
}

/* Only this executable may; the action audit lets an event tell what was seen. */
static void allow_exe(const char *path)
{
	fx_reset(NULL);
	fx_begin(1);
	fx_row(fx_rule(SW_ACTION_AUDIT, 0), (struct fx_row){.port = 25, .exe = path});
	fx_row(fx_rule(SW_ACTION_REJECT, 0), (struct fx_row){.port = 25});
	fx_apply();
}

/* ---- executables ---- */

static void exe_links_and_copies(void **state)
{
	char file[512], copy[512], symbolic[512], hard[512];

	(void)state;
	path_in_work(file, "mta");
	path_in_work(copy, "copy");
	path_in_work(symbolic, "symbolic");
	path_in_work(hard, "hard");
	copy_self(file);
	copy_self(copy);
	assert_return_code(symlink(file, symbolic), errno);
	assert_return_code(link(file, hard), errno);
	allow_exe(file);
	assert_int_equal(connect_as(file), 0);
	assert_string_equal(fx_one_event()->caller.exe, file);
	assert_int_equal(connect_as(copy), EACCES);
	assert_string_equal(fx_one_event()->caller.exe, copy);
	assert_int_equal(connect_as(symbolic), 0);
	assert_string_equal(fx_one_event()->caller.exe, file);
	assert_int_equal(connect_as(hard), EACCES);
	assert_string_equal(fx_one_event()->caller.exe, hard);
	allow_exe(hard);
	assert_int_equal(connect_as(hard), 0);
	assert_int_equal(connect_as(file), EACCES);
}

/* An upgrade replaces the file of a running server: it keeps its name, with a flag. */
static void exe_deleted_or_replaced(void **state)
{
	char file[512], fresh[512];
	struct run run = {.path = file};

	(void)state;
	path_in_work(file, "upgraded");
	path_in_work(fresh, "upgraded.new");
	allow_exe(file);
	copy_self(file);
	run.argument = "unlink";
	assert_int_equal(fx_child(become, &run), 0);
	assert_int_equal(fx_one_event()->caller.flags, SW_CALLER_EXE_DELETED);
	assert_string_equal(fx_event(0)->caller.exe, file);
	copy_self(file);
	copy_self(fresh);
	run.argument = "replace";
	assert_int_equal(fx_child(become, &run), 0);
	assert_int_equal(fx_one_event()->caller.flags, SW_CALLER_EXE_DELETED);
	assert_int_equal(connect_as(file), 0);
	assert_int_equal(fx_one_event()->caller.flags, 0);
}

/* A path that just fits, one that does not, one of many short names. */
static void exe_long(void **state)
{
	char path[1200], deep[1200];
	size_t n;

	(void)state;
	n = (size_t)snprintf(path, sizeof(path), "%s/", work);
	memset(path + n, 'x', 200);
	path[n + 200] = 0;
	assert_return_code(mkdir(path, 0755), errno);
	n += 200;
	path[n++] = '/';
	memset(path + n, 'y', 600);
	path[SW_NAME_MAX - 1] = 0;
	copy_self(path);
	allow_exe(path);
	assert_int_equal(connect_as(path), 0);
	path[SW_NAME_MAX - 1] = 'y';
	path[SW_NAME_MAX] = 0;
	copy_self(path);
	assert_int_equal(connect_as(path), EACCES);
	assert_int_equal(fx_events(), 2);
	assert_int_equal(fx_event(1)->reason, SW_REASON_UNIDENTIFIED);
	assert_int_equal(fx_event(1)->caller.flags, SW_CALLER_EXE_LONG);
	assert_int_equal(fx_counter(SW_COUNT_UNIDENTIFIED), 1);

	n = (size_t)snprintf(deep, sizeof(deep), "%s", work);
	while (n < SW_NAME_MAX - 4) {
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/d");
		assert_return_code(mkdir(deep, 0755), errno);
	}
	snprintf(deep + n, sizeof(deep) - n, "/e");
	copy_self(deep);
	allow_exe(deep);
	assert_int_equal(connect_as(deep), 0);
	assert_string_equal(fx_one_event()->caller.exe, deep);
}

/* The path leads through mounts of the host. */
static void exe_on_mounts(void **state)
{
	char one[512], two[600], file[700], seen[512];

	(void)state;
	path_in_work(one, "mount");
	snprintf(two, sizeof(two), "%s/inner", one);
	snprintf(file, sizeof(file), "%s/mta", two);
	assert_return_code(mkdir(one, 0755), errno);
	assert_return_code(mount("none", one, "tmpfs", 0, NULL), errno);
	assert_return_code(mkdir(two, 0755), errno);
	assert_return_code(mount("none", two, "tmpfs", 0, NULL), errno);
	copy_self(file);
	allow_exe(file);
	assert_int_equal(connect_as(file), 0);
	snprintf(seen, sizeof(seen), "%s", fx_one_event()->caller.exe);
	umount2(two, MNT_DETACH);
	umount2(one, MNT_DETACH);
	assert_string_equal(seen, file);
}

/* ---- borrowed names ---- */

struct borrow {
	const char *real, *fake; /* fake is bound over real */
	int flags;               /* of unshare() */
};

static int write_file(const char *path, const char *text)
{
	int fd sw_autoclose = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0;
}

/* New namespaces whose mounts nobody else sees. */
static int own_namespaces(int flags)
{
	if (unshare(flags))
		return 1;
	if (flags & CLONE_NEWUSER && (write_file("/proc/self/setgroups", "deny") ||
				      write_file("/proc/self/uid_map", "0 0 1") ||
				      write_file("/proc/self/gid_map", "0 0 1")))
		return 1;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

static int bind_over(void *data)
{
	const struct borrow *borrow = data;

	return own_namespaces(borrow->flags) ||
	       mount(borrow->fake, borrow->real, NULL, MS_BIND, NULL);
}

/* A fake started under the real one's name has the name of where it lies. */
static void exe_bound_over(void **state)
{
	static const int flags[] = {CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER};
	char real[512], fake[512];

	(void)state;
	path_in_work(real, "real");
	path_in_work(fake, "fake");
	copy_self(real);
	copy_self(fake);
	allow_exe(real);
	for (size_t i = 0; i < 2; i++) {
		struct borrow borrow = {real, fake, flags[i]};
		struct run run = {real, "connect", bind_over, &borrow, 0};

		assert_int_equal(fx_child(become, &run), EACCES);
		assert_int_equal(fx_one_event()->reason, SW_REASON_NOT_PERMITTED);
		assert_int_equal(fx_event(0)->caller.flags, 0);
		assert_string_equal(fx_event(0)->caller.exe, fake);
	}
	assert_int_equal(connect_as(real), 0);
}

/* A filesystem of one's own over the real one's folder, with a fake of the same name in it. */
static int mount_over(void *data)
{
	const struct borrow *borrow = data;
	char path[600];

	if (own_namespaces(borrow->flags) || mount("none", borrow->real, "tmpfs", 0, NULL))
		return 1;
	snprintf(path, sizeof(path), "%s/mta", borrow->real);
	copy_self(path);
	return 0;
}

static void exe_on_a_private_filesystem(void **state)
{
	static const int flags[] = {CLONE_NEWNS, CLONE_NEWNS | CLONE_NEWUSER};
	char folder[512], file[600];

	(void)state;
	path_in_work(folder, "folder");
	snprintf(file, sizeof(file), "%s/mta", folder);
	assert_return_code(mkdir(folder, 0755), errno);
	copy_self(file);
	allow_exe(file);
	for (size_t i = 0; i < 2; i++) {
		struct borrow borrow = {folder, NULL, flags[i]};
		struct run run = {file, "connect", mount_over, &borrow, 0};

		assert_int_equal(fx_child(become, &run), EACCES);
		assert_int_equal(fx_one_event()->caller.flags, SW_CALLER_EXE_FOREIGN);
		assert_string_equal(fx_event(0)->caller.exe, "/mta");
		allow_exe("/mta");
		assert_int_equal(fx_child(become, &run), EACCES);
		allow_exe(file);
	}
	assert_int_equal(connect_as(file), 0);
}

static int hold(void *data)
{
	if (bind_over(data))
		return 1;
	raise(SIGSTOP);
	return 0;
}

/* From the host's own namespace a file of somebody's private one is started, by way of /proc. */
static void exe_through_proc(void **state)
{
	char real[512], fake[512], path[700];
	struct borrow borrow = {real, fake, CLONE_NEWNS};
	int status, result;
	pid_t pid;

	(void)state;
	path_in_work(real, "real2");
	path_in_work(fake, "fake2");
	copy_self(real);
	copy_self(fake);
	allow_exe(real);
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(hold(&borrow));
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, real);
	result = connect_as(path);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	assert_int_equal(result, EACCES);
	assert_string_equal(fx_one_event()->caller.exe, fake);
}

static int private_mounts(void *data)
{
	(void)data;
	return unshare(CLONE_NEWNS);
}

/* The host's file keeps its name in a private namespace, whichever mount it is started from. */
static void exe_of_the_host_elsewhere(void **state)
{
	char file[512];
	struct run run = {file, "connect", private_mounts, NULL, 0};

	(void)state;
	path_in_work(file, "elsewhere");
	copy_self(file);
	allow_exe(file);
	assert_int_equal(fx_child(become, &run), 0);
	assert_int_equal(fx_one_event()->caller.flags, 0);
	run.fd = open(file, O_RDONLY);
	assert_true(run.fd >= 0);
	assert_int_equal(fx_child(become, &run), 0);
	close(run.fd);
}

/* A file that is nowhere. */
static void exe_in_memory(void **state)
{
	struct run run = {"", "connect", NULL, NULL, memfd_create("mta", 0)};
	int in sw_autoclose = open(self, O_RDONLY | O_CLOEXEC);
	char buffer[65536];
	ssize_t n;

	(void)state;
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		assert_int_equal(write(run.fd, buffer, (size_t)n), n);
	allow_exe("/memfd:mta");
	assert_int_equal(fx_child(become, &run), EACCES);
	assert_true(fx_one_event()->caller.flags & SW_CALLER_EXE_FOREIGN);
	assert_string_equal(fx_event(0)->caller.exe, "/memfd:mta");
	close(run.fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(exe_links_and_copies, fx_reset),
		cmocka_unit_test_setup(exe_deleted_or_replaced, fx_reset),
		cmocka_unit_test_setup(exe_long, fx_reset),
		cmocka_unit_test_setup(exe_on_mounts, fx_reset),
		cmocka_unit_test_setup(exe_bound_over, fx_reset),
		cmocka_unit_test_setup(exe_on_a_private_filesystem, fx_reset),
		cmocka_unit_test_setup(exe_through_proc, fx_reset),
		cmocka_unit_test_setup(exe_of_the_host_elsewhere, fx_reset),
		cmocka_unit_test_setup(exe_in_memory, fx_reset),
	};
	char command[128];
	int failed;

	if (argc == 3)
		return connect_main(argv[1], argv[2]);
	if (!fx_usable())
		return 0;
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	if (make_work())
		return 1;
	fx_up(NULL);
	fx_listen(25);
	failed = cmocka_run_group_tests_name("executable", tests, NULL, fx_down);
	snprintf(command, sizeof(command), "rm -rf %s", work);
	return system(command) ? 1 : failed;
}

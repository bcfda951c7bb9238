/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc says about a process, from texts and from the test program itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ctl/process.h"
#include "daemon/base.h"

static void test_ids(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;

	(void)state;
	assert_int_equal(sw_process_ids("Name:\tUid: 1 2\nUid:\t1\t33\t3\t4\nGid:\t5\t6\t7\t8\n"
					"Groups:\t4 24 4294967294 \nNStgid:\t99\n",
					&process),
			 0);
	assert_int_equal(process.uid, 33);
	assert_int_equal(process.gid, 6);
	assert_int_equal(process.n_groups, 3);
	assert_int_equal(process.groups[1], 24);
	assert_int_equal(process.groups[2], 4294967294u);
}

static void test_no_groups(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;

	(void)state;
	assert_int_equal(
		sw_process_ids("Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\n99\n", &process), 0);
	assert_int_equal(process.n_groups, 0);
}

static void test_bad_status(void **state)
{
	static const char *const bad[] = {
		"",
		"Uid:\t1\t2\n",
		"Uid:\t1\nGid:\t1\t1\nGroups:\t\n",
		"Uid:\t1\t2\t3\t4\nGid:\t1\t2\t3\t4\n",
	};

	(void)state;
	for (size_t i = 0; i < sw_count(bad); i++) {
		sw_autoprocess struct sw_process process = SW_PROCESS_NONE;

		assert_int_equal(sw_process_ids(bad[i], &process), -EBADMSG);
	}
}

static void test_cgroup_line(void **state)
{
	sw_autofree char *v2 = sw_process_cgroup("9:name=systemd:/x\n0::/system.slice/a.service\n");
	sw_autofree char *root = sw_process_cgroup("0::/");
	sw_autofree char *none = sw_process_cgroup("9:name=systemd:/x\n10::/y\n");

	(void)state;
	assert_string_equal(v2, "/system.slice/a.service");
	assert_string_equal(root, "/");
	assert_null(none);
}

static void test_below(void **state)
{
	(void)state;
	assert_string_equal(sw_path_below("/a/b", "/"), "/a/b");
	assert_string_equal(sw_path_below("/", "/"), "/");
	assert_string_equal(sw_path_below("/a/b", "/a"), "/b");
	assert_string_equal(sw_path_below("/a", "/a"), "/");
	assert_null(sw_path_below("/ab", "/a"));
	assert_null(sw_path_below("/", "/a"));
	assert_null(sw_path_below("/../b", "/a"));
}

static const char mounts[] =
	"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
	"30 27 0:26 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n"
	"31 30 0:27 / /sys/fs/cgroup/unified rw shared:1 master:2 - cgroup2 cgroup2 rw\n"
	"32 27 0:27 /sub /mnt/with\\040space rw - cgroup2 cgroup2 rw\n";

static void test_mounts(void **state)
{
	sw_autofree char *root = sw_cgroup_of_folder(mounts, "/sys/fs/cgroup/unified");
	sw_autofree char *child = sw_cgroup_of_folder(mounts, "/sys/fs/cgroup/unified/a/b");
	sw_autofree char *bound = sw_cgroup_of_folder(mounts, "/mnt/with space/c");
	sw_autofree char *bound_root = sw_cgroup_of_folder(mounts, "/mnt/with space");
	sw_autofree char *none = sw_cgroup_of_folder(mounts, "/sys/fs/cgroup/unifiedx");

	(void)state;
	assert_string_equal(root, "/");
	assert_string_equal(child, "/a/b");
	assert_string_equal(bound, "/sub/c");
	assert_string_equal(bound_root, "/sub");
	assert_null(none);
	assert_true(sw_mount_listed(mounts, 30));
	assert_false(sw_mount_listed(mounts, 27));
	assert_false(sw_mount_listed(mounts, 3));
}

/* The host: /usr/local is a file system of its own. */
static const char host_mounts[] = "22 27 0:21 / /proc rw - proc proc rw\n"
				  "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
				  "29 27 254:1 / /usr/local rw - ext4 /dev/vdb rw\n"
				  "44 27 0:99 / / rw - tmpfs over-it rw\n";

/* A service: copies of the host's mounts, files and folders bound over others, a tmpfs. */
static const char service_mounts[] =
	"127 101 254:0 / / ro,relatime master:1 - ext4 /dev/vda rw\n"
	"122 127 0:21 / /proc rw - proc proc rw\n"
	"129 127 254:1 / /usr/local rw - ext4 /dev/vdb rw\n"
	"130 127 254:0 /home/eve/fake /usr/sbin/exim4 rw - ext4 /dev/vda rw\n"
	"131 127 254:0 /home/eve /mnt/a\\040b rw - ext4 /dev/vda rw\n"
	"132 127 0:50 / /opt rw - tmpfs tmpfs rw\n"
	"133 127 254:0 /home/eve/gone//deleted /usr/sbin/smtpd rw - ext4 /dev/vda rw\n";

static void host_name_is(uint64_t id, const char *path, int result, const char *expected)
{
	sw_autofree char *name = NULL;

	assert_int_equal(sw_host_name(service_mounts, id, path, host_mounts, &name), result);
	if (expected)
		assert_string_equal(name, expected);
	else
		assert_null(name);
}

static void test_host_name(void **state)
{
	(void)state;
	host_name_is(127, "/usr/sbin/exim4", 0, "/usr/sbin/exim4");
	host_name_is(130, "/usr/sbin/exim4", 0, "/home/eve/fake");
	host_name_is(131, "/mnt/a b/bin/mta", 0, "/home/eve/bin/mta");
	host_name_is(133, "/usr/sbin/smtpd", 0, "/home/eve/gone");
	host_name_is(129, "/usr/local/sbin/mta", -EXDEV, NULL);
	host_name_is(132, "/opt/mta", -EXDEV, NULL);
	/* No such mount, or not the file's. */
	host_name_is(27, "/usr/sbin/exim4", -ENOENT, NULL);
	host_name_is(131, "/usr/sbin/exim4", -ENOENT, NULL);
}

/* The host's root folder is a folder of its file system. */
static void test_host_name_below_a_folder(void **state)
{
	static const char host[] = "27 1 0:30 /@root / rw - btrfs /dev/vda rw,subvol=/@root\n";
	static const char theirs[] = "127 101 0:30 /@root / rw - btrfs /dev/vda rw\n"
				     "128 127 0:30 /@home /home rw - btrfs /dev/vda rw\n"
				     "129 127 0:30 / /top rw - btrfs /dev/vda rw\n";
	sw_autofree char *same = NULL, *top = NULL, *outside = NULL;

	(void)state;
	assert_int_equal(sw_host_name(theirs, 127, "/usr/sbin/mta", host, &same), 0);
	assert_string_equal(same, "/usr/sbin/mta");
	assert_int_equal(sw_host_name(theirs, 129, "/top/@root/usr/sbin/mta", host, &top), 0);
	assert_string_equal(top, "/usr/sbin/mta");
	assert_int_equal(sw_host_name(theirs, 128, "/home/eve/mta", host, &outside), -EXDEV);
	assert_int_equal(sw_host_name(theirs, 127, "/usr/sbin/mta", "", &outside), -ENOENT);
	assert_null(outside);
}

static void test_self(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	(void)state;
	assert_true(n > 0);
	exe[n] = '\0';
	assert_int_equal(sw_process_read(getpid(), &process), 0);
	assert_string_equal(process.exe, exe);
	assert_int_equal(process.uid, geteuid());
	assert_int_equal(process.gid, getegid());
	assert_int_equal(process.n_groups, getgroups(0, NULL));
	assert_false(process.exe_deleted);
}

static void test_no_such_process(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(sw_process_read(pid, &process), -ESRCH);
}

/* Copies this program, so that it can be removed while it runs. */
static void copy_self(const char *path)
{
	sw_autofclose FILE *from = fopen("/proc/self/exe", "re"), *to = fopen(path, "we");
	char bytes[65536];
	size_t n;

	assert_non_null(from);
	assert_non_null(to);
	while ((n = fread(bytes, 1, sizeof(bytes), from)))
		assert_int_equal(fwrite(bytes, 1, n, to), n);
	assert_int_equal(fchmod(fileno(to), 0700), 0);
}

/* The copy runs as "wait": it closes its output when it has started and ends with its input. With
   `over` it runs in a mount namespace of its own, bound over that file and under its name. */
static pid_t start_copy(const char *path, const char *over, int *input)
{
	int to[2], from[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(pipe2(from, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		dup2(to[0], STDIN_FILENO);
		dup2(from[1], STDOUT_FILENO);
		if (over &&
		    (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		     mount(path, over, NULL, MS_BIND, NULL)))
			_exit(126);
		execl(over ? over : path, path, "wait", (char *)NULL);
		_exit(127);
	}
	close(to[0]);
	close(from[1]);
	assert_int_equal(read(from[0], &byte, 1), 0);
	close(from[0]);
	*input = to[1];
	return pid;
}

static void test_deleted_program(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;
	char path[64];
	int input;
	pid_t pid;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/test_ctl_process.%d", (int)getpid());
	copy_self(path);
	pid = start_copy(path, NULL, &input);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(sw_process_read(pid, &process), 0);
	close(input);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_string_equal(process.exe, path);
	assert_true(process.exe_deleted);
}

static void test_program_bound_over_another(void **state)
{
	sw_autoprocess struct sw_process process = SW_PROCESS_NONE;
	struct stat file, root;
	char path[64], over[80];
	int input, status;
	pid_t pid;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/test_ctl_process.%d", (int)getpid());
	snprintf(over, sizeof(over), "%s.over", path);
	copy_self(path);
	copy_self(over);
	assert_return_code(stat(path, &file), errno);
	assert_return_code(stat("/", &root), errno);
	pid = start_copy(path, over, &input);
	assert_int_equal(sw_process_read(pid, &process), 0);
	close(input);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	unlink(path);
	unlink(over);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 126)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(process.exe_foreign, file.st_dev != root.st_dev);
	if (process.exe_foreign)
		assert_null(process.exe);
	else
		assert_string_equal(process.exe, path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_no_groups),
		cmocka_unit_test(test_bad_status),
		cmocka_unit_test(test_cgroup_line),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_host_name),
		cmocka_unit_test(test_host_name_below_a_folder),
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_no_such_process),
		cmocka_unit_test(test_deleted_program),
		cmocka_unit_test(test_program_bound_over_another),
	};

	if (argc == 2 && !strcmp(argv[1], "wait")) {
		close(STDOUT_FILENO);
		return getchar() == EOF ? 0 : 1;
	}
	return cmocka_run_group_tests_name("ctl_process", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/place.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/base.h"
#include "tests/bench/pair.h"

#define WORDS_MAX 32
#define MAPS_MAX 128

static struct {
	pid_t owner, daemon, probe;
	int notify;             /* what sd_notify() of the daemon writes to */
	char build[PATH_MAX];   /* where smtpwalld and smtpwall are */
	char cgroups[PATH_MAX]; /* where cgroup2 is mounted */
	char folder[64], cgroup[PATH_MAX + 64];
	volatile struct place_probe *shared;
} place = {.notify = -1};

const char *place_path(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int next;
	char *path = paths[next++ % sw_count(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", place.folder, name);
	return path;
}

/* ---- up and down ---- */

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char below[PATH_MAX];

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(below, sizeof(below), "%.3000s/%s", path, entry->d_name);
		if (unlink(below) < 0 && errno == EISDIR)
			remove_folder(below);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static void remove_cgroup(const char *path)
{
	char below[PATH_MAX + 128];

	snprintf(below, sizeof(below), "%s/clients", path);
	rmdir(below);
	rmdir(path);
}

/* What a benchmark that was killed left in `where`. */
static void sweep(const char *where, void (*drop)(const char *path))
{
	DIR *dir = opendir(where);

	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		char path[PATH_MAX];
		int pid;

		if (sscanf(entry->d_name, "smtpwall-bench-%d", &pid) != 1 || kill(pid, 0) == 0 ||
		    errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%.3000s/%s", where, entry->d_name);
		drop(path);
	}
	if (dir)
		closedir(dir);
}

void place_down(void)
{
	if (place.owner != getpid())
		return;
	place.owner = 0;
	place_probe_stop();
	place_daemon_end(SIGKILL);
	umount2(place_path("bpf"), MNT_DETACH);
	remove_folder(place.folder);
	remove_cgroup(place.cgroup);
}

void place_fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	place_down();
	_exit(1);
}

static void on_signal(int number)
{
	(void)number;
	place_down();
	_exit(1);
}

static bool find_cgroups(void)
{
	sw_autofclose FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[1024], type[64];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %1000s %63s", place.cgroups, type) == 2 &&
		    !strcmp(type, "cgroup2"))
			return true;
	return false;
}

/* The programs stand two folders above this one. */
static bool find_build(void)
{
	ssize_t n = readlink("/proc/self/exe", place.build, sizeof(place.build) - 1);
	char path[PATH_MAX + 16];

	for (int i = 0; n > 0 && i < 3; i++) {
		place.build[n] = '\0';
		n = strrchr(place.build, '/') - place.build;
	}
	place.build[n > 0 ? n : 0] = '\0';
	snprintf(path, sizeof(path), "%s/smtpwalld", place.build);
	return access(path, X_OK) == 0;
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		place_fail(path);
}

static void bring_loopback_up(void)
{
	int fd sw_autoclose = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		place_fail("loopback");
}

static void listen_for_ready(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", place_path("notify"));
	place.notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (place.notify < 0 || bind(place.notify, (struct sockaddr *)&to, sizeof(to)) < 0)
		place_fail("notify socket");
	setenv("NOTIFY_SOCKET", to.sun_path, 1);
}

bool place_up(void)
{
	const struct sigaction act = {.sa_handler = on_signal};

	if (geteuid() != 0 || !find_cgroups() || !find_build()) {
		fputs("smtpwalld is not measured: that needs root, cgroup2 and the built "
		      "programs\n",
		      stderr);
		return false;
	}
	place.owner = getpid();
	snprintf(place.folder, sizeof(place.folder), "/tmp/smtpwall-bench-%d", getpid());
	snprintf(place.cgroup, sizeof(place.cgroup), "%s/smtpwall-bench-%d", place.cgroups,
		 getpid());
	sweep("/tmp", remove_folder);
	sweep(place.cgroups, remove_cgroup);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		place_fail("namespaces");
	make_folder(place.folder);
	make_folder(place.cgroup);
	for (const char *const *name = (const char *const[]){"bpf", "run", "state", NULL}; *name;
	     name++)
		make_folder(place_path(*name));
	if (mount("bpf", place_path("bpf"), "bpf", 0, NULL) < 0)
		place_fail("bpffs");
	bring_loopback_up();
	listen_for_ready();
	return true;
}

/* ---- policies ---- */

static FILE *create(const char *name)
{
	FILE *file = fopen(place_path(name), "we");

	if (!file)
		place_fail(name);
	return file;
}

void place_write(const char *name, const char *text)
{
	sw_autofclose FILE *file = create(name);

	fputs(text, file);
}

/* None of them is loopback's. */
static void write_list(unsigned int prefixes)
{
	sw_autofclose FILE *file = create("list");

	for (unsigned int i = 0; i < prefixes; i += 2)
		fprintf(file, "10.%u.%u.%u\n2001:db8:a:%x:%x::/80\n", i / 65536 % 256,
			i / 256 % 256, i % 256, i / 65536, i % 65536);
}

void place_policy(const char *name, unsigned int rules, unsigned int prefixes, bool edge)
{
	sw_autofclose FILE *file = create(name);
	unsigned int n = 1;

	fputs("mode enforce\n", file);
	if (prefixes) {
		write_list(prefixes);
		fputs("net list = { file \"list\" }\n", file);
	}
	if (edge) {
		fprintf(file, "edge \"lo\" {\n port 25 {\n %sreject\n }\n}\n",
			prefixes ? "allow from list\n " : "");
		n += prefixes ? 2 : 1;
	}
	fputs("host {\n port 25 {\n", file);
	if (prefixes && n++ < rules)
		fputs("  allow to list\n", file);
	for (; n < rules; n++)
		fprintf(file, "  allow from user %u to 192.0.2.%u\n", 1000 + n, n % 256);
	fputs("  reject\n }\n}\n", file);
}

/* ---- the daemon ---- */

static void program_path(char path[PATH_MAX + 16], const char *name)
{
	snprintf(path, PATH_MAX + 16, "%s/%s", place.build, name);
}

static void execute(const char *name, const char *const *first, const char *const *more)
{
	const char *words[WORDS_MAX] = {name};
	char path[PATH_MAX + 16];
	size_t n = 1;

	for (; first && *first && n < WORDS_MAX - 1; first++)
		words[n++] = *first;
	for (; more && *more && n < WORDS_MAX - 1; more++)
		words[n++] = *more;
	program_path(path, name);
	execv(path, (char *const *)words);
	_exit(127);
}

/* What is said goes to the log, which is shown when something failed. */
static void silence(void)
{
	char log[PATH_MAX];
	int null = open("/dev/null", O_RDWR), to;

	/* not place_path(): the words to be executed are in its hands */
	snprintf(log, sizeof(log), "%s/log", place.folder);
	to = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	dup2(null, 0);
	dup2(to < 0 ? null : to, 1);
	dup2(to < 0 ? null : to, 2);
}

static void show_log(void)
{
	sw_autofclose FILE *log = fopen(place_path("log"), "re");
	char line[1024];

	while (log && fgets(line, sizeof(line), log))
		fputs(line, stderr);
}

static void wait_for_ready(pid_t pid)
{
	struct pollfd fd = {.fd = place.notify, .events = POLLIN};

	for (;;) {
		char text[4096];
		ssize_t n;

		if (poll(&fd, 1, 1000) == 0 && waitpid(pid, NULL, WNOHANG) == pid) {
			show_log();
			place.daemon = 0;
			place_fail("smtpwalld did not come up");
		}
		n = recv(place.notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		text[n > 0 ? n : 0] = '\0';
		if (strstr(text, "READY=1"))
			return;
	}
}

pid_t place_daemon(const char *const *options, uint64_t *ready_ns)
{
	const char *const words[] = {"--policy",    place_path("policy"),
				     "--cgroup",    place.cgroup,
				     "--run-dir",   place_path("run"),
				     "--state-dir", place_path("state"),
				     "--pin-dir",   NULL,
				     NULL};
	char pins[PATH_MAX];
	const char *all[sw_count(words)];
	uint64_t began;

	memcpy(all, words, sizeof(all));
	snprintf(pins, sizeof(pins), "%s", place_path("bpf/pin"));
	all[sw_count(all) - 2] = pins;
	began = pair_now();
	place.daemon = fork();
	if (place.daemon < 0)
		place_fail("fork");
	if (!place.daemon) {
		silence();
		execute("smtpwalld", all, options);
	}
	wait_for_ready(place.daemon);
	if (ready_ns)
		*ready_ns = pair_now() - began;
	return place.daemon;
}

/* A socket takes a few only, and then whoever tells waits. */
static void forget_what_it_told(void)
{
	while (place.notify >= 0 && recv(place.notify, (char[4096]){}, 4096, MSG_DONTWAIT) >= 0)
		;
}

void place_daemon_end(int signal)
{
	if (place.daemon <= 0)
		return;
	kill(place.daemon, signal);
	waitpid(place.daemon, NULL, 0);
	place.daemon = 0;
	forget_what_it_told();
}

static void run(const char *name, const char *const *first, const char *const *more)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		silence();
		execute(name, first, more);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
		show_log();
		errno = 0;
		place_fail(name);
	}
}

void place_detach(void)
{
	const char *const words[] = {"--detach",  "--run-dir",           place_path("run"),
				     "--pin-dir", place_path("bpf/pin"), NULL};

	run("smtpwalld", words, NULL);
}

uint64_t place_command(const char *const *words)
{
	const char *const first[] = {"--run-dir", place_path("run"), NULL};
	uint64_t began;

	forget_what_it_told();
	began = pair_now();
	run("smtpwall", first, words);
	return pair_now() - began;
}

/* ---- who connects ---- */

static void enter_clients(void)
{
	char path[PATH_MAX + 128];
	int fd;

	snprintf(path, sizeof(path), "%s/clients", place.cgroup);
	mkdir(path, 0755);
	strcat(path, "/cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "0") < 0)
		_exit(1);
	close(fd);
}

/* Nobody listens: what is not refused by us is by the kernel's TCP. */
static void connect_for_ever(volatile struct place_probe *probe)
{
	const struct sockaddr_in to = {.sin_family = AF_INET,
				       .sin_port = htons(25),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	while (!probe->stop) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 && errno == EACCES) {
			if (!probe->first_refused_ns)
				probe->first_refused_ns = pair_now();
			probe->refused++;
		} else {
			probe->undecided++;
		}
		close(fd);
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
}

volatile struct place_probe *place_probe_start(void)
{
	place.shared = mmap(NULL, sizeof(*place.shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (place.shared == MAP_FAILED)
		place_fail("mmap");
	place.probe = fork();
	if (place.probe < 0)
		place_fail("fork");
	if (!place.probe) {
		enter_clients();
		connect_for_ever(place.shared);
		_exit(0);
	}
	while (!place.shared->refused && !place.shared->undecided)
		sched_yield();
	return place.shared;
}

void place_probe_stop(void)
{
	if (place.probe <= 0)
		return;
	place.shared->stop = 1;
	waitpid(place.probe, NULL, 0);
	place.probe = 0;
	munmap((void *)place.shared, sizeof(*place.shared));
}

/* ---- costs ---- */

/* `rss` and `mapped` of the mappings. */
static void add_mappings(pid_t pid, struct place_memory *memory)
{
	char path[64], line[PATH_MAX + 256];
	sw_autofclose FILE *file = NULL;
	bool of_kernel = false;
	double kib;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		if (strchr(line, '-') && strchr(line, '-') < strchr(line, ' '))
			of_kernel = strstr(line, "bpf-map") != NULL;
		if (sscanf(line, "Rss: %lf kB", &kib) == 1)
			*(of_kernel ? &memory->mapped : &memory->rss) += kib / 1024;
	}
}

static double memory_of_map(pid_t pid, const char *fd, unsigned int *id)
{
	char path[PATH_MAX], line[256];
	sw_autofclose FILE *file = NULL;
	double bytes = 0;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%.32s", pid, fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		sscanf(line, "memlock: %lf", &bytes);
		sscanf(line, "map_id: %u", id);
	}
	return *id ? bytes / (1 << 20) : 0;
}

static void add_maps(pid_t pid, struct place_memory *memory)
{
	unsigned int seen[MAPS_MAX], n = 0;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		unsigned int id = 0, i = 0;
		double mib = memory_of_map(pid, entry->d_name, &id);

		while (i < n && seen[i] != id)
			i++;
		if (!id || i < n || n == MAPS_MAX)
			continue;
		seen[n++] = id;
		memory->kernel += mib;
	}
	if (dir)
		closedir(dir);
}

struct place_memory place_memory(pid_t pid)
{
	struct place_memory memory = {};

	add_mappings(pid, &memory);
	add_maps(pid, &memory);
	return memory;
}

uint64_t place_cpu(pid_t pid, pid_t thread)
{
	unsigned long long ns = 0;
	char path[64];
	sw_autofclose FILE *file = NULL;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, thread);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%llu", &ns) != 1)
		place_fail("schedstat");
	return ns;
}

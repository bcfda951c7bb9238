/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/bench/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/base.h"

#define PREFIX "smtpwall-bench-"

static struct {
	char mount[128];  /* of cgroup2 */
	char folder[192]; /* that all cgroups of this run are in */
} own;

struct question {
	uint32_t what, n;
};

void workers_fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

/* ---- cgroups ---- */

static bool find_cgroup2(void)
{
	FILE *mounts sw_autofclose = fopen("/proc/self/mounts", "re");
	char line[1024], type[64];

	while (mounts && fgets(line, sizeof(line), mounts))
		if (sscanf(line, "%*s %127s %63s", own.mount, type) == 2 &&
		    !strcmp(type, "cgroup2"))
			return true;
	return false;
}

static void write_text(const char *folder, const char *file, const char *text)
{
	char path[512];
	int fd sw_autoclose = -1;

	snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		workers_fail(path);
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		workers_fail(path);
}

static int remove_folder(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)at;
	return type == FTW_DP ? rmdir(path) : 0;
}

/* Ends what still runs in it; its processes leave it some time later. */
static void remove_cgroups(void)
{
	static const struct timespec moment = {.tv_nsec = 1000000};

	if (access(own.folder, F_OK))
		return;
	write_text(own.folder, "cgroup.kill", "1");
	for (int i = 0; i < 20000; i++) {
		if (!nftw(own.folder, remove_folder, 16, FTW_DEPTH | FTW_PHYS))
			return;
		nanosleep(&moment, NULL);
	}
	fprintf(stderr, "%s: cannot be removed\n", own.folder);
}

void worker_place(struct worker *worker, const char *name)
{
	char path[512];
	struct stat st;

	*worker = (struct worker){.name = name, .fd = -1};
	snprintf(worker->guarded, sizeof(worker->guarded), "%s/%s", own.folder, name);
	for (char *at = strchr(worker->guarded + strlen(own.folder) + 1, ' '); at;
	     at = strchr(at, ' '))
		*at = '-';
	make_folder(worker->guarded);
	snprintf(path, sizeof(path), "%s/mail.slice", worker->guarded);
	make_folder(path);
	snprintf(path, sizeof(path), "%s" WORKER_CGROUP, worker->guarded);
	make_folder(path);
	worker->guarded_fd = open(worker->guarded, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (worker->guarded_fd < 0 || fstat(worker->guarded_fd, &st))
		workers_fail(worker->guarded);
	worker->guarded_id = st.st_ino;
}

/* ---- the whole run ---- */

static pid_t child;

static void pass_on(int number)
{
	kill(child, number);
}

/* The terminal tells both; a `kill` tells only this process. */
static int await_child(void)
{
	struct sigaction action = {.sa_handler = pass_on};
	int status;

	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGINT, &action, NULL);
	while (waitpid(child, &status, 0) != child)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool workers_begin(void)
{
	int status;

	if (geteuid() || !find_cgroup2()) {
		fprintf(stderr, "left out: needs root and a cgroup2 mount\n");
		return false;
	}
	snprintf(own.folder, sizeof(own.folder), "%s/" PREFIX "%d", own.mount, getpid());
	child = fork();
	if (child < 0)
		workers_fail("fork");
	if (child) {
		status = await_child();
		remove_cgroups();
		_exit(status);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	make_folder(own.folder);
	worker_pin(WORKER_CPU_OTHER);
	return true;
}

void worker_pin(enum worker_cpu cpu)
{
	static cpu_set_t all;
	static int own_cpu = -1, other_cpu;
	cpu_set_t set;

	if (own_cpu < 0) {
		if (sched_getaffinity(0, sizeof(all), &all))
			workers_fail("CPUs");
		for (int i = 0; i < CPU_SETSIZE; i++)
			if (CPU_ISSET(i, &all)) {
				other_cpu = own_cpu < 0 ? i : other_cpu;
				own_cpu = i;
			}
	}
	CPU_ZERO(&set);
	CPU_SET(cpu == WORKER_CPU_OWN ? own_cpu : other_cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		workers_fail("CPU");
}

/* ---- rules ---- */

/* The worker's cgroup as nft wants it: from below /sys/fs/cgroup, with its level from cgroup2's mount. */
static void put_cgroup(const struct worker *worker, char *to, size_t size)
{
	const char *path = worker->guarded + strlen("/sys/fs/cgroup/");
	int level = 2; /* the folder of the run, the guarded one; and those below */

	for (const char *at = WORKER_CGROUP; *at; at++)
		level += *at == '/';
	snprintf(to, size, "level %d \"%s" WORKER_CGROUP "\"", level, path);
}

static bool load_nft(const struct worker *worker, const char *rules)
{
	FILE *to = popen("nft -f -", "we");
	const char *at = strstr(rules, "CGROUP");
	char cgroup[600];

	if (!to)
		return false;
	put_cgroup(worker, cgroup, sizeof(cgroup));
	if (at)
		fprintf(to, "%.*s%s%s\n", (int)(at - rules), rules, cgroup, at + strlen("CGROUP"));
	else
		fprintf(to, "%s\n", rules);
	return pclose(to) == 0;
}

static void begin_serving(const struct worker_rules *rules, void *service)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		workers_fail("fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		rules->serve(service);
	_exit(1);
}

static bool set_rules(const struct worker *worker, const struct worker_rules *rules)
{
	void *service = rules->open ? rules->open() : NULL;
	char command[512];

	if (rules->open && !service)
		return false;
	if (service)
		begin_serving(rules, service);
	if (rules->nft && !load_nft(worker, rules->nft))
		return false;
	if (rules->iptables) {
		snprintf(command, sizeof(command), "iptables %s", rules->iptables);
		return system(command) == 0;
	}
	return true;
}

/* ---- the process ---- */

static void bring_loopback_up(void)
{
	int fd sw_autoclose = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		workers_fail("loopback");
}

_Noreturn static void be(struct worker *worker, const struct worker_work *work,
			 const struct worker_rules *rules)
{
	struct question question;
	char cgroup[512];
	bool ready;
	double cost;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN);
	if (unshare(CLONE_NEWNET))
		workers_fail("network namespace");
	bring_loopback_up();
	ready = !rules || set_rules(worker, rules);
	if (work->outside)
		work->outside(work->data);
	worker_pin(WORKER_CPU_OWN);
	snprintf(cgroup, sizeof(cgroup), "%s" WORKER_CGROUP, worker->guarded);
	write_text(cgroup, "cgroup.procs", "0");
	if (setresuid((uid_t)-1, WORKER_UID, 0))
		workers_fail("user");
	if (ready && work->inside)
		work->inside(work->data);
	cost = ready;
	while (send(worker->fd, &cost, sizeof(cost), 0) == sizeof(cost) &&
	       recv(worker->fd, &question, sizeof(question), 0) == sizeof(question))
		cost = work->run(work->data, question.what, question.n);
	_exit(0);
}

bool worker_start(struct worker *worker, const struct worker_work *work,
		  const struct worker_rules *rules)
{
	double ready;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		workers_fail("socket");
	fflush(NULL);
	worker->pid = fork();
	if (worker->pid < 0)
		workers_fail("fork");
	if (!worker->pid) {
		close(ends[0]);
		worker->fd = ends[1];
		be(worker, work, rules);
	}
	close(ends[1]);
	worker->fd = ends[0];
	if (recv(worker->fd, &ready, sizeof(ready), 0) != sizeof(ready)) {
		fprintf(stderr, "\"%s\" ended before it began\n", worker->name);
		_exit(1);
	}
	if (ready < 1)
		fprintf(stderr, "left out: \"%s\", its rules cannot be had here\n", worker->name);
	return ready >= 1;
}

double worker_run(void *data)
{
	const struct worker_ask *ask = data;
	struct question question = {.what = ask->what, .n = ask->n};
	double cost;

	if (send(ask->worker->fd, &question, sizeof(question), 0) != sizeof(question) ||
	    recv(ask->worker->fd, &cost, sizeof(cost), 0) != sizeof(cost)) {
		fprintf(stderr, "\"%s\" ended in the middle of its work\n", ask->worker->name);
		_exit(1);
	}
	return cost;
}

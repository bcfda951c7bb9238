/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls_stream - what `require tls` costs a message of 50 MiB that is handed in on port 587.
 *
 *   tls_stream [--full]
 *
 * Each side is a worker (worker.h): the client in the guarded cgroup, on one CPU, and a server outside of it, on
 * the other. A message is a connection of its own: greeting, EHLO, STARTTLS, TLS by OpenSSL, then the bytes, which
 * the server answers when it has them all.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "daemon/base.h"
#include "tests/bench/contest.h"
#include "tests/prog/fixture.h"

#define PORT 587
#define MESSAGE (50 << 20)
#define CHUNK (16 << 10)

/* What a worker is asked. */
enum {
	TIME,
	CPU_TIME,
};

struct stream {
	int listener;
	double *server_cpu; /* ms so far; shared with the server */
	SSL_CTX *client;
};

static void must(bool good, const char *what)
{
	if (good)
		return;
	errno = errno ? errno : EPROTO;
	workers_fail(what);
}

/* Of this process, in ms. */
static double cpu_time(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* ---- the dialogue before TLS ---- */

/* Or the last bytes before an answer wait for an acknowledgement that is put off. */
static void set_nodelay(int fd)
{
	static const int one = 1;

	must(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), "TCP_NODELAY");
}

static void say(int fd, const char *line)
{
	must(send(fd, line, strlen(line), 0) == (ssize_t)strlen(line), "send");
}

/* Up to what the other side ends with. */
static void hear(int fd, const char *last)
{
	char got[512] = "";
	size_t n = 0;

	while (!strstr(got, last)) {
		ssize_t more = recv(fd, got + n, sizeof(got) - 1 - n, 0);

		must(more > 0, "dialogue");
		n += (size_t)more;
		got[n] = 0;
	}
}

/* ---- the server ---- */

/* A key and a certificate that nobody signed but itself. */
static SSL_CTX *server_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	must(context && key && cert, "TLS of the server");
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	must(X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256()) &&
		     SSL_CTX_use_certificate(context, cert) && SSL_CTX_use_PrivateKey(context, key),
	     "certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	return context;
}

static void take_message(SSL_CTX *context, int fd)
{
	static char chunk[CHUNK];
	SSL *ssl = SSL_new(context);
	long n = 0;

	say(fd, "220 mail.example.net\r\n");
	hear(fd, "\r\n");
	say(fd, "250-mail.example.net\r\n250 STARTTLS\r\n");
	hear(fd, "\r\n");
	say(fd, "220 go ahead\r\n");
	must(ssl && SSL_set_fd(ssl, fd) && SSL_accept(ssl) == 1, "TLS of the server");
	while (n < MESSAGE) {
		int more = SSL_read(ssl, chunk, sizeof(chunk));

		must(more > 0, "message");
		n += more;
	}
	must(SSL_write(ssl, "250 taken\r\n", 11) == 11, "answer");
	SSL_free(ssl);
}

_Noreturn static void serve(const struct stream *stream)
{
	SSL_CTX *context = server_context();

	worker_pin(WORKER_CPU_OTHER);
	for (;;) {
		int fd = accept4(stream->listener, NULL, NULL, SOCK_CLOEXEC);

		must(fd >= 0, "accept");
		set_nodelay(fd);
		take_message(context, fd);
		*stream->server_cpu = cpu_time();
		close(fd);
	}
}

static void begin_serving(void *data)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct stream *stream = data;
	pid_t parent = getpid(), pid;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	stream->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(stream->listener >= 0 && !bind(stream->listener, (struct sockaddr *)&at, sizeof(at)) &&
		     !listen(stream->listener, 16),
	     "listener");
	stream->server_cpu = mmap(NULL, sizeof(double), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(stream->server_cpu != MAP_FAILED, "memory");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	must(getppid() == parent, "worker");
	serve(stream);
}

/* ---- the client ---- */

static void hand_in(const struct stream *stream)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	int fd sw_autoclose = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(stream->client);
	static char chunk[CHUNK];
	char answer[16];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(ssl && fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	set_nodelay(fd);
	hear(fd, "\r\n");
	say(fd, "EHLO client.example.net\r\n");
	hear(fd, "250 STARTTLS\r\n");
	say(fd, "STARTTLS\r\n");
	hear(fd, "\r\n");
	must(SSL_set_fd(ssl, fd) && SSL_connect(ssl) == 1, "TLS of the client");
	for (long n = 0; n < MESSAGE; n += CHUNK)
		must(SSL_write(ssl, chunk, CHUNK) == CHUNK, "message");
	/* What the server says of CPU time is written once the connection has ended. */
	must(SSL_read(ssl, answer, sizeof(answer)) == 11 && !SSL_read(ssl, answer, 1), "answer");
	SSL_free(ssl);
}

static void begin_client(void *data)
{
	struct stream *stream = data;

	stream->client = SSL_CTX_new(TLS_client_method());
	must(stream->client, "TLS of the client");
	SSL_CTX_set_options(stream->client, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

/* ms of a message. */
static double hand_in_often(void *data, uint32_t what, uint32_t n)
{
	const struct stream *stream = data;
	double cpu = cpu_time() + *stream->server_cpu;
	uint64_t before = pair_now();

	for (uint32_t i = 0; i < n; i++)
		hand_in(stream);
	if (what == CPU_TIME)
		return (cpu_time() + *stream->server_cpu - cpu) / n;
	return (double)(pair_now() - before) / 1e6 / n;
}

/* ---- the sides ---- */

static void require_tls(void)
{
	fx_row(fx_rule(SW_ACTION_TLS, 0), (struct fx_row){.port = PORT});
}

enum side { NONE, AGAIN, REQUIRED, SIDES };

static struct contest_side sides[SIDES] = {
	[NONE] = {"no policy"},
	[AGAIN] = {"no policy, another process"},
	[REQUIRED] = {"smtpwall, require tls", GUARD_SMTPWALL, require_tls},
};

static void compare(const char *row, uint32_t what, int rounds)
{
	struct contest contest = {
		.row = {.table = "tls-stream",
			.row = row,
			.unit = "ms",
			.note = "50 MiB by STARTTLS on loopback, TLS 1.3 of OpenSSL, client "
				"and server on a CPU each"},
		.all = sides};

	for (enum side side = 0; side < SIDES; side++)
		contest_add(&contest, side, what, 1);
	/* The base runs twice in each round, this one once as well. */
	contest_aim(&contest, REQUIRED, AGAIN,
		    (struct pair_aim){.measure = PAIR_RATIO, .limit = 1.02, .allows = "1.0"});
	contest_run(&contest, rounds);
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && !strcmp(argv[1], "--full");
	int rounds = full ? 151 : 25;

	if (!workers_begin())
		return 0;
	for (enum side side = 0; side < SIDES; side++) {
		struct stream stream = {.listener = -1};
		const struct worker_work work = {.outside = begin_serving,
						 .inside = begin_client,
						 .run = hand_in_often,
						 .data = &stream};

		contest_begin(&sides[side], &work);
	}
	compare("50 MiB message, time", TIME, rounds);
	compare("50 MiB message, CPU time of both", CPU_TIME, rounds);
	return 0;
}

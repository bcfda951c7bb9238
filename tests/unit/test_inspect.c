/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Real hellos and real server flights of every version, made by OpenSSL in memory, and what only looks
   like one: what inspection says of them, and that it keeps nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "daemon/base.h"
#include "daemon/inspect.h"

#define FLIGHT_MAX 16384

struct pair {
	SSL_CTX *client_context, *server_context;
	SSL *client, *server;
	uint8_t hello[FLIGHT_MAX], answer[FLIGHT_MAX];
	size_t n_hello, n_answer;
};

static struct sw_inspector *inspector;
static EVP_PKEY *key;
static X509 *certificate;

static void add_extension(X509 *to, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	X509_add_ext(to, extension, -1);
	X509_EXTENSION_free(extension);
}

static void add_name(X509 *to, const char *field, const char *value)
{
	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(to), field, MBSTRING_UTF8,
						    (const unsigned char *)value, -1, -1, 0),
			 1);
}

static X509 *make_certificate(const char *organization, const char *names)
{
	X509 *new = X509_new();

	assert_non_null(new);
	X509_set_version(new, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(new), 1);
	ASN1_TIME_set(X509_getm_notBefore(new), 1700000000);
	ASN1_TIME_set(X509_getm_notAfter(new), 1800000000);
	X509_set_pubkey(new, key);
	add_name(new, "O", organization);
	add_name(new, "CN", "mail.example.net");
	X509_set_issuer_name(new, X509_get_subject_name(new));
	add_extension(new, NID_subject_alt_name, names);
	assert_true(X509_sign(new, key, EVP_sha256()) > 0);
	return new;
}

static void set_up(SSL_CTX *context, int version)
{
	SSL_CTX_set_security_level(context, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(context, version), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(context, version), 1);
	assert_int_equal(SSL_CTX_set_cipher_list(context, "ALL:@SECLEVEL=0"), 1);
}

static SSL *connected(SSL_CTX *context)
{
	SSL *ssl = SSL_new(context);

	assert_non_null(ssl);
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	return ssl;
}

/* The first flight of each side. `version` is all that the server speaks, and the client from `oldest`
   on. */
static void shake(struct pair *pair, int oldest, int version, const char *sni, X509 *with)
{
	static const unsigned char alpn[] = "\x04smtp\x08http/1.1";

	memset(pair, 0, sizeof(*pair));
	pair->client_context = SSL_CTX_new(TLS_client_method());
	pair->server_context = SSL_CTX_new(TLS_server_method());
	set_up(pair->client_context, version);
	SSL_CTX_set_min_proto_version(pair->client_context, oldest);
	set_up(pair->server_context, version);
	assert_int_equal(SSL_CTX_use_certificate(pair->server_context, with), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(pair->server_context, key), 1);
	pair->client = connected(pair->client_context);
	pair->server = connected(pair->server_context);
	if (sni) {
		SSL_set_tlsext_host_name(pair->client, sni);
		SSL_set_alpn_protos(pair->client, alpn, sizeof(alpn) - 1);
	}
	SSL_connect(pair->client);
	pair->n_hello = (size_t)BIO_read(SSL_get_wbio(pair->client), pair->hello, FLIGHT_MAX);
	BIO_write(SSL_get_rbio(pair->server), pair->hello, (int)pair->n_hello);
	SSL_accept(pair->server);
	pair->n_answer = (size_t)BIO_read(SSL_get_wbio(pair->server), pair->answer, FLIGHT_MAX);
	assert_in_range(pair->n_hello, 50, FLIGHT_MAX);
	assert_in_range(pair->n_answer, 50, FLIGHT_MAX);
}

static void part(struct pair *pair)
{
	SSL_free(pair->client);
	SSL_free(pair->server);
	SSL_CTX_free(pair->client_context);
	SSL_CTX_free(pair->server_context);
}

static const struct {
	int version;
	char ja4[5];
} all[] = {
	{TLS1_VERSION, "t10d"},
	{TLS1_1_VERSION, "t11d"},
	{TLS1_2_VERSION, "t12d"},
	{TLS1_3_VERSION, "t13d"},
};

static void test_client(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(all); i++) {
		struct sw_client_facts facts;
		struct pair pair;

		shake(&pair, all[i].version, all[i].version, "mail.example.net", certificate);
		assert_int_equal(
			sw_inspect_client(inspector, pair.hello, pair.n_hello, true, &facts),
			SW_INSPECTED_HELLO);
		assert_string_equal(facts.sni, "mail.example.net");
		assert_string_equal(facts.alpn, "smtp,http/1.1");
		assert_memory_equal(facts.ja4, all[i].ja4, 4);
		assert_int_equal(strlen(facts.ja4), 36);
		assert_int_equal(facts.n_versions, 1);
		assert_int_equal(facts.versions[0], all[i].version);
		part(&pair);
	}
}

static void test_client_bare(void **state)
{
	struct sw_client_facts facts;
	struct pair pair;

	(void)state;
	shake(&pair, TLS1_2_VERSION, TLS1_3_VERSION, NULL, certificate);
	assert_int_equal(sw_inspect_client(inspector, pair.hello, pair.n_hello, true, &facts),
			 SW_INSPECTED_HELLO);
	assert_string_equal(facts.sni, "");
	assert_string_equal(facts.alpn, "");
	assert_int_equal(facts.n_versions, 2);
	assert_int_equal(facts.versions[0], TLS1_3_VERSION);
	assert_int_equal(facts.versions[1], TLS1_2_VERSION);
	part(&pair);
}

/* Every byte count: whole is whole, and less is neither a hello nor, unless the gate says that it had
   ended, a pretender. */
static void test_client_cut(void **state)
{
	struct sw_client_facts facts;
	struct pair pair;

	(void)state;
	shake(&pair, TLS1_2_VERSION, TLS1_3_VERSION, "mail.example.net", certificate);
	for (size_t n = 0; n < pair.n_hello; n++) {
		assert_int_equal(sw_inspect_client(inspector, pair.hello, n, false, &facts),
				 SW_INSPECTED_CUT);
		assert_string_equal(facts.ja4, "");
		assert_int_equal(sw_inspect_client(inspector, pair.hello, n, true, &facts),
				 SW_INSPECTED_PRETENDED);
		assert_string_equal(facts.sni, "");
	}
	part(&pair);
}

/* One handshake message in many records, as a client may send it. */
static void test_client_records(void **state)
{
	uint8_t cut[FLIGHT_MAX];
	struct sw_client_facts facts;
	struct pair pair;
	size_t to = 0;

	(void)state;
	shake(&pair, TLS1_2_VERSION, TLS1_3_VERSION, "mail.example.net", certificate);
	for (size_t at = 5; at < pair.n_hello;) {
		size_t n = pair.n_hello - at < 50 ? pair.n_hello - at : 50;

		memcpy(cut + to, (const uint8_t[]){22, 3, 1, 0, (uint8_t)n}, 5);
		memcpy(cut + to + 5, pair.hello + at, n);
		to += 5 + n;
		at += n;
	}
	assert_int_equal(sw_inspect_client(inspector, cut, to, true, &facts), SW_INSPECTED_HELLO);
	assert_string_equal(facts.sni, "mail.example.net");
	part(&pair);
}

/* ---- pretenders ---- */

/* A header as TLS has it with a body of `n` bytes. */
static size_t wrap(uint8_t *to, const void *body, size_t n)
{
	const uint8_t header[] = {
		22,        3, 1, (uint8_t)((n + 4) >> 8), (uint8_t)(n + 4), 1, 0, (uint8_t)(n >> 8),
		(uint8_t)n};

	memcpy(to, header, sizeof(header));
	memcpy(to + sizeof(header), body, n);
	return sizeof(header) + n;
}

static void test_pretenders(void **state)
{
	static const char mail[] =
		"AUTH PLAIN AHVzZXIAcGFzc3dvcmQ=\r\nMAIL FROM:<a@example.net>\r\n";
	/* version, random, a session id of 33 bytes */
	static const uint8_t session[2 + 32 + 1 + 33 + 2 + 2 + 2] = {3, 3,    [34] = 33, [68] = 0,
								     2, 0x13, 1,         1};
	/* the same, right, and extensions that end after their list says */
	static const uint8_t extensions[] = {[0] = 3, 3, [34] = 0, 0, 2, 0x13, 1,  1,
					     0,       0, 9,        0, 0, 0,    200};
	/* an extension twice, which OpenSSL refuses and a reader of lengths does not see */
	static const uint8_t twice[] = {[0] = 3, 3, [34] = 0, 0, 2, 0x13, 1,  1, 0, 0,
					8,       0, 23,       0, 0, 0,    23, 0, 0};
	struct sw_client_facts facts;
	uint8_t bytes[512];
	size_t n;

	(void)state;
	n = wrap(bytes, mail, sizeof(mail) - 1);
	assert_int_equal(sw_inspect_client(inspector, bytes, n, true, &facts),
			 SW_INSPECTED_PRETENDED);
	n = wrap(bytes, session, sizeof(session));
	assert_int_equal(sw_inspect_client(inspector, bytes, n, true, &facts),
			 SW_INSPECTED_PRETENDED);
	n = wrap(bytes, extensions, sizeof(extensions));
	assert_int_equal(sw_inspect_client(inspector, bytes, n, true, &facts),
			 SW_INSPECTED_PRETENDED);
	n = wrap(bytes, twice, sizeof(twice));
	assert_int_equal(sw_inspect_client(inspector, bytes, n, true, &facts),
			 SW_INSPECTED_PRETENDED);
	assert_int_equal(
		sw_inspect_client(inspector, (const uint8_t *)mail, sizeof(mail) - 1, true, &facts),
		SW_INSPECTED_PRETENDED);
}

/* ---- nothing is kept ---- */

#define SECRET_SIZE 24

/* So that the secret stands nowhere but where a test puts it. */
static void make_secret(uint8_t to[SECRET_SIZE])
{
	for (unsigned int i = 0; i < SECRET_SIZE; i++)
		to[i] = (uint8_t)((i * 37 + 11) ^ 0xa5);
}

/* Is it the secret? Compared without a copy of it. */
static bool is_secret(const uint8_t *at)
{
	for (unsigned int i = 0; i < SECRET_SIZE; i++)
		if (at[i] != (uint8_t)((i * 37 + 11) ^ 0xa5))
			return false;
	return true;
}

#define WINDOW 65536

/* How often it stands in the memory of this process that can be written, the scan's own window left
   out: `window` is filled by the kernel. */
static unsigned int find_in_memory(uint8_t *window)
{
	sw_autofclose FILE *maps = fopen("/proc/self/maps", "re");
	sw_autoclose int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned int found = 0;
	unsigned long from, to;
	char line[512], mode[8];

	assert_non_null(maps);
	assert_true(memory >= 0);
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[1] != 'w')
			continue;
		/* A sanitizer's shadow is no memory that anything was copied to. */
		if (to - from > 1ul << 30)
			continue;
		for (unsigned long at = from; at < to; at += WINDOW - SECRET_SIZE) {
			size_t want = to - at < WINDOW ? to - at : WINDOW;
			ssize_t n = pread(memory, window, want, (off_t)at);

			for (ssize_t i = 0; i + SECRET_SIZE <= n; i++)
				found += window + i != (uint8_t *)at + i && is_secret(window + i);
			if (at + want >= to)
				break;
		}
		explicit_bzero(window, WINDOW);
	}
	return found;
}

/* The secret where OpenSSL copies it: in the body, as session id and as random of a broken hello. */
static size_t secret_hello(uint8_t to[static 256], unsigned int which)
{
	uint8_t body[128] = {3, 3, [34] = 32, [67] = 0, 2, 0x13, 1, 1, 0, 0, 9, 0, 0, 0, 200};
	size_t n = which == 2 ? 100 : 82;

	make_secret(body + (which == 0 ? 2 : which == 1 ? 35 : 70));
	n = wrap(to, body, n);
	explicit_bzero(body, sizeof(body));
	return n;
}

static void test_nothing_is_kept(void **state)
{
	uint8_t *window = malloc(WINDOW), *bytes = malloc(256);

	(void)state;
	assert_non_null(window);
	assert_non_null(bytes);
	for (unsigned int i = 0; i < 3; i++) {
		struct sw_client_facts facts;
		size_t n = secret_hello(bytes, i);

		/* The search finds what is there. */
		assert_true(find_in_memory(window) > 0);
		assert_int_equal(sw_inspect_client(inspector, bytes, n, true, &facts),
				 SW_INSPECTED_PRETENDED);
		explicit_bzero(bytes, 256);
		assert_int_equal(find_in_memory(window), 0);
	}
	free(bytes);
	free(window);
}

/* ---- servers ---- */

static void test_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < sw_count(all); i++) {
		struct sw_server_facts facts;
		struct pair pair;

		shake(&pair, all[i].version, all[i].version, "mail.example.net", certificate);
		assert_true(sw_inspect_server(inspector, pair.answer, pair.n_answer,
					      "mail.example.net", &facts));
		assert_int_equal(facts.version, all[i].version);
		assert_string_equal(
			facts.cipher_name,
			SSL_CIPHER_standard_name(SSL_get_current_cipher(pair.server)
							 ? SSL_get_current_cipher(pair.server)
							 : SSL_get_pending_cipher(pair.server)));
		assert_int_equal(facts.has_certificate, all[i].version != TLS1_3_VERSION);
		part(&pair);
	}
}

static void test_certificate(void **state)
{
	struct sw_server_facts facts;
	struct pair pair;

	(void)state;
	shake(&pair, TLS1_2_VERSION, TLS1_2_VERSION, "mail.example.net", certificate);
	assert_true(sw_inspect_server(inspector, pair.answer, pair.n_answer, "mail.example.net",
				      &facts));
	assert_true(facts.has_certificate);
	assert_string_equal(facts.certificate.subject, "CN=mail.example.net,O=Example");
	assert_int_equal(facts.certificate.n_names, 4);
	assert_string_equal(facts.certificate.names[0], "mail.example.net");
	assert_string_equal(facts.certificate.names[1], "*.example.org");
	assert_string_equal(facts.certificate.names[2], "192.0.2.1");
	assert_string_equal(facts.certificate.names[3], "2001:db8::1");
	assert_false(facts.certificate.more_names);
	assert_int_equal(facts.certificate.not_before, 1700000000);
	assert_int_equal(facts.certificate.not_after, 1800000000);
	assert_true(facts.certificate.asked);
	assert_true(facts.certificate.matches);
	sw_inspect_server(inspector, pair.answer, pair.n_answer, "a.example.org", &facts);
	assert_true(facts.certificate.matches);
	sw_inspect_server(inspector, pair.answer, pair.n_answer, "a.b.example.org", &facts);
	assert_false(facts.certificate.matches);
	sw_inspect_server(inspector, pair.answer, pair.n_answer, "mail.example.com", &facts);
	assert_true(facts.certificate.asked);
	assert_false(facts.certificate.matches);
	sw_inspect_server(inspector, pair.answer, pair.n_answer, "", &facts);
	assert_false(facts.certificate.asked);
	assert_false(facts.certificate.matches);
	part(&pair);
}

/* More names than are kept, and a subject that would move a cursor. */
static void test_certificate_hostile(void **state)
{
	char names[2048] = "DNS:first.example.net";
	struct sw_server_facts facts;
	struct pair pair;
	X509 *hostile;

	(void)state;
	for (unsigned int i = 0; i < 30; i++)
		sprintf(names + strlen(names), ",DNS:name-%u.example.net", i);
	hostile = make_certificate("a\x1b[2J\nb", names);
	shake(&pair, TLS1_2_VERSION, TLS1_2_VERSION, "mail.example.net", hostile);
	assert_true(sw_inspect_server(inspector, pair.answer, pair.n_answer, "", &facts));
	assert_true(facts.has_certificate);
	assert_int_equal(facts.certificate.n_names, SW_INSPECT_NAMES);
	assert_true(facts.certificate.more_names);
	for (const char *at = facts.certificate.subject; *at; at++)
		assert_in_range(*at, 0x20, 0x7e);
	part(&pair);
	X509_free(hostile);
}

/* Every byte count, and every byte turned: no fault, and no facts that are not there. */
static void test_server_cut(void **state)
{
	struct sw_server_facts facts;
	struct pair pair;

	(void)state;
	shake(&pair, TLS1_2_VERSION, TLS1_2_VERSION, "mail.example.net", certificate);
	for (size_t n = 0; n < pair.n_answer; n++) {
		uint8_t *exact = malloc(n + !n);

		assert_non_null(exact);
		memcpy(exact, pair.answer, n);
		if (sw_inspect_server(inspector, exact, n, "mail.example.net", &facts))
			assert_int_equal(facts.version, TLS1_2_VERSION);
		else
			assert_false(facts.has_certificate);
		free(exact);
	}
	for (size_t i = 0; i < pair.n_answer; i++) {
		pair.answer[i] ^= 0xff;
		sw_inspect_server(inspector, pair.answer, pair.n_answer, "mail.example.net",
				  &facts);
		pair.answer[i] ^= 0xff;
	}
	part(&pair);
	assert_false(sw_inspect_server(inspector, (const uint8_t *)"554 no\r\n", 8, "", &facts));
}

static void test_cipher(void **state)
{
	char name[SW_INSPECT_CIPHER];

	(void)state;
	sw_inspect_cipher(inspector, 0x1301, name);
	assert_string_equal(name, "TLS_AES_128_GCM_SHA256");
	sw_inspect_cipher(inspector, 0xc02f, name);
	assert_string_equal(name, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
	sw_inspect_cipher(inspector, 0xfefe, name);
	assert_string_equal(name, "0xfefe");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client),
		cmocka_unit_test(test_client_bare),
		cmocka_unit_test(test_client_cut),
		cmocka_unit_test(test_client_records),
		cmocka_unit_test(test_pretenders),
		cmocka_unit_test(test_nothing_is_kept),
		cmocka_unit_test(test_server),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_certificate_hostile),
		cmocka_unit_test(test_server_cut),
		cmocka_unit_test(test_cipher),
	};
	struct sw_fault fault;
	int failed;

	if (sw_inspect_prepare() < 0)
		return 1;
	inspector = sw_inspector_new(&fault);
	key = EVP_RSA_gen(2048);
	if (!inspector || !key)
		return 1;
	certificate = make_certificate(
		"Example", "DNS:mail.example.net,DNS:*.example.org,IP:192.0.2.1,IP:2001:db8::1");
	failed = cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
	X509_free(certificate);
	EVP_PKEY_free(key);
	sw_inspector_free(inspector);
	return failed;
}

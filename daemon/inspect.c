/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/inspect.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "daemon/policy/text.h"
#include "daemon/wire/hello.h"
#include "daemon/wire/ja4.h"

/* The handshake of a server that is looked at for a certificate; samples are not longer. */
#define HANDSHAKE_MAX 8192

struct sw_inspector {
	SSL_CTX *context;
	SSL *names; /* to ask for names of ciphers */
	bool reached;
	/* Here and not on the stack: wiped after each use. */
	struct sw_client_hello client;
	uint8_t handshake[HANDSHAKE_MAX];
};

/* ---- memory ---- */

static void *take_memory(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	return malloc(size);
}

static void give_back(void *memory, const char *file, int line)
{
	(void)file;
	(void)line;
	if (memory)
		explicit_bzero(memory, malloc_usable_size(memory));
	free(memory);
}

static void *change_memory(void *memory, size_t size, const char *file, int line)
{
	size_t had = memory ? malloc_usable_size(memory) : 0;
	void *moved;

	if (memory && !size) {
		give_back(memory, file, line);
		return NULL;
	}
	/* realloc() would leave a copy behind. */
	moved = malloc(size);
	if (moved && memory) {
		memcpy(moved, memory, had < size ? had : size);
		give_back(memory, file, line);
	}
	return moved;
}

int sw_inspect_prepare(void)
{
	return CRYPTO_set_mem_functions(take_memory, change_memory, give_back) == 1 ? 0 : -1;
}

/* More than the frames of what is called here take. */
#define STACK_USED 65536

/* What has been called had copies in its frames, which lay where this one lies. */
static __attribute__((noinline)) void wipe_stack(void)
{
	uint8_t below[STACK_USED];

	explicit_bzero(below, sizeof(below));
}

/* ---- the inspector ---- */

/* OpenSSL has read the ClientHello, and nothing was decided yet: here it stops. */
static int on_client_hello(SSL *ssl, int *alert, void *data)
{
	struct sw_inspector *inspector = data;

	(void)ssl;
	(void)alert;
	inspector->reached = true;
	return SSL_CLIENT_HELLO_RETRY;
}

static SSL_CTX *make_context(struct sw_inspector *inspector)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context)
		return NULL;
	/* What this machine's openssl.cnf thinks of old versions is not the question. */
	SSL_CTX_set_security_level(context, 0);
	SSL_CTX_set_min_proto_version(context, 0);
	SSL_CTX_set_max_proto_version(context, 0);
	SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_client_hello_cb(context, on_client_hello, inspector);
	return context;
}

struct sw_inspector *sw_inspector_new(struct sw_fault *fault)
{
	struct sw_inspector *inspector = calloc(1, sizeof(*inspector));

	if (inspector)
		inspector->context = make_context(inspector);
	if (inspector && inspector->context)
		inspector->names = SSL_new(inspector->context);
	if (!inspector || !inspector->names) {
		sw_inspector_free(inspector);
		sw_fault(fault, SW_EXIT_KERNEL, "cannot set up OpenSSL");
		return NULL;
	}
	return inspector;
}

void sw_inspector_free(struct sw_inspector *inspector)
{
	if (!inspector)
		return;
	SSL_free(inspector->names);
	SSL_CTX_free(inspector->context);
	free(inspector);
}

void sw_inspect_cipher(struct sw_inspector *inspector, uint16_t cipher,
		       char to[static SW_INSPECT_CIPHER])
{
	const unsigned char number[2] = {(unsigned char)(cipher >> 8), (unsigned char)cipher};
	const SSL_CIPHER *found = SSL_CIPHER_find(inspector->names, number);
	const char *name = found ? SSL_CIPHER_standard_name(found) : NULL;

	if (name)
		snprintf(to, SW_INSPECT_CIPHER, "%s", name);
	else
		snprintf(to, SW_INSPECT_CIPHER, "0x%04x", cipher);
}

/* ---- clients ---- */

/* What could not be looked at for want of memory is not held against the client: the gate has let it
   through. */
static bool openssl_takes(struct sw_inspector *inspector, const uint8_t *bytes, size_t n)
{
	SSL *ssl = SSL_new(inspector->context);
	BIO *in = BIO_new_mem_buf(bytes, (int)n), *out = BIO_new(BIO_s_null());

	inspector->reached = !ssl || !in || !out;
	if (!inspector->reached) {
		SSL_set_bio(ssl, in, out);
		in = out = NULL;
		SSL_accept(ssl);
		if (ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE)
			inspector->reached = true;
	}
	BIO_free(in);
	BIO_free(out);
	SSL_free(ssl);
	ERR_clear_error();
	return inspector->reached;
}

static void take_versions(const struct sw_client_hello *hello, struct sw_client_facts *facts)
{
	if (!hello->n_versions && hello->legacy_version)
		facts->versions[facts->n_versions++] = hello->legacy_version;
	for (unsigned int i = 0; i < hello->n_versions && i < SW_INSPECT_VERSIONS; i++)
		facts->versions[facts->n_versions++] = hello->versions[i];
}

static enum sw_inspected judge(struct sw_inspector *inspector, enum sw_hello read,
			       const uint8_t *bytes, size_t n, bool whole)
{
	/* Cut although the gate has seen its end: records and messages do not say the same. */
	if (read == SW_HELLO_CUT && !whole)
		return SW_INSPECTED_CUT;
	if (read == SW_HELLO_WHOLE && openssl_takes(inspector, bytes, n))
		return SW_INSPECTED_HELLO;
	return SW_INSPECTED_PRETENDED;
}

enum sw_inspected sw_inspect_client(struct sw_inspector *inspector, const uint8_t *bytes, size_t n,
				    bool whole, struct sw_client_facts *facts)
{
	struct sw_client_hello *hello = &inspector->client;
	enum sw_hello read = sw_client_hello_read(bytes, n, hello);
	enum sw_inspected result = judge(inspector, read, bytes, n, whole);

	*facts = (struct sw_client_facts){};
	if (result != SW_INSPECTED_PRETENDED) {
		sw_text_escape(hello->sni, strlen(hello->sni), facts->sni, sizeof(facts->sni));
		sw_text_escape(hello->alpn, strlen(hello->alpn), facts->alpn, sizeof(facts->alpn));
		take_versions(hello, facts);
	}
	if (result == SW_INSPECTED_HELLO)
		sw_ja4(hello, facts->ja4);
	explicit_bzero(hello, sizeof(*hello));
	wipe_stack();
	return result;
}

/* ---- servers ---- */

static void free_x509(X509 **certificate)
{
	X509_free(*certificate);
}

static void free_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void free_names(GENERAL_NAMES **names)
{
	GENERAL_NAMES_free(*names);
}

static int64_t seconds(const ASN1_TIME *time)
{
	struct tm parts;

	return time && ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

static void take_subject(const X509 *certificate, struct sw_certificate *to)
{
	sw_cleanup(free_bio) BIO *bio = BIO_new(BIO_s_mem());
	char *text;
	long n;

	if (!bio || X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
				       XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
		return;
	n = BIO_get_mem_data(bio, &text);
	sw_text_escape(text, n > 0 ? (size_t)n : 0, to->subject, sizeof(to->subject));
}

static bool take_name(const GENERAL_NAME *name, char to[SW_INSPECT_TEXT])
{
	const ASN1_STRING *value;

	if (name->type == GEN_DNS) {
		value = name->d.dNSName;
		sw_text_escape((const char *)ASN1_STRING_get0_data(value),
			       (size_t)ASN1_STRING_length(value), to, SW_INSPECT_TEXT);
		return true;
	}
	if (name->type != GEN_IPADD)
		return false;
	value = name->d.iPAddress;
	if (ASN1_STRING_length(value) == 4)
		return inet_ntop(AF_INET, ASN1_STRING_get0_data(value), to, SW_INSPECT_TEXT);
	if (ASN1_STRING_length(value) == 16)
		return inet_ntop(AF_INET6, ASN1_STRING_get0_data(value), to, SW_INSPECT_TEXT);
	return false;
}

static void take_names(const X509 *certificate, struct sw_certificate *to)
{
	sw_cleanup(free_names) GENERAL_NAMES *names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (to->n_names == SW_INSPECT_NAMES) {
			to->more_names = true;
			return;
		}
		to->n_names += take_name(name, to->names[to->n_names]);
	}
}

static bool take_certificate(const uint8_t *der, size_t n, const char *sni,
			     struct sw_certificate *to)
{
	const unsigned char *at = der;
	sw_cleanup(free_x509) X509 *certificate = d2i_X509(NULL, &at, (long)n);

	if (!certificate)
		return false;
	take_subject(certificate, to);
	take_names(certificate, to);
	to->not_before = seconds(X509_get0_notBefore(certificate));
	to->not_after = seconds(X509_get0_notAfter(certificate));
	to->asked = *sni;
	to->matches = *sni && X509_check_host(certificate, sni, strlen(sni), 0, NULL) == 1;
	return true;
}

bool sw_inspect_server(struct sw_inspector *inspector, const uint8_t *bytes, size_t n,
		       const char *sni, struct sw_server_facts *facts)
{
	struct sw_server_hello hello;
	size_t length;

	*facts = (struct sw_server_facts){};
	sw_server_hello_read(bytes, n, &hello);
	if (!hello.has_hello)
		return false;
	facts->version = hello.version;
	facts->cipher = hello.cipher;
	sw_inspect_cipher(inspector, hello.cipher, facts->cipher_name);
	if (!hello.certificate_whole || !hello.certificate_length)
		return true;
	length = sw_handshake_join(bytes, n, inspector->handshake, sizeof(inspector->handshake));
	if (hello.certificate_at <= length &&
	    hello.certificate_length <= length - hello.certificate_at)
		facts->has_certificate =
			take_certificate(inspector->handshake + hello.certificate_at,
					 hello.certificate_length, sni, &facts->certificate);
	explicit_bzero(inspector->handshake, sizeof(inspector->handshake));
	ERR_clear_error();
	return true;
}

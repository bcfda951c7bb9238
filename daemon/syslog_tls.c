/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/syslog_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

struct sw_syslog_tls_context {
	SSL_CTX *context;
	char *name;
};

struct sw_syslog_tls {
	SSL *ssl;
};

/* The oldest entry of OpenSSL's queue says what went wrong first; the rest is what followed from it. */
static const char *reason(char to[static 256])
{
	unsigned long error = ERR_get_error();
	const char *text = ERR_reason_error_string(error);

	if (ERR_SYSTEM_ERROR(error))
		text = strerror(ERR_GET_REASON(error));
	snprintf(to, 256, "%s", text ? text : "no reason given");
	ERR_clear_error();
	return to;
}

/* ---- files ---- */

/* A daemon has nobody to ask; without this OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int size, int writing, void *data)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static int load_failed(const char *what, const char *file, struct sw_fault *fault)
{
	char text[256];

	return sw_fault(fault, SW_EXIT_KERNEL, "cannot use %s as %s: %s", file, what, reason(text));
}

static int load(SSL_CTX *context, const struct sw_syslog_tls_files *files, struct sw_fault *fault)
{
	const char *key = files->key ? files->key : files->cert;

	if (!files->ca && SSL_CTX_set_default_verify_paths(context) != 1)
		return load_failed("authorities for --syslog", "this system's", fault);
	if (files->ca && SSL_CTX_load_verify_file(context, files->ca) != 1)
		return load_failed("--syslog-ca", files->ca, fault);
	if (files->cert && SSL_CTX_use_certificate_chain_file(context, files->cert) != 1)
		return load_failed("--syslog-cert", files->cert, fault);
	if (files->cert && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return load_failed("--syslog-key", key, fault);
	if (files->cert && SSL_CTX_check_private_key(context) != 1)
		return load_failed("the key of --syslog-cert", key, fault);
	return 0;
}

static SSL_CTX *make_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	return context;
}

int sw_syslog_tls_open(const struct sw_syslog_tls_files *files,
		       struct sw_syslog_tls_context **context, struct sw_fault *fault)
{
	struct sw_syslog_tls_context *made = calloc(1, sizeof(*made));

	ERR_clear_error();
	if (made) {
		made->context = make_context();
		made->name = strdup(files->name);
	}
	if (!made || !made->context || !made->name) {
		sw_syslog_tls_close(made);
		return sw_fault(fault, SW_EXIT_KERNEL, "cannot set up OpenSSL for --syslog");
	}
	if (load(made->context, files, fault) < 0) {
		sw_syslog_tls_close(made);
		return -1;
	}
	*context = made;
	return 0;
}

void sw_syslog_tls_close(struct sw_syslog_tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->context);
	free(context->name);
	free(context);
}

/* ---- a connection ---- */

/* An address is looked for among the certificate's addresses and is no SNI (RFC 6066, 3). */
static bool expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return true;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

struct sw_syslog_tls *sw_syslog_tls_new(struct sw_syslog_tls_context *context, int fd)
{
	struct sw_syslog_tls *tls = calloc(1, sizeof(*tls));

	if (tls)
		tls->ssl = SSL_new(context->context);
	if (!tls || !tls->ssl || !expect_name(tls->ssl, context->name) ||
	    SSL_set_fd(tls->ssl, fd) != 1) {
		sw_syslog_tls_free(tls);
		return NULL;
	}
	SSL_set_connect_state(tls->ssl);
	return tls;
}

void sw_syslog_tls_free(struct sw_syslog_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	free(tls);
}

/* Of a certificate that does not hold, OpenSSL's queue only says that it does not. */
static int over(struct sw_syslog_tls *tls, int error, int saved_errno, struct sw_fault *fault)
{
	long verified = SSL_get_verify_result(tls->ssl);
	char text[256];

	if (verified != X509_V_OK)
		sw_fault(fault, SW_EXIT_KERNEL, "its certificate does not hold: %s",
			 X509_verify_cert_error_string(verified));
	else if (error == SSL_ERROR_ZERO_RETURN ||
		 ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		sw_fault(fault, SW_EXIT_KERNEL, "the collector has closed the connection");
	else if (error == SSL_ERROR_SYSCALL && !ERR_peek_error())
		sw_fault(fault, SW_EXIT_KERNEL, "%s", strerror(saved_errno));
	else
		sw_fault(fault, SW_EXIT_KERNEL, "TLS: %s", reason(text));
	ERR_clear_error();
	return -1;
}

static int again(struct sw_syslog_tls *tls, int result, short *events, struct sw_fault *fault)
{
	int saved_errno = errno, error = SSL_get_error(tls->ssl, result);

	if (error == SSL_ERROR_WANT_READ)
		*events = POLLIN;
	else if (error == SSL_ERROR_WANT_WRITE)
		*events = POLLOUT;
	else
		return over(tls, error, saved_errno, fault);
	return 0;
}

int sw_syslog_tls_handshake(struct sw_syslog_tls *tls, short *events, struct sw_fault *fault)
{
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(tls->ssl);
	return result == 1 ? 1 : again(tls, result, events, fault);
}

ssize_t sw_syslog_tls_write(struct sw_syslog_tls *tls, const void *bytes, size_t n, short *events,
			    struct sw_fault *fault)
{
	size_t written;
	int result;

	ERR_clear_error();
	result = SSL_write_ex(tls->ssl, bytes, n, &written);
	return result == 1 ? (ssize_t)written : again(tls, result, events, fault);
}

ssize_t sw_syslog_tls_read(struct sw_syslog_tls *tls, void *bytes, size_t n, short *events,
			   struct sw_fault *fault)
{
	size_t got;
	int result;

	ERR_clear_error();
	result = SSL_read_ex(tls->ssl, bytes, n, &got);
	return result == 1 ? (ssize_t)got : again(tls, result, events, fault);
}

void sw_syslog_tls_end(struct sw_syslog_tls *tls)
{
	ERR_clear_error();
	SSL_shutdown(tls->ssl);
	ERR_clear_error();
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* digest.c - the only file of the policy library that includes OpenSSL. */
#include "daemon/policy/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct sw_digest {
	EVP_MD_CTX *context;
	bool failed;
};

struct sw_digest *sw_digest_new(void)
{
	struct sw_digest *digest = calloc(1, sizeof(*digest));

	if (!digest)
		return NULL;
	digest->context = EVP_MD_CTX_new();
	if (digest->context && EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) == 1)
		return digest;
	EVP_MD_CTX_free(digest->context);
	free(digest);
	return NULL;
}

void sw_digest_add(struct sw_digest *digest, const void *bytes, size_t length)
{
	if (EVP_DigestUpdate(digest->context, bytes, length) != 1)
		digest->failed = true;
}

int sw_digest_end(struct sw_digest *digest, uint8_t sum[static 32])
{
	uint8_t made[EVP_MAX_MD_SIZE];
	bool good = !digest->failed && EVP_DigestFinal_ex(digest->context, made, NULL) == 1;

	EVP_MD_CTX_free(digest->context);
	free(digest);
	if (!good)
		return -EIO;
	memcpy(sum, made, 32);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/base.h"
#include "daemon/policy/policy.h"
#include "daemon/source.h"

static void add_record(const struct sw_diag_record *record, void *data)
{
	static const char *const severities[] = {"error", "warning", "note"};

	json_array_append_new(data, json_pack("{s:s, s:s?, s:i, s:i, s:s?}", "severity",
					      severities[record->severity], "file", record->file,
					      "line", (int)record->line, "column",
					      (int)record->column, "message", record->message));
}

static void keep_diagnostics(struct sw_source *source, const struct sw_diags *diags)
{
	size_t size;
	FILE *memory = open_memstream(&source->said, &size);

	source->errors = sw_diags_errors(diags);
	source->warnings = sw_diags_warnings(diags);
	if (memory) {
		sw_diags_print(diags, memory);
		fclose(memory);
	}
	if (source->want_records) {
		source->diagnostics = json_array();
		sw_diags_each(diags, add_record, source->diagnostics);
	}
}

/* NULL after adding errors. */
static struct sw_image *compile(const char *name, const char *text, size_t length, int dir_fd,
				bool progress, struct sw_diags *diags)
{
	struct sw_system system = {.dir_fd = dir_fd, .show_progress = progress};
	struct sw_policy_ast *ast = sw_policy_parse(name, text, length, diags);
	struct sw_image *image = NULL;
	struct sw_world world;

	sw_system_world(&system, &world);
	/* The check also runs after errors of the parser, so that all is told at once. */
	if (sw_policy_check(ast, &world, diags) == 0)
		image = sw_policy_compile(ast, diags);
	sw_policy_free(ast);
	return image;
}

void sw_source_read(struct sw_source *source, const char *name, int fd, int dir_fd, bool progress)
{
	struct sw_diags *diags = sw_diags_new();
	sw_autofree char *text = NULL;
	size_t length = 0;

	text = sw_policy_read(fd, name, diags, &length);
	if (text)
		source->image = compile(name, text, length, dir_fd, progress, diags);
	keep_diagnostics(source, diags);
	sw_diags_free(diags);
}

static void cannot_open(struct sw_source *source, const char *path, const char *why)
{
	struct sw_diags *diags = sw_diags_new();
	uint16_t index = sw_diags_add_source(diags, path, NULL, 0);

	sw_diag(diags, SW_ERROR, (struct sw_pos){.source = index}, "cannot open this file: %s",
		why);
	keep_diagnostics(source, diags);
	sw_diags_free(diags);
}

static int open_folder(const char *path)
{
	sw_autofree char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!folder)
		return -1;
	if (!slash)
		return open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	slash[slash == folder] = '\0';
	return open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Not blocking: the file may be a pipe that nobody writes to. */
static int open_policy(const char *path)
{
	return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void sw_source_open(struct sw_source *source, const char *path, bool progress)
{
	sw_autoclose int fd = open_policy(path);
	int error = errno;
	sw_autoclose int folder = open_folder(path);

	if (fd < 0)
		cannot_open(source, path, strerror(error));
	else
		sw_source_read(source, path, fd, folder, progress);
}

bool sw_source_sum(const char *path, uint8_t sha256[static 32])
{
	sw_autoclose int fd = open_policy(path), folder = open_folder(path);
	struct sw_system system = {.dir_fd = folder};
	struct sw_diags *diags = sw_diags_new();
	struct sw_policy_ast *ast = NULL;
	sw_autofree char *text = NULL;
	struct sw_world world;
	size_t length = 0;
	bool good = false;

	if (fd >= 0)
		text = sw_policy_read(fd, path, diags, &length);
	if (text)
		ast = sw_policy_parse(path, text, length, diags);
	if (ast) {
		good = sw_diags_errors(diags) == 0;
		sw_system_world_of_sum(&system, &world);
		sw_policy_check(ast, &world, diags);
		memcpy(sha256, ast->sha256, sizeof(ast->sha256));
		sw_policy_free(ast);
	}
	sw_diags_free(diags);
	return good;
}

void sw_source_free(struct sw_source *source)
{
	sw_image_free(source->image);
	free(source->said);
	json_decref(source->diagnostics);
}

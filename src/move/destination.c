// Rewrites a QEMU's command line for the second process. Both run on one host for a while, so what
// has a name there gets the suffix until the source is gone: listening sockets, the file of the
// process id, and the memory's file where memory is copied. The arguments of a process that was
// moved before have a suffix although its files do not; the true path is without it.
#include "destination.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool
ends_with(const char *path, const char *suffix)
{
	size_t len = strlen(path), suffix_len = strlen(suffix);

	return len > suffix_len && !strcmp(path + len - suffix_len, suffix);
}

char *
destination_true_path(const char *path)
{
	size_t len = strlen(path);

	if (ends_with(path, DESTINATION_SUFFIX))
		len -= strlen(DESTINATION_SUFFIX);
	else if (ends_with(path, DESTINATION_OTHER_SUFFIX))
		len -= strlen(DESTINATION_OTHER_SUFFIX);
	return strndup(path, len);
}

// Takes the word; NULL is a failure of whoever made it.
static int
take(struct destination *d, char *word)
{
	if (!word)
		return -ENOMEM;
	d->words[d->n_words++] = word;
	return 0;
}

static int
put(struct destination *d, const char *word)
{
	return take(d, strdup(word));
}

// Plans that the path becomes one with the suffix for a while: *ret_path is that one, owned by d.
static int
rename_later(struct destination *d, const char *path, const char **ret_path)
{
	struct destination_rename *r = &d->renames[d->n_renames];
	const char *suffix = ends_with(path, DESTINATION_SUFFIX) ? DESTINATION_OTHER_SUFFIX : DESTINATION_SUFFIX;

	if (d->n_renames == DESTINATION_MAX_RENAMES)
		return -E2BIG;
	r->to = destination_true_path(path);
	if (!r->to || asprintf(&r->from, "%s%s", r->to, suffix) < 0) {
		free(r->to);
		return -ENOMEM;
	}
	d->n_renames++;
	*ret_path = r->from;
	return 0;
}

static int
put_option(struct destination *d, const struct cmdline_option *option, char *value)
{
	char *dashed = NULL;

	if (asprintf(&dashed, "-%s", option->name) < 0 || take(d, dashed)) {
		free(value);
		return -ENOMEM;
	}
	return take(d, value);
}

static int
put_socket(struct destination *d, const struct cmdline_option *option, const char *path, const char *qmp)
{
	const char *other;
	int rc = rename_later(d, path, &other);

	if (rc)
		return rc;
	if (qmp && !strcmp(d->renames[d->n_renames - 1].to, qmp))
		d->qmp = d->renames[d->n_renames - 1].from;
	return put_option(d, option, cmdline_set_socket(option, other));
}

// QEMU empties a file that it writes a console to, unless it is told to append.
static int
put_console(struct destination *d, const struct cmdline_option *option, unsigned index)
{
	struct cmdline_option chardev = {.name = "chardev", .value = "file,append=on"};
	char id[64], *value = cmdline_set(&chardev, "path", option->value + strlen("file:")), *by_id = NULL;
	int rc;

	snprintf(id, sizeof(id), "%s%u", option->name, index);
	chardev.value = value;
	rc = value ? put_option(d, &chardev, cmdline_set(&chardev, "id", id)) : -ENOMEM;
	free(value);
	if (!rc && asprintf(&by_id, "chardev:%s", id) < 0)
		rc = -ENOMEM;
	return rc ? rc : put_option(d, option, by_id);
}

// Guest memory is allocated, and touching it while the guest runs is not the destination's part. A
// file that is not copied is opened by the name that it has.
static int
put_object(struct destination *d, const struct cmdline_option *option, enum plan_way way)
{
	char kind[CMDLINE_VALUE_SIZE], path[CMDLINE_VALUE_SIZE];
	struct cmdline_option memory = *option;
	char *value, *true_path = NULL;
	const char *other;
	int rc = 0;

	if (!cmdline_get(option, "qom-type", kind) || strncmp(kind, "memory-backend-", 15) != 0)
		return put_option(d, option, strdup(option->value));
	value = cmdline_set(option, "prealloc", NULL);
	if (!value)
		return -ENOMEM;
	if (strcmp(kind, "memory-backend-file") != 0 || !cmdline_get(option, "mem-path", path))
		return put_option(d, option, value);
	memory.value = value;
	if (way != PLAN_PLAIN || !cmdline_is_on(option, "share"))
		other = true_path = destination_true_path(path);
	else
		rc = rename_later(d, path, &other);
	if (!rc)
		rc = other ? put_option(d, option, cmdline_set(&memory, "mem-path", other)) : -ENOMEM;
	free(true_path);
	free(value);
	return rc;
}

static bool
is_dropped(const struct cmdline_option *option)
{
	static const char *const names[] = {"S", "daemonize", "incoming", "loadvm", "mem-prealloc"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (cmdline_is(option, names[i]))
			return true;
	return false;
}

// How many options of this name there are before this one.
static unsigned
index_of(const struct cmdline *c, const struct cmdline_option *option)
{
	unsigned n = 0;

	for (const struct cmdline_option *o = c->options; o != option; o++)
		n += cmdline_is(o, option->name);
	return n;
}

static int
put_pidfile(struct destination *d, const struct cmdline_option *option)
{
	const char *other;
	int rc = rename_later(d, option->value, &other);

	return rc ? rc : put_option(d, option, strdup(other));
}

static int
rewrite(struct destination *d, const struct cmdline *c, const struct cmdline_option *option,
	const struct destination_options *o)
{
	char value[CMDLINE_VALUE_SIZE];
	bool is_server;

	if (is_dropped(option))
		return 0;
	if (!option->name[0])
		return put(d, option->value);
	if (!option->value) {
		char *dashed = NULL;

		return asprintf(&dashed, "-%s", option->name) < 0 ? -ENOMEM : take(d, dashed);
	}
	if (cmdline_is(option, "machine") && cmdline_get(option, "type", value))
		return put_option(d, option, cmdline_set(option, "type", o->machine));
	if (cmdline_is(option, "object"))
		return put_object(d, option, o->way);
	if (cmdline_is(option, "pidfile"))
		return put_pidfile(d, option);
	if (cmdline_get_socket(option, value, &is_server) && is_server)
		return put_socket(d, option, value, o->qmp);
	if (cmdline_is(option, "chardev") && cmdline_get(option, "backend", value) && !strcmp(value, "file"))
		return put_option(d, option, cmdline_set(option, "append", "on"));
	if ((cmdline_is(option, "serial") || cmdline_is(option, "parallel")) && !strncmp(option->value, "file:", 5))
		return put_console(d, option, index_of(c, option));
	return put_option(d, option, strdup(option->value));
}

static bool
has_type(const struct cmdline *c)
{
	char value[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *option;
	unsigned cursor = 0;

	while ((option = cmdline_next(c, "machine", &cursor)))
		if (cmdline_get(option, "type", value))
			return true;
	return false;
}

static int
put_incoming(struct destination *d, const struct destination_options *o)
{
	json_t *channel;
	char *text = NULL;
	int rc;

	if (o->way != PLAN_CPR_TRANSFER) {
		rc = put(d, "-incoming");
		return rc ? rc : put(d, "defer");
	}
	channel = json_pack("{s:s, s:{s:s, s:s, s:s}}", "channel-type", "cpr", "addr", "transport", "socket", "type",
		"unix", "path", o->cpr_socket);
	rc = put(d, "-incoming");
	if (!rc && asprintf(&text, "unix:%s", o->main_socket) < 0)
		rc = -ENOMEM;
	else if (!rc)
		rc = take(d, text);
	if (!rc)
		rc = put(d, "-incoming");
	if (!rc)
		rc = take(d, channel ? json_dumps(channel, JSON_COMPACT) : NULL);
	json_decref(channel);
	return rc;
}

int
destination_create(const struct cmdline *c, const struct destination_options *o, struct destination **ret_destination)
{
	struct destination *d = calloc(1, sizeof(*d));
	int rc = -ENOMEM;

	if (!d)
		return rc;
	// An option becomes four words at most.
	d->words = calloc(4 * c->n + 8, sizeof(*d->words));
	if (d->words)
		rc = put(d, o->program);
	for (unsigned i = 0; !rc && i < c->n; i++)
		rc = rewrite(d, c, &c->options[i], o);
	if (!rc && !has_type(c)) {
		rc = put(d, "-machine");
		if (!rc)
			rc = put(d, o->machine);
	}
	if (!rc)
		rc = put_incoming(d, o);
	if (rc) {
		destination_destroy(d);
		return rc;
	}
	*ret_destination = d;
	return 0;
}

void
destination_destroy(struct destination *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->n_words; i++)
		free(d->words[i]);
	free(d->words);
	for (unsigned i = 0; i < d->n_renames; i++) {
		free(d->renames[i].from);
		free(d->renames[i].to);
	}
	free(d);
}

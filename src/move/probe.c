// Answers of QMP become the facts of plan.h. Of the schema only one thing is wanted: whether any
// enumeration has cpr-transfer.
#include "probe.h"

#include "destination.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

char *
probe_path(const struct process *p, const char *path)
{
	char *out = NULL;

	if (path[0] == '/')
		return strdup(path);
	return asprintf(&out, "%s/%s", p->cwd, path) < 0 ? NULL : out;
}

// ---- the control socket

// A chardev's path if it is QEMU's own unix socket.
static bool
chardev_path(const struct cmdline *c, const char *id, char ret_path[CMDLINE_VALUE_SIZE])
{
	char value[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *option;
	bool is_server;
	unsigned cursor = 0;

	while ((option = cmdline_next(c, "chardev", &cursor)))
		if (cmdline_get(option, "id", value) && !strcmp(value, id))
			return cmdline_get_socket(option, ret_path, &is_server) && is_server;
	return false;
}

static bool
control_path(const struct cmdline *c, const struct cmdline_option *option, char ret_path[CMDLINE_VALUE_SIZE])
{
	char value[CMDLINE_VALUE_SIZE];
	bool is_server;

	if (cmdline_is(option, "qmp") || cmdline_is(option, "qmp-pretty")) {
		if (!strncmp(option->value, "chardev:", 8))
			return chardev_path(c, option->value + 8, ret_path);
		return cmdline_get_socket(option, ret_path, &is_server) && is_server;
	}
	return cmdline_is(option, "mon") && cmdline_get(option, "mode", value) && !strcmp(value, "control") &&
		cmdline_get(option, "chardev", value) && chardev_path(c, value, ret_path);
}

// Until a move is over, the socket of that name is the source's. The destination's has a suffix.
static int
connect_to(const struct process *p, const char *path, struct qmp **ret_qmp, char *err)
{
	int rc = qmp_open(path, PROBE_GREETING_MS, ret_qmp, err);

	if (rc || qmp_peer(*ret_qmp) == p->pid)
		return rc;
	snprintf(err, QMP_ERROR_SIZE,
		"%.160s is of process %d, and the process has none there: a move to it is not over", path,
		(int)qmp_peer(*ret_qmp));
	qmp_close(*ret_qmp);
	*ret_qmp = NULL;
	return -EBUSY;
}

int
probe_connect(const struct cmdline *c, const struct process *p, struct qmp **ret_qmp, char **ret_path,
	struct reasons *reasons)
{
	char path[CMDLINE_VALUE_SIZE], err[QMP_ERROR_SIZE];
	bool is_there = false;

	for (unsigned i = 0; i < c->n; i++) {
		char *true_path, *full;
		int rc;

		if (!control_path(c, &c->options[i], path))
			continue;
		is_there = true;
		true_path = destination_true_path(path);
		full = true_path ? probe_path(p, true_path) : NULL;
		rc = full ? connect_to(p, full, ret_qmp, err) : -ENOMEM;
		free(full);
		if (!rc) {
			*ret_path = true_path;
			return 0;
		}
		free(true_path);
		reasons_add(reasons, "no QMP socket is free: %.260s%s", err,
			rc == -ETIMEDOUT ? " (another client has it)" : "");
	}
	if (is_there)
		return -EBUSY;
	reasons_add(reasons, "the process has no QMP socket: it needs -qmp unix:PATH,server=on,wait=off");
	return -ENOENT;
}

// ---- answers

static int
ask(struct qmp *q, const char *command, json_t *arguments, json_t **ret_answer, struct reasons *reasons)
{
	char err[QMP_ERROR_SIZE];
	int rc = qmp_call(q, command, arguments, PROBE_ANSWER_MS, ret_answer, err);

	if (rc)
		reasons_add(reasons, "%.290s", err);
	return rc;
}

// A property; NULL: the object has none of that name.
static json_t *
property(struct qmp *q, const char *path, const char *name)
{
	char err[QMP_ERROR_SIZE];
	json_t *answer = NULL;

	(void)qmp_call(
		q, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", name), PROBE_ANSWER_MS, &answer, err);
	return answer;
}

// The names of an object's children.
static json_t *
children(struct qmp *q, const char *path)
{
	char err[QMP_ERROR_SIZE];
	json_t *answer = NULL, *names = json_array();
	const json_t *item;
	size_t i;

	if (!qmp_call(q, "qom-list", json_pack("{s:s}", "path", path), PROBE_ANSWER_MS, &answer, err))
		json_array_foreach (answer, i, item) {
			const char *type = json_string_value(json_object_get(item, "type"));

			if (type && !strncmp(type, "child<", 6))
				json_array_append(names, json_object_get(item, "name"));
		}
	json_decref(answer);
	return names;
}

// What both QEMUs tell of themselves.
static int
ask_abilities(struct qmp *q, json_t *facts, struct reasons *reasons)
{
	json_t *version = NULL, *capabilities = NULL, *schema = NULL, *names = json_array();
	const json_t *item, *number;
	bool has_cpr = false;
	char text[64];
	size_t i, k;
	int rc = ask(q, "query-version", NULL, &version, reasons);

	if (!rc)
		rc = ask(q, "query-migrate-capabilities", NULL, &capabilities, reasons);
	if (!rc)
		rc = ask(q, "query-qmp-schema", NULL, &schema, reasons);
	json_array_foreach (capabilities, i, item)
		json_array_append(names, json_object_get(item, "capability"));
	json_array_foreach (schema, i, item)
		json_array_foreach (json_object_get(item, "values"), k, number)
			if (json_is_string(number) && !strcmp(json_string_value(number), "cpr-transfer"))
				has_cpr = true;
	number = json_object_get(version, "qemu");
	snprintf(text, sizeof(text), "%d.%d.%d", (int)json_integer_value(json_object_get(number, "major")),
		(int)json_integer_value(json_object_get(number, "minor")),
		(int)json_integer_value(json_object_get(number, "micro")));
	json_object_set_new(facts, "version", json_string(text));
	json_object_set_new(facts, "capabilities", names);
	json_object_set_new(facts, "has_cpr", json_boolean(has_cpr));
	json_decref(version);
	json_decref(capabilities);
	json_decref(schema);
	return rc;
}

static json_t *
memory_facts(struct qmp *q, const struct process *p, const json_t *memdevs)
{
	json_t *all = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach (memdevs, i, item) {
		const char *id = json_string_value(json_object_get(item, "id")), *text;
		json_t *one = json_object(), *path, *discard;
		char object[256], *full, *true_path;

		snprintf(object, sizeof(object), "/objects/%.200s", id ? id : "");
		path = property(q, object, "mem-path");
		discard = property(q, object, "discard-data");
		text = json_string_value(path);
		true_path = text ? destination_true_path(text) : NULL;
		full = true_path ? probe_path(p, true_path) : NULL;
		json_object_set_new(one, "id", json_string(id ? id : ""));
		json_object_set_new(one, "type", property(q, object, "type"));
		json_object_set(one, "share", json_object_get(item, "share"));
		json_object_set_new(one, "discard", json_boolean(json_is_true(discard)));
		json_object_set_new(one, "path", json_string(true_path ? true_path : ""));
		json_object_set_new(one, "is_mapped", json_boolean(full && process_has_mapped(p, full)));
		json_array_append_new(all, one);
		free(full);
		free(true_path);
		json_decref(path);
		json_decref(discard);
	}
	return all;
}

static json_t *
image_facts(const json_t *drives)
{
	json_t *all = json_array();
	const json_t *item;
	size_t i;

	json_array_foreach (drives, i, item) {
		json_t *file = json_object_get(json_object_get(item, "inserted"), "file");

		if (json_is_string(file) && strncmp(json_string_value(file), "json:", 5) != 0)
			json_array_append(all, file);
	}
	return all;
}

// "pc-q35-10.0" of "pc-q35-10.0-machine".
static json_t *
machine_fact(struct qmp *q)
{
	json_t *type = property(q, "/machine", "type"), *fact;
	const char *text = json_string_value(type) ? json_string_value(type) : "", *end = strstr(text, "-machine");

	fact = json_stringn(text, end ? (size_t)(end - text) : strlen(text));
	json_decref(type);
	return fact;
}

static json_int_t
ram_bytes(const json_t *summary)
{
	return json_integer_value(json_object_get(summary, "base-memory")) +
		json_integer_value(json_object_get(summary, "plugged-memory"));
}

int
probe_source(struct qmp *q, const struct process *p, json_t **ret_facts, struct reasons *reasons)
{
	static const char *const commands[] = {
		"query-status", "query-migrate", "query-memdev", "query-memory-size-summary", "query-block"};
	json_t *answers[5] = {0}, *facts = json_object(), *aux = NULL, *anonymous = NULL;
	int rc = facts ? ask_abilities(q, facts, reasons) : -ENOMEM;

	for (unsigned i = 0; !rc && i < 5; i++)
		rc = ask(q, commands[i], NULL, &answers[i], reasons);
	if (!rc) {
		aux = property(q, "/machine", "aux-ram-share");
		anonymous = children(q, "/machine/peripheral-anon");
		json_object_set(facts, "status", json_object_get(answers[0], "status"));
		json_object_set(facts, "migration", answers[1]);
		json_object_set_new(facts, "memory", memory_facts(q, p, answers[2]));
		json_object_set_new(facts, "ram_bytes", json_integer(ram_bytes(answers[3])));
		json_object_set_new(facts, "images", image_facts(answers[4]));
		json_object_set_new(facts, "machine", machine_fact(q));
		json_object_set_new(facts, "has_aux_ram_share", json_boolean(json_is_true(aux)));
		json_object_set_new(facts, "n_anonymous", json_integer((json_int_t)json_array_size(anonymous)));
		json_object_set_new(facts, "devices", children(q, "/machine/peripheral"));
		json_object_set_new(facts, "objects", children(q, "/objects"));
		json_object_set_new(facts, "chardevs", children(q, "/chardevs"));
	}
	for (unsigned i = 0; i < 5; i++)
		json_decref(answers[i]);
	json_decref(aux);
	json_decref(anonymous);
	if (rc)
		json_decref(facts);
	else
		*ret_facts = facts;
	return rc;
}

// ---- the target

static int
ask_target(int fd, const char *program, json_t **ret_facts, struct reasons *reasons)
{
	json_t *facts = json_object(), *answer = NULL, *names = json_array();
	const json_t *item;
	char err[QMP_ERROR_SIZE];
	struct qmp *q;
	size_t i;
	int rc = qmp_adopt(fd, program, PROBE_ANSWER_MS, &q, err);

	if (rc) {
		reasons_add(reasons, "the target does not start as a QEMU: %.260s", err);
		json_decref(facts);
		json_decref(names);
		return rc;
	}
	rc = ask_abilities(q, facts, reasons);
	if (!rc)
		rc = ask(q, "query-machines", NULL, &answer, reasons);
	json_array_foreach (answer, i, item) {
		json_array_append(names, json_object_get(item, "name"));
		if (json_object_get(item, "alias"))
			json_array_append(names, json_object_get(item, "alias"));
	}
	json_object_set_new(facts, "machines", names);
	json_decref(answer);
	(void)qmp_call(q, "quit", NULL, PROBE_ANSWER_MS, NULL, err);
	qmp_close(q);
	if (rc)
		json_decref(facts);
	else
		*ret_facts = facts;
	return rc;
}

int
probe_target(const char *program, const struct process *like, json_t **ret_facts, struct reasons *reasons)
{
	char *words[] = {strdup(program), strdup("-M"), strdup("none"), strdup("-nodefaults"),
		strdup("-no-user-config"), strdup("-display"), strdup("none"), strdup("-qmp"), strdup("stdio"), NULL};
	int pair[2], pidfd, rc;
	pid_t pid;

	rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) ? -errno : 0;
	if (!rc) {
		pid = process_start(like, words, pair[1], pair[1], &pidfd);
		(void)close(pair[1]);
		if (pid < 0) {
			(void)close(pair[0]);
			reasons_add(reasons, "the target %.200s cannot be executed: %s", program, strerror((int)-pid));
			rc = (int)pid;
		} else {
			rc = ask_target(pair[0], program, ret_facts, reasons);
			if (!process_ends(pidfd, 2000))
				(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
			(void)waitpid(pid, NULL, 0);
			(void)close(pidfd);
		}
	}
	for (char **word = words; word < words + sizeof(words) / sizeof(words[0]); word++)
		free(*word);
	return rc;
}

// The checks of a move. A property of the machine that is not known to be the same for a second
// process is refused, so the lists here name what is accepted, except for -device: there QEMU's own
// migration blockers say most. Each sentence says what to change.
#include "plan.h"

#include <stdio.h>
#include <string.h>

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool
has_text(const json_t *array, const char *text)
{
	size_t i;
	const json_t *item;

	json_array_foreach (array, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), text))
			return true;
	return false;
}

const char *
plan_way_name(enum plan_way way)
{
#define NAME(id, name) name,
	static const char *const names[] = {PLAN_WAYS(NAME)};
#undef NAME

	return names[way];
}

// ---- arguments

static bool
is_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(text, *list))
			return true;
	return false;
}

static bool
begins_with_one_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (!strncmp(text, *list, strlen(*list)))
			return true;
	return false;
}

static bool
netdev_has_chardev(const struct cmdline *c, const char *id)
{
	char value[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *netdev;
	unsigned cursor = 0;

	while ((netdev = cmdline_next(c, "netdev", &cursor)))
		if (cmdline_get(netdev, "type", value) && !strcmp(value, "vhost-user") &&
			cmdline_get(netdev, "chardev", value) && !strcmp(value, id))
			return true;
	return false;
}

static void
check_chardev(const struct cmdline *c, const struct cmdline_option *option, struct reasons *r)
{
	static const char *const accepted[] = {"file", "hub", "memory", "null", "pty", "ringbuf", "vc", NULL};
	char kind[CMDLINE_VALUE_SIZE] = "", id[CMDLINE_VALUE_SIZE] = "", path[CMDLINE_VALUE_SIZE];
	bool is_server;

	(void)cmdline_get(option, "backend", kind);
	(void)cmdline_get(option, "id", id);
	if (is_one_of(kind, accepted))
		return;
	if (strcmp(kind, "socket") != 0) {
		reasons_add(r, "chardev %.60s is of kind %.60s, which two processes cannot have at a time", id, kind);
		return;
	}
	if (!cmdline_get_socket(option, path, &is_server)) {
		reasons_add(r, "chardev %.60s has a network socket: only unix sockets get a second path", id);
		return;
	}
	if (netdev_has_chardev(c, id)) {
		if (is_server)
			reasons_add(r,
				"chardev %.60s: QEMU is the server of its vhost-user socket, and the switch has one "
				"connection to it; let "
				"the switch listen (without server=on)",
				id);
	} else if (!is_server) {
		reasons_add(r, "chardev %.60s is a client of %.100s, whose server would have two of them", id, path);
	}
}

// -serial and its like.
static void
check_in_place(const struct cmdline_option *option, struct reasons *r)
{
	static const char *const accepted[] = {"chardev:", "none", "null", "pty", "vc", NULL};
	char path[CMDLINE_VALUE_SIZE];
	bool is_server;

	if (cmdline_get_socket(option, path, &is_server)) {
		if (!is_server)
			reasons_add(r, "-%s is a client of %.100s, whose server would have two of them", option->name,
				path);
		return;
	}
	if (begins_with_one_of(option->value, accepted))
		return;
	if (!strncmp(option->value, "file:", 5) && (cmdline_is(option, "serial") || cmdline_is(option, "parallel")))
		return;
	reasons_add(r, "-%s %.100s is something that two processes cannot have at a time", option->name, option->value);
}

static void
check_device(const struct cmdline_option *option, struct reasons *r)
{
	static const char *const refused[] = {"vfio-", "vhost-vsock", "vhost-scsi", "vhost-user-", "vhost-vdpa-",
		"usb-host", "tpm-", "ivshmem-doorbell", "virtio-9p", "scsi-generic", "scsi-block", NULL};
	char driver[CMDLINE_VALUE_SIZE] = "", id[CMDLINE_VALUE_SIZE] = "";

	(void)cmdline_get(option, "driver", driver);
	(void)cmdline_get(option, "id", id);
	if (begins_with_one_of(driver, refused))
		reasons_add(r, "device %.60s%s%.60s has state outside of QEMU that a second process cannot share",
			driver, *id ? " " : "", id);
}

static void
check_netdev(const struct cmdline_option *option, struct reasons *r)
{
	char kind[CMDLINE_VALUE_SIZE] = "", id[CMDLINE_VALUE_SIZE] = "";

	(void)cmdline_get(option, "type", kind);
	(void)cmdline_get(option, "id", id);
	if (strcmp(kind, "vhost-user") != 0 && strcmp(kind, "none") != 0)
		reasons_add(r, "-%s %.60s is of kind %.60s: only a vhost-user socket takes a second connection",
			option->name, id, kind);
}

static void
check_drive(const struct cmdline_option *option, struct reasons *r)
{
	char value[CMDLINE_VALUE_SIZE] = "";

	if (cmdline_is_on(option, "snapshot") && !cmdline_is_on(option, "readonly"))
		reasons_add(r, "a drive has snapshot=on: what was written to it is in a file without a name");
	if (cmdline_get(option, "file", value) && !strncmp(value, "fat:", 4))
		reasons_add(r, "a drive is a directory (fat:)");
}

static void
check_option(const struct cmdline *c, const struct cmdline_option *option, struct reasons *r)
{
	static const char *const refused[] = {"add-fd", "fsdev", "gdb", "net", "nographic", "preconfig", "readconfig",
		"s", "sdl", "set", "snapshot", "spice", "tpmdev", "usbdevice", "virtfs", "writeconfig", NULL};
	char value[CMDLINE_VALUE_SIZE] = "";

	if (cmdline_has_descriptor(option)) {
		reasons_add(r, "-%s %.100s names a descriptor that only the running process has", option->name,
			option->value ? option->value : "");
	} else if (cmdline_is(option, "chardev")) {
		check_chardev(c, option, r);
	} else if (cmdline_is(option, "device")) {
		check_device(option, r);
	} else if (cmdline_is(option, "netdev") || cmdline_is(option, "nic")) {
		check_netdev(option, r);
	} else if (cmdline_is(option, "drive")) {
		check_drive(option, r);
	} else if (cmdline_is(option, "vnc") && strcmp(option->value, "none") != 0) {
		reasons_add(r, "-vnc %.100s: a second process cannot listen there", option->value);
	} else if (cmdline_is(option, "net") && !strcmp(option->value, "none")) {
		return;
	} else if (cmdline_is(option, "run-with") && cmdline_is_on(option, "exit-with-parent")) {
		reasons_add(r, "-run-with exit-with-parent: the new process has another parent");
	} else if (is_one_of(option->name, refused)) {
		reasons_add(
			r, "the arguments have -%s, with which a second process is not the same machine", option->name);
	} else if (cmdline_is_chardev(option)) {
		check_in_place(option, r);
	} else if (cmdline_is(option, "display") && cmdline_get(option, "type", value) && strcmp(value, "none") != 0) {
		reasons_add(r, "-display %.60s: only a guest without a display of the process (none) is moved", value);
	}
}

static void
check_arguments(const struct cmdline *c, struct reasons *r)
{
	unsigned cursor = 0;

	for (unsigned i = 0; i < c->n; i++)
		check_option(c, &c->options[i], r);
	if (!cmdline_next(c, "display", &cursor)) {
		cursor = 0;
		if (!cmdline_next(c, "vnc", &cursor))
			reasons_add(r, "the process has a display: only a guest with -display none is moved");
	}
}

// ---- what came or changed since the start

static bool
names_id(const struct cmdline *c, const char *option_name, const char *id)
{
	char value[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *option;
	unsigned cursor = 0;

	while ((option = cmdline_next(c, option_name, &cursor)))
		if (cmdline_get(option, "id", value) && !strcmp(value, id))
			return true;
	return false;
}

// Names that QEMU makes for options without one: of character devices, and of monitors, which are
// objects since QEMU 11.
static bool
is_made(const char *label)
{
	static const char *const prefixes[] = {"compat_monitor", "serial", "parallel", "debugcon", "gdb", "vc", NULL};

	return begins_with_one_of(label, prefixes);
}

// The object of a machine whose memory no argument describes: pc.ram and others.
static bool
is_default_memory(const char *id)
{
	const char *end = strstr(id, ".ram");

	return end && !end[4];
}

static void
check_ids(const struct cmdline *c, const json_t *ids, const char *option, struct reasons *r)
{
	size_t i;
	const json_t *id;

	json_array_foreach (ids, i, id) {
		const char *text = json_string_value(id);

		if (!text || names_id(c, option, text))
			continue;
		if (is_made(text) || (!strcmp(option, "object") && is_default_memory(text)))
			continue;
		reasons_add(r, "%s %.100s was added since the start: the arguments do not describe the machine", option,
			text);
	}
}

// Devices of the arguments that are not there any more.
static void
check_removed(const struct cmdline *c, const json_t *ids, struct reasons *r)
{
	char id[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *option;
	unsigned cursor = 0;

	while ((option = cmdline_next(c, "device", &cursor)))
		if (cmdline_get(option, "id", id) && !has_text(ids, id))
			reasons_add(r,
				"device %.100s was removed since the start: the arguments do not describe the machine",
				id);
}

static long long
count_anonymous(const struct cmdline *c)
{
	char value[CMDLINE_VALUE_SIZE];
	long long n = 0;

	for (unsigned i = 0; i < c->n; i++) {
		const struct cmdline_option *option = &c->options[i];

		if (cmdline_is(option, "device") && !cmdline_get(option, "id", value))
			n++;
		if (cmdline_is(option, "drive") && cmdline_get(option, "if", value) && !strcmp(value, "virtio"))
			n++;
	}
	return n;
}

static bool
names_image(const struct cmdline *c, const char *image)
{
	char value[CMDLINE_VALUE_SIZE];

	for (unsigned i = 0; i < c->n; i++) {
		const struct cmdline_option *option = &c->options[i];

		if (!option->value)
			continue;
		if (cmdline_get(option, "file", value) || cmdline_get(option, "filename", value)) {
			if (!strcmp(value, image))
				return true;
		} else if (strstr(option->value, image)) {
			return true;
		}
	}
	return false;
}

static void
check_changes(const struct cmdline *c, const json_t *source, struct reasons *r)
{
	const json_t *devices = json_object_get(source, "devices"), *images = json_object_get(source, "images"), *image;
	long long n = json_integer_value(json_object_get(source, "n_anonymous")), n_arguments = count_anonymous(c);
	size_t i;

	check_ids(c, devices, "device", r);
	check_ids(c, json_object_get(source, "objects"), "object", r);
	check_ids(c, json_object_get(source, "chardevs"), "chardev", r);
	check_removed(c, devices, r);
	if (n != n_arguments)
		reasons_add(r, "the machine has %lld devices without an id, its arguments have %lld: some came or went",
			n, n_arguments);
	json_array_foreach (images, i, image)
		if (!names_image(c, json_string_value(image) ? json_string_value(image) : ""))
			reasons_add(
				r, "a drive has the image %.200s, which no argument names", json_string_value(image));
}

// ---- state

static bool
is_migrating(const char *status)
{
	static const char *const idle[] = {"", "none", "completed", "failed", "cancelled", NULL};

	return !is_one_of(status, idle);
}

static void
check_state(const json_t *source, struct reasons *r)
{
	const json_t *migration = json_object_get(source, "migration"), *blocker;
	const char *status = text_of(source, "status"), *run = text_of(migration, "status");
	size_t i;

	if (is_migrating(run))
		reasons_add(r, "a migration is in progress (%.60s)", run);
	if (!strcmp(status, "postmigrate"))
		reasons_add(r, "the guest does not run here (postmigrate): it was moved to another process already");
	else if (strcmp(status, "running") != 0)
		reasons_add(r, "the guest does not run: its state is %.60s", status);
	json_array_foreach (json_object_get(migration, "blocked-reasons"), i, blocker)
		reasons_add(r, "QEMU does not migrate it: %.250s",
			json_string_value(blocker) ? json_string_value(blocker) : "");
}

static void
check_target(const json_t *source, const json_t *target, struct reasons *r)
{
	const char *machine = text_of(source, "machine");

	if (!has_text(json_object_get(target, "machines"), machine))
		reasons_add(r, "the target, version %.60s, does not have the machine type %.60s",
			text_of(target, "version"), machine);
}

// ---- ways

static bool
is_ivshmem(const struct cmdline *c, const char *memory)
{
	char value[CMDLINE_VALUE_SIZE];
	const struct cmdline_option *option;
	unsigned cursor = 0;

	while ((option = cmdline_next(c, "device", &cursor)))
		if (cmdline_get(option, "driver", value) && !strncmp(value, "ivshmem-", 8) &&
			cmdline_get(option, "memdev", value) && !strcmp(value, memory))
			return true;
	return false;
}

static void
check_file(const json_t *memory, struct reasons *r)
{
	const char *id = text_of(memory, "id"), *path = text_of(memory, "path");

	if (strcmp(text_of(memory, "type"), "memory-backend-file") != 0)
		reasons_add(r, "memory %.60s is a %.60s: it needs a file with a name (memory-backend-file)", id,
			text_of(memory, "type"));
	else if (!json_is_true(json_object_get(memory, "share")))
		reasons_add(r, "memory %.60s is not shared: it needs share=on", id);
	else if (!json_is_true(json_object_get(memory, "is_mapped")))
		reasons_add(r,
			"memory %.60s: %.160s is not the file that the process has (a directory, deleted or replaced)",
			id, path);
	if (json_is_true(json_object_get(memory, "discard")))
		reasons_add(r, "memory %.60s has discard-data=on: the running process would empty it at its end", id);
}

static void
check_transferable(const json_t *memory, struct reasons *r)
{
	static const char *const accepted[] = {
		"memory-backend-memfd", "memory-backend-file", "memory-backend-shm", NULL};
	const char *id = text_of(memory, "id"), *type = text_of(memory, "type");

	if (!is_one_of(type, accepted))
		reasons_add(r, "memory %.60s is a %.60s: it needs a descriptor (memory-backend-memfd)", id, type);
	else if (!json_is_true(json_object_get(memory, "share")))
		reasons_add(r, "memory %.60s is not shared: it needs share=on", id);
	else if (!strcmp(type, "memory-backend-file"))
		check_file(memory, r);
}

static void
check_memory(const struct plan_facts *f, enum plan_way way, struct reasons *r)
{
	size_t i;
	const json_t *memory;

	json_array_foreach (json_object_get(f->source, "memory"), i, memory) {
		if (way == PLAN_IGNORE_SHARED)
			check_file(memory, r);
		else if (way == PLAN_CPR_TRANSFER)
			check_transferable(memory, r);
		else if (is_ivshmem(f->cmdline, text_of(memory, "id")))
			reasons_add(r, "memory %.60s is shared with other programs (ivshmem) and cannot be copied",
				text_of(memory, "id"));
	}
}

void
plan_way_reasons(const struct plan_facts *f, enum plan_way way, struct reasons *r)
{
	const json_t *of[] = {f->source, f->target};

	for (unsigned i = 0; i < 2; i++) {
		const char *who = i ? "the target" : "the running QEMU", *version = text_of(of[i], "version");

		if (way == PLAN_IGNORE_SHARED && !has_text(json_object_get(of[i], "capabilities"), "x-ignore-shared"))
			reasons_add(r, "%s, version %.60s, does not have x-ignore-shared", who, version);
		if (way == PLAN_CPR_TRANSFER && !json_is_true(json_object_get(of[i], "has_cpr")))
			reasons_add(r, "%s, version %.60s, does not have cpr-transfer", who, version);
		if (!has_text(json_object_get(of[i], "capabilities"), "return-path"))
			reasons_add(r, "%s, version %.60s, does not have return-path", who, version);
	}
	if (way == PLAN_CPR_TRANSFER && !json_is_true(json_object_get(f->source, "has_aux_ram_share")))
		reasons_add(r, "the machine was started without aux-ram-share=on");
	check_memory(f, way, r);
}

static void
choose(const struct plan_facts *f, struct plan *p)
{
	struct reasons not[PLAN_WAY_COUNT] = {0};

	if (f->is_plain) {
		plan_way_reasons(f, PLAN_PLAIN, &p->reasons);
		p->way = PLAN_PLAIN;
		snprintf(p->why, sizeof(p->why), "--plain asks for it; memory is copied");
		return;
	}
	for (enum plan_way way = 0; way < PLAN_PLAIN; way++) {
		plan_way_reasons(f, way, &not[way]);
		if (not[way].n)
			continue;
		p->way = way;
		if (way == PLAN_IGNORE_SHARED)
			snprintf(p->why, sizeof(p->why), "all memory is in files with a name that both open");
		else
			snprintf(p->why, sizeof(p->why), "all memory is in descriptors that one can hand to the other");
		return;
	}
	for (enum plan_way way = 0; way < PLAN_PLAIN; way++)
		for (unsigned i = 0; i < not[way].n; i++)
			reasons_add(&p->reasons, "%s: %.280s", plan_way_name(way), not[way].text[i]);
}

void
plan_make(const struct plan_facts *f, struct plan *ret_plan)
{
	*ret_plan = (struct plan){0};
	check_state(f->source, &ret_plan->reasons);
	check_arguments(f->cmdline, &ret_plan->reasons);
	check_changes(f->cmdline, f->source, &ret_plan->reasons);
	check_target(f->source, f->target, &ret_plan->reasons);
	choose(f, ret_plan);
}

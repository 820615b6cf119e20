// Each reason against a move, and the choice of the way.
#include "../unit.h"
#include "plan.h"
#include "words.h"

#define GOOD                                                                                               \
	"qemu -M q35,memory-backend=mem -display none -object memory-backend-file,id=mem -qmp "            \
	"unix:/q,server=on -chardev socket,id=c,path=/v -netdev vhost-user,id=n,chardev=c -device d,id=d " \
	"-device e -drive file=/disk"

static json_t *
source_good(void)
{
	return json_pack(
		"{s:s, s:s, s:i, s:s, s:b, s:[s, s], s:b, s:{}, s:[{s:s, s:s, s:b, s:b, s:s, s:b}], s:[s], s:i, s:[s], "
		"s:[s, s], s:[s]}",
		"status", "running", "machine", "pc-q35-10.0", "ram_bytes", 1 << 28, "version", "10.0.13", "has_cpr", 1,
		"capabilities", "x-ignore-shared", "return-path", "has_aux_ram_share", 1, "migration", "memory", "id",
		"mem", "type", "memory-backend-file", "share", 1, "discard", 0, "path", "/m", "is_mapped", 1, "devices",
		"d", "n_anonymous", 1, "objects", "mem", "chardevs", "c", "compat_monitor0", "images", "/disk");
}

static json_t *
target_good(void)
{
	return json_pack("{s:s, s:[s, s], s:[s, s], s:b}", "version", "11.1.3", "machines", "pc-q35-11.1",
		"pc-q35-10.0", "capabilities", "x-ignore-shared", "return-path", "has_cpr", 1);
}

// Takes both objects.
static struct plan
plan_of(const char *words, json_t *source, json_t *target, bool is_plain)
{
	struct cmdline *c = words_parse(words);
	struct plan_facts facts = {.cmdline = c, .source = source, .target = target, .is_plain = is_plain};
	struct plan plan;

	assert_non_null(source);
	assert_non_null(target);
	plan_make(&facts, &plan);
	cmdline_destroy(c);
	json_decref(source);
	json_decref(target);
	return plan;
}

static bool
has(const struct plan *plan, const char *text)
{
	for (unsigned i = 0; i < plan->reasons.n; i++)
		if (strstr(plan->reasons.text[i], text))
			return true;
	return false;
}

// One reason alone, with this text.
static void
refuses(const struct plan *plan, const char *text)
{
	if (plan->reasons.n != 1 || !has(plan, text)) {
		for (unsigned i = 0; i < plan->reasons.n; i++)
			print_message("%s\n", plan->reasons.text[i]);
		fail_msg("is not the one reason: %s", text);
	}
}

static void
arguments_refuse(const char *more, const char *text)
{
	char words[2048];
	struct plan plan;

	(void)snprintf(words, sizeof(words), "%s %s", GOOD, more);
	plan = plan_of(words, source_good(), target_good(), false);
	refuses(&plan, text);
}

static void
arguments_pass(const char *more)
{
	char words[2048];
	struct plan plan;

	(void)snprintf(words, sizeof(words), "%s %s", GOOD, more);
	plan = plan_of(words, source_good(), target_good(), false);
	if (plan.reasons.n)
		fail_msg("%s: %s", more, plan.reasons.text[0]);
}

static void
source_refuses(const char *key, json_t *value, const char *text)
{
	json_t *source = source_good();
	struct plan plan;

	json_object_set_new(source, key, value);
	plan = plan_of(GOOD, source, target_good(), false);
	refuses(&plan, text);
}

static void
memory_in_files_is_ignored(void **state)
{
	struct plan plan = plan_of(GOOD, source_good(), target_good(), false);

	(void)state;
	assert_int_equal(plan.reasons.n, 0);
	assert_int_equal(plan.way, PLAN_IGNORE_SHARED);
	assert_string_equal(plan_way_name(plan.way), "x-ignore-shared");
	assert_string_not_equal(plan.why, "");
}

static void
set_memory(json_t *source, const char *key, json_t *value)
{
	json_object_set_new(json_array_get(json_object_get(source, "memory"), 0), key, value);
}

static void
memory_in_descriptors_is_transferred(void **state)
{
	json_t *source = source_good();
	struct plan plan;

	(void)state;
	set_memory(source, "type", json_string("memory-backend-memfd"));
	plan = plan_of(GOOD, source, target_good(), false);
	assert_int_equal(plan.reasons.n, 0);
	assert_int_equal(plan.way, PLAN_CPR_TRANSFER);
}

static void
a_target_without_the_first_way_gets_the_second(void **state)
{
	json_t *target = target_good();
	struct plan plan;

	(void)state;
	json_object_set_new(target, "capabilities", json_pack("[s]", "return-path"));
	plan = plan_of(GOOD, source_good(), target, false);
	assert_int_equal(plan.reasons.n, 0);
	assert_int_equal(plan.way, PLAN_CPR_TRANSFER);
}

static void
plain_needs_no_shared_memory(void **state)
{
	json_t *source = source_good();
	struct plan plan;

	(void)state;
	set_memory(source, "type", json_string("memory-backend-ram"));
	set_memory(source, "share", json_false());
	plan = plan_of(GOOD, source, target_good(), true);
	assert_int_equal(plan.reasons.n, 0);
	assert_int_equal(plan.way, PLAN_PLAIN);
}

// Both ways have their reason then.
static void
ways_refuse(const char *key, json_t *value, const char *ignore, const char *cpr)
{
	json_t *source = source_good();
	struct plan plan;

	set_memory(source, key, value);
	plan = plan_of(GOOD, source, target_good(), false);
	if (!has(&plan, ignore) || !has(&plan, cpr) || plan.reasons.n != 2)
		fail_msg("%s, %s", plan.reasons.text[0], plan.reasons.text[1]);
}

static void
memory_that_both_cannot_open_is_refused(void **state)
{
	json_t *source = source_good(), *target = target_good();
	struct plan plan;

	(void)state;
	ways_refuse("share", json_false(), "x-ignore-shared: memory mem is not shared: it needs share=on",
		"cpr-transfer: memory mem is not shared");
	ways_refuse("is_mapped", json_false(), "x-ignore-shared: memory mem: /m is not the file that the process has",
		"cpr-transfer: memory mem: /m is not the file");
	ways_refuse("discard", json_true(), "x-ignore-shared: memory mem has discard-data=on",
		"cpr-transfer: memory mem has");
	ways_refuse("type", json_string("memory-backend-ram"),
		"x-ignore-shared: memory mem is a memory-backend-ram: it needs",
		"cpr-transfer: memory mem is a memory-backend-ram");
	set_memory(source, "type", json_string("memory-backend-memfd"));
	json_object_set_new(source, "has_aux_ram_share", json_false());
	json_object_set_new(target, "has_cpr", json_false());
	json_object_set_new(target, "capabilities", json_array());
	plan = plan_of(GOOD, source, target, false);
	assert_true(has(&plan, "cpr-transfer: the machine was started without aux-ram-share=on"));
	assert_true(has(&plan, "cpr-transfer: the target, version 11.1.3, does not have cpr-transfer"));
	assert_true(has(&plan, "x-ignore-shared: the target, version 11.1.3, does not have x-ignore-shared"));
	assert_true(has(&plan, "the target, version 11.1.3, does not have return-path"));
}

static void
memory_of_other_programs_is_not_copied(void **state)
{
	char words[1024];
	struct plan plan;

	(void)state;
	(void)snprintf(words, sizeof(words), "%s -device ivshmem-plain,memdev=mem", GOOD);
	{
		json_t *source = source_good();

		json_object_set_new(source, "n_anonymous", json_integer(2));
		plan = plan_of(words, source, target_good(), true);
	}
	refuses(&plan, "memory mem is shared with other programs (ivshmem)");
}

static void
states_are_refused(void **state)
{
	(void)state;
	source_refuses("status", json_string("paused"), "the guest does not run: its state is paused");
	source_refuses("status", json_string("postmigrate"), "it was moved to another process already");
	source_refuses("migration", json_pack("{s:s}", "status", "active"), "a migration is in progress (active)");
	source_refuses(
		"migration", json_pack("{s:[s]}", "blocked-reasons", "because"), "QEMU does not migrate it: because");
	source_refuses("machine", json_string("pc-q35-9.9"), "does not have the machine type pc-q35-9.9");
}

static void
migrations_that_ended_are_not_in_the_way(void **state)
{
	static const char *const ended[] = {"none", "completed", "failed", "cancelled"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		json_t *source = source_good();
		struct plan plan;

		json_object_set_new(source, "migration", json_pack("{s:s}", "status", ended[i]));
		plan = plan_of(GOOD, source, target_good(), false);
		assert_int_equal(plan.reasons.n, 0);
	}
}

static void
changes_since_the_start_are_refused(void **state)
{
	(void)state;
	source_refuses("devices", json_pack("[s, s]", "d", "late"), "device late was added since the start");
	source_refuses("devices", json_array(), "device d was removed since the start");
	source_refuses("n_anonymous", json_integer(2), "has 2 devices without an id, its arguments have 1");
	source_refuses("objects", json_pack("[s, s, s, s]", "mem", "pc.ram", "compat_monitor0", "late"),
		"object late was added");
	source_refuses("chardevs", json_pack("[s, s, s]", "c", "serial0", "late"), "chardev late was added");
	source_refuses(
		"images", json_pack("[s]", "/overlay"), "a drive has the image /overlay, which no argument names");
}

static void
arguments_for_one_process_are_refused(void **state)
{
	static const char *const more[][2] = {{"-netdev tap,id=t,fd=3", "names a descriptor"},
		{"-netdev tap,id=t", "-netdev t is of kind tap"}, {"-nic user", "-nic  is of kind user"},
		{"-chardev socket,id=s,host=h,port=1", "chardev s has a network socket"},
		{"-chardev socket,id=s,path=/s", "chardev s is a client of /s"},
		{"-chardev stdio,id=s", "chardev s is of kind stdio"},
		{"-chardev socket,id=s,path=/s,server=on -netdev vhost-user,id=m,chardev=s",
			"QEMU is the server of its vhost-user"},
		{"-serial stdio", "-serial stdio is something"}, {"-monitor tcp::1,server=on", "-monitor tcp"},
		{"-monitor file:/x", "-monitor file:/x"}, {"-serial unix:/s", "-serial is a client of /s"},
		{"-device vfio-pci,host=1", "device vfio-pci has state outside"},
		{"-device vhost-user-fs-pci,id=f,chardev=c", "device vhost-user-fs-pci f has state"},
		{"-device vhost-vsock-pci", "device vhost-vsock-pci"}, {"-device usb-host", "device usb-host"},
		{"-drive file=/disk,snapshot=on", "snapshot=on"}, {"-drive file=fat:/disk", "is a directory"},
		{"-vnc :1", "-vnc :1"}, {"-spice port=1", "have -spice"}, {"-nographic", "have -nographic"},
		{"-snapshot", "have -snapshot"}, {"-gdb tcp::1", "have -gdb"}, {"-s", "have -s"},
		{"-readconfig x", "have -readconfig"}, {"-net nic", "have -net"}, {"-display gtk", "-display gtk"},
		{"-add-fd fd=3,set=1", "names a descriptor"}, {"-run-with exit-with-parent=on", "exit-with-parent"}};

	(void)state;
	for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++) {
		json_t *source = source_good();
		char words[2048];
		struct plan plan;

		(void)snprintf(words, sizeof(words), "%s %s", GOOD, more[i][0]);
		// Devices in the machine are as many as in the arguments.
		if (!strncmp(more[i][0], "-device", 7)) {
			json_object_set_new(source, "n_anonymous", json_integer(strstr(more[i][0], "id=") ? 1 : 2));
			if (strstr(more[i][0], "id="))
				json_array_append_new(json_object_get(source, "devices"), json_string("f"));
		}
		plan = plan_of(words, source, target_good(), false);
		refuses(&plan, more[i][1]);
	}
}

static void
arguments_for_two_processes_pass(void **state)
{
	(void)state;
	arguments_pass(
		"-net none -vnc none -chardev pty,id=p -serial chardev:p -serial file:/x -parallel none -monitor null");
	arguments_pass(
		"-drive file=/disk,snapshot=on,readonly=on -S -daemonize -pidfile /p -monitor unix:/m,server=on");
	arguments_refuse("-serial stdio", "-serial stdio");
}

static void
a_display_that_is_not_named_is_one(void **state)
{
	struct plan plan =
		plan_of("qemu -object memory-backend-file,id=mem -device d,id=d -device e -drive file=/disk -chardev "
			"null,id=c",
			source_good(), target_good(), false);

	(void)state;
	refuses(&plan, "the process has a display");
}

static void
all_reasons_are_told(void **state)
{
	json_t *source = source_good();
	struct plan plan;

	(void)state;
	json_object_set_new(source, "status", json_string("paused"));
	json_object_set_new(source, "devices", json_array());
	plan = plan_of(GOOD " -snapshot", source, target_good(), false);
	assert_int_equal(plan.reasons.n, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_in_files_is_ignored),
		cmocka_unit_test(memory_in_descriptors_is_transferred),
		cmocka_unit_test(a_target_without_the_first_way_gets_the_second),
		cmocka_unit_test(plain_needs_no_shared_memory),
		cmocka_unit_test(memory_that_both_cannot_open_is_refused),
		cmocka_unit_test(memory_of_other_programs_is_not_copied),
		cmocka_unit_test(states_are_refused),
		cmocka_unit_test(migrations_that_ended_are_not_in_the_way),
		cmocka_unit_test(changes_since_the_start_are_refused),
		cmocka_unit_test(arguments_for_one_process_are_refused),
		cmocka_unit_test(arguments_for_two_processes_pass),
		cmocka_unit_test(a_display_that_is_not_named_is_one),
		cmocka_unit_test(all_reasons_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// Events of the kernel in, requests to the host out. A host of a few lines executes the requests,
// and refuses what it has no room for. Whatever happens, no rule of the host is one that the kernel
// does not have, or lies behind one that the host lacks.
#include "../unit.h"
#include "book.h"

#include <stdio.h>
#include <string.h>

#define HOST_MAX 64

struct host {
	unsigned max;
	unsigned n, n_requests;
	struct {
		json_int_t cookie;
		char in[16], text[FLOW_TEXT_SIZE];
	} rules[4096];
};

static struct tc_rule
filter(unsigned priority, uint32_t handle, const char *text)
{
	struct tc_rule rule = {.id = {.ifindex = 3, .handle = handle, .priority = (uint16_t)priority, .protocol = 8}};
	char err[FLOW_TEXT_ERROR_SIZE];

	assert_int_equal(flow_text_parse(text, &flow_text_vfs, &rule.entry, err), 0);
	rule.entry.rule.priority = FLOW_PRIORITY_MAX - priority;
	if (rule.entry.action.verdict == FLOW_ALLOW)
		(void)snprintf(rule.reason, sizeof(rule.reason), "a trap");
	return rule;
}

static void
take(struct book *book, unsigned priority, uint32_t handle, const char *text)
{
	struct tc_rule rule = filter(priority, handle, text);

	assert_int_equal(book_take(book, &rule), 0);
}

static void
take_away(struct book *book, unsigned priority, uint32_t handle)
{
	struct tc_rule rule = filter(priority, handle, "actions=drop");

	rule.is_deleted = true;
	assert_int_equal(book_take(book, &rule), 0);
}

static unsigned
find(const struct host *host, json_int_t cookie)
{
	unsigned i = 0;

	while (i < host->n && host->rules[i].cookie != cookie)
		i++;
	return i;
}

// As flow.sync says.
static json_t *
execute(struct host *host, const json_t *params)
{
	json_t *refused = json_array();
	const json_t *del = json_object_get(params, "del"), *add = json_object_get(params, "add");

	host->n_requests++;
	if (json_is_true(json_object_get(params, "reset")))
		host->n = 0;
	assert_true(json_array_size(add) <= BOOK_ADDS_MAX && json_array_size(del) <= BOOK_DELS_MAX);
	for (size_t i = 0; i < json_array_size(del); i++) {
		unsigned at = find(host, json_integer_value(json_array_get(del, i)));

		assert_true(at < host->n);
		host->rules[at] = host->rules[--host->n];
	}
	for (size_t i = 0; i < json_array_size(add); i++) {
		const json_t *one = json_array_get(add, i);
		json_int_t cookie = json_integer_value(json_object_get(one, "cookie"));
		unsigned at = find(host, cookie);

		assert_true(cookie > 0);
		if (at == host->n && host->n == host->max) {
			(void)json_array_append_new(
				refused, json_pack("{s:I, s:s}", "cookie", cookie, "reason", "full"));
			continue;
		}
		host->n += at == host->n;
		host->rules[at].cookie = cookie;
		(void)snprintf(host->rules[at].text, sizeof(host->rules[at].text), "%s",
			json_string_value(json_object_get(one, "rule")));
		(void)snprintf(host->rules[at].in, sizeof(host->rules[at].in), "%s",
			json_string_value(json_object_get(one, "in")));
	}
	return json_pack("{s:o}", "refused", refused);
}

static void
sync_all(struct book *book, struct host *host)
{
	json_t *params;
	unsigned n = 0;

	while ((params = book_request(book))) {
		json_t *result = execute(host, params);

		assert_true(++n < 1000);
		book_answer(book, result);
		json_decref(result);
		json_decref(params);
	}
}

static bool
has(const struct host *host, const char *text)
{
	for (unsigned i = 0; i < host->n; i++)
		if (!strcmp(host->rules[i].text, text))
			return true;
	return false;
}

static void
first_request_resets(void **state)
{
	struct book *book = book_create();
	json_t *params = book_request(book);

	(void)state;
	assert_true(json_is_true(json_object_get(params, "reset")));
	json_decref(params);
	book_answer(book, NULL);
	assert_null(book_request(book));
	book_destroy(book);
}

static void
filters_come_change_and_go(void **state)
{
	static struct host host;
	struct book *book = book_create();
	struct book_counts counts;

	(void)state;
	host = (struct host){.max = HOST_MAX};
	take(book, 10, 1, "tcp,tp_dst=23,actions=drop");
	take(book, 11, 1, "ip,actions=output:vf1");
	take(book, 11, 2, "ip,nw_dst=10.0.0.1,actions=allow");
	sync_all(book, &host);
	assert_int_equal(host.n, 3);
	assert_true(has(&host, "priority=65525,tcp,tp_dst=23,actions=drop"));
	book_count(book, &counts);
	assert_int_equal(counts.n_in_hardware, 2);
	assert_int_equal(counts.n_traps, 1);
	take(book, 10, 1, "tcp,tp_dst=24,actions=drop"); // replaced
	take(book, 11, 1, "ip,actions=output:vf1"); // as it was
	sync_all(book, &host);
	assert_int_equal(host.n, 3);
	assert_true(has(&host, "priority=65525,tcp,tp_dst=24,actions=drop"));
	take_away(book, 11, 0); // all of the priority
	sync_all(book, &host);
	assert_int_equal(host.n, 1);
	take_away(book, 10, 1);
	take(book, 10, 1, "tcp,tp_dst=25,actions=drop"); // the same name again
	sync_all(book, &host);
	assert_int_equal(host.n, 1);
	assert_true(has(&host, "priority=65525,tcp,tp_dst=25,actions=drop"));
	book_forget(book, 3);
	sync_all(book, &host);
	assert_int_equal(host.n, 0);
	book_destroy(book);
}

static void
additions_begin_with_the_highest_priority(void **state)
{
	struct book *book = book_create();
	json_t *params, *add;

	(void)state;
	take(book, 30, 1, "ip,actions=output:vf1");
	take(book, 10, 1, "tcp,actions=allow");
	take(book, 20, 1, "udp,actions=allow");
	params = book_request(book);
	add = json_object_get(params, "add");
	for (size_t i = 0; i < 3; i++) {
		static const char *const begins[] = {"priority=65525,", "priority=65515,", "priority=65505,"};

		assert_int_equal(strncmp(json_string_value(json_object_get(json_array_get(add, i), "rule")), begins[i],
					 strlen(begins[i])),
			0);
	}
	json_decref(params);
	book_destroy(book);
}

static void
what_lies_behind_a_refused_rule_is_taken_back(void **state)
{
	static struct host host;
	struct book *book = book_create();
	json_t *rows;

	(void)state;
	host = (struct host){.max = 2};
	take(book, 30, 1, "ip,actions=output:vf1");
	take(book, 31, 1, "ip,actions=output:uplink");
	sync_all(book, &host);
	assert_int_equal(host.n, 2);
	take(book, 10, 1, "tcp,actions=drop"); // no room
	sync_all(book, &host);
	assert_int_equal(host.n, 0);
	rows = book_list(book, 0, 10);
	assert_int_equal(json_array_size(rows), 3);
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 2), "reason")), "full");
	assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "reason")),
		"the host refused a rule of higher priority");
	json_decref(rows);
	sync_all(book, &host);
	book_retry(book); // there is room now
	sync_all(book, &host);
	assert_true(has(&host, "priority=65525,tcp,actions=drop"));
	// Of the other two one has room, and it is the higher one.
	assert_true(has(&host, "priority=65505,ip,actions=output:vf1"));
	assert_int_equal(host.n, 2);
	book_destroy(book);
}

static void
refused_replacements_do_not_leave_the_former_rule(void **state)
{
	struct book *book = book_create();
	json_t *params, *result;

	(void)state;
	take(book, 10, 1, "tcp,actions=drop");
	json_decref(book_request(book));
	book_answer(book, NULL);
	take(book, 10, 1, "tcp,actions=output:vf1");
	params = book_request(book);
	json_decref(params);
	result = json_pack("{s:[{s:i, s:s}]}", "refused", "cookie", 1, "reason", "no");
	book_answer(book, result);
	json_decref(result);
	params = book_request(book);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(params, "del"), 0)), 1);
	json_decref(params);
	book_answer(book, NULL);
	assert_null(book_request(book));
	book_destroy(book);
}

static void
dumps_find_what_was_missed(void **state)
{
	static struct host host;
	struct book *book = book_create();

	(void)state;
	host = (struct host){.max = HOST_MAX};
	take(book, 10, 1, "tcp,actions=drop");
	take(book, 11, 1, "udp,actions=drop");
	sync_all(book, &host);
	book_dump_begin(book);
	take(book, 11, 1, "udp,actions=drop");
	take(book, 12, 1, "icmp,actions=drop");
	book_dump_end(book);
	sync_all(book, &host);
	assert_int_equal(host.n, 2);
	assert_false(has(&host, "priority=65525,tcp,actions=drop"));
	assert_true(has(&host, "priority=65523,icmp,actions=drop"));
	book_destroy(book);
}

static void
a_reset_sends_all_again(void **state)
{
	static struct host host;
	struct book *book = book_create();

	(void)state;
	host = (struct host){.max = HOST_MAX};
	take(book, 10, 1, "tcp,actions=drop");
	take(book, 11, 1, "udp,actions=drop");
	sync_all(book, &host);
	take_away(book, 10, 1);
	host.n = 0; // a daemon that has started again
	book_reset(book);
	sync_all(book, &host);
	assert_int_equal(host.n, 1);
	assert_true(has(&host, "priority=65524,udp,actions=drop"));
	book_destroy(book);
}

static void
a_full_book_leaves_the_host_nothing(void **state)
{
	static struct host host;
	struct book *book = book_create();
	struct tc_rule rule = filter(9, 1, "tcp,actions=drop");
	struct book_counts counts;

	(void)state;
	host = (struct host){.max = 4000};
	for (unsigned i = 0; i < BOOK_RULES_MAX; i++) {
		rule.id.handle = i + 1;
		assert_int_equal(book_take(book, &rule), 0);
		if (i == 999)
			sync_all(book, &host);
	}
	assert_int_equal(host.n, 1000);
	rule.id.handle++;
	assert_true(book_take(book, &rule) < 0);
	sync_all(book, &host);
	assert_int_equal(host.n, 0);
	// A dump that fits ends it.
	book_dump_begin(book);
	rule.id.handle = 1;
	assert_int_equal(book_take(book, &rule), 0);
	book_dump_end(book);
	sync_all(book, &host);
	assert_int_equal(host.n, 1);
	book_count(book, &counts);
	assert_false(counts.is_full);
	assert_int_equal(counts.n_rules, 1);
	book_destroy(book);
}

// Rules that the kernel has, against those of the host, after random events.
static void
storms_end_as_the_kernel_has_it(void **state)
{
	static struct host host;
	struct book *book = book_create();
	bool is_there[8][8] = {0};
	unsigned seed = unit_seed();

	(void)state;
	host = (struct host){.max = 20};
	srandom(seed);
	for (unsigned round = 0; round < 3000; round++) {
		unsigned priority = (unsigned)random() % 8, handle = (unsigned)random() % 8;
		char text[64];

		(void)snprintf(text, sizeof(text), "tcp,tp_dst=%u,actions=drop", handle + 1);
		if (random() % 2) {
			take(book, priority + 1, handle + 1, text);
			is_there[priority][handle] = true;
		} else {
			take_away(book, priority + 1, handle + 1);
			is_there[priority][handle] = false;
		}
		if (random() % 5)
			continue;
		if (!(random() % 4))
			book_retry(book);
		sync_all(book, &host);
		for (unsigned i = 0; i < host.n; i++) {
			unsigned value, dst;

			assert_int_equal(sscanf(host.rules[i].text, "priority=%u,tcp,tp_dst=%u", &value, &dst), 2);
			assert_true(is_there[FLOW_PRIORITY_MAX - value - 1][dst - 1]);
			for (unsigned p = 0; p < FLOW_PRIORITY_MAX - value - 1; p++)
				for (unsigned h = 0; h < 8; h++) {
					(void)snprintf(text, sizeof(text), "priority=%u,tcp,tp_dst=%u,actions=drop",
						FLOW_PRIORITY_MAX - p - 1, h + 1);
					if (is_there[p][h] && !has(&host, text))
						fail_msg("%s lies behind %s", host.rules[i].text, text);
				}
		}
	}
	book_destroy(book);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_request_resets),
		cmocka_unit_test(filters_come_change_and_go),
		cmocka_unit_test(additions_begin_with_the_highest_priority),
		cmocka_unit_test(what_lies_behind_a_refused_rule_is_taken_back),
		cmocka_unit_test(refused_replacements_do_not_leave_the_former_rule),
		cmocka_unit_test(dumps_find_what_was_missed),
		cmocka_unit_test(a_reset_sends_all_again),
		cmocka_unit_test(a_full_book_leaves_the_host_nothing),
		cmocka_unit_test(storms_end_as_the_kernel_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

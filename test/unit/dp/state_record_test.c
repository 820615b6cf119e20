// Records come back as they were written; a buffer that is cut or lies about lengths ends early,
// and nothing beyond it is read.
#include "../unit.h"
#include "state_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT_FORMAT 8
#define AT_ZERO 12
#define AT_LEN 4 // in a record's head

static struct state_writer
two_records(void)
{
	struct state_writer w = {.rc = 0};

	state_record_header(&w, 12345);
	state_record_begin(&w, 7, 2);
	state_record_put(&w, "abcdefghijk", 11);
	state_record_end(&w);
	state_record_begin(&w, 8, 1);
	state_record_end(&w);
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.len, STATE_RECORD_HEADER + STATE_RECORD_HEAD + 16 + STATE_RECORD_HEAD);
	return w;
}

static void
records_come_back(void **state)
{
	struct state_writer w = two_records();
	struct state_record record;
	struct state_reader r;
	uint64_t time_ns = 0;
	char text[12] = "";

	(void)state;
	assert_int_equal(state_record_open(&r, w.bytes, w.len, &time_ns), 0);
	assert_int_equal(time_ns, 12345);
	assert_true(state_record_next(&r, &record));
	assert_int_equal(record.type, 7);
	assert_int_equal(record.version, 2);
	assert_int_equal(record.left, 11);
	assert_true(state_record_take(&record, text, 3));
	assert_false(state_record_take(&record, text + 3, 9));
	assert_int_equal(record.left, 8);
	assert_true(state_record_take(&record, text + 3, 8));
	assert_true(state_record_take(&record, NULL, 0));
	assert_string_equal(text, "abcdefghijk");
	assert_true(state_record_next(&r, &record));
	assert_int_equal(record.type, 8);
	assert_int_equal(record.left, 0);
	assert_false(state_record_next(&r, &record));
	assert_false(r.is_cut);
	free(w.bytes);
}

// Behind what the caller's buffer has already, at any address.
static void
writer_appends(void **state)
{
	struct state_writer first = two_records(), w = {.bytes = malloc(3), .len = 3, .room = 3};
	struct state_record record;
	struct state_reader r;
	uint64_t time_ns;

	(void)state;
	assert_non_null(w.bytes);
	memcpy(w.bytes, "xyz", 3);
	state_record_header(&w, 1);
	state_record_begin(&w, 1, 1);
	for (unsigned i = 0; i < 1000; i++)
		state_record_put(&w, first.bytes, first.len);
	state_record_end(&w);
	assert_int_equal(w.rc, 0);
	assert_memory_equal(w.bytes, "xyz", 3);
	assert_int_equal(state_record_open(&r, w.bytes + 3, w.len - 3, &time_ns), 0);
	assert_true(state_record_next(&r, &record));
	assert_int_equal(record.left, 1000 * first.len);
	assert_memory_equal(record.at + 999 * first.len, first.bytes, first.len);
	assert_false(state_record_next(&r, &record));
	assert_false(r.is_cut);
	free(first.bytes);
	free(w.bytes);
}

static unsigned
count(const uint8_t *buf, size_t len, bool *ret_is_cut)
{
	// of exactly this length: sanitizers see more being read
	uint8_t *copy = malloc(len ? len : 1);
	struct state_record record;
	struct state_reader r;
	uint64_t time_ns;
	unsigned n = 0;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	assert_int_equal(state_record_open(&r, copy, len, &time_ns), 0);
	for (; state_record_next(&r, &record); n++) {
		uint8_t byte;

		while (record.left)
			assert_true(state_record_take(&record, &byte, 1));
	}
	*ret_is_cut = r.is_cut;
	free(copy);
	return n;
}

static void
buffer_that_is_cut_ends_early(void **state)
{
	struct state_writer w = two_records();
	size_t first = w.len - STATE_RECORD_HEAD;
	bool is_cut;

	(void)state;
	for (size_t len = STATE_RECORD_HEADER; len < w.len; len++) {
		assert_int_equal(count(w.bytes, len, &is_cut), len >= first);
		assert_int_equal(is_cut, len != STATE_RECORD_HEADER && len != first);
	}
	free(w.bytes);
}

static void
length_beyond_the_buffer_ends_it(void **state)
{
	static const uint32_t lengths[] = {17, 25, 0x7fffffff, 0xfffffff8, UINT32_MAX};
	struct state_writer w = two_records();
	bool is_cut;

	(void)state;
	for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memcpy(w.bytes + STATE_RECORD_HEADER + AT_LEN, &lengths[i], sizeof(lengths[i]));
		assert_int_equal(count(w.bytes, w.len, &is_cut), lengths[i] <= 24);
		assert_int_equal(is_cut, lengths[i] > 24);
	}
	free(w.bytes);
}

static void
other_formats_are_refused(void **state)
{
	struct state_writer w = two_records();
	struct state_reader r;
	uint64_t time_ns;

	(void)state;
	for (size_t len = 0; len < STATE_RECORD_HEADER; len++)
		assert_int_equal(state_record_open(&r, w.bytes, len, &time_ns), -EPROTO);
	assert_int_equal(state_record_open(&r, w.bytes, STATE_RECORD_HEADER, &time_ns), 0);
	for (unsigned i = 0; i < AT_ZERO + 4; i++) {
		w.bytes[i] ^= 2;
		assert_int_equal(state_record_open(&r, w.bytes, w.len, &time_ns), -EPROTO);
		w.bytes[i] ^= 2;
	}
	w.bytes[AT_FORMAT] = 0;
	assert_int_equal(state_record_open(&r, w.bytes, w.len, &time_ns), -EPROTO);
	free(w.bytes);
}

static void
writer_without_memory_keeps_what_it_has(void **state)
{
	struct state_writer w = two_records();
	size_t len = w.len;
	uint8_t *bytes = w.bytes;

	(void)state;
	state_record_begin(&w, 1, 1);
	state_record_put(&w, bytes, SIZE_MAX / 2); // never copied: there is no room for it
	assert_int_equal(w.rc, -ENOMEM);
	state_record_end(&w);
	state_record_header(&w, 0);
	assert_int_equal(w.rc, -ENOMEM);
	assert_ptr_equal(w.bytes, bytes);
	assert_true(w.len <= len + STATE_RECORD_HEAD);
	free(w.bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back),
		cmocka_unit_test(writer_appends),
		cmocka_unit_test(buffer_that_is_cut_ends_early),
		cmocka_unit_test(length_beyond_the_buffer_ends_it),
		cmocka_unit_test(other_formats_are_refused),
		cmocka_unit_test(writer_without_memory_keeps_what_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// Fuzz target: a state from another process. Every whole record can be taken byte by byte, and what
// was read is written the same again.
#include "promise.h"
#include "state_record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct state_writer w = {.rc = 0};
	struct state_record record, again;
	struct state_reader r, r2;
	uint64_t time_ns, time2_ns;

	if (state_record_open(&r, input, len, &time_ns))
		return 0;
	state_record_header(&w, time_ns);
	while (state_record_next(&r, &record)) {
		size_t left = record.left, n = 0;
		uint8_t byte;

		state_record_begin(&w, record.type, record.version);
		for (; state_record_take(&record, &byte, 1); n++)
			state_record_put(&w, &byte, 1);
		PROMISE(n == left && !record.left);
		state_record_end(&w);
	}
	PROMISE(!w.rc && w.len <= len && r.is_cut == (r.left > 0));
	PROMISE(!state_record_open(&r2, w.bytes, w.len, &time2_ns) && time2_ns == time_ns);
	(void)state_record_open(&r, input, len, &time_ns);
	while (state_record_next(&r, &record)) {
		PROMISE(state_record_next(&r2, &again));
		PROMISE(again.type == record.type && again.version == record.version && again.left == record.left);
		PROMISE(!record.left || !memcmp(again.at, record.at, record.left));
	}
	PROMISE(!state_record_next(&r2, &again) && !r2.is_cut);
	free(w.bytes);
	return 0;
}

// Fuzz target: a kept configuration. The bytes are a file; and each line of them that is JSON is
// one of a file with right sums, which has to be read to its end or refused at a line.
#include "promise.h"
#include "rtvs/rpc.h"
#include "rtvs/running_log.h"

#include <stdlib.h>
#include <string.h>

#define MAX_LINES 64

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check(const char *text, size_t len)
{
	char err[RUNNING_LOG_ERR_SIZE] = "";
	struct running_log log;
	json_t *call;
	size_t i;

	if (running_log_parse(text, len, &log, err)) {
		PROMISE(strncmp(err, "line ", 5) == 0);
		return;
	}
	PROMISE(json_is_object(log.system));
	PROMISE(log.n_bytes > 0 && log.n_bytes <= len && text[log.n_bytes - 1] == '\n');
	json_array_foreach (log.calls, i, call)
		PROMISE(json_is_string(json_object_get(call, "method")));
	(void)running_log_objection(&log, log.boot, "");
	running_log_fini(&log);
}

static void
check_sums(const char *input, size_t len)
{
	uint64_t sum = 0;
	size_t n_bytes = 0, at = 0;
	char *text = calloc(1, 1);

	for (unsigned n = 0; text != NULL && at < len && n < MAX_LINES; n++) {
		const char *end = memchr(input + at, '\n', len - at);
		size_t n_line = end != NULL ? (size_t)(end - input) - at : len - at, n_made = 0;
		json_t *value = json_loadb(input + at, n_line, JSON_DECODE_ANY, NULL);
		char *line = value != NULL ? running_log_line(value, &sum, &n_made) : NULL;
		char *more = line != NULL ? realloc(text, n_bytes + n_made) : NULL;

		if (more != NULL) {
			memcpy(more + n_bytes, line, n_made);
			text = more;
			n_bytes += n_made;
		}
		free(line);
		json_decref(value);
		at += n_line + 1;
	}
	if (text != NULL)
		check(text, n_bytes);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	check((const char *)input, len);
	check_sums((const char *)input, len);
	return 0;
}

// The sum is FNV-1a of 64 bits (draft-eastlake-fnv): it finds accidents, and nobody else may write
// the file. A text that was cut exactly between two lines behind the head's calls looks like an
// older one. Nothing cuts there: the daemon appends, and never removes a part.
#include "rtvs/running_log.h"

#include "rtvs/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUM_DIGITS 16
#define SUM_FIRST UINT64_C(14695981039346656037)

static uint64_t
sum_of(uint64_t sum, const char *text, size_t len)
{
	if (sum == 0)
		sum = SUM_FIRST;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
	return sum;
}

char *
running_log_line(const json_t *value, uint64_t *inout_sum, size_t *ret_len)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	size_t n = json_dumpb(value, NULL, 0, flags), len = SUM_DIGITS + 1 + n + 1;
	char *line = n > 0 ? malloc(len + 1) : NULL;
	uint64_t sum;

	if (line == NULL)
		return NULL;
	(void)json_dumpb(value, line + SUM_DIGITS + 1, n, flags);
	sum = sum_of(*inout_sum, line + SUM_DIGITS + 1, n);
	(void)snprintf(line, SUM_DIGITS + 1, "%016llx", (unsigned long long)sum);
	line[SUM_DIGITS] = ' ';
	line[len - 1] = '\n';
	line[len] = '\0';
	*inout_sum = sum;
	*ret_len = len;
	return line;
}

json_t *
running_log_head(const char *boot, const char *saved, json_t *system, size_t n_calls)
{
	return json_pack("{s:i, s:s, s:s, s:O, s:I}", "version", RUNNING_LOG_VERSION, "boot", boot, "saved", saved,
		"system", system, "calls", (json_int_t)n_calls);
}

json_t *
running_log_saved(const char *saved)
{
	return json_pack("{s:s}", "saved", saved);
}

static int
refuse(char err[RUNNING_LOG_ERR_SIZE], size_t line, const char *text)
{
	(void)snprintf(err, RUNNING_LOG_ERR_SIZE, "line %zu: %s", line, text);
	return -EINVAL;
}

static bool
has_sum(const char *line, uint64_t sum)
{
	char digits[SUM_DIGITS + 1];

	(void)snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)sum);
	return memcmp(line, digits, SUM_DIGITS) == 0 && line[SUM_DIGITS] == ' ';
}

// The value of a line without its newline, new reference; NULL: damaged. Texts are marks, which the
// parser of requests would not take.
static json_t *
parse_line(const char *line, size_t len, uint64_t *inout_sum)
{
	const char *text = line + SUM_DIGITS + 1;
	struct rpc_error error = {0};
	json_t *value;

	if (len < SUM_DIGITS + 2)
		return NULL;
	len -= SUM_DIGITS + 1;
	*inout_sum = sum_of(*inout_sum, text, len);
	if (!has_sum(line, *inout_sum))
		return NULL;
	if (text[0] == '"')
		return len >= 2 && text[len - 1] == '"' ? json_stringn(text + 1, len - 2) : NULL;
	value = rpc_parse(text, len, RUNNING_LOG_MAX_BYTES, &error);
	json_decref(error.data);
	return value;
}

static bool
copy_id(char id[RUNNING_LOG_ID_SIZE], const json_t *value)
{
	const char *text = json_string_value(value);

	return text != NULL && snprintf(id, RUNNING_LOG_ID_SIZE, "%s", text) < RUNNING_LOG_ID_SIZE;
}

static int
take_head(struct running_log *log, const json_t *head, size_t *ret_n_calls, char err[RUNNING_LOG_ERR_SIZE])
{
	const json_t *version = json_object_get(head, "version"), *n_calls = json_object_get(head, "calls");
	json_t *system = json_object_get(head, "system");

	if (!json_is_integer(version))
		return refuse(err, 1, "damaged");
	if (json_integer_value(version) != RUNNING_LOG_VERSION)
		return refuse(err, 1, "its version is not known");
	if (!copy_id(log->boot, json_object_get(head, "boot")) ||
		!copy_id(log->saved, json_object_get(head, "saved")) || !json_is_object(system) ||
		!json_is_integer(n_calls) || json_integer_value(n_calls) < 0)
		return refuse(err, 1, "damaged");
	log->system = json_incref(system);
	*ret_n_calls = (size_t)json_integer_value(n_calls);
	return 0;
}

static bool
take_mark(struct running_log *log, const char *mark)
{
	if (strcmp(mark, RUNNING_LOG_STARTING) == 0)
		log->n_starts++;
	else if (strcmp(mark, RUNNING_LOG_FAILED) == 0)
		log->n_starts = 0;
	else if (strcmp(mark, RUNNING_LOG_ENDED) == 0)
		log->has_ended = true;
	else
		return false;
	return true;
}

static bool
take_value(struct running_log *log, json_t *value)
{
	if (json_is_string(value))
		return take_mark(log, json_string_value(value));
	if (json_object_get(value, "saved") != NULL)
		return copy_id(log->saved, json_object_get(value, "saved"));
	return json_is_string(json_object_get(value, "method")) && json_array_append(log->calls, value) == 0;
}

int
running_log_parse(const char *text, size_t len, struct running_log *ret_log, char err[RUNNING_LOG_ERR_SIZE])
{
	struct running_log log = {0};
	size_t n_calls = 0, n_lines = 0, begin = 0;
	uint64_t sum = 0;
	int rc = 0;

	if (len > RUNNING_LOG_MAX_BYTES)
		return refuse(err, 1, "longer than 64 MiB");
	log.calls = json_array();
	while (rc == 0 && begin < len) {
		const char *end = memchr(text + begin, '\n', len - begin);
		json_t *value;

		if (end == NULL)
			break;
		value = parse_line(text + begin, (size_t)(end - text) - begin, &sum);
		begin = (size_t)(end - text) + 1;
		n_lines++;
		if (value == NULL)
			rc = refuse(err, n_lines, "damaged");
		else if (n_lines == 1)
			rc = take_head(&log, value, &n_calls, err);
		else if (!take_value(&log, value))
			rc = refuse(err, n_lines, "neither a call nor a known mark");
		json_decref(value);
	}
	// The head and its calls were written before the file had its name: they are there, or the
	// file was cut.
	if (rc == 0 && (n_lines == 0 || json_array_size(log.calls) < n_calls))
		rc = refuse(err, n_lines + 1, "cut off");
	log.sum = sum;
	log.n_bytes = begin;
	if (rc != 0)
		running_log_fini(&log);
	else
		*ret_log = log;
	return rc;
}

void
running_log_fini(struct running_log *log)
{
	json_decref(log->system);
	json_decref(log->calls);
	*log = (struct running_log){0};
}

const char *
running_log_objection(const struct running_log *log, const char *boot, const char *saved)
{
	if (strcmp(log->boot, boot) != 0)
		return "it is of before the machine's last start";
	if (log->n_starts >= RUNNING_LOG_MAX_STARTS)
		return "daemons died while they applied it";
	// Who edits the file and then restarts the daemon wants the file. A crash is nobody's wish.
	if (log->has_ended && strcmp(log->saved, saved) != 0)
		return "the saved configuration was changed since";
	return NULL;
}

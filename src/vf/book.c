// Rows are in the order of their cookies, which count up. Searches are linear in at most
// BOOK_RULES_MAX rows; the kernel makes some thousands of filters a second.
#include "book.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSAL_SIZE 160
#define ROW_BYTES 64 // of JSON around a rule's text

enum flight {
	GROUNDED,
	ADDED,
	DELETED
};

struct row {
	uint64_t cookie;
	struct tc_rule_id id;
	uint16_t in;
	uint32_t priority; // the switch's: the higher one wins
	char *text;
	char reason[TC_RULE_REASON_SIZE], refusal[REFUSAL_SIZE];
	bool is_gone; // the kernel has it no more
	bool is_at_host, is_changed; // the host has it, but not as it is
	bool is_refused, is_retried;
	enum flight flight; // of the request that was made last
	unsigned n_dumps; // the last one that had it
};

struct book {
	struct row **rows;
	size_t n, size;
	uint64_t last_cookie;
	unsigned n_dumps;
	bool is_full, was_full; // was_full: a dump has begun since
	bool is_reset; // the next request says that the host has none
};

struct book *
book_create(void)
{
	struct book *book = calloc(1, sizeof(*book));

	if (book)
		book->is_reset = true;
	return book;
}

static void
free_row(struct row *row)
{
	free(row->text);
	free(row);
}

void
book_destroy(struct book *book)
{
	for (size_t i = 0; book && i < book->n; i++)
		free_row(book->rows[i]);
	if (book)
		free(book->rows);
	free(book);
}

// Rows that neither the kernel nor the host has.
static void
sweep(struct book *book)
{
	size_t n = 0;

	for (size_t i = 0; i < book->n; i++) {
		struct row *row = book->rows[i];

		if (row->is_gone && !row->is_at_host)
			free_row(row);
		else
			book->rows[n++] = row;
	}
	book->n = n;
}

static bool
is_same(const struct tc_rule_id *a, const struct tc_rule_id *b)
{
	return a->ifindex == b->ifindex && a->priority == b->priority && a->protocol == b->protocol &&
		(!b->handle || a->handle == b->handle);
}

static struct row *
find(const struct book *book, const struct tc_rule_id *id)
{
	for (size_t i = 0; i < book->n; i++)
		if (!book->rows[i]->is_gone && is_same(&book->rows[i]->id, id))
			return book->rows[i];
	return NULL;
}

static struct row *
add_row(struct book *book)
{
	struct row *row;

	if (book->n == BOOK_RULES_MAX)
		sweep(book);
	if (book->n == BOOK_RULES_MAX)
		return NULL;
	if (book->n == book->size) {
		size_t size = book->size ? 2 * book->size : 64;
		struct row **rows = reallocarray(book->rows, size, sizeof(struct row *));

		if (!rows)
			return NULL;
		book->rows = rows;
		book->size = size;
	}
	row = calloc(1, sizeof(*row));
	if (row) {
		row->cookie = ++book->last_cookie;
		book->rows[book->n++] = row;
	}
	return row;
}

static void
remove_rows(struct book *book, const struct tc_rule_id *id)
{
	for (size_t i = 0; i < book->n; i++)
		if (is_same(&book->rows[i]->id, id))
			book->rows[i]->is_gone = true;
}

int
book_take(struct book *book, const struct tc_rule *rule)
{
	struct row *row;
	char buf[FLOW_TEXT_SIZE], *text;

	if (rule->is_deleted) {
		remove_rows(book, &rule->id);
		return 0;
	}
	text = strdup(flow_text_format(&rule->entry, &flow_text_vfs, buf));
	row = text ? find(book, &rule->id) : NULL;
	if (text && !row)
		row = add_row(book);
	if (!row) {
		free(text);
		book->is_full = true;
		book->was_full = false;
		return -ENOSPC;
	}
	if (!row->text || strcmp(row->text, text) != 0) {
		row->is_changed = true;
		row->is_refused = false;
	}
	free(row->text);
	row->text = text;
	row->id = rule->id;
	row->in = rule->in;
	row->priority = rule->entry.rule.priority;
	row->n_dumps = book->n_dumps;
	(void)snprintf(row->reason, sizeof(row->reason), "%s", rule->reason);
	return 0;
}

void
book_forget(struct book *book, uint32_t ifindex)
{
	for (size_t i = 0; i < book->n; i++)
		if (book->rows[i]->id.ifindex == ifindex)
			book->rows[i]->is_gone = true;
}

void
book_dump_begin(struct book *book)
{
	book->n_dumps++;
	book->was_full = book->is_full;
	// What a full book does not know of must not be kept out by what is gone.
	for (size_t i = 0; book->is_full && i < book->n; i++)
		book->rows[i]->is_gone = true;
}

void
book_dump_end(struct book *book)
{
	for (size_t i = 0; i < book->n; i++)
		if (book->rows[i]->n_dumps != book->n_dumps)
			book->rows[i]->is_gone = true;
	if (book->was_full)
		book->is_full = false;
}

void
book_reset(struct book *book)
{
	for (size_t i = 0; i < book->n; i++) {
		struct row *row = book->rows[i];

		row->is_at_host = row->is_refused = row->is_retried = false;
		row->is_changed = true;
		row->flight = GROUNDED;
	}
	book->is_reset = true;
	sweep(book);
}

// ---- the difference

static int
compare_rows(const void *a, const void *b)
{
	const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return x->cookie < y->cookie ? -1 : 1;
}

// The highest priority of a refused rule, of each port, plus one.
static void
find_refused(const struct book *book, uint32_t above[TC_RULE_PORTS])
{
	memset(above, 0, TC_RULE_PORTS * sizeof(above[0]));
	for (size_t i = 0; i < book->n; i++) {
		const struct row *row = book->rows[i];

		if (!row->is_gone && row->is_refused && row->priority + 1 > above[row->in])
			above[row->in] = row->priority + 1;
	}
}

static bool
is_behind(const struct row *row, const uint32_t above[TC_RULE_PORTS])
{
	return row->priority + 1 < above[row->in];
}

static bool
is_wanted(const struct book *book, const struct row *row, const uint32_t above[TC_RULE_PORTS])
{
	return !book->is_full && !row->is_gone && !is_behind(row, above) && (!row->is_refused || row->is_retried);
}

void
book_retry(struct book *book)
{
	struct row **refused = calloc(book->n + 1, sizeof(struct row *));
	size_t n = 0;

	for (size_t i = 0; refused && i < book->n; i++)
		if (!book->rows[i]->is_gone && book->rows[i]->is_refused)
			refused[n++] = book->rows[i];
	if (n)
		qsort(refused, n, sizeof(struct row *), compare_rows);
	for (size_t i = 0; i < n && i < BOOK_RETRIES_MAX; i++)
		refused[i]->is_retried = true;
	free(refused);
}

static json_t *
take_deletions(struct book *book, const uint32_t above[TC_RULE_PORTS])
{
	json_t *del = json_array();

	for (size_t i = 0; i < book->n && json_array_size(del) < BOOK_DELS_MAX; i++) {
		struct row *row = book->rows[i];

		if (!row->is_at_host || is_wanted(book, row, above))
			continue;
		// What is refused stays as it was at the host: gone it is better, until it is tried
		// again.
		row->flight = DELETED;
		(void)json_array_append_new(del, json_integer((json_int_t)row->cookie));
	}
	return del;
}

static json_t *
take_additions(struct book *book, const uint32_t above[TC_RULE_PORTS])
{
	struct row **wanted = calloc(book->n + 1, sizeof(struct row *));
	char name[RTVS_NAME_SIZE];
	json_t *add = json_array();
	size_t n = 0, bytes = 0;

	for (size_t i = 0; wanted && i < book->n; i++) {
		struct row *row = book->rows[i];

		if (is_wanted(book, row, above) && (row->is_changed || !row->is_at_host))
			wanted[n++] = row;
	}
	if (n)
		qsort(wanted, n, sizeof(struct row *), compare_rows);
	for (size_t i = 0; i < n && i < BOOK_ADDS_MAX; i++) {
		struct row *row = wanted[i];

		bytes += strlen(row->text) + ROW_BYTES;
		if (bytes > BOOK_BYTES_MAX)
			break;
		row->flight = ADDED;
		(void)json_array_append_new(add,
			json_pack("{s:I, s:s, s:s}", "cookie", (json_int_t)row->cookie, "in",
				flow_text_vfs.name(flow_text_vfs.arg, row->in, name), "rule", row->text));
	}
	free(wanted);
	return add;
}

json_t *
book_request(struct book *book)
{
	uint32_t above[TC_RULE_PORTS];
	json_t *add, *del;
	bool is_reset = book->is_reset;

	find_refused(book, above);
	del = take_deletions(book, above);
	// With deletions left, nothing is added that they could stand before.
	add = json_array_size(del) < BOOK_DELS_MAX ? take_additions(book, above) : json_array();
	if (is_reset || json_array_size(add) || json_array_size(del))
		return json_pack("{s:b, s:o, s:o}", "reset", is_reset, "del", del, "add", add);
	json_decref(add);
	json_decref(del);
	return NULL;
}

static struct row *
find_cookie(const struct book *book, uint64_t cookie)
{
	size_t low = 0, high = book->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (book->rows[middle]->cookie < cookie)
			low = middle + 1;
		else
			high = middle;
	}
	return low < book->n && book->rows[low]->cookie == cookie ? book->rows[low] : NULL;
}

static void
note_refused(struct book *book, const json_t *refused)
{
	for (size_t i = 0; i < json_array_size(refused); i++) {
		const json_t *one = json_array_get(refused, i);
		const char *reason = json_string_value(json_object_get(one, "reason"));
		struct row *row = find_cookie(book, (uint64_t)json_integer_value(json_object_get(one, "cookie")));

		if (!row || row->flight != ADDED)
			continue;
		row->is_refused = true;
		row->flight = GROUNDED;
		(void)snprintf(row->refusal, sizeof(row->refusal), "%s", reason ? reason : "refused");
	}
}

void
book_answer(struct book *book, const json_t *result)
{
	book->is_reset = false;
	for (size_t i = 0; i < book->n; i++)
		book->rows[i]->is_retried = false;
	note_refused(book, json_object_get(result, "refused"));
	for (size_t i = 0; i < book->n; i++) {
		struct row *row = book->rows[i];

		if (row->flight == ADDED)
			row->is_refused = row->is_changed = false;
		if (row->flight != GROUNDED)
			row->is_at_host = row->flight == ADDED;
		row->flight = GROUNDED;
	}
	sweep(book);
}

// ---- what people see

void
book_count(const struct book *book, struct book_counts *ret_counts)
{
	struct book_counts counts = {.is_full = book->is_full};

	for (size_t i = 0; i < book->n; i++) {
		const struct row *row = book->rows[i];

		if (row->is_gone)
			continue;
		counts.n_rules++;
		if (row->is_at_host && !row->is_changed && !row->reason[0])
			counts.n_in_hardware++;
		else if (row->is_refused)
			counts.n_refused++;
		else
			counts.n_traps++;
	}
	*ret_counts = counts;
}

static const char *
why_trap(const struct book *book, const struct row *row, const uint32_t above[TC_RULE_PORTS])
{
	if (row->reason[0])
		return row->reason;
	if (row->is_refused)
		return row->refusal;
	if (book->is_full)
		return "too many filters";
	if (is_behind(row, above))
		return "the host refused a rule of higher priority";
	return row->is_at_host && !row->is_changed ? NULL : "the host does not have it yet";
}

json_t *
book_list(const struct book *book, uint64_t from, unsigned max)
{
	uint32_t above[TC_RULE_PORTS];
	char name[RTVS_NAME_SIZE];
	json_t *rows = json_array();

	find_refused(book, above);
	for (size_t i = 0; i < book->n && json_array_size(rows) < max; i++) {
		const struct row *row = book->rows[i];
		const char *why = why_trap(book, row, above);

		if (row->is_gone || row->cookie <= from)
			continue;
		(void)json_array_append_new(rows,
			json_pack("{s:I, s:s, s:s, s:s, s:s*}", "cookie", (json_int_t)row->cookie, "in",
				flow_text_vfs.name(flow_text_vfs.arg, row->in, name), "rule", row->text, "state",
				why ? "trap" : "hw", "reason", why));
	}
	return rows;
}

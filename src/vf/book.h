// The rules that the guest's filters make, and what the host has of them. Events of the kernel
// change the former, and the next request to the host is the difference. Pure.
//
// A rule that the host refuses, for want of room, must not be shadowed by one of a lower priority
// that it has. So rules of the same port with a lower priority are taken from the host meanwhile,
// and their packets go to the representor, where tc has them all.
#pragma once

#include "tc_rule.h"

#include <jansson.h>

#define BOOK_RULES_MAX 16384 // of which memory is a few MB
#define BOOK_ADDS_MAX 200 // in one request
#define BOOK_DELS_MAX 1000
#define BOOK_BYTES_MAX 49152 // of the rules of one request, whose line has at most 64 KiB
#define BOOK_RETRIES_MAX 32 // of refused rules at once

struct book;

struct book_counts {
	unsigned n_rules, n_in_hardware, n_traps, n_refused;
	bool is_full; // more filters than BOOK_RULES_MAX: the host has none
};

struct book *book_create(void); // NULL: no memory
void book_destroy(struct book *book); // NULL is accepted

// What the kernel announces. -ENOSPC or -ENOMEM: the book is full until a dump that fits.
int book_take(struct book *book, const struct tc_rule *rule);
// All filters of an interface are gone; the kernel does not name them.
void book_forget(struct book *book, uint32_t ifindex);
// Between these all filters are taken that there are; others are gone.
void book_dump_begin(struct book *book);
void book_dump_end(struct book *book);

// The host has no rules, and the next request says so.
void book_reset(struct book *book);
// Refused rules are tried again.
void book_retry(struct book *book);
// Params of the next flow.sync, new reference. NULL: the host has all. book_answer or book_reset
// comes before the next one.
json_t *book_request(struct book *book);
// The result of that request.
void book_answer(struct book *book, const json_t *result);

void book_count(const struct book *book, struct book_counts *ret_counts);
// Up to `max` rows with cookies above `from`, in the order of cookies:
// {cookie, in, rule, state: "hw"|"trap", reason}. New reference.
json_t *book_list(const struct book *book, uint64_t from, unsigned max);

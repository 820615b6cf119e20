// Whether a running QEMU can be moved, and how: decided from its command line and from what both
// programs said. Nothing is asked or changed here.
#pragma once

#include "cmdline.h"
#include "reasons.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

// The ways, the fastest first. The last copies the memory.
#define PLAN_WAYS(X)                        \
	X(IGNORE_SHARED, "x-ignore-shared") \
	X(CPR_TRANSFER, "cpr-transfer")     \
	X(PLAIN, "plain")

#define PLAN_ENUM(id, name) PLAN_##id,
enum plan_way {
	PLAN_WAYS(PLAN_ENUM) PLAN_WAY_COUNT
};
#undef PLAN_ENUM

// What plan_make works with. The objects are the caller's.
struct plan_facts {
	const struct cmdline *cmdline;
	// {"status": query-status's, "machine": type with its version, "ram_bytes": N,
	//  "version": "10.0.13", "has_cpr": whether its schema has mode cpr-transfer,
	//  "capabilities": [NAME...], "has_aux_ram_share": of its machine,
	//  "migration": query-migrate's answer, "n_anonymous": devices without id,
	//  "memory": [{"id", "type", "share", "discard", "path",
	//              "is_mapped": the process has this very file mapped}...],
	//  "devices": [ID...], "objects": [ID...], "chardevs": [LABEL...], "images": [FILE...]}
	const json_t *source;
	// {"version", "machines": [NAME...], "capabilities", "has_cpr"}
	const json_t *target;
	bool is_plain; // asked for
};

struct plan {
	enum plan_way way; // where reasons are none
	char why[REASONS_TEXT_SIZE]; // the way was chosen
	struct reasons reasons; // of a refusal
};

void plan_make(const struct plan_facts *facts, struct plan *ret_plan);
const char *plan_way_name(enum plan_way way);
// Of the source: what x-ignore-shared, cpr-transfer or plain copy would need. Appends to reasons.
void plan_way_reasons(const struct plan_facts *facts, enum plan_way way, struct reasons *reasons);

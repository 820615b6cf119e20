// rtvs-move qemu: one guest.
#pragma once

#include "options.h"

enum move_exit {
	MOVE_OK,
	MOVE_REFUSED,
	MOVE_USAGE,
	MOVE_UNREACHABLE,
	MOVE_LOST,
};

// Moves the guest, or only checks, and prints what it did. Returns enum move_exit. SIGINT and
// SIGTERM, which may be blocked before, end it as steps.h says.
int move_one_run(const struct options *o);

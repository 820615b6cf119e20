// When a worker sleeps.
#pragma once

#include "view.h"
#include "worker.h"

// Sleeps until there may be work, or for a while. True: there was some, or something woke it.
bool idle_sleep(struct worker *w, const struct view *view, bool (*poll)(struct worker *, const struct view *));

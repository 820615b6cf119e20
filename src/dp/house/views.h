// How a view comes to be: control thread.
#pragma once

#include "path/view.h"

struct dp;

// Builds a view of dp's present state, swaps it in and waits until no worker uses the one before.
// -ENOMEM: nothing changed
int views_publish(struct dp *dp);

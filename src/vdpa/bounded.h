// Calls that the kernel may keep for long, with a time limit for who asks.
#pragma once

#include <stddef.h>

// Calls fn with a copy of data in a thread of its own. In time: the result of fn, and data is what
// the copy became. -ETIMEDOUT: data is untouched, the thread goes on with the copy. -EBUSY:
// VDPA_MAX_CALLS threads are at work. Else an errno of the thread's creation.
int bounded_call(int (*fn)(void *data), void *data, size_t size, unsigned timeout_ms);
// For people, in static memory or as strerror has it: why the call failed, also where fn did.
const char *bounded_why(int rc);

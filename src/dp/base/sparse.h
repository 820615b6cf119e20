// Memory for arrays of which only the parts in use take any: zero, and given by the system page by
// page at the first touch.
#pragma once

#include <stddef.h>

// Aligned to a page. NULL: no memory.
void *sparse_alloc(size_t bytes);
void sparse_free(void *memory, size_t bytes); // NULL is accepted

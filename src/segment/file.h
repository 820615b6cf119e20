// Shared by file.c and file_create.c.
#pragma once

#include <stdbool.h>

// Says in err what open said, and what to do. Returns -error.
int file_cannot_open(char *err, const char *path, bool is_readonly, int error);

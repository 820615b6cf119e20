// Shared memory that is no file of a file system: DAX devices, and the memory of ivshmem devices,
// which a guest finds below /sys.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_PATH_SIZE 128

// Whether path is a character device, or the memory of an ivshmem device; no other memory of PCI
// devices is ever formatted.
bool device_is(const char *path);
// The size of the open object. *ret_is_regular: it is a file, whose length may change. -EINVAL: it
// cannot hold a segment.
int device_bytes(int fd, uint64_t *ret_bytes, bool *ret_is_regular);
// The path of an ivshmem device's memory; address NULL: of the only one. -ENOENT: there is none,
// -E2BIG: several.
int device_find_ivshmem(const char *address, char ret_path[DEVICE_PATH_SIZE]);

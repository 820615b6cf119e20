// The names of libxdp's functions, found at run time, and the end of its program. The library
// counts the sockets that use its program, and takes the program off with the last one that it
// made. A socket that another process made is none of its own, so that is done here for all.
#include "xdp_library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define FILE_NAME "libxdp.so.1"
#define PROGRAM "xsk_def_prog" // the library's own

static struct xdp_library lib;
static bool is_loaded;

const struct xdp_library *
xdp_library_load(char err[DP_ERR_SIZE])
{
	void *handle;

	if (is_loaded)
		return &lib;
	handle = dlopen(FILE_NAME, RTLD_NOW);
	is_loaded = handle;
#define X(name)                                                              \
	lib.name = handle ? (__typeof__(name) *)dlsym(handle, #name) : NULL; \
	is_loaded &= lib.name != NULL;
	XDP_LIBRARY_FUNCTIONS(X)
#undef X
	if (is_loaded)
		return &lib;
	dp_error(err, "devargs: AF_XDP needs %s: %s", FILE_NAME, dlerror());
	return NULL;
}

static bool
is_own(struct xdp_program *program)
{
	const char *name = program ? lib.xdp_program__name(program) : NULL;

	return name && !strcmp(name, PROGRAM);
}

void
xdp_library_take_off(unsigned ifindex)
{
	char ignored[DP_ERR_SIZE];
	struct xdp_multiprog *all;
	struct xdp_program *program = NULL;

	if (!ifindex || !xdp_library_load(ignored))
		return;
	all = lib.xdp_multiprog__get_from_ifindex((int)ifindex);
	if (lib.libxdp_get_error(all))
		return; // the interface has none
	if (lib.xdp_multiprog__is_legacy(all)) {
		program = lib.xdp_multiprog__main_prog(all);
		program = is_own(program) ? program : NULL;
	} else {
		while ((program = lib.xdp_multiprog__next_prog(program, all)) && !is_own(program))
			;
	}
	if (program)
		(void)lib.xdp_program__detach(program, (int)ifindex, lib.xdp_multiprog__attach_mode(all), 0);
	lib.xdp_multiprog__close(all);
}

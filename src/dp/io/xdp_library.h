// libxdp, which makes the sockets of AF_XDP and has the program that fills them. It is loaded with
// the first such port: a switch without one has neither it nor libbpf. Control thread.
#pragma once

#include "base/dp_error.h"

#include <bpf/bpf.h>
#include <xdp/libxdp.h>
#include <xdp/xsk.h>

// clang-format off
#define XDP_LIBRARY_FUNCTIONS(X) \
	X(bpf_map_update_elem) \
	X(libxdp_get_error) \
	X(xdp_multiprog__attach_mode) \
	X(xdp_multiprog__close) \
	X(xdp_multiprog__get_from_ifindex) \
	X(xdp_multiprog__is_legacy) \
	X(xdp_multiprog__main_prog) \
	X(xdp_multiprog__next_prog) \
	X(xdp_program__detach) \
	X(xdp_program__name) \
	X(xsk_setup_xdp_prog) \
	X(xsk_socket__create) \
	X(xsk_socket__delete) \
	X(xsk_umem__create) \
	X(xsk_umem__delete) \
	X(xsk_umem__fd)
// clang-format on

struct xdp_library {
#define X(name) __typeof__(name) *name;
	XDP_LIBRARY_FUNCTIONS(X)
#undef X
};

// NULL: it is not there, and err says so.
const struct xdp_library *xdp_library_load(char err[DP_ERR_SIZE]);

// The program that the library attached to an interface is taken off again, once no port has a
// socket there. Programs of others stay.
void xdp_library_take_off(unsigned ifindex);

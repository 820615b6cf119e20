// rtvs-vf as a plugin of container runtimes (CNI specification 1.0.0), chained behind the one that
// moves the VF's interface into the container.
#pragma once

#include <stdbool.h>

// Does a runtime call?
bool vf_cni_is_called(void);
// The call in the environment and on standard input; the answer is on standard output. The exit
// status.
int vf_cni_run(unsigned timeout_ms);

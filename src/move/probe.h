// Asks two QEMUs what plan_make needs to know: the one that runs, and a moment's instance of the
// target. Nothing is changed.
#pragma once

#include "cmdline.h"
#include "process.h"
#include "qmp.h"
#include "reasons.h"

#define PROBE_GREETING_MS 2000
#define PROBE_ANSWER_MS 10000

// A path of the process's arguments as this process can use it. Allocated.
char *probe_path(const struct process *p, const char *path);
// Connects to one of the control sockets that the arguments name. *ret_path: as it stands there,
// without an earlier move's suffix; allocated. -ENOENT: no argument makes one. -EBUSY: none
// answers. The reasons are added.
int probe_connect(const struct cmdline *c, const struct process *p, struct qmp **ret_qmp, char **ret_path,
	struct reasons *reasons);
// plan_facts.source; new reference. Failure: reasons has it.
int probe_source(struct qmp *q, const struct process *p, json_t **ret_facts, struct reasons *reasons);
// plan_facts.target, as the process's user; new reference. Failure: reasons has it.
int probe_target(const char *program, const struct process *like, json_t **ret_facts, struct reasons *reasons);

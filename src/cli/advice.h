// The causes of a guest's uneven answers, from facts, and the setting against each. Pure.
#pragma once

#include "machine.h"

#define ADVICE_TEXT_SIZE 1024
#define ADVICE_SETTING_SIZE 32768 // pins of 512 vCPUs; longer ones end in "..."
#define ADVICE_MAX 40

enum advice_severity {
	ADVICE_PROBLEM, // costs response time, or will as soon as there is load
	ADVICE_HINT, // could be better
	ADVICE_UNKNOWN, // text says which file could not be read
	ADVICE_OK,
	ADVICE_NONE // means nothing here: left out
};

struct advice_finding {
	const char *id; // "vcpu.pin"
	const char *why;
	enum advice_severity severity;
	char text[ADVICE_TEXT_SIZE]; // a sentence with the live values
	char libvirt[ADVICE_SETTING_SIZE]; // XML of the domain; empty: it has none for this
	// commands, or options of QEMU's or the kernel's command line
	char shell[ADVICE_SETTING_SIZE];
};

struct advice {
	struct advice_finding findings[ADVICE_MAX];
	unsigned n;
};

// All findings, worst first, what matters most before the rest. Some 3 MB.
void advice_make(const struct machine_facts *m, struct advice *ret_advice);
unsigned advice_count(const struct advice *a, enum advice_severity severity);
const char *advice_severity_name(enum advice_severity severity);

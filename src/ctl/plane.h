// What the control plane is about: the datapath, and what it was told.
#pragma once

#include "model.h"

struct plane {
	struct dp *dp;
	struct model *model; // what handlers change: a dry one while a configuration is checked
	struct model *live; // the one of the datapath
};

// The subject of the control plane: the datapath, and its configuration.
#pragma once

#include "model.h"

struct plane {
	struct dp *dp;
	struct model *model; // what handlers change: a dry one while a configuration is checked
	struct model *live; // the one of the datapath
};

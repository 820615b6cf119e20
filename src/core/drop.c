// Names and meanings of the drop reasons, for the control plane's results and metrics. The list
// itself is rtvs/drop.h: a reason added there appears here without another line. Both tables are
// indexed by enum drop and end before DROP_COUNT, so DROP_NONE has no name.
#include "rtvs/drop.h"

#define X(id, name, text) [id] = name,
const char *const drop_names[DROP_COUNT] = {DROP_LIST(X)};
#undef X

#define X(id, name, text) [id] = text,
const char *const drop_texts[DROP_COUNT] = {DROP_LIST(X)};
#undef X

// What the service manager is told: lines such as "READY=1" (sd_notify(3)), without its library. Nothing happens where nobody asked for it.
#pragma once

void service_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Messages to the service manager: lines such as "READY=1" (sd_notify(3)), without its library.
// Without a service manager nothing happens.
#pragma once

void service_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

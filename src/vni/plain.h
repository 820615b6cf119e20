// Included by code for memory that hosts do not see alike. The code then cannot even name
// operations that such memory lacks: no word is read and written in one step between hosts.
// (Sequentially consistent stores are exchanges on x86, fences of the language locked instructions:
// see lines.h.)
#pragma once

#include "shared.h"

#undef atomic_store
#undef atomic_exchange
#undef atomic_exchange_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_xor
#undef atomic_fetch_xor_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_weak_explicit
#undef atomic_thread_fence
#pragma GCC poison shared_cas shared_set shared_clear
#pragma GCC poison atomic_store atomic_exchange atomic_exchange_explicit atomic_fetch_add
#pragma GCC poison atomic_fetch_add_explicit atomic_fetch_sub atomic_fetch_sub_explicit atomic_fetch_or
#pragma GCC poison atomic_fetch_or_explicit atomic_fetch_xor atomic_fetch_xor_explicit atomic_fetch_and
#pragma GCC poison atomic_fetch_and_explicit atomic_compare_exchange_strong
#pragma GCC poison atomic_compare_exchange_strong_explicit atomic_compare_exchange_weak
#pragma GCC poison atomic_compare_exchange_weak_explicit atomic_thread_fence

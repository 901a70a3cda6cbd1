/* wasi-libc's header: memory that is allocated, and files that are read into it. */
#ifndef _WASI_EMULATED_MMAN
#define _WASI_EMULATED_MMAN
#endif
#include_next <sys/mman.h>

/* wasi-libc's header with `umask`. */
#include_next <sys/stat.h>
#ifndef _THREADWORK_SYS_STAT_H
#define _THREADWORK_SYS_STAT_H
#ifdef __cplusplus
extern "C" {
#endif

mode_t umask(mode_t);

#ifdef __cplusplus
}
#endif
#endif

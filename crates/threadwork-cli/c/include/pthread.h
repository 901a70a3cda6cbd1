/* wasi-libc's header with `pthread_exit`, which ends the program. */
#include_next <pthread.h>
#ifndef _THREADWORK_PTHREAD_H
#define _THREADWORK_PTHREAD_H
#ifdef __cplusplus
extern "C" {
#endif

__attribute__((__noreturn__)) void pthread_exit(void *);
int pthread_atfork(void (*)(void), void (*)(void), void (*)(void));

#ifdef __cplusplus
}
#endif
#endif

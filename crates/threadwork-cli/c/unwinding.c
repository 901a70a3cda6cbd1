/* What needs unwinding, of which there is none: it ends the program, as a C++ exception does. */
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#define WEAK __attribute__((weak))

static _Noreturn void end(const char *what)
{
    fprintf(stderr, "%s ends a program without unwinding\n", what);
    abort();
}

WEAK void longjmp(jmp_buf place, int value)
{
    (void)place, (void)value;
    end("longjmp");
}

WEAK void _longjmp(jmp_buf place, int value)
{
    longjmp(place, value);
}

WEAK void siglongjmp(sigjmp_buf place, int value)
{
    longjmp(place, value);
}

WEAK void pthread_exit(void *value)
{
    (void)value;
    end("pthread_exit");
}

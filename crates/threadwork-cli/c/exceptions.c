/* C++ exceptions without unwinding: one that is thrown ends the program, with its type's name. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

/* As in the ABI: a table of functions, and the name. */
struct type_info {
    void *functions;
    const char *name;
};

char *__cxa_demangle(const char *, char *, size_t *, int *);

void *__cxa_allocate_exception(size_t bytes)
{
    void *exception = malloc(bytes);
    if (!exception)
        abort();
    return exception;
}

void __cxa_free_exception(void *exception)
{
    free(exception);
}

_Noreturn void __cxa_throw(void *exception, struct type_info *type, void (*destroy)(void *))
{
    (void)exception, (void)destroy;
    char *name = __cxa_demangle(type->name, NULL, NULL, NULL);
    fprintf(stderr, "an exception is thrown, which ends a program without unwinding: %s\n", name ? name : type->name);
    abort();
}

_Noreturn void __cxa_rethrow(void)
{
    abort();
}

void *__cxa_begin_catch(void *exception)
{
    return exception;
}

void __cxa_end_catch(void)
{
}

/* C++ exceptions without unwinding: one that is thrown ends the program, with its type's name. */
#include <pthread.h>
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

/* Of an exception that is kept, and not thrown. */
void *__cxa_init_primary_exception(void *exception, struct type_info *type, void (*destroy)(void *))
{
    (void)type, (void)destroy;
    return exception;
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

/* Destructors of the objects of a thread: the last that was made is destroyed first. */
struct destructor {
    struct destructor *next;
    void (*destroy)(void *);
    void *object;
};

static _Thread_local struct destructor *destructors;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;

static void destroy_all(void *unused)
{
    (void)unused;
    struct destructor *last;
    while ((last = destructors)) {
        destructors = last->next;
        last->destroy(last->object);
        free(last);
    }
}

/* Of the thread that ends the program, whose keys nobody looks at. */
static void destroy_at_exit(void)
{
    destroy_all(NULL);
}

static void prepare(void)
{
    if (pthread_key_create(&key, destroy_all) || atexit(destroy_at_exit))
        abort();
}

int __cxa_thread_atexit(void (*destroy)(void *), void *object, void *library)
{
    (void)library;
    struct destructor *new = malloc(sizeof *new);
    if (!new)
        return -1;
    pthread_once(&once, prepare);
    /* Any value: the key tells of the thread's end. */
    if (pthread_setspecific(key, &key)) {
        free(new);
        return -1;
    }
    *new = (struct destructor){destructors, destroy, object};
    destructors = new;
    return 0;
}

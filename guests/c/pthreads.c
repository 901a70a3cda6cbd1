/*
 * POSIX threads from C: create, join, detach, mutexes, condition variables,
 * barriers, reader-writer locks, once, thread-specific keys, _Thread_local.
 *
 * Prints `ok pthreads` and exits with 0; names the check that failed and exits
 * with 1 otherwise.
 */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 4, ROUNDS = 1000 };

#define CHECK(condition) check((condition), #condition, __LINE__)

static void check(bool holds, const char *condition, int line)
{
    if (holds)
        return;
    fprintf(stderr, "pthreads.c:%d: failed: %s\n", line, condition);
    exit(EXIT_FAILURE);
}

/* Runs `work` on THREADS threads, gives each its number, and joins them all. */
static void on_threads(void *(*work)(void *))
{
    pthread_t threads[THREADS];

    for (intptr_t me = 0; me < THREADS; me++)
        CHECK(pthread_create(&threads[me], NULL, work, (void *)me) == 0);
    for (intptr_t me = 0; me < THREADS; me++) {
        void *result;
        CHECK(pthread_join(threads[me], &result) == 0);
        CHECK(result == (void *)me);
    }
}

static struct timespec in_milliseconds(long milliseconds)
{
    struct timespec time;

    CHECK(clock_gettime(CLOCK_REALTIME, &time) == 0);
    time.tv_nsec += milliseconds * 1000000;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

/* ---- mutexes ---- */

static pthread_mutex_t count_mutex = PTHREAD_MUTEX_INITIALIZER;
static int count;

static void *count_up(void *me)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(pthread_mutex_lock(&count_mutex) == 0);
        count++;
        CHECK(pthread_mutex_unlock(&count_mutex) == 0);
    }
    return me;
}

static void mutex_counts_exactly(void)
{
    on_threads(count_up);
    CHECK(count == THREADS * ROUNDS);
}

static void *find_it_busy(void *mutex)
{
    struct timespec soon = in_milliseconds(10);

    CHECK(pthread_mutex_trylock(mutex) == EBUSY);
    CHECK(pthread_mutex_timedlock(mutex, &soon) == ETIMEDOUT);
    return NULL;
}

static void recursive_mutex_belongs_to_its_thread(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    pthread_t other;

    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_mutex_lock(&mutex) == 0);
    CHECK(pthread_create(&other, NULL, find_it_busy, &mutex) == 0);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_mutex_unlock(&mutex) == 0);
    CHECK(pthread_mutex_destroy(&mutex) == 0);
    CHECK(pthread_mutexattr_destroy(&attributes) == 0);
}

/* ---- condition variables ---- */

static pthread_mutex_t token_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t token_passed = PTHREAD_COND_INITIALIZER;
static intptr_t token;

static void *pass_token(void *me)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_mutex_lock(&token_mutex);
        while (token % THREADS != (intptr_t)me)
            pthread_cond_wait(&token_passed, &token_mutex);
        token++;
        pthread_cond_broadcast(&token_passed);
        pthread_mutex_unlock(&token_mutex);
    }
    return me;
}

static void condition_hands_a_token_around(void)
{
    on_threads(pass_token);
    CHECK(token == THREADS * ROUNDS);
}

static void condition_times_out(void)
{
    struct timespec soon = in_milliseconds(20);

    pthread_mutex_lock(&token_mutex);
    CHECK(pthread_cond_timedwait(&token_passed, &token_mutex, &soon) == ETIMEDOUT);
    pthread_mutex_unlock(&token_mutex);
}

/* ---- barriers ---- */

static pthread_barrier_t barrier;
static atomic_int arrived, leaders;

static void *go_through_phases(void *me)
{
    for (int phase = 1; phase <= ROUNDS; phase++) {
        atomic_fetch_add(&arrived, 1);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            atomic_fetch_add(&leaders, 1);
        CHECK(atomic_load(&arrived) == phase * THREADS);
        pthread_barrier_wait(&barrier);
    }
    return me;
}

static void barrier_has_one_leader_a_phase(void)
{
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0);
    on_threads(go_through_phases);
    CHECK(leaders == ROUNDS);
    CHECK(pthread_barrier_destroy(&barrier) == 0);
}

/* ---- reader-writer locks ---- */

static pthread_rwlock_t pair_lock = PTHREAD_RWLOCK_INITIALIZER;
static int pair[2];

static void *read_or_write(void *me)
{
    for (int round = 0; round < ROUNDS; round++) {
        if ((intptr_t)me % 2 == 0) {
            CHECK(pthread_rwlock_wrlock(&pair_lock) == 0);
            pair[0]++;
            pair[1]++;
        } else {
            CHECK(pthread_rwlock_rdlock(&pair_lock) == 0);
            CHECK(pair[0] == pair[1]);
        }
        CHECK(pthread_rwlock_unlock(&pair_lock) == 0);
    }
    return me;
}

static void rwlock_excludes_writers(void)
{
    on_threads(read_or_write);
    CHECK(pair[0] == THREADS / 2 * ROUNDS);
    CHECK(pthread_rwlock_rdlock(&pair_lock) == 0);
    CHECK(pthread_rwlock_tryrdlock(&pair_lock) == 0);
    CHECK(pthread_rwlock_trywrlock(&pair_lock) == EBUSY);
}

/* ---- once, keys, _Thread_local ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static atomic_int keys_made, values_destroyed;
static _Thread_local intptr_t local = 7;

static void destroy_value(void *value)
{
    atomic_fetch_add(&values_destroyed, 1);
    free(value);
}

static void make_key(void)
{
    CHECK(pthread_key_create(&key, destroy_value) == 0);
    atomic_fetch_add(&keys_made, 1);
}

static void *keep_ones_own(void *me)
{
    intptr_t *value = malloc(sizeof *value);

    CHECK(pthread_once(&once, make_key) == 0);
    CHECK(pthread_getspecific(key) == NULL);
    CHECK(local == 7);
    *value = (intptr_t)me;
    CHECK(pthread_setspecific(key, value) == 0);
    for (int round = 0; round < ROUNDS; round++) {
        local += (intptr_t)me;
        CHECK(*(intptr_t *)pthread_getspecific(key) == (intptr_t)me);
    }
    CHECK(local == 7 + ROUNDS * (intptr_t)me);
    return me;
}

static void every_thread_has_its_own(void)
{
    on_threads(keep_ones_own);
    CHECK(keys_made == 1);
    CHECK(values_destroyed == THREADS);
    CHECK(pthread_key_delete(key) == 0);
    CHECK(local == 7);
}

/* ---- the ends of threads ---- */

static atomic_bool detached_ran;

static void *run_detached(void *argument)
{
    CHECK(pthread_detach(pthread_self()) == 0);
    atomic_store(&detached_ran, true);
    return argument;
}

static void detached_threads_run(void)
{
    const struct timespec a_millisecond = {.tv_nsec = 1000000};
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, run_detached, NULL) == 0);
    while (!atomic_load(&detached_ran))
        nanosleep(&a_millisecond, NULL);
}

/* Uses more stack than a thread has by default. */
static void *use_a_deep_stack(void *argument)
{
    volatile char bytes[4 << 20];

    for (size_t i = 0; i < sizeof bytes; i += 1024)
        bytes[i] = (char)(i >> 10);
    for (size_t i = 0; i < sizeof bytes; i += 1024)
        CHECK(bytes[i] == (char)(i >> 10));
    return argument;
}

static void stack_size_is_honoured(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, 8 << 20) == 0);
    CHECK(pthread_create(&thread, &attributes, use_a_deep_stack, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(pthread_attr_destroy(&attributes) == 0);
}

int main(void)
{
    mutex_counts_exactly();
    recursive_mutex_belongs_to_its_thread();
    condition_hands_a_token_around();
    condition_times_out();
    barrier_has_one_leader_a_phase();
    rwlock_excludes_writers();
    every_thread_has_its_own();
    detached_threads_run();
    stack_size_is_honoured();
    puts("ok pthreads");
    return EXIT_SUCCESS;
}

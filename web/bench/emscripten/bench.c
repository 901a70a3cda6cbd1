// What ../guest does, for Emscripten.

#include <emscripten.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

static atomic_uint threads_seen;

static void *note(void *unused) {
    atomic_fetch_add(&threads_seen, 1);
    return unused;
}

EMSCRIPTEN_KEEPALIVE uint32_t seen(void) { return atomic_load(&threads_seen); }

EMSCRIPTEN_KEEPALIVE void spawn(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, note, NULL) == 0) pthread_detach(thread);
}

EMSCRIPTEN_KEEPALIVE double spawn_join(uint32_t count) {
    double begin = emscripten_get_now();
    for (uint32_t n = 0; n < count; n++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, note, NULL) == 0) pthread_join(thread, NULL);
    }
    return (emscripten_get_now() - begin) * 1e6 / count;
}

static void *go(void *depth) {
    note(NULL);
    if ((intptr_t)depth > 1) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, go, (void *)((intptr_t)depth - 1)) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

EMSCRIPTEN_KEEPALIVE double nested(uint32_t depth) {
    double begin = emscripten_get_now();
    pthread_t thread;
    if (pthread_create(&thread, NULL, go, (void *)(intptr_t)depth) == 0) pthread_join(thread, NULL);
    return (emscripten_get_now() - begin) * 1e6 / depth;
}

static atomic_int beats;

static void *count(void *unused) {
    for (;;) atomic_fetch_add(&beats, 1);
    return unused;
}

EMSCRIPTEN_KEEPALIVE atomic_int *beat(uint32_t threads) {
    for (; threads > 0; threads--) {
        pthread_t thread;
        pthread_create(&thread, NULL, count, NULL);
    }
    return &beats;
}

int main(void) {
    emscripten_exit_with_live_runtime();
    return 0;
}

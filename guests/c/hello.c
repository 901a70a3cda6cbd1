/* Says hello from the main thread and from another one. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void *greet(void *who)
{
    printf("hello from %s\n", (const char *)who);
    return NULL;
}

int main(void)
{
    pthread_t thread;

    greet("main");
    if (pthread_create(&thread, NULL, greet, "a thread") != 0)
        return EXIT_FAILURE;
    pthread_join(thread, NULL);
    puts("ok hello-c");
    return EXIT_SUCCESS;
}

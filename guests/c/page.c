/* Each function of page.h, from C without a library: what is exported here is called as tasks of a
 * runtime, by any of its workers. */
#include "../../crates/threadwork-page/include/page.h"

static char answer[4096];

#define EXPORT(name) __attribute__((export_name(name)))

/* Asks the handler `name` for `data`, and keeps the answer; its length, or `~` of an error's. */
static int32_t ask(const char *name, size_t name_length, const char *data, size_t length) {
    int32_t size = threadwork_page_call(name, name_length, data, length);
    threadwork_page_take(answer);
    return size;
}

EXPORT("shout") int32_t shout(void) { return ask("shout", 5, "hello", 5); }

EXPORT("absent") int32_t absent(void) { return ask("absent", 6, "", 0); }

EXPORT("note") void note(void) { threadwork_page_post("note", 4, "by the way", 10); }

EXPORT("send") void send_it(void) { threadwork_page_send("from C", 6); }

EXPORT("receive") int32_t receive(int64_t nanoseconds) {
    int32_t size = threadwork_page_receive(nanoseconds);
    if (size >= 0) threadwork_page_take(answer);
    return size;
}

EXPORT("answer") char *where(void) { return answer; }

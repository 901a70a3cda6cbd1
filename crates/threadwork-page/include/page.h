/* Functions of the page, or the Node program, that runs this WebAssembly program, called from any of
 * its threads, and messages to and from it. The page gives functions by name, as the option
 * `handlers` of a process.
 *
 *   int32_t length = threadwork_page_call("fetch", 5, "/data.bin", 9);
 *   size_t size = length < 0 ? (size_t)~length : (size_t)length;
 *   char *answer = malloc(size);
 *   threadwork_page_take(answer);
 *   if (length < 0) fprintf(stderr, "%.*s\n", (int)size, answer);
 */
#ifndef THREADWORK_PAGE_H
#define THREADWORK_PAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calls the page's function `name` with `length` bytes, and sleeps until it has answered. Returns
 * how many bytes the answer has; or, below zero, `~n` for an error whose text has `n` bytes. */
__attribute__((import_module("page"), import_name("call"))) int32_t
threadwork_page_call(const char *name, size_t name_length, const void *data, size_t length);

/* Copies the last answer, or the text of its error, that this thread has got; once. */
__attribute__((import_module("page"), import_name("take"))) void
threadwork_page_take(void *answer);

/* Has the page's function `name` called, and goes on at once. What it throws ends the program. */
__attribute__((import_module("page"), import_name("post"))) void
threadwork_page_post(const char *name, size_t name_length, const void *data, size_t length);

/* Sends the page a message, which it hears by `process.on('message')`, and goes on at once. */
__attribute__((import_module("page"), import_name("send"))) void
threadwork_page_send(const void *data, size_t length);

/* Waits for the page's next message (`process.postMessage`) for so many nanoseconds, for ever if they
 * are below zero. Returns how many bytes it has, for `threadwork_page_take`, or -1 if none came. */
__attribute__((import_module("page"), import_name("receive"))) int32_t
threadwork_page_receive(int64_t nanoseconds);

#ifdef __cplusplus
}
#endif

#endif

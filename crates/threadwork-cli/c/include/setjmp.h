/* Without unwinding: `setjmp` returns once, and `longjmp` ends the program. */
#ifndef _THREADWORK_SETJMP_H
#define _THREADWORK_SETJMP_H
#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    char unused;
} jmp_buf[1], sigjmp_buf[1];

#define setjmp(place) ((void)(place), 0)
#define _setjmp(place) setjmp(place)
#define sigsetjmp(place, mask) ((void)(mask), setjmp(place))

__attribute__((__noreturn__)) void longjmp(jmp_buf, int);
__attribute__((__noreturn__)) void _longjmp(jmp_buf, int);
__attribute__((__noreturn__)) void siglongjmp(sigjmp_buf, int);

#ifdef __cplusplus
}
#endif
#endif
